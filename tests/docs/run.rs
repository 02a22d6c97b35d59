//! Every command of the documentation runs.

use crate::pages::{Block, Mark, Page, pages};
use crate::world::World;
use std::fmt::Write;

/// What came of blocks.
#[derive(Default)]
struct Outcome {
    run: usize,
    skipped: Vec<String>,
    failed: String,
}

/// Runs the blocks of a page.
fn play(page: &Page) -> Outcome {
    let mut outcome = Outcome::default();
    for session in page.sessions() {
        let world = World::new(&session);
        for block in &session {
            outcome.add(&page.name, block, &world);
        }
    }
    outcome
}

impl Outcome {
    fn add(&mut self, page: &str, block: &Block, world: &World) {
        let at = format!("{page}:{}", block.line);
        let script = &block.script;
        let (ended, expected) = match &block.mark {
            Mark::NoRun(reason) => {
                self.skipped.push(format!("{at}: {reason}"));
                (world.check_options(script), 0)
            }
            Mark::Needs(program) if !world.has(program) && std::env::var_os("CI").is_none() => {
                self.skipped.push(format!("{at}: {program} is not installed"));
                (world.check_options(script), 0)
            }
            mark => {
                self.run += 1;
                match mark {
                    Mark::NewConfig => (world.run_unconfigured(script), 0),
                    Mark::Run(status) => (world.run(script), *status),
                    _ => (world.run(script), 0),
                }
            }
        };
        if ended.status.code() != Some(expected) {
            let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
            writeln!(self.failed, "{at}: {}, expected {expected}\n{script}\n--\n{out}{err}", ended.status)
                .unwrap();
        }
    }
}

#[test]
fn every_command_of_the_documentation_runs() {
    let pages = pages();
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let played: Vec<_> = pages.iter().map(|page| scope.spawn(move || play(page))).collect();
        played.into_iter().map(|page| page.join().unwrap()).collect()
    });
    let run: usize = outcomes.iter().map(|outcome| outcome.run).sum();
    let skipped: Vec<_> = outcomes.iter().flat_map(|outcome| &outcome.skipped).map(String::as_str).collect();
    let failed: String = outcomes.iter().map(|outcome| &*outcome.failed).collect();
    println!("{run} blocks run, {} not run:\n{}", skipped.len(), skipped.join("\n"));
    assert!(failed.is_empty(), "{failed}");
    // A mark is for what cannot be had here, and not for what does not work.
    assert!(skipped.len() * 3 <= run, "too many blocks are not run:\n{}", skipped.join("\n"));
}

#[test]
fn a_command_that_does_not_exist_fails() {
    let text = "```sh\ndiskferry ferry oh:web-1\n```\n```sh no-run because\ndiskferry upload a oh: --bogus\n```\n\
                ```sh\ndiskferry verify server.img oh:web-1\n```\n```sh exit=2\ndiskferry upload\n```\n\
                ```sh no-run because\ndiskferry upload a \\\n  oh: --size 10M | cat\n```\n";
    let page = Page { name: "t.md".into(), path: "t.md".into(), text: text.into() };
    let outcome = play(&page);
    assert_eq!((outcome.run, outcome.skipped.len()), (3, 2));
    assert!(outcome.failed.contains("t.md:2: exit status: 2"), "{}", outcome.failed);
    assert!(outcome.failed.contains("t.md:5: exit status: 2"), "{}", outcome.failed);
    assert_eq!(outcome.failed.matches("expected 0").count(), 2, "{}", outcome.failed);
}

#[test]
fn an_emulator_is_there_for_the_sections_after_it() {
    let text = "## a\n```sh\ndiskferry serve openhosting=127.0.0.1:8701 --user alice --write-config e.toml &\n\
                diskferry --config e.toml upload disk.img openhosting:\n```\n\
                ## b\n```sh\ntest -n \"$(diskferry -q --config e.toml drive list openhosting:)\"\n```\n\
                ## c\n```sh\ndiskferry serve --write-config e.toml &\ndiskferry --config e.toml drive list crosspeer:\n```\n";
    let page = Page { name: "t.md".into(), path: "t.md".into(), text: text.into() };
    let outcome = play(&page);
    assert_eq!((outcome.run, &*outcome.failed), (3, ""));
}
