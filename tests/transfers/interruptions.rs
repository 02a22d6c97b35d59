//! Kills, signals and two runs at once.

use crate::world::{Ended, World, acknowledged_writes, data_requests, noise};
use diskferry::journal;
use diskferry::provider::Provider;
use std::collections::HashSet;
use std::process::Command;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Ten percent of all requests fail, replies take their time, and the process dies again and again.
const ROUGH: &str = "error=0.1,latency=30ms,seed=11";
const OPTIONS: [&str; 8] =
    ["--chunk-size", "64k", "--timeout", "1s", "--retries", "20", "--concurrency", "4"];
const KILLS: u64 = 40;

/// Moments from 20 to 400 ms, the same in every run.
fn moments() -> impl Iterator<Item = Duration> {
    let random = noise(99, usize::try_from(KILLS).unwrap());
    random.into_iter().map(|byte| Duration::from_millis(20 + u64::from(byte) * 380 / 255))
}

/// The chunks that the journal knows of, and how long it is.
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

fn kill(world: &World, args: &[&str], after: Duration) -> bool {
    let mut child = world.spawn(args);
    std::thread::sleep(after);
    let done = child.try_wait().unwrap().is_some();
    let _ = child.kill();
    let ended = Ended::new(child.wait_with_output().unwrap());
    if done {
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
    done
}

#[test]
fn an_upload_killed_forty_times_sends_no_acknowledged_chunk_again() {
    let world = World::new(ROUGH);
    let image = world.image("a.img", 96 * MIB);
    let args = [&["upload", "a.img", "oh:", "--zeros", "write"], &OPTIONS[..]].concat();
    let mut seen = 0;
    let mut killed = 0;
    for after in moments() {
        let known = journalled(&world);
        let done = kill(&world, &args, after);
        let log = world.emulator().log();
        let again: Vec<u64> = acknowledged_writes(&log[seen..])
            .into_iter()
            .filter(|offset| known.contains(&(offset / (64 << 10))))
            .collect();
        assert!(again.is_empty(), "chunks in the journal were sent again: {again:?}");
        seen = log.len();
        if done {
            break;
        }
        killed += 1;
        assert!(journalled(&world).len() >= known.len());
    }
    assert_eq!(killed, KILLS, "the image is too small for the test");
    let before = journalled(&world).len();
    assert!(before > 20, "{before}");
    let last = world.run(&[&["--json"], &args[..]].concat());
    assert_eq!(last.code, 0, "{}", last.stderr);
    let summary = last.event("summary");
    assert_eq!(summary["chunks_resumed"], before as u64);
    assert!(world.drive_bytes(summary["drive"].as_str().unwrap()) == std::fs::read(&image).unwrap());
    assert_eq!(world.drives(), 1);
    assert!(world.journals().is_empty());
}

#[test]
fn a_download_killed_forty_times_comes_out_equal() {
    let mut world = World::new("");
    let image = world.image("a.img", 96 * MIB);
    let target = format!("oh:{}", world.upload(&["a.img", "oh:"]));
    world.restart(ROUGH);
    let args = [&["download", &target, "b.img"], &OPTIONS[..]].concat();
    let mut seen = 0;
    let mut killed = 0;
    for after in moments() {
        let known = journalled(&world);
        let done = kill(&world, &args, after);
        let log = world.emulator().log();
        for read in data_requests(&log[seen..], "read") {
            let offset: u64 = read.path.rsplit('/').nth(1).unwrap().parse().unwrap();
            assert!(!known.contains(&(offset / (64 << 10))), "fetched again: {}", read.path);
        }
        seen = log.len();
        if done {
            break;
        }
        killed += 1;
        assert!(!world.path("b.img").exists(), "the file has its name only when it is whole");
    }
    assert_eq!(killed, KILLS, "the image is too small for the test");
    let before = journalled(&world).len();
    assert!(before > 20, "{before}");
    let last = world.run(&[&["--json"], &args[..]].concat());
    assert_eq!(last.code, 0, "{}", last.stderr);
    assert_eq!(last.event("summary")["chunks_resumed"], before as u64);
    assert!(std::fs::read(world.path("b.img")).unwrap() == std::fs::read(&image).unwrap());
    assert!(!world.path("b.img.part").exists() && world.journals().is_empty());
}

/// A create that was carried out but whose reply never came: the drive is found again.
#[test]
fn a_kill_between_the_create_and_its_record_leaves_no_second_drive() {
    let mut world = World::new("");
    let image = world.image("a.img", 2 * MIB);
    world.restart("stall=1,seed=1");
    let mut child = world.spawn(&["upload", "a.img", "oh:", "--timeout", "60s"]);
    while world.emulator().log().iter().all(|r| !r.path.ends_with("/create")) || world.drives() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(world.drives(), 1);
    world.restart("");
    let drive = world.upload(&["a.img", "oh:"]);
    assert_eq!(world.drives(), 1);
    assert!(world.drive_bytes(&drive) == std::fs::read(&image).unwrap());
    // The next upload of the same image is another transfer and makes another drive.
    assert_ne!(world.upload(&["a.img", "oh:"]), drive);
}

/// Where drives cannot be marked and several may be the one that was made, the user is asked instead of making another.
#[test]
fn drives_that_may_be_ours_are_named_where_drives_carry_no_mark() {
    let world = World::of(Provider::CloudSigma, "latency=150ms");
    let image = world.image("a.img", 2 * MIB);
    let mut child = world.spawn(&["upload", "a.img", "oh:"]);
    // The emulator makes the drive, and the reply takes its time.
    while world.drives() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Somebody else makes one that looks the same.
    let other = world.run(&["drive", "create", "oh:", "name=a.img", "size=2M"]);
    assert_eq!(other.code, 0, "{}", other.stderr);
    let asked = world.run(&["upload", "a.img", "oh:"]);
    assert_eq!((asked.code, world.drives()), (3, 2), "{}", asked.stderr);
    let drive = asked.stderr.split(&['(', ')', ' '][..]).find(|word| word.len() == 36).unwrap().to_owned();
    assert_eq!(world.upload(&["a.img", &format!("oh:{drive}")]), drive);
    assert!(world.drive_bytes(&drive) == std::fs::read(&image).unwrap());
}

#[test]
fn a_signal_settles_what_is_in_flight_and_says_how_to_go_on() {
    for signal in ["INT", "TERM"] {
        let world = World::new("latency=30ms");
        let image = world.image("a.img", 24 * MIB);
        let args = ["upload", "a.img", "oh:", "--chunk-size", "128k", "--zeros", "write"];
        let child = world.spawn(&args);
        while acknowledged_writes(&world.emulator().log()).len() < 10 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
        let ended = Ended::new(child.wait_with_output().unwrap());
        assert_eq!(ended.code, 130, "{}", ended.stderr);
        assert!(ended.stderr.contains("upload a.img oh: --chunk-size 128k"), "{}", ended.stderr);
        let settled = acknowledged_writes(&world.emulator().log());
        assert_eq!(journalled(&world).len(), settled.len(), "every acknowledged chunk is in the journal");
        let last = world.run(&args);
        assert_eq!(last.code, 0, "{}", last.stderr);
        let all = acknowledged_writes(&world.emulator().log());
        assert_eq!(all.len(), 192, "no chunk was sent twice");
        assert!(world.drive_bytes(last.stdout.trim_end()) == std::fs::read(&image).unwrap());
    }
}

#[test]
fn two_runs_of_one_transfer_at_once_are_refused() {
    let world = World::new("latency=50ms");
    world.image("a.img", 16 * MIB);
    let args = ["upload", "a.img", "oh:", "--chunk-size", "128k"];
    let mut first = world.spawn(&args);
    while acknowledged_writes(&world.emulator().log()).is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = world.run(&args);
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("another diskferry is busy"), "{}", second.stderr);
    let busy = world.run(&["transfers", "list"]);
    let id = busy.stdout.split_whitespace().next().unwrap().to_owned();
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
