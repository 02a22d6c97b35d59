//! From provider to provider, with no disk in between.

use crate::support::moment::LONG;
use crate::world::{Ended, World, acknowledged_writes, noise};
use diskferry::emulator::{Operation, Stage};
use diskferry::provider::Provider;
use std::collections::HashSet;
use std::os::unix::fs::FileExt;

const MIB: u64 = 1 << 20;

/// Small chunks, so that there are many, and patience with faults.
const OPTIONS: [&str; 8] =
    ["--chunk-size", "64k", "--timeout", "1s", "--retries", "20", "--concurrency", "4"];

/// `oh:` is the first; `to:` the second.
fn between(from: Provider, to: Provider, faults: &str) -> World {
    let mut world = World::of(from, faults);
    world.add("to", to, faults);
    world
}

#[test]
fn a_drive_moves_with_its_name_and_size_and_both_ends_are_compared() {
    let world = between(Provider::Crosspeer, Provider::CloudSigma, "");
    let image = world.image("root.img", 9 * MIB + 1234);
    let drive = world.upload(&["root.img", "oh:"]);
    let from = format!("oh:{drive}");
    let moved =
        world.run(&["--json", "migrate", &from, "to:", "--chunk-size", "1M", "--verify", "full", "--sha256"]);
    assert_eq!(moved.code, 0, "{}", moved.stderr);
    let (plan, summary) = (moved.event("plan"), moved.event("summary"));
    assert_eq!(plan["action"], "migrate");
    let there = summary["drive"].as_str().unwrap();
    assert_eq!(
        (summary["size"].as_u64(), summary["chunks_verified"].as_u64()),
        (Some(9 * MIB + 1234), Some(10))
    );
    assert_eq!(summary["digest_kind"], "sha256");
    let bytes = std::fs::read(&image).unwrap();
    assert!(std::fs::read(world.file_on("to", there)).unwrap() == bytes);
    let info = world.run(&["drive", "info", &format!("to:{there}")]);
    assert!(info.stdout.contains("root.img"), "{}", info.stdout);
    assert!(world.journals().is_empty());
    // Each chunk was read twice and written once.
    let log = world.emulator().log();
    let reads = log.iter().filter(|r| r.path.contains("/read/") && r.path.ends_with("/1048576")).count();
    assert_eq!(reads, 18);
    // Nothing was kept here.
    let kept: Vec<_> = std::fs::read_dir(world.path(".")).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert!(!kept.iter().any(|name| name.to_string_lossy().ends_with(".part")), "{kept:?}");

    // Text mode prints the UUID alone, and an existing drive can be written to.
    let again = world.run(&["migrate", &from, &format!("to:{there}"), "-q"]);
    assert_eq!((again.code, again.stdout.trim_end()), (0, there), "{}", again.stderr);
}

/// Ten kills, each at one of the first 16 writes of its run: with four more in flight at most 200 of the 256 chunks, so no
/// run comes to its end. How the ends are made sure of is not asserted, so reads are not counted: what the journal has is
/// not written again, the bytes are equal, and there is one drive.
fn killed_ten_times(from: Provider, to: Provider) {
    let world = between(from, to, "error=0.1,retry-after=0,seed=5");
    let image = world.image("root.img", 16 * MIB);
    let drive = world.upload(&[&["root.img", "oh:"], &OPTIONS[..]].concat());
    let source = format!("oh:{drive}");
    let args = [&["migrate", &*source, "to:", "--zeros", "write"], &OPTIONS[..]].concat();
    let journalled = || -> HashSet<u64> {
        let journals = world.journals();
        assert!(journals.len() <= 1, "{journals:?}");
        let replay = journals.first().map(|path| diskferry::journal::peek(path).unwrap());
        replay.map_or_else(HashSet::new, |replay| replay.acked.iter().map(|chunk| chunk.index).collect())
    };
    let mut seen = 0;
    let mut written_since = || {
        let log = world.added().log();
        let written = acknowledged_writes(&log[seen..]);
        seen = log.len();
        written.into_iter().map(|offset| offset / (64 << 10)).collect::<HashSet<u64>>()
    };
    let stages = [Stage::Received, Stage::Applied, Stage::Answered].into_iter().cycle();
    for (byte, stage) in noise(7, 10).into_iter().zip(stages) {
        let known = journalled();
        world.kill_at(world.added(), &args, (stage, Operation::Write, 1 + u64::from(byte % 16)));
        assert!(written_since().is_disjoint(&known), "chunks in the journal were written again");
    }
    let known = journalled();
    let last = world.run(&[&["--json"], &args[..]].concat());
    assert_eq!(last.code, 0, "{}", last.stderr);
    let written = written_since();
    assert!(
        written.is_disjoint(&known) && written.len() + known.len() == 256,
        "{} {}",
        written.len(),
        known.len()
    );
    let summary = last.event("summary");
    let there = summary["drive"].as_str().unwrap();
    assert!(std::fs::read(world.file_on("to", there)).unwrap() == std::fs::read(&image).unwrap());
    let drives = std::fs::read_dir(world.path("to").join("drives")).unwrap();
    let drives =
        drives.filter(|f| f.as_ref().unwrap().path().extension().is_some_and(|e| e == "raw")).count();
    assert_eq!(drives, 1, "a kill left a second drive");
}

#[test]
fn crosspeer_to_cloudsigma_killed_ten_times_over_faults_ends_equal() {
    killed_ten_times(Provider::Crosspeer, Provider::CloudSigma);
}

#[test]
fn cloudsigma_to_open_hosting_killed_ten_times_over_faults_ends_equal() {
    killed_ten_times(Provider::CloudSigma, Provider::OpenHosting);
}

#[test]
fn a_source_that_changes_meanwhile_is_found_by_verify() {
    let mut world = World::of(Provider::Crosspeer, "");
    world.image("root.img", 8 * MIB);
    let drive = world.upload(&["root.img", "oh:"]);
    world.add("to", Provider::OpenHosting, "");
    let source = format!("oh:{drive}");
    let args = [
        "migrate",
        &*source,
        "to:",
        "--chunk-size",
        "256k",
        "--concurrency",
        "1",
        "--zeros",
        "write",
        "--verify",
        "full",
    ];
    // Its first chunk was read when it is written, and no other is written before the change.
    let (child, gate) = world.spawn_held(world.added(), &args, (Stage::Applied, Operation::Write, 0));
    assert!(gate.wait_for(1, LONG));
    let file = std::fs::File::options().write(true).open(world.drive_file(&drive)).unwrap();
    file.write_all_at(b"changed", 1000).unwrap();
    gate.open();
    let ended = Ended::new(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 6, "{}", ended.stderr);
    assert!(
        ended.stderr.contains(&format!("drive {drive}: 1 of 32 chunks compared differ, at offsets 0")),
        "{}",
        ended.stderr
    );
    // The same command moves what has changed, and nothing else.
    let again = world.run(&[&["--json"], &args[..]].concat());
    assert_eq!(again.code, 0, "{}", again.stderr);
    let summary = again.event("summary");
    assert_eq!((&summary["chunks_sent"], &summary["chunks_resumed"]), (&1.into(), &31.into()), "{summary}");
    let there = summary["drive"].as_str().unwrap();
    assert!(std::fs::read(world.file_on("to", there)).unwrap() == world.drive_bytes(&drive));
}

#[test]
fn what_cannot_be_moved_is_refused_first() {
    let world = between(Provider::Crosspeer, Provider::CloudSigma, "");
    world.image("root.img", MIB);
    let drive = world.upload(&["root.img", "oh:"]);
    let here = format!("oh:{drive}");
    for (args, code, says) in [
        (vec!["migrate", &*here, &*here], 2, "onto itself"),
        (vec!["migrate", "oh:", "to:"], 2, "neither a drive nor an appliance"),
        (vec!["migrate", &*here, "to:appliance/x"], 2, "cannot be written"),
        (vec!["migrate", "oh:appliance/x", "to:"], 2, "has no appliances"),
        (vec!["migrate", "oh:00000000-0000-4000-8000-000000000000", "to:"], 5, "no such object"),
        (vec!["migrate", &*here, "to:", "--size", "1k"], 1, "does not fit"),
    ] {
        let ended = world.run(&args);
        assert_eq!(ended.code, code, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{args:?}: {}", ended.stderr);
    }
    assert!(
        !world
            .path("to")
            .join("drives")
            .read_dir()
            .unwrap()
            .any(|f| { f.unwrap().path().extension().is_some_and(|e| e == "raw") })
    );
}

#[test]
fn a_kill_between_the_create_and_its_record_leaves_one_drive_where_drives_carry_no_mark() {
    let world = World::of(Provider::CloudSigma, "");
    let image = world.image("root.img", 2 * MIB);
    // One of the same name that has nothing to do with it.
    let other = world.upload(&["root.img", "oh:"]);
    let before = world.drives();
    let moment = (Stage::Applied, Operation::Create, 1);
    world.kill_at(world.emulator(), &["upload", "root.img", "oh:"], moment);
    assert_eq!(world.drives(), before + 1);
    let drive = world.upload(&["root.img", "oh:"]);
    assert_ne!(drive, other);
    assert_eq!(world.drives(), before + 1);
    assert!(world.drive_bytes(&drive) == std::fs::read(&image).unwrap());
}
