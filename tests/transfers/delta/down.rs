//! Downloads that keep what a file already has right.

use super::{CHUNK, MIB, OPTIONS, bytes_read, change, interfere, summary, told, uploaded, write};
use crate::support::moment::{LONG, stop_while_held};
use crate::world::{Ended, World};
use diskferry::emulator::{Operation, Stage};
use diskferry::provider::Provider;
use rustix::process::Signal;
use std::fs::{File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn down(world: &World, drive: &str, more: &[&str]) -> Ended {
    let target = format!("oh:{drive}");
    world.run(&[&["--json", "download", &target, "b.img", "--delta"], &OPTIONS[..], more].concat())
}

#[test]
fn what_a_file_has_right_is_not_fetched() {
    let (world, image, drive) = uploaded(Provider::OpenHosting);
    let file = world.path("b.img");
    let bytes = std::fs::read(&image).unwrap();
    // As it is; longer, with something behind the end; shorter.
    for (size, missing) in [(8 * MIB, 0), (9 * MIB + 7, 0), (7 * MIB, 0), (5 * MIB - 100, 33)] {
        std::fs::copy(&image, &file).unwrap();
        let opened = File::options().write(true).open(&file).unwrap();
        opened.set_len(size).unwrap();
        opened.set_permissions(Permissions::from_mode(0o640)).unwrap();
        if size > 8 * MIB {
            write(&file, b"behind", 9 * MIB);
        }
        change(&file, [3, 64]);
        let before = bytes_read(&world);
        let ended = down(&world, &drive, &[]);
        let (how, sent, unchanged) = told(&ended);
        assert_eq!(how, "trusted", "{}", ended.stdout);
        let read = bytes_read(&world) - before;
        assert!(sent <= 2 + missing && unchanged >= 110 - missing, "{size}: {}", ended.stdout);
        assert!(read < (missing + 3) * CHUNK, "{size}: {read} bytes were read");
        assert!(std::fs::read(&file).unwrap() == bytes, "{size}");
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o640);
        assert!(!world.path("b.img.part").exists() && world.journals().is_empty());
    }
    // The same again with everything that can be asked for besides.
    let whole = down(&world, &drive, &["--sha256", "--verify", "full"]);
    let hex = diskferry::digest::hex(&<sha2::Sha256 as sha2::Digest>::digest(&bytes));
    assert_eq!(summary(&whole)["digest"], hex);
}

#[test]
fn a_drive_that_is_in_doubt_is_fetched_and_compared() {
    let (world, image, drive) = uploaded(Provider::OpenHosting);
    let file = world.path("b.img");
    std::fs::copy(&image, &file).unwrap();
    interfere(&world, &drive, &[7; 3000], 5 * CHUNK + 10);
    let before = bytes_read(&world);
    let ended = down(&world, &drive, &[]);
    let (how, sent, unchanged) = told(&ended);
    assert_eq!((&*how, sent), ("read back", 1), "{}", ended.stdout);
    assert!(unchanged >= 110 && ended.stderr.contains("are read back"), "{}", ended.stderr);
    assert_eq!(bytes_read(&world) - before, 8 * MIB);
    assert!(std::fs::read(&file).unwrap() == world.drive_bytes(&drive));
    // What was fetched is known now.
    let again = down(&world, &drive, &[]);
    assert_eq!((told(&again).0.as_str(), told(&again).1), ("trusted", 0), "{}", again.stdout);
    // Somebody whom nobody counts: the sample finds it if it is much.
    write(&world.drive_file(&drive), &vec![3; 8 << 20], 0);
    let sampled = down(&world, &drive, &[]);
    assert!(sampled.stdout.contains("does not hold what the last transfer noted"), "{}", sampled.stdout);
    assert!(std::fs::read(&file).unwrap() == world.drive_bytes(&drive));
    // A file that is not there is fetched, and that is said.
    std::fs::remove_file(&file).unwrap();
    let new = down(&world, &drive, &[]);
    assert_eq!(
        (told(&new).0.as_str(), new.stderr.contains("does not exist: downloading everything")),
        ("", true),
        "{}",
        new.stderr
    );
    assert!(std::fs::read(&file).unwrap() == world.drive_bytes(&drive));
}

/// The file is as it was until the new one is whole.
#[test]
fn a_delta_download_that_is_killed_goes_on() {
    for doubt in [false, true] {
        let (world, image, drive) = uploaded(Provider::OpenHosting);
        let file = world.path("b.img");
        std::fs::copy(&image, &file).unwrap();
        change(&file, (0..128).step_by(2));
        let old = std::fs::read(&file).unwrap();
        if doubt {
            interfere(&world, &drive, &[7; 3000], 5 * CHUNK + 10);
        }
        let target = format!("oh:{drive}");
        let args = [&["download", &target, "b.img", "--delta"], &OPTIONS[..]].concat();
        for moment in [
            (Stage::Applied, Operation::Other, 1),
            (Stage::Received, Operation::Read, 1),
            (Stage::Applied, Operation::Read, 12),
            (Stage::Answered, Operation::Read, 25),
        ] {
            world.kill_at(world.emulator(), &args, moment);
            assert!(std::fs::read(&file).unwrap() == old);
        }
        let (child, gate) = world.spawn_held(world.emulator(), &args, (Stage::Applied, Operation::Read, 20));
        assert!(gate.wait_for(1, LONG));
        assert_eq!(Ended::new(stop_while_held(child, Signal::INT, &gate)).code, 130);
        world.emulator().clear_hook();
        assert!(std::fs::read(&file).unwrap() == old);
        let last = down(&world, &drive, &[]);
        assert_eq!(told(&last).0, if doubt { "read back" } else { "trusted" }, "{}", last.stdout);
        // What was found equal counts as fetched.
        let resumed = summary(&last)["chunks_resumed"].as_u64().unwrap();
        assert!(resumed >= 20, "{}", last.stdout);
        assert!(std::fs::read(&file).unwrap() == world.drive_bytes(&drive));
        assert!(!world.path("b.img.part").exists() && world.journals().is_empty());
    }
}

/// A run that was killed after the file had its name, and before its journal was gone, is no reason to refuse the next.
#[test]
fn a_delta_download_that_ended_untold_can_be_run_again() {
    let (world, image, drive) = uploaded(Provider::OpenHosting);
    let file = world.path("b.img");
    std::fs::copy(&image, &file).unwrap();
    change(&file, [3]);
    let target = format!("oh:{drive}");
    let args = [&["--json", "download", &target, "b.img", "--delta"], &OPTIONS[..]].concat();
    // Its result cannot be told, so its journal stays.
    let full = File::options().write(true).open("/dev/full").unwrap();
    let untold = world.command(&args).stdout(full).output().unwrap();
    assert!(!untold.status.success() && world.journals().len() == 1, "{untold:?}");
    assert!(std::fs::read(&file).unwrap() == std::fs::read(&image).unwrap());
    let again = down(&world, &drive, &[]);
    assert_eq!(told(&again).1, 0, "{}", again.stdout);
    assert!(std::fs::read(&file).unwrap() == std::fs::read(&image).unwrap() && world.journals().is_empty());
}

/// A run that was killed while it copied the file leaves a part of the copy.
#[test]
fn a_copy_that_was_not_whole_is_made_again() {
    let (world, image, drive) = uploaded(Provider::OpenHosting);
    let file = world.path("b.img");
    std::fs::copy(&image, &file).unwrap();
    change(&file, [4]);
    let target = format!("oh:{drive}");
    let args = [&["download", &target, "b.img", "--delta"], &OPTIONS[..]].concat();
    // The first read is of the sample: nothing was fetched yet.
    world.kill_at(world.emulator(), &args, (Stage::Received, Operation::Read, 1));
    let part = File::options().write(true).open(world.path("b.img.part")).unwrap();
    part.set_len(MIB).unwrap();
    part.set_len(8 * MIB).unwrap();
    drop(part);
    let last = down(&world, &drive, &[]);
    let (how, sent, unchanged) = told(&last);
    assert!(how == "trusted" && sent == 1 && unchanged >= 110, "{}", last.stdout);
    assert!(std::fs::read(&file).unwrap() == std::fs::read(&image).unwrap());
}

/// What the journal says of a file that is gone is no claim about the next one.
#[test]
fn a_part_that_is_gone_takes_its_journal_along() {
    let (world, image, drive) = uploaded(Provider::OpenHosting);
    let target = format!("oh:{drive}");
    let args = [&["download", &target, "b.img"], &OPTIONS[..]].concat();
    let stopped_after = |reads: u64| {
        let moment = (Stage::Applied, Operation::Read, reads);
        let (child, gate) = world.spawn_held(world.emulator(), &args, moment);
        assert!(gate.wait_for(1, LONG));
        assert_eq!(Ended::new(stop_while_held(child, Signal::INT, &gate)).code, 130);
        world.emulator().clear_hook();
        diskferry::journal::peek(&world.journals()[0]).unwrap().acked.len()
    };
    assert!(stopped_after(60) >= 50);
    std::fs::remove_file(world.path("b.img.part")).unwrap();
    assert!(stopped_after(2) < 20);
    assert_eq!(world.run(&args).code, 0);
    assert!(std::fs::read(world.path("b.img")).unwrap() == std::fs::read(&image).unwrap());
}
