//! Moving only what differs, up and down.

mod base;
mod down;

use crate::support::moment::{LONG, stop_while_held};
use crate::world::{Ended, World, acknowledged_writes, data_requests, noise};
use diskferry::emulator::{Operation, Stage};
use diskferry::provider::Provider;
use rustix::process::Signal;
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
const CHUNK: u64 = 64 << 10;
const OPTIONS: [&str; 4] = ["--chunk-size", "64k", "--concurrency", "4"];

fn write(path: &Path, bytes: &[u8], at: u64) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

/// Other bytes in these chunks.
fn change(path: &Path, chunks: impl IntoIterator<Item = u64>) {
    for index in chunks {
        write(path, &noise(index + 77, 500), index * CHUNK + 1000);
    }
}

fn summary(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{} {}", ended.stdout, ended.stderr);
    ended.event("summary")
}

/// What was trusted, what was sent, and what was left as it was.
fn told(ended: &Ended) -> (String, u64, u64) {
    let (plan, summary) = (ended.event("plan"), summary(ended));
    let number = |key: &str| summary[key].as_u64().unwrap();
    (plan["delta"].as_str().unwrap_or_default().to_owned(), number("chunks_sent"), number("chunks_unchanged"))
}

fn up(world: &World, drive: &str, more: &[&str]) -> Ended {
    let target = format!("oh:{drive}");
    world.run(&[&["--json", "upload", "a.img", &target, "--delta"], &OPTIONS[..], more].concat())
}

/// A world with an image of 8 MiB and a drive that holds it.
fn uploaded(provider: Provider) -> (World, PathBuf, String) {
    let world = World::of(provider, "");
    let image = world.image("a.img", 8 * MIB);
    let drive = world.upload(&[&["a.img", "oh:"], &OPTIONS[..]].concat());
    (world, image, drive)
}

/// The bytes that were asked for of drives.
fn bytes_read(world: &World) -> u64 {
    let log = world.emulator().log();
    let reads = data_requests(&log, "read");
    reads.iter().map(|read| read.path.rsplit_once('/').unwrap().1.parse::<u64>().unwrap()).sum()
}

fn holds(world: &World, drive: &str, image: &Path) {
    assert!(world.drive_bytes(drive) == std::fs::read(image).unwrap());
    assert!(world.journals().is_empty());
}

/// Somebody on another machine writes through the API.
fn interfere(world: &World, drive: &str, bytes: &[u8], at: u64) {
    std::fs::write(world.path("foreign"), bytes).unwrap();
    let call = ["call", "oh:", "drives.write", drive, &at.to_string(), "-f", "foreign"];
    let ended = world.command(&call).env("HOME", world.path("elsewhere")).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn only_what_differs_is_sent() {
    for provider in [Provider::OpenHosting, Provider::Crosspeer, Provider::CloudSigma] {
        let (world, image, drive) = uploaded(provider);
        // The first, the last and one of zeros among them: 2 in 100.
        change(&image, [0, 63]);
        write(&image, b"x", 8 * MIB - 1);
        let full = acknowledged_writes(&world.emulator().log()).len();
        let first = up(&world, &drive, &[]);
        assert_eq!(told(&first), ("trusted".to_owned(), 3, 125), "{provider}: {}", first.stderr);
        assert!(first.event("plan")["delta_why"].as_str().unwrap().contains("no change since then"));
        assert!(first.stderr.contains("are known from the last transfer"), "{}", first.stderr);
        let written = acknowledged_writes(&world.emulator().log())[full..].to_vec();
        assert_eq!(written.len(), 3, "{written:?}");
        holds(&world, &drive, &image);
        // Then nothing differs.
        let second = up(&world, &drive, &["--sha256", "--verify", "full"]);
        assert_eq!(told(&second), ("trusted".to_owned(), 0, 128), "{provider}: {}", second.stderr);
        let hex =
            diskferry::digest::hex(&<sha2::Sha256 as sha2::Digest>::digest(std::fs::read(&image).unwrap()));
        assert_eq!(summary(&second)["digest"], hex);
        holds(&world, &drive, &image);
        // Zeros where something was are sent, and found.
        write(&image, &vec![0; 64 << 10], 0);
        assert_eq!(told(&up(&world, &drive, &["--verify", "full"])), ("trusted".to_owned(), 1, 127));
        holds(&world, &drive, &image);
        let said =
            world.run(&[&["upload", "a.img", &format!("oh:{drive}"), "--delta"], &OPTIONS[..]].concat());
        assert!(said.code == 0 && said.stderr.contains("128 unchanged"), "{}", said.stderr);
    }
}

#[test]
fn a_record_that_is_in_doubt_is_not_built_on() {
    let (world, image, drive) = uploaded(Provider::OpenHosting);
    let read_back = |ended: &Ended, why: &str| {
        assert_eq!(told(ended).0, "read back", "{}", ended.stdout);
        let plan = ended.event("plan");
        assert!(plan["delta_why"].as_str().unwrap().contains(why), "{plan}");
        assert!(ended.stderr.contains("are read back"), "{}", ended.stderr);
        holds(&world, &drive, &image);
    };
    interfere(&world, &drive, &[7; 3000], 5 * CHUNK + 10);
    let mended = up(&world, &drive, &[]);
    read_back(&mended, "written to since");
    assert_eq!(told(&mended).1, 1);
    // What was read back is as good as what was sent.
    assert_eq!(told(&up(&world, &drive, &[])), ("trusted".to_owned(), 0, 128));
    // Somebody below the API, who is counted nowhere, is found by the sample if it is much.
    let behind = world.drive_file(&drive);
    write(&behind, &vec![3; 8 << 20], 0);
    let sampled = up(&world, &drive, &[]);
    assert!(
        sampled.events().iter().any(|event| event["event"] == "warning"
            && event.to_string().contains("does not hold what the last transfer noted")),
        "{}",
        sampled.stdout
    );
    holds(&world, &drive, &image);
    // The user says what is to be done.
    read_back(&up(&world, &drive, &["--resume", "full"]), "asked for");
    interfere(&world, &drive, &std::fs::read(&image).unwrap()[..4096], 0);
    let trusted = up(&world, &drive, &["--resume", "trust"]);
    assert_eq!(told(&trusted), ("trusted".to_owned(), 0, 128), "{}", trusted.stdout);
    // Another cut, other digests.
    let target = format!("oh:{drive}");
    let coarse = world.run(&["--json", "upload", "a.img", &target, "--delta", "--chunk-size", "128k"]);
    read_back(&coarse, "chunks of 65536 bytes");
    let sha256 = ["--chunk-size", "128k", "--digest", "sha256"];
    let other = world.run(&[&["--json", "upload", "a.img", &target, "--delta"], &sha256[..]].concat());
    read_back(&other, "no sha256 digests");
    let again = world.run(&[&["--json", "upload", "a.img", &target, "--delta"], &sha256[..]].concat());
    assert_eq!(told(&again), ("trusted".to_owned(), 0, 64), "{}", again.stdout);
}

#[test]
fn a_record_of_another_generation_is_not_trusted() {
    let (world, image, drive) = uploaded(Provider::OpenHosting);
    // An upload of another image that was killed once it had written.
    world.image("other.img", 8 * MIB);
    change(&world.path("other.img"), 0..40);
    let target = format!("oh:{drive}");
    let args = [&["upload", "other.img", &target], &OPTIONS[..]].concat();
    world.kill_at(world.emulator(), &args, (Stage::Answered, Operation::Write, 20));
    let mended = up(&world, &drive, &[]);
    assert_eq!(told(&mended).0, "read back");
    assert!(mended.event("plan")["delta_why"].as_str().unwrap().contains("another run on this machine"));
    assert!(world.drive_bytes(&drive) == std::fs::read(&image).unwrap());
}

#[test]
fn a_plan_writes_nothing_and_what_cannot_be_is_refused() {
    let (world, image, drive) = uploaded(Provider::OpenHosting);
    change(&image, [1]);
    let before = world.emulator().log().len();
    let plan = up(&world, &drive, &["--dry-run"]).event("plan");
    assert_eq!((&plan["delta"], &plan["zeros"]), (&"trusted".into(), &"write".into()), "{plan}");
    assert!(world.emulator().log()[before..].iter().all(|request| request.method == "GET"));
    assert_eq!(told(&up(&world, &drive, &[])).1, 1);
    let target = format!("oh:{drive}");
    let other = format!("local:{drive}");
    for (args, says) in [
        (&["upload", "a.img", "oh:", "--delta"][..], "--base REMOTE:DRIVE"),
        (&["upload", "a.img", &target, "--base", &target], "use `--delta` to send what differs"),
        (&["upload", "a.img", "oh:", "--base", &other], "which copies only its own drives"),
        (&["upload", "a.img", "oh:", "--base", "oh:"], "--base REMOTE:DRIVE"),
        (&["upload", "a.img", &target, "--delta", "--zeros", "skip"], "--zeros skip"),
        (&["download", &target, "-", "--delta"], "standard output"),
        (&["download", &target, "b.img", "--delta", "--format", "qcow2"], "raw files"),
        (&["download", "oh:appliance/1", "b.img", "--delta"], "for drives"),
    ] {
        let ended = world.run(args);
        assert!(ended.code == 2 && ended.stderr.contains(says), "{args:?} {} {}", ended.code, ended.stderr);
    }
    assert_eq!(world.drives(), 1);
}

/// Killed at several places, each time a little further, then run to its end. What was killed while it sent noted nothing of
/// what the drive counts: everything is read back, and the bytes are right.
#[test]
fn a_delta_that_is_killed_goes_on() {
    for (stage, operation, nth) in [
        (Stage::Applied, Operation::Read, 3),
        (Stage::Received, Operation::Write, 1),
        (Stage::Applied, Operation::Write, 2),
        (Stage::Answered, Operation::Write, 17),
        (Stage::Applied, Operation::Write, 30),
    ] {
        let (world, image, drive) = uploaded(Provider::OpenHosting);
        change(&image, (0..128).step_by(3));
        let target = format!("oh:{drive}");
        let args = [&["upload", "a.img", &target, "--delta"], &OPTIONS[..]].concat();
        world.kill_at(world.emulator(), &args, (stage, operation, nth));
        let before = acknowledged_writes(&world.emulator().log()).len();
        let last = up(&world, &drive, &[]);
        let (_, sent, unchanged) = told(&last);
        let resumed = summary(&last)["chunks_resumed"].as_u64().unwrap();
        assert_eq!(sent + unchanged + resumed, 128, "{}", last.stdout);
        assert!(unchanged >= 85, "{}", last.stdout);
        let written = acknowledged_writes(&world.emulator().log()).len() - before;
        assert_eq!(written as u64, sent, "{stage:?} {operation:?} {nth}");
        holds(&world, &drive, &image);
    }
}

/// After a signal the drive's counters are noted: what was read back once is not read again.
#[test]
fn a_delta_that_is_stopped_goes_on_from_what_it_knew() {
    let (world, image, drive) = uploaded(Provider::OpenHosting);
    interfere(&world, &drive, &[7; 3000], 5 * CHUNK + 10);
    change(&image, (0..128).step_by(2));
    let target = format!("oh:{drive}");
    let args = [&["upload", "a.img", &target, "--delta"], &OPTIONS[..]].concat();
    let (child, gate) = world.spawn_held(world.emulator(), &args, (Stage::Applied, Operation::Write, 20));
    assert!(gate.wait_for(4, LONG));
    let stopped = Ended::new(stop_while_held(child, Signal::INT, &gate));
    assert_eq!(stopped.code, 130, "{}", stopped.stderr);
    world.emulator().clear_hook();
    let before = bytes_read(&world);
    let last = up(&world, &drive, &[]);
    let (how, sent, unchanged) = told(&last);
    let resumed = summary(&last)["chunks_resumed"].as_u64().unwrap();
    assert!(resumed >= 20, "{}", last.stdout);
    assert_eq!((&*how, sent + resumed, unchanged), ("trusted", 65, 63), "{}", last.stdout);
    let read = bytes_read(&world) - before;
    assert!(read < 20 * CHUNK, "{read} bytes were read");
    holds(&world, &drive, &image);
    // Stopped again, and somebody else goes on: nobody but that transfer may build on what it noted.
    change(&image, (1..128).step_by(2));
    let (child, gate) = world.spawn_held(world.emulator(), &args, (Stage::Applied, Operation::Write, 20));
    assert!(gate.wait_for(4, LONG));
    assert_eq!(Ended::new(stop_while_held(child, Signal::INT, &gate)).code, 130);
    world.emulator().clear_hook();
    let anew = up(&world, &drive, &["--restart"]);
    assert_eq!(told(&anew).0, "read back");
    assert!(anew.event("plan")["delta_why"].as_str().unwrap().contains("has not ended"), "{}", anew.stdout);
    holds(&world, &drive, &image);
}

/// Nothing tells one stream from another: what an earlier run of one had on its way may be something else.
#[test]
fn a_stream_differs_too_and_is_read_back_after_it_was_stopped() {
    let (world, image, drive) = uploaded(Provider::OpenHosting);
    change(&image, (0..128).step_by(2));
    let target = format!("oh:{drive}");
    let args = [&["--json", "upload", "-", &target, "--delta", "--size", "8M"], &OPTIONS[..]].concat();
    let piped = |args: &[&str]| {
        let mut command = world.command(args);
        command.stdin(File::open(&image).unwrap());
        command
    };
    world.kill_command_at(world.emulator(), &mut piped(&args), (Stage::Answered, Operation::Write, 5));
    let last = Ended::new(piped(&args).output().unwrap());
    assert_eq!(told(&last).0, "read back", "{}", last.stdout);
    let why = last.event("plan")["delta_why"].as_str().unwrap().to_owned();
    assert!(why.contains("may have changed since the interrupted run"), "{why}");
    holds(&world, &drive, &image);
    change(&image, [9]);
    let again = Ended::new(piped(&args).output().unwrap());
    assert_eq!(told(&again), ("trusted".to_owned(), 1, 127), "{}", again.stdout);
    holds(&world, &drive, &image);
}
