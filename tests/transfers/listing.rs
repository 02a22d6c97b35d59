//! `transfers`: what it says of an interrupted transfer, and how one is given up.

use crate::world::{Ended, World};
use diskferry::emulator::{Operation, Stage};
use std::path::Path;
use std::time::{Duration, SystemTime};

const MIB: u64 = 1 << 20;

fn ids(world: &World) -> Vec<String> {
    let list = world.run(&["--json", "transfers", "list"]);
    list.events().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

/// Makes a journal look as if nothing had happened for so many days.
fn age(journal: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_hours(24 * days);
    std::fs::File::options().append(true).open(journal).unwrap().set_modified(then).unwrap();
}

#[test]
fn show_has_a_command_that_resumes_from_any_directory() {
    let world = World::new("");
    let here = world.path("it's here");
    std::fs::create_dir(&here).unwrap();
    world.image("it's here/a.img", 4 * MIB);
    let mut command = world.command(&["upload", "a.img", "oh:", "--chunk-size", "128k"]);
    command.current_dir(&here);
    world.kill_command_at(world.emulator(), &mut command, (Stage::Answered, Operation::Write, 10));
    let id = ids(&world).remove(0);
    let shown = world.run(&["transfers", "show", &id]).stdout;
    let value = |key: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_else(|| panic!("{shown}"));
        line.trim().to_owned()
    };
    assert_eq!(value("directory"), here.to_str().unwrap());
    let mut shell = std::process::Command::new("sh");
    let environment = world.command(&[]);
    shell.env_clear().envs(environment.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let resumed = Ended::new(shell.args(["-c", &value("resume")]).current_dir("/").output().unwrap());
    assert_eq!(resumed.code, 0, "{shown}: {}", resumed.stderr);
    assert!(resumed.stderr.contains(" resumed"), "{}", resumed.stderr);
    let empty = world.run(&["transfers", "list"]);
    assert!(empty.code == 0 && empty.stderr.contains("no interrupted transfers"), "{}", empty.stderr);
}

#[test]
fn what_is_old_is_discarded_and_what_another_version_wrote_is_kept() {
    let world = World::new("");
    world.image("a.img", 4 * MIB);
    let drive = world.upload(&["a.img", "oh:", "--chunk-size", "128k"]);
    let source = format!("oh:{drive}");
    for file in ["old", "new"] {
        let args = ["download", &source, file, "--chunk-size", "128k"];
        world.kill_at(world.emulator(), &args, (Stage::Answered, Operation::Read, 10));
    }
    let old = world.journals().into_iter().find(|journal| {
        let id = journal.file_stem().unwrap().to_str().unwrap().to_owned();
        world.run(&["transfers", "show", &id]).stdout.contains("old.part")
    });
    let old = old.unwrap();
    let foreign = old.with_file_name("0123456789ab.journal");
    std::fs::write(&foreign, "diskferry journal 9\nwho knows").unwrap();
    age(&old, 31);
    age(&foreign, 400);
    let list = world.run(&["transfers", "list"]).stdout;
    assert!(list.contains("version 9") && !list.contains("damaged"), "{list}");
    let discarded = world.run(&["transfers", "discard", "--older-than", "30d", "--part"]);
    assert_eq!(discarded.code, 0, "{}", discarded.stderr);
    assert!(discarded.stderr.contains("discarded 1 transfer\n"), "{}", discarded.stderr);
    assert!(
        discarded.stderr.contains("kept transfer 0123456789ab: its journal has version 9"),
        "{}",
        discarded.stderr
    );
    assert!(!world.path("old.part").exists() && !old.exists() && foreign.exists());
    // Without --part what was fetched stays, and is named.
    let id = ids(&world).into_iter().find(|id| !foreign.to_str().unwrap().contains(id)).unwrap();
    let kept = world.run(&["transfers", "discard", &id]);
    assert!(kept.code == 0 && kept.stderr.contains("new.part is kept"), "{}", kept.stderr);
    assert!(world.path("new.part").exists());
    assert_eq!(world.run(&["transfers", "discard"]).code, 2);
    assert_eq!(world.run(&["transfers", "discard", "0123456789ab"]).code, 0, "by its id it goes");
}

#[test]
fn what_is_kept_for_a_set_is_not_shown_as_interrupted() {
    let mut world = World::new("");
    world.image("small.img", 128 << 10);
    world.image("large.img", 512 << 10);
    for image in ["small.img", "large.img"] {
        world.upload(&[image, "oh:"]);
    }
    world.restart(&format!("refuse={}", 256 << 10));
    let args = ["download", "oh:", "--all", "out", "--chunk-size", "64k", "--retries", "0"];
    assert_eq!(world.run(&args).code, 3);
    let list = world.run(&["--json", "transfers", "list"]);
    let mut states: Vec<String> =
        list.events().iter().map(|entry| entry["state"].as_str().unwrap().to_owned()).collect();
    states.sort();
    assert_eq!(states, ["87%", "done, set unfinished"]);
}
