//! What is asked for at a terminal, by `script` (util-linux), which gives a command one.

use crate::support::moment::LONG;
use crate::world::World;
use diskferry::emulator::{Operation, Stage};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

const MIB: u64 = 1 << 20;

/// Runs a command at a terminal and answers its questions, each once its prompt is there. Returns its status and all that was
/// shown; `None`, and a word about it, where this machine has no `script`.
fn at_a_terminal(world: &World, args: &[&str], answers: &[(&str, &str)]) -> Option<(i32, String)> {
    let quoted: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
    let line = format!("{} {}", env!("CARGO_BIN_EXE_diskferry"), quoted.join(" "));
    let mut command = std::process::Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.env_clear().envs(world.command(&[]).get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).current_dir(world.path("."));
    let Ok(mut child) = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
        assert!(std::env::var_os("CI").is_none(), "script does not work here");
        eprintln!("skipped: script does not work here");
        return None;
    };
    let (shown, mut stdin) = (pieces(child.stdout.take().unwrap()), child.stdin.take().unwrap());
    let (mut all, mut from) = (String::new(), 0);
    for (prompt, answer) in answers {
        let until = Instant::now() + LONG;
        let at = loop {
            if let Some(at) = all[from..].find(prompt) {
                break from + at + prompt.len();
            }
            match shown.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(piece) => all.push_str(&piece),
                Err(end) => {
                    let _ = child.kill();
                    panic!("{end} before {prompt:?} was shown: {all}");
                }
            }
        };
        from = at;
        writeln!(stdin, "{answer}").unwrap();
    }
    // The other end of the pipe stays open: what reads it must not take its end for an answer.
    let rest: String = shown.iter().collect();
    let status = child.wait().unwrap();
    drop(stdin);
    Some((status.code().unwrap_or(-1), all + &rest))
}

/// Reads on a thread of its own, so that a prompt that never comes is an error and not a hang.
fn pieces(mut from: impl Read + Send + 'static) -> Receiver<String> {
    let (pieces, received) = channel();
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            if pieces.send(String::from_utf8_lossy(&piece[..read]).into_owned()).is_err() {
                break;
            }
        }
    });
    received
}

#[test]
fn remote_add_asks_for_what_it_is_not_told_and_tests_it() {
    let world = World::new("");
    let url = world.emulator().url();
    let config = std::fs::read_to_string(world.path("config.toml")).unwrap();
    let value = |key: &str| {
        let line = config.lines().find(|line| line.starts_with(key)).unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    let (user, secret) = (value("user"), value("secret"));
    let answers = [
        ("name of the remote", "oh"),
        // Of a wrong answer the reason is shown, and it is asked again.
        ("there is already a remote `oh:`", "web:"),
        ("1 openhosting", "1"),
        ("[https://api-east1.openhosting.com/]", "api.example.com"),
        ("did you mean `https://api.example.com`?", &*url),
        ("user UUID", &*user),
        ("secret (API key or password)", &*secret),
        ("test it now? [Y/n]", ""),
    ];
    let Some((status, shown)) = at_a_terminal(&world, &["remote", "add"], &answers) else { return };
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("added remote `web:`") && shown.contains("authentication works"), "{shown}");
    assert!(!shown.contains(&secret), "{shown}");
    let set = world.run(&["remote", "set-default", "web:"]);
    assert!(set.code == 0 && set.stderr.contains("`web:` is the default remote now"), "{}", set.stderr);
    assert!(world.run(&["remote", "list"]).stdout.contains("web: (default)"));
    assert_eq!(world.run(&["remote", "set-default", "wbe:"]).code, 2);
    // Without a terminal it says what is missing.
    let piped = world.run(&["remote", "add", "other:", "--provider", "joyent"]);
    assert_eq!(piped.code, 2);
    assert!(piped.stderr.contains("`--url` missing, and no terminal to ask at"), "{}", piped.stderr);
}

#[test]
fn starting_over_asks_whether_the_drive_of_the_interrupted_run_is_destroyed() {
    for (answer, drives) in [("y", 1), ("", 2)] {
        let world = World::new("");
        let image = world.image("a.img", 4 * MIB);
        let args = ["upload", "a.img", "oh:", "--chunk-size", "128k"];
        world.kill_at(world.emulator(), &args, (Stage::Answered, Operation::Write, 10));
        let file = std::fs::OpenOptions::new().write(true).open(&image).unwrap();
        file.write_all_at(b"new", 3 * MIB).unwrap();
        let args = [&args[..], &["--restart"]].concat();
        let asked = [("once this transfer is done? [y/N]", answer)];
        let Some((status, shown)) = at_a_terminal(&world, &args, &asked) else { return };
        assert_eq!((status, world.drives()), (0, drives), "{shown}");
        assert_eq!(shown.contains("destroyed drive oh:"), drives == 1, "{shown}");
    }
}
