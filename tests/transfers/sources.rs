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
        refused.stderr.contains("the image changed since the interrupted run: it was modified")
            && refused.stderr.contains("none --restart`; `--on-change restart`"),
        "{}",
        refused.stderr
    );
    let again = world.run(&[&ARGS[..], &["full", "--restart"]].concat());
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(
        again.stderr.contains(
            "which the interrupted run made, is left unused; destroy it with `diskferry drive destroy oh:"
        ),
        "{}",
        again.stderr
    );
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
    assert!(other.stderr.contains("changed since the interrupted run"), "{}", other.stderr);
    let same = world.command(&args).stdin(std::fs::File::open(&image).unwrap()).output().unwrap();
    let same = Ended::new(same);
    assert_eq!(same.code, 0, "{}", same.stderr);
    let summary = same.event("summary");
    assert!(summary["chunks_resumed"].as_u64().unwrap() >= 8, "{summary}");
    assert!(world.drive_bytes(summary["drive"].as_str().unwrap()) == std::fs::read(&image).unwrap());
}

/// A job that runs every night is not stuck with the image of one night on which it was interrupted.
#[test]
fn on_change_restart_sends_the_new_image_and_yes_destroys_the_drive_of_the_old_one() {
    let world = World::new("");
    let image = world.image("a.img", 4 * MIB);
    for (yes, drives) in [(&[][..], 2), (&["--yes"], 1)] {
        let args = [&ARGS[..], &["none", "--on-change", "restart"], yes].concat();
        world.kill_at(world.emulator(), &args, (Stage::Answered, Operation::Write, 10));
        let file = std::fs::OpenOptions::new().write(true).open(&image).unwrap();
        file.write_all_at(&[b'y'; 3][..=yes.len()], 3 * MIB).unwrap();
        let again = world.run(&args);
        assert_eq!(again.code, 0, "{}", again.stderr);
        assert!(again.stderr.contains("it was modified: starting over"), "{}", again.stderr);
        assert!(world.drive_bytes(again.stdout.trim_end()) == std::fs::read(&image).unwrap());
        assert_eq!(world.drives(), drives, "{}", again.stderr);
        if yes.is_empty() {
            // What the warning says to do works as it is printed.
            let command =
                again.stderr.split('`').find(|text| text.starts_with("diskferry drive destroy")).unwrap();
            let words: Vec<&str> = command.split(' ').skip(1).collect();
            let destroyed = world.run(&words);
            assert_eq!((destroyed.code, world.drives()), (0, 1), "{}", destroyed.stderr);
            let last = world.run(&["drive", "destroy", &format!("oh:{}", again.stdout.trim_end())]);
            assert_eq!(last.code, 0, "{}", last.stderr);
        } else {
            assert!(again.stderr.contains("destroyed drive oh:"), "{}", again.stderr);
        }
    }
}

/// The drive of an interrupted run may have become something else since: then no option destroys it.
#[test]
fn a_drive_of_an_interrupted_run_that_was_put_to_use_is_not_destroyed() {
    let world = World::new("");
    let image = world.image("a.img", 4 * MIB);
    let other = world.image("b.img", 4 * MIB);
    std::fs::OpenOptions::new().write(true).open(&other).unwrap().write_all_at(b"other", 0).unwrap();
    let args = [&ARGS[..], &["none", "--restart", "--yes"]].concat();
    let left = |before: &[String]| {
        let names = world.run(&["drive", "list", "oh:", "-q"]).stdout;
        names.lines().find(|drive| !before.iter().any(|known| known == drive)).unwrap().to_owned()
    };

    // Another image was written to it.
    world.kill_at(world.emulator(), &args, (Stage::Answered, Operation::Write, 10));
    let written = left(&[]);
    let target = format!("oh:{written}");
    assert_eq!(world.run(&["upload", other.to_str().unwrap(), &target]).code, 0);
    let again = world.run(&args);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let why =
        format!("drive {target} was not destroyed: another run on this machine has written to it since");
    assert!(again.stderr.contains(&why), "{}", again.stderr);
    assert!(world.drive_bytes(&written) == std::fs::read(&other).unwrap());

    // A server boots from it, which another machine has made.
    let known = [written, again.stdout.trim_end().to_owned()];
    world.kill_at(world.emulator(), &args, (Stage::Answered, Operation::Write, 10));
    let used = left(&known);
    let disk = format!("ide:0:0={used}");
    let server = ["server", "create", "oh:", "name=s", "cpu=1000", "mem=256", &disk, "boot=ide:0:0"];
    let made = world.command(&server).env("XDG_STATE_HOME", world.path("elsewhere")).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let again = world.run(&args);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let why = format!("drive oh:{used} was not destroyed: it is in use by server ");
    assert!(again.stderr.contains(&why), "{}", again.stderr);
    assert_eq!(world.drives(), 4);
    assert!(world.drive_bytes(again.stdout.trim_end()) == std::fs::read(&image).unwrap());
}

/// A stream cannot be read twice in one run, so the run after that which finds the change starts over.
#[test]
fn a_changed_stream_starts_over_in_the_next_run() {
    let world = World::new("");
    let image = world.image("a.img", 4 * MIB);
    let other = world.image("b.img", 4 * MIB);
    std::fs::OpenOptions::new().write(true).open(&other).unwrap().write_all_at(b"x", 0).unwrap();
    let args = ["upload", "-", "oh:", "--size", "4M", "--chunk-size", "128k", "--on-change", "restart"];
    let piped = |file: &std::path::Path| {
        let mut command = world.command(&args);
        command.stdin(std::fs::File::open(file).unwrap());
        command
    };
    world.kill_command_at(world.emulator(), &mut piped(&image), (Stage::Answered, Operation::Write, 20));
    let first = Ended::new(piped(&other).output().unwrap());
    assert_eq!(first.code, 3, "{}", first.stderr);
    assert!(first.stderr.contains("run the same command again: it starts over"), "{}", first.stderr);
    assert!(first.stderr.contains("is left unused"), "{}", first.stderr);
    let second = Ended::new(piped(&other).output().unwrap());
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert!(world.drive_bytes(second.stdout.trim_end()) == std::fs::read(&other).unwrap());
    // Another declared size is told before anything is read.
    world.kill_command_at(world.emulator(), &mut piped(&image), (Stage::Answered, Operation::Write, 10));
    std::fs::OpenOptions::new().write(true).open(&image).unwrap().set_len(3 * MIB).unwrap();
    let mut smaller = args;
    smaller[4] = "3M";
    let shorter = world.command(&smaller).stdin(std::fs::File::open(&image).unwrap()).output().unwrap();
    let shorter = Ended::new(shorter);
    assert_eq!(shorter.code, 0, "{}", shorter.stderr);
    assert!(
        shorter.stderr.contains("its size was 4194304 and is 3145728: starting over"),
        "{}",
        shorter.stderr
    );
}

/// A stream that ends early leaves a drive: the error names it, and both ways on work.
#[test]
fn a_stream_that_ends_early_names_its_drive_and_can_be_padded() {
    let world = World::new("");
    let image = world.image("a.img", 3 * MIB);
    let piped = |options: &[&str]| {
        let mut command = world.command(&[&["upload", "-", "oh:", "--chunk-size", "128k"], options].concat());
        Ended::new(command.stdin(std::fs::File::open(&image).unwrap()).output().unwrap())
    };
    let short = piped(&["--size", "4M"]);
    assert_eq!(short.code, 1, "{}", short.stderr);
    assert!(
        short.stderr.contains("standard input ended early: expected 4194304 bytes, got 3145728"),
        "{}",
        short.stderr
    );
    let named = short.stderr.split("destroy oh:").nth(1).and_then(|rest| rest.get(..36)).unwrap();
    assert!(short.stderr.contains(&format!("drive oh:{named} is incomplete")), "{}", short.stderr);
    let padded = piped(&["--size-at-most", "4194304"]);
    assert_eq!(padded.code, 0, "{}", padded.stderr);
    assert_eq!(padded.stdout.trim_end(), named, "the drive of the run before is used");
    let mut expected = std::fs::read(&image).unwrap();
    expected.resize(4 << 20, 0);
    assert!(world.drive_bytes(named) == expected);
    // The other way.
    assert_eq!(piped(&["--size", "4M"]).code, 1);
    let exact = piped(&["--size", "3145728", "--restart", "--yes"]);
    assert_eq!(exact.code, 0, "{}", exact.stderr);
    assert_eq!(world.drives(), 2, "the incomplete one was destroyed: {}", exact.stderr);
}
