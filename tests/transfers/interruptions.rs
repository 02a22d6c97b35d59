//! Kills, signals and two runs at once. Every kill and signal comes at a counted request, never after a time.

use crate::support::moment::{LONG, stop_while_held, until};
use crate::world::{Ended, World, acknowledged_writes, noise};
use diskferry::emulator::{Operation, Stage};
use diskferry::journal;
use diskferry::provider::Provider;
use rustix::process::Signal;
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};

const MIB: u64 = 1 << 20;

/// Ten percent of all requests fail, and the process dies again and again.
const ROUGH: &str = "error=0.1,retry-after=0,seed=11";
const OPTIONS: [&str; 8] =
    ["--chunk-size", "64k", "--timeout", "1s", "--retries", "20", "--concurrency", "4"];
const KILLS: usize = 40;
const CHUNKS: u64 = 48 * MIB / (64 << 10);

/// The moments of the kills: the 1st to the 16th request of a run, at each stage in turn. With four more in flight that is at
/// most 800 of the 768 chunks and the repeated requests together, and half of it on average.
fn moments(operation: Operation) -> impl Iterator<Item = (Stage, Operation, u64)> {
    let stages = [Stage::Received, Stage::Applied, Stage::Answered].into_iter().cycle();
    noise(99, KILLS)
        .into_iter()
        .zip(stages)
        .map(move |(byte, stage)| (stage, operation, 1 + u64::from(byte % 16)))
}

/// The chunks that the journal knows of.
fn journalled(world: &World) -> HashSet<u64> {
    match &world.journals()[..] {
        [path] => match journal::peek(path) {
            Ok(replay) => replay.acked.iter().map(|chunk| chunk.index).collect(),
            Err(error) => panic!("{error}"),
        },
        [] => HashSet::new(),
        more => panic!("{more:?}"),
    }
}

/// What the journal has is not written again; how it is made sure of (by reading it back, or by other means) is not asserted
/// here, so reads are not counted. The bytes at the end are.
#[test]
fn an_upload_killed_forty_times_sends_no_acknowledged_chunk_again() {
    let world = World::new(ROUGH);
    let image = world.image("a.img", 48 * MIB);
    let args = [&["upload", "a.img", "oh:", "--zeros", "write"], &OPTIONS[..]].concat();
    let mut seen = 0;
    for moment in moments(Operation::Write) {
        let known = journalled(&world);
        world.kill_at(world.emulator(), &args, moment);
        let log = world.emulator().log();
        let again: Vec<u64> = acknowledged_writes(&log[seen..])
            .into_iter()
            .filter(|offset| known.contains(&(offset / (64 << 10))))
            .collect();
        assert!(again.is_empty(), "chunks in the journal were sent again: {again:?}");
        seen = log.len();
        assert!(journalled(&world).is_superset(&known), "a kill loses no record");
    }
    let known = journalled(&world);
    // A run that ends with its n-th write has at least n minus eight in the journal: four in flight, four acknowledged on
    // their way there; and half of the runs have n above eight.
    assert!(known.len() > 20, "{}", known.len());
    let last = world.run(&[&["--json"], &args[..]].concat());
    assert_eq!(last.code, 0, "{}", last.stderr);
    let written = acknowledged_writes(&world.emulator().log()[seen..]);
    let written: HashSet<u64> = written.into_iter().map(|offset| offset / (64 << 10)).collect();
    assert!(written.is_disjoint(&known), "chunks in the journal were sent again");
    assert_eq!((written.len() + known.len()) as u64, CHUNKS);
    let drive = last.event("summary")["drive"].as_str().unwrap().to_owned();
    assert!(world.drive_bytes(&drive) == std::fs::read(&image).unwrap());
    assert_eq!(world.drives(), 1);
    assert!(world.journals().is_empty());
}

/// After a SIGKILL a download may fetch again what was not synced, so it is not asserted that nothing is; after an orderly
/// stop everything is synced, and something is resumed.
#[test]
fn a_download_killed_forty_times_comes_out_equal() {
    let mut world = World::new("");
    let image = world.image("a.img", 48 * MIB);
    let target = format!("oh:{}", world.upload(&["a.img", "oh:"]));
    world.restart(ROUGH);
    let args = [&["download", &target, "b.img"], &OPTIONS[..]].concat();
    for moment in moments(Operation::Read) {
        world.kill_at(world.emulator(), &args, moment);
        assert!(!world.path("b.img").exists(), "the file has its name only when it is whole");
    }
    let (child, gate) = world.spawn_held(world.emulator(), &args, (Stage::Applied, Operation::Read, 20));
    assert!(gate.wait_for(1, LONG));
    let stopped = Ended::new(stop_while_held(child, Signal::INT, &gate));
    assert_eq!(stopped.code, 130, "{}", stopped.stderr);
    world.emulator().clear_hook();
    let last = world.run(&[&["--json"], &args[..]].concat());
    assert_eq!(last.code, 0, "{}", last.stderr);
    assert!(last.event("summary")["chunks_resumed"].as_u64().unwrap() > 0, "{}", last.stdout);
    assert!(std::fs::read(world.path("b.img")).unwrap() == std::fs::read(&image).unwrap());
    assert!(!world.path("b.img.part").exists() && world.journals().is_empty());
}

/// A create that was carried out but whose reply never came: the drive is found again.
#[test]
fn a_kill_between_the_create_and_its_record_leaves_no_second_drive() {
    let world = World::new("");
    let image = world.image("a.img", 2 * MIB);
    world.kill_at(world.emulator(), &["upload", "a.img", "oh:"], (Stage::Applied, Operation::Create, 1));
    assert_eq!(world.drives(), 1);
    let drive = world.upload(&["a.img", "oh:"]);
    assert_eq!(world.drives(), 1);
    assert!(world.drive_bytes(&drive) == std::fs::read(&image).unwrap());
    // The next upload of the same image is another transfer and makes another drive.
    assert_ne!(world.upload(&["a.img", "oh:"]), drive);
}

/// Where drives cannot be marked and several may be the one that was made, the user is asked instead of making another.
#[test]
fn drives_that_may_be_ours_are_named_where_drives_carry_no_mark() {
    let world = World::of(Provider::CloudSigma, "");
    let image = world.image("a.img", 2 * MIB);
    world.kill_at(world.emulator(), &["upload", "a.img", "oh:"], (Stage::Applied, Operation::Create, 1));
    // Somebody else makes one that looks the same.
    let other = world.run(&["drive", "create", "oh:", "name=a.img", "size=2M"]);
    assert_eq!(other.code, 0, "{}", other.stderr);
    let asked = world.run(&["upload", "a.img", "oh:"]);
    assert_eq!((asked.code, world.drives()), (3, 2), "{}", asked.stderr);
    let drive = asked.stderr.split(&['(', ')', ' '][..]).find(|word| word.len() == 36).unwrap().to_owned();
    assert_eq!(world.upload(&["a.img", &format!("oh:{drive}")]), drive);
    assert!(world.drive_bytes(&drive) == std::fs::read(&image).unwrap());
}

/// Four writes were carried out and not yet answered when the signal comes: they are settled, and every acknowledged chunk
/// is in the journal. As the stop was orderly, no chunk is written twice.
#[test]
fn a_signal_settles_what_is_in_flight_and_says_how_to_go_on() {
    for signal in [Signal::INT, Signal::TERM] {
        let world = World::new("");
        let image = world.image("a.img", 24 * MIB);
        let args =
            ["upload", "a.img", "oh:", "--chunk-size", "128k", "--zeros", "write", "--concurrency", "4"];
        let (child, gate) = world.spawn_held(world.emulator(), &args, (Stage::Applied, Operation::Write, 10));
        assert!(gate.wait_for(4, LONG));
        let ended = Ended::new(stop_while_held(child, signal, &gate));
        assert_eq!(ended.code, 130, "{}", ended.stderr);
        assert!(ended.stderr.contains("upload a.img oh: --chunk-size 128k"), "{}", ended.stderr);
        let settled = acknowledged_writes(&world.emulator().log());
        assert!(settled.len() >= 14, "what was in flight is settled: {settled:?}");
        assert_eq!(journalled(&world).len(), settled.len(), "every acknowledged chunk is in the journal");
        world.emulator().clear_hook();
        let last = world.run(&args);
        assert_eq!(last.code, 0, "{}", last.stderr);
        let all = acknowledged_writes(&world.emulator().log());
        assert_eq!(all.len(), 192, "no chunk was sent twice");
        assert!(world.drive_bytes(last.stdout.trim_end()) == std::fs::read(&image).unwrap());
    }
}

/// A service manager, a scheduler or a person starts the same command again while the run that was killed has not died yet.
#[test]
fn a_run_waits_for_one_that_is_about_to_end() {
    let commands = [
        (&["upload", "a.img", "oh:", "--chunk-size", "128k"][..], Operation::Write),
        (&["download", "oh:", "--all", "out", "--chunk-size", "128k"], Operation::Read),
        (&["backup", "oh:", "--all", "store", "--chunk-size", "128k"], Operation::Read),
    ];
    for (args, operation) in commands {
        let world = World::new("");
        world.image("a.img", 8 * MIB);
        if operation == Operation::Read {
            world.upload(&["a.img", "oh:"]);
        }
        let (mut first, gate) = world.spawn_held(world.emulator(), args, (Stage::Received, operation, 4));
        assert!(gate.wait_for(1, LONG));
        until("the first record", || !world.journals().is_empty());
        let mut second = world.spawn(args);
        let mut stderr = BufReader::new(second.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("waiting for it to end") {
            assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "{args:?} did not wait: {said}");
        }
        first.kill().unwrap();
        first.wait().unwrap();
        world.emulator().clear_hook();
        gate.open();
        stderr.read_to_string(&mut said).unwrap();
        assert_eq!(second.wait().unwrap().code(), Some(0), "{args:?}: {said}");
    }
}

#[test]
fn two_runs_of_one_transfer_at_once_are_refused() {
    let world = World::new("");
    world.image("a.img", 16 * MIB);
    let args = ["upload", "a.img", "oh:", "--chunk-size", "128k"];
    // The first is in the middle of it, and stays there.
    let (mut first, gate) = world.spawn_held(world.emulator(), &args, (Stage::Applied, Operation::Write, 1));
    assert!(gate.wait_for(1, LONG));
    until("the first record", || !journalled(&world).is_empty());
    let second = world.run(&args);
    assert_eq!(second.code, 1);
    assert!(
        second.stderr.contains("another diskferry process is running this transfer"),
        "{}",
        second.stderr
    );
    let busy = world.run(&["transfers", "list"]);
    let id = busy.stdout.lines().nth(1).and_then(|line| line.split_whitespace().next()).unwrap().to_owned();
    assert_eq!(world.run(&["transfers", "discard", &id]).code, 1, "a running transfer cannot be discarded");
    first.kill().unwrap();
    first.wait().unwrap();

    let shown = world.run(&["transfers", "show", &id[..4]]);
    assert!(shown.stdout.contains("upload a.img oh:"), "{}", shown.stdout);
    let json = world.run(&["--json", "transfers", "list"]).event("transfer");
    assert_eq!(json["chunks_total"], 128);
    assert!(json["chunks_done"].as_u64().unwrap() > 0);
    assert_eq!(world.run(&["transfers", "discard", &id]).code, 0);
    assert!(world.journals().is_empty());
    assert_eq!(world.run(&["transfers", "show", &id]).code, 5);
}
