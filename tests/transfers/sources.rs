//! Images that are not what they were.

use crate::world::{Ended, World, acknowledged_writes};
use diskferry::journal;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const ARGS: [&str; 6] = ["upload", "a.img", "oh:", "--chunk-size", "128k", "--verify"];

/// Starts an upload, changes the image once chunks have gone, and waits for the end.
fn changed(world: &World, change: impl FnOnce()) -> Ended {
    let child = world.spawn(&[&ARGS[..], &["none"]].concat());
    while acknowledged_writes(&world.emulator().log()).len() < 10 {
        std::thread::sleep(Duration::from_millis(5));
    }
    change();
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
    let world = World::new("latency=20ms");
    let image = world.image("a.img", 32 * MIB);
    let ended = changed(&world, || {
        std::fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(MIB).unwrap();
    });
    assert!(ended.stderr.contains("cut from 33554432 to 1048576 bytes"), "{}", ended.stderr);
}

#[test]
fn an_image_that_grows_or_changes_is_an_error() {
    let world = World::new("latency=20ms");
    let image = world.image("a.img", 32 * MIB);
    changed(&world, || {
        std::fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(33 * MIB).unwrap();
    });

    let world = World::new("latency=20ms");
    let image = world.image("a.img", 32 * MIB);
    let ended = changed(&world, || {
        std::fs::OpenOptions::new().write(true).open(&image).unwrap().write_all_at(b"x", 31 * MIB).unwrap();
    });
    assert!(ended.stderr.contains("modified"), "{}", ended.stderr);
    // Nor does a later run mix the two: it says why, and --restart sends the new one.
    let refused = world.run(&[&ARGS[..], &["none"]].concat());
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("not what it was") && refused.stderr.contains("--restart"),
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
    let world = World::new("latency=20ms");
    let image = world.image("a.img", 16 * MIB);
    let other = world.image("b.img", 16 * MIB);
    std::fs::OpenOptions::new().write(true).open(&other).unwrap().write_all_at(b"x", 0).unwrap();
    let size = (16 * MIB).to_string();
    let args = ["--json", "upload", "-", "oh:", "--size", &size, "--chunk-size", "128k"];
    let mut command = world.command(&args);
    command.stdin(std::fs::File::open(&image).unwrap()).stdout(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    while acknowledged_writes(&world.emulator().log()).len() < 20 {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let other = world.command(&args).stdin(std::fs::File::open(&other).unwrap()).output().unwrap();
    let other = Ended::new(other);
    assert_eq!(other.code, 1, "{}", other.stderr);
    assert!(other.stderr.contains("differs from the one that was begun"), "{}", other.stderr);
    let same = world.command(&args).stdin(std::fs::File::open(&image).unwrap()).output().unwrap();
    let same = Ended::new(same);
    assert_eq!(same.code, 0, "{}", same.stderr);
    let summary = same.event("summary");
    assert!(summary["chunks_resumed"].as_u64().unwrap() >= 8, "{summary}");
    assert!(world.drive_bytes(summary["drive"].as_str().unwrap()) == std::fs::read(&image).unwrap());
}
