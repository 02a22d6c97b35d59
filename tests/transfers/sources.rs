//! Images that are not what they were.

use crate::support::moment::LONG;
use crate::world::{Ended, World};
use diskferry::emulator::{Operation, Stage};
use diskferry::journal;
use std::os::unix::fs::FileExt;

const MIB: u64 = 1 << 20;
const ARGS: [&str; 6] = ["upload", "a.img", "oh:", "--chunk-size", "128k", "--verify"];

/// Starts an upload, changes the image once chunks have gone, and waits for the end.
fn changed(world: &World, change: impl FnOnce()) -> Ended {
    // Ten writes were answered and no other will be before the change, so that most of the image is still to be read.
    let args = [&ARGS[..], &["none"]].concat();
    let (child, gate) = world.spawn_held(world.emulator(), &args, (Stage::Applied, Operation::Write, 10));
    assert!(gate.wait_for(1, LONG));
    change();
    gate.open();
    let ended = Ended::new(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 1, "neither a signal nor a success: {}", ended.stderr);
    assert!(ended.stderr.contains("a.img changed during the transfer"), "{}", ended.stderr);
    assert!(ended.stdout.is_empty());
    let journals = world.journals();
    assert!(!journal::peek(&journals[0]).unwrap().acked.is_empty(), "the journal is intact");
    ended
}

#[test]
fn an_image_cut_short_is_an_error_and_not_a_crash() {
    let world = World::new("");
    let image = world.image("a.img", 32 * MIB);
    let ended = changed(&world, || {
        std::fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(MIB).unwrap();
    });
    assert!(ended.stderr.contains("truncated from 33554432 to 1048576 bytes"), "{}", ended.stderr);
}

#[test]
fn an_image_that_grows_or_changes_is_an_error() {
    let world = World::new("");
    let image = world.image("a.img", 32 * MIB);
    changed(&world, || {
        std::fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(33 * MIB).unwrap();
    });

    let world = World::new("");
    let image = world.image("a.img", 32 * MIB);
    let ended = changed(&world, || {
        std::fs::OpenOptions::new().write(true).open(&image).unwrap().write_all_at(b"x", 31 * MIB).unwrap();
    });
    assert!(ended.stderr.contains("modified"), "{}", ended.stderr);
    // Nor does a later run mix the two: it says why, and --restart sends the new one.
    let refused = world.run(&[&ARGS[..], &["none"]].concat());
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("the image changed") && refused.stderr.contains("--restart"),
        "{}",
        refused.stderr
    );
    let again = world.run(&[&ARGS[..], &["full", "--restart"]].concat());
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stderr.contains("the earlier run made is left"), "{}", again.stderr);
    assert!(world.drive_bytes(again.stdout.trim_end()) == std::fs::read(&image).unwrap());
}

#[test]
fn a_stream_that_comes_again_must_be_the_same() {
    let world = World::new("");
    let image = world.image("a.img", 16 * MIB);
    let other = world.image("b.img", 16 * MIB);
    std::fs::OpenOptions::new().write(true).open(&other).unwrap().write_all_at(b"x", 0).unwrap();
    let size = (16 * MIB).to_string();
    let args =
        ["--json", "upload", "-", "oh:", "--size", &size, "--chunk-size", "128k", "--concurrency", "4"];
    let mut command = world.command(&args);
    command.stdin(std::fs::File::open(&image).unwrap());
    // 30 writes were answered and at most four are in flight, so at least the first of them are in the journal.
    world.kill_command_at(world.emulator(), &mut command, (Stage::Answered, Operation::Write, 30));
    let other = world.command(&args).stdin(std::fs::File::open(&other).unwrap()).output().unwrap();
    let other = Ended::new(other);
    assert_eq!(other.code, 1, "{}", other.stderr);
    assert!(other.stderr.contains("differs from the one whose transfer was begun"), "{}", other.stderr);
    let same = world.command(&args).stdin(std::fs::File::open(&image).unwrap()).output().unwrap();
    let same = Ended::new(same);
    assert_eq!(same.code, 0, "{}", same.stderr);
    let summary = same.event("summary");
    assert!(summary["chunks_resumed"].as_u64().unwrap() >= 8, "{summary}");
    assert!(world.drive_bytes(summary["drive"].as_str().unwrap()) == std::fs::read(&image).unwrap());
}
