//! Servers and lines that misbehave.

use crate::support::moment::LONG;
use crate::world::{World, acknowledged_writes, data_requests};
use diskferry::emulator::{Operation, Stage};
use diskferry::provider::Provider;

const MIB: u64 = 1 << 20;

#[test]
fn a_fifth_of_all_requests_fails_and_nothing_is_lost() {
    for seed in [1, 2, 3] {
        let world = World::new(&format!("error=0.2,retry-after=0,seed={seed}"));
        let image = world.image("a.img", 24 * MIB);
        let options = ["--chunk-size", "256k", "--timeout", "1s", "--retries", "20"];
        let up = world.run(&[&["--json", "upload", "a.img", "oh:"], &options[..]].concat());
        assert_eq!(up.code, 0, "{}", up.stderr);
        let summary = up.event("summary");
        let dealt = world.emulator().faults_dealt();
        assert_eq!(summary["retries"], dealt, "seed {seed}: the emulator knows how often it failed");
        assert!(dealt > 5, "{dealt}");
        let retries = up.events().iter().filter(|e| e["event"] == "retry").count() as u64;
        assert_eq!(retries, dealt);
        let drive = summary["drive"].as_str().unwrap();
        let bytes = std::fs::read(&image).unwrap();
        assert!(world.drive_bytes(drive) == bytes, "seed {seed}");
        assert_eq!(world.drives(), 1, "one drive, however often its making failed");

        let down =
            world.run(&[&["--json", "download", &format!("oh:{drive}"), "b.img"], &options[..]].concat());
        assert_eq!(down.code, 0, "{}", down.stderr);
        assert_eq!(down.event("summary")["retries"], world.emulator().faults_dealt() - dealt, "seed {seed}");
        assert!(std::fs::read(world.path("b.img")).unwrap() == bytes, "seed {seed}");
    }
}

#[test]
fn each_kind_of_fault_is_survived_and_counted() {
    for kind in ["busy=0.3", "unavailable=0.15", "reset=0.3", "short=0.3", "stall=0.1"] {
        let world = World::new(&format!("{kind},seed=5"));
        let image = world.image("a.img", 6 * MIB);
        let options = ["--chunk-size", "256k", "--timeout", "500ms", "--retries", "30"];
        let up = world.run(&[&["--json", "upload", "a.img", "oh:"], &options[..]].concat());
        assert_eq!(up.code, 0, "{kind}: {}", up.stderr);
        assert_eq!(up.event("summary")["retries"], world.emulator().faults_dealt(), "{kind}");
        assert!(world.emulator().faults_dealt() > 0, "{kind}");
        let drive = up.event("summary")["drive"].as_str().unwrap().to_owned();
        let down = world.run(&[&["download", &format!("oh:{drive}"), "b.img"], &options[..]].concat());
        assert_eq!(down.code, 0, "{kind}: {}", down.stderr);
        assert!(std::fs::read(world.path("b.img")).unwrap() == std::fs::read(&image).unwrap(), "{kind}");
    }
}

#[test]
fn a_chunk_that_fails_for_good_is_named_and_everything_else_is_sent() {
    let bad = 9 * MIB;
    let mut world = World::new(&format!("refuse={bad}"));
    let image = world.image("a.img", 16 * MIB);
    let args = ["upload", "a.img", "oh:", "--chunk-size", "1M", "--retries", "2", "--zeros", "skip"];
    let up = world.run(&args);
    assert_eq!(up.code, 3, "{}", up.stderr);
    assert!(up.stderr.contains("offset 9437184") && up.stderr.contains("after 3 attempts"), "{}", up.stderr);
    assert!(up.stderr.contains("hint:") && up.stdout.is_empty(), "{}", up.stderr);
    let sent = acknowledged_writes(&world.emulator().log());
    assert!(!sent.contains(&bad) && sent.len() == 13, "{sent:?}");
    assert_eq!(world.emulator().refusals(), 3);

    world.restart("");
    let drive = world.run(&args);
    assert_eq!(drive.code, 0, "{}", drive.stderr);
    assert_eq!(acknowledged_writes(&world.emulator().log()), [bad]);
    assert!(world.drive_bytes(drive.stdout.trim_end()) == std::fs::read(&image).unwrap());

    world.restart(&format!("refuse={bad}"));
    let target = format!("oh:{}", drive.stdout.trim_end());
    let args = ["download", &target, "b.img", "--chunk-size", "1M", "--retries", "1"];
    let down = world.run(&args);
    assert_eq!(down.code, 3, "{}", down.stderr);
    assert!(down.stderr.contains("offset 9437184"), "{}", down.stderr);
    assert!(!world.path("b.img").exists() && world.path("b.img.part").exists());
    world.restart("");
    assert_eq!(world.run(&args).code, 0);
    assert_eq!(data_requests(&world.emulator().log(), "read").len(), 1);
    assert!(std::fs::read(world.path("b.img")).unwrap() == std::fs::read(&image).unwrap());
}

/// The helper itself: the bytes and the counters are those of the time of the snapshot, at the same address.
#[test]
fn a_far_end_is_put_back_to_an_older_state() {
    for provider in [Provider::OpenHosting, Provider::CloudSigma] {
        let mut world = World::of(provider, "");
        let first = world.image("a.img", 4 * MIB);
        let drive = world.upload(&["a.img", "oh:", "--zeros", "write"]);
        let target = format!("oh:{drive}");
        let writes = |world: &World| {
            let info = world.run(&["drive", "info", &target]).stdout;
            let line = info.lines().find(|line| line.starts_with("write:requests")).unwrap().to_owned();
            line.split_whitespace().last().unwrap().parse::<u64>().unwrap()
        };
        world.snapshot("older");
        let (address, before) = (world.emulator().address(), writes(&world));
        std::fs::write(world.path("b.img"), crate::world::noise(1, 4 << 20)).unwrap();
        world.upload(&["b.img", &target, "--zeros", "write"]);
        assert_eq!(writes(&world), 2 * before);
        world.restore("older", "");
        assert_eq!((writes(&world), world.emulator().address()), (before, address));
        assert!(world.drive_bytes(&drive) == std::fs::read(&first).unwrap());
    }
}

#[test]
fn a_server_that_is_gone_ends_the_transfer_resumably() {
    let mut world = World::new("");
    let image = world.image("a.img", 32 * MIB);
    let args = ["upload", "a.img", "oh:", "--chunk-size", "256k", "--retries", "1", "--timeout", "1s"];
    // It goes away while it has requests that it has not answered.
    let (child, gate) = world.spawn_held(world.emulator(), &args, (Stage::Received, Operation::Write, 20));
    assert!(gate.wait_for(1, LONG));
    world.stop();
    let ended = crate::world::Ended::new(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("chunks in a row failed"), "{}", ended.stderr);
    // Once it is back, the same command goes on.
    world.restart("");
    let up = world.run(&args);
    assert_eq!(up.code, 0, "{}", up.stderr);
    assert!(world.drive_bytes(up.stdout.trim_end()) == std::fs::read(&image).unwrap());
    assert_eq!(world.drives(), 1);
}
