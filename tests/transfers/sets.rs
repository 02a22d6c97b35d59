//! Several drives in one command: each whole, none twice, and what fails is left for the next run.

use crate::support::moment::{LONG, stop_while_held};
use crate::world::{Ended, World, data_requests, noise};
use diskferry::emulator::{Logged, Operation, Stage};
use diskferry::provider::Provider;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Drives of a few chunks of 64 KiB, the n-th of n of them and named `d-n`; those of even numbers carry the tag `even`.
fn fill(world: &World, count: u64) -> Vec<String> {
    (1..=count)
        .map(|n| {
            let name = format!("d-{n}");
            std::fs::write(world.path(&name), noise(n, usize::try_from(n).unwrap() << 16)).unwrap();
            let tags = if n % 2 == 0 { &["--set", "tags=nightly even"][..] } else { &[] };
            world.upload(&[&[&*name, "oh:", "--chunk-size", "64k"], tags].concat())
        })
        .collect()
}

fn same(world: &World, n: u64, copy: &Path) -> bool {
    std::fs::read(world.path(&format!("d-{n}"))).unwrap() == std::fs::read(copy).unwrap()
}

/// What is in a directory.
fn names(directory: &Path) -> BTreeSet<String> {
    let Ok(files) = std::fs::read_dir(directory) else { return BTreeSet::new() };
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

fn notes(world: &World) -> usize {
    names(&world.path(".local/state/diskferry/sets")).len()
}

fn of_set(ended: &Ended) -> Value {
    let all = ended.events();
    all.into_iter()
        .find(|e| e["event"] == "summary" && e["set"] == true)
        .unwrap_or_else(|| panic!("{ended:?}"))
}

fn reads_of(log: &[Logged], drive: &str) -> usize {
    data_requests(log, "read").iter().filter(|request| request.path.contains(drive)).count()
}

#[test]
fn all_drives_come_in_one_command_and_each_event_says_which() {
    let world = World::new("busy=0.03,seed=2");
    let drives = fill(&world, 6);
    // Two of one name have files of their own.
    let twin = world.upload(&["d-1", "oh:", "--name", "d-6"]);
    let ended =
        world.run(&["--json", "download", "oh:", "--all", "new/out", "--chunk-size", "64k", "--sha256"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for n in 1..=5 {
        assert!(same(&world, n, &world.path(&format!("new/out/d-{n}"))));
    }
    assert!(same(&world, 6, &world.path(&format!("new/out/d-6-{}", drives[5]))));
    assert!(same(&world, 1, &world.path(&format!("new/out/d-6-{twin}"))));
    assert_eq!(names(&world.path("new/out")).len(), 7);
    let mut summed = BTreeSet::new();
    for event in ended.events() {
        assert!(event["set"] == true || event["member"].is_string(), "{event}");
        if event["event"] == "summary" && event["set"] != true {
            assert_eq!(event["member"], event["drive"]);
            assert_eq!(event["digest_kind"], "sha256");
            assert!(summed.insert(event["drive"].to_string()), "{event}");
        }
    }
    assert_eq!(summed.len(), 7);
    let summary = of_set(&ended);
    for (key, count) in [("members_done", 7), ("members_failed", 0), ("chunks_sent", 22)] {
        assert_eq!(summary[key], count, "{key}");
    }
    assert_eq!((world.journals().len(), notes(&world)), (0, 0));
}

#[test]
fn a_member_that_fails_does_not_stop_the_rest_and_the_same_command_does_what_is_left() {
    let mut world = World::new("");
    let drives = fill(&world, 8);
    // Only the two largest have a chunk there.
    world.restart(&format!("refuse={}", 6 << 16));
    let args = ["--json", "download", "oh:", "--all", "out", "--chunk-size", "64k", "--retries", "1"];
    let ended = world.run(&args);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    let set = of_set(&ended);
    assert_eq!((set["members_done"].as_u64(), set["members_failed"].as_u64()), (Some(6), Some(2)));
    let failed: BTreeSet<&str> =
        set["failed"].as_array().unwrap().iter().map(|one| one["member"].as_str().unwrap()).collect();
    assert_eq!(failed, BTreeSet::from([&*drives[6], &*drives[7]]));
    assert!(ended.stderr.contains("2 of 8 drives not downloaded"), "{}", ended.stderr);
    for drive in &drives[6..] {
        assert!(ended.stderr.contains(&format!("oh:{drive}")), "{}", ended.stderr);
    }
    assert_eq!((world.journals().len(), notes(&world)), (8, 1));

    world.restart("");
    let seen = world.emulator().log().len();
    let again = world.run(&args);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stderr.contains("6 of 8 drives are done already, by an earlier run"), "{}", again.stderr);
    let set = of_set(&again);
    // Of seven and eight chunks each one had failed.
    assert_eq!((set["chunks_sent"].as_u64(), set["chunks_resumed"].as_u64()), (Some(2), Some(34)));
    let log = world.emulator().log();
    for (n, drive) in (1_u64..).zip(&drives) {
        assert!(same(&world, n, &world.path(&format!("out/d-{n}"))));
        assert!(reads_of(&log[seen..], drive) < 2 + usize::from(n > 6), "{drive} was fetched again");
    }
    assert_eq!((world.journals().len(), notes(&world)), (0, 0));
    // Now it is a command like any other: the files are in its way.
    assert_eq!(world.run(&args).code, 1);
}

#[test]
fn a_set_that_is_killed_or_stopped_goes_on_and_fetches_nothing_twice() {
    let world = World::new("");
    fill(&world, 8);
    let args = ["download", "oh:", "--all", "out", "--chunk-size", "64k", "--concurrency", "2"];
    for n in [1, 3, 2, 5] {
        let stages = [Stage::Received, Stage::Answered];
        world.kill_at(world.emulator(), &args, (stages[n % 2], Operation::Read, u64::try_from(n).unwrap()));
    }
    let (child, gate) = world.spawn_held(world.emulator(), &args, (Stage::Received, Operation::Read, 4));
    assert!(gate.wait_for(1, LONG));
    let stopped = Ended::new(stop_while_held(child, Signal::INT, &gate));
    assert_eq!(stopped.code, 130, "{}", stopped.stderr);
    assert!(
        stopped.stderr.contains("resume with `") && stopped.stderr.contains("--all out"),
        "{}",
        stopped.stderr
    );
    gate.open();
    let done = world.run(&[&["--json"], &args[..]].concat());
    assert_eq!(done.code, 0, "{}", done.stderr);
    for n in 1..=8 {
        assert!(same(&world, n, &world.path(&format!("out/d-{n}"))));
    }
    assert_eq!((world.journals().len(), notes(&world)), (0, 0));
    assert!(!names(&world.path("out")).iter().any(|name| name.contains(".part")));
}

#[test]
fn what_was_whole_and_was_changed_by_somebody_is_not_written_over() {
    let mut world = World::new("");
    fill(&world, 4);
    world.restart(&format!("refuse={}", 3 << 16));
    let args = ["download", "oh:", "--all", "out", "--chunk-size", "64k", "--retries", "0"];
    assert_eq!(world.run(&args).code, 3);
    std::fs::write(world.path("out/d-2"), b"mine now").unwrap();
    world.restart("");
    let again = world.run(&args);
    assert_eq!(again.code, 3, "{}", again.stderr);
    assert!(again.stderr.contains("d-2"), "{}", again.stderr);
    assert_eq!(String::from_utf8(std::fs::read(world.path("out/d-2")).unwrap()).unwrap(), "mine now");
    assert!(same(&world, 4, &world.path("out/d-4")));
}

#[test]
fn tags_and_shards_choose_and_the_shards_are_the_set() {
    let world = World::new("");
    fill(&world, 9);
    let tagged = world.run(&["download", "oh:", "--tag", "even", "even"]);
    assert_eq!(tagged.code, 0, "{}", tagged.stderr);
    assert_eq!(names(&world.path("even")), ["d-2", "d-4", "d-6", "d-8"].map(str::to_owned).into());
    let none = world.run(&["download", "oh:", "--tag", "eve", "none"]);
    assert_eq!(none.code, 5, "{}", none.stderr);
    assert!(none.stderr.contains("has the tag `eve`"), "{}", none.stderr);
    let mut all = BTreeSet::new();
    for index in 1..=4 {
        let out = format!("shard-{index}");
        let ended = world.run(&["download", "oh:", "--all", &out, "--shard", &format!("{index}/4")]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        for name in names(&world.path(&out)) {
            assert!(all.insert(name.clone()), "{name} is in two shards");
        }
    }
    assert_eq!(all.len(), 9);
    for bad in ["0/4", "5/4", "1/0", "1"] {
        assert_eq!(world.run(&["download", "oh:", "--all", "x", "--shard", bad]).code, 2, "{bad}");
    }
}

#[test]
fn drives_move_to_drives_of_another_provider_and_none_is_made_twice() {
    for provider in [Provider::Crosspeer, Provider::CloudSigma] {
        let mut world = World::new("");
        let drives = fill(&world, 6);
        world.add("to", provider, &format!("refuse={}", 5 << 16));
        let named: Vec<String> = drives.iter().map(|drive| format!("oh:{drive}")).collect();
        let mut args = vec!["migrate"];
        args.extend(named.iter().map(String::as_str));
        args.extend(["to:", "--chunk-size", "64k", "--retries", "1", "--compress", "none"]);
        let ended = world.run(&args);
        assert_eq!(ended.code, 3, "{}", ended.stderr);
        let pairs = |ended: &Ended| -> Vec<(String, String)> {
            let pair = |line: &str| line.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
            ended.stdout.lines().map(pair).collect()
        };
        let first = pairs(&ended);
        assert_eq!(first.len(), 5);
        let made = |world: &World| {
            names(&world.path("to/drives")).iter().filter(|name| name.contains(".raw")).count()
        };
        assert_eq!(made(&world), 6);
        world.restart_added("to", provider, "");
        let again = world.run(&args);
        assert_eq!(again.code, 0, "{}", again.stderr);
        let second = pairs(&again);
        assert!(first.iter().all(|pair| second.contains(pair)), "{first:?} {second:?}");
        assert_eq!((made(&world), second.len()), (6, 6));
        for (n, drive) in (1_u64..).zip(&drives) {
            let (_, copy) = second.iter().find(|(old, _)| old == drive).unwrap();
            assert!(same(&world, n, &world.file_on("to", copy)));
        }
        assert_eq!((world.journals().len(), notes(&world)), (0, 0));
    }
}

#[test]
fn all_drives_move_and_the_options_may_stand_anywhere() {
    let mut world = World::new("");
    fill(&world, 5);
    world.add("to", Provider::Crosspeer, "");
    let moved = world.run(&["migrate", "oh:", "--tag", "even", "to:", "--chunk-size", "64k"]);
    assert_eq!((moved.code, moved.stdout.lines().count()), (0, 2), "{}", moved.stderr);
    let moved = world.run(&["migrate", "--all", "oh:", "to:", "--shard", "1/1", "--set", "tags=moved"]);
    assert_eq!((moved.code, moved.stdout.lines().count()), (0, 5), "{}", moved.stderr);
    let tagged = world.run(&["download", "to:", "--tag", "moved", "back", "--format", "qcow2"]);
    assert_eq!(tagged.code, 0, "{}", tagged.stderr);
    assert_eq!(names(&world.path("back")), (1..=5).map(|n| format!("d-{n}.qcow2")).collect());
}

#[test]
fn what_cannot_be_a_set_is_refused_before_anything_is_asked() {
    let world = World::new("");
    let (a, b) = ("oh:6339d58e-0c36-4a0b-9a4c-1a2b3c4d5e6f", "oh:7339d58e-0c36-4a0b-9a4c-1a2b3c4d5e6f");
    let text = "[remotes.n]\nprovider = \"nbd\"\nurl = \"nbd://127.0.0.1:1\"\n";
    let config = std::fs::read_to_string(world.path("config.toml")).unwrap();
    std::fs::write(world.path("config.toml"), config + text).unwrap();
    for (args, says) in [
        (&["download", a, b, "-"][..], "standard output"),
        (&["download", a, b, "d", "--manifest", "m"], "`--manifest` is for one drive"),
        (&["download", a, a, "d"], "is named more than once"),
        (&["download", "oh:", a, "d"], "no drive in `"),
        (&["download", a, "--all", "d"], "`--all` takes one remote"),
        (&["download", "oh:", "--all", "--tag", "x", "d"], "cannot be used with"),
        (&["download", "oh:", "--tag", "two words", "d"], "expected one word"),
        (&["download", "n:", "--all", "d"], "no list of drives"),
        (&["download", "n:", "--tag", "x", "d"], "no list of drives"),
        (&["migrate", a, b, "oh:8339d58e-0c36-4a0b-9a4c-1a2b3c4d5e6f"], "cannot go to"),
        (&["migrate", a, b, "oh:", "--name", "x"], "`--name` is for one drive"),
        (&["migrate", a], "the source or the destination is missing"),
    ] {
        let ended = world.run(args);
        assert_eq!(ended.code, 2, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{args:?}: {}", ended.stderr);
    }
    assert!(world.emulator().log().is_empty(), "{:?}", world.emulator().log());
}

#[test]
fn a_set_of_which_nothing_could_be_done_says_of_what_kind_that_is() {
    let world = World::new("");
    let drives = fill(&world, 2);
    let (a, b) = (format!("oh:{}", drives[0]), format!("oh:{}", drives[1]));
    let gone = "oh:6339d58e-0c36-4a0b-9a4c-1a2b3c4d5e6f";
    assert_eq!(world.run(&["download", gone, "oh:7339d58e-0c36-4a0b-9a4c-1a2b3c4d5e6f", "d"]).code, 1);
    assert_eq!(world.run(&["download", &a, gone, "e"]).code, 3);
    world.write_config(&world.emulator().url(), "wrong");
    let refused = world.run(&["--json", "download", &a, &b, "f"]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert_eq!(of_set(&refused)["members_failed"], 2);
}

#[test]
fn the_plan_of_each_is_shown_and_nothing_is_done() {
    let world = World::new("");
    fill(&world, 3);
    let ended = world.run(&["--json", "download", "oh:", "--all", "out", "--dry-run"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let plans = ended.events().into_iter().filter(|e| e["event"] == "plan" && e["dry_run"] == true).count();
    assert_eq!((plans, ended.events().len()), (3, 3), "{}", ended.stdout);
    assert!(!world.path("out").exists() && world.journals().is_empty() && notes(&world) == 0);
    assert_eq!(data_requests(&world.emulator().log(), "read").len(), 0);
}
