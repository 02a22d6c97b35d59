//! A new drive that the far end makes as a copy of another, and what differs.

use super::{CHUNK, MIB, OPTIONS, change, holds, interfere, summary, told, uploaded, write};
use crate::support::moment::LONG;
use crate::world::{Ended, World, noise};
use diskferry::emulator::{Operation, Stage};
use diskferry::provider::Provider;
use std::fs::File;

/// One chunk in a hundred has changed: a copy at the far end and the difference cost hardly more than these.
#[test]
fn a_new_version_costs_what_differs() {
    for provider in [Provider::OpenHosting, Provider::Crosspeer, Provider::CloudSigma] {
        let world = World::of(provider, "");
        std::fs::write(world.path("a.img"), noise(1, 32 << 20)).unwrap();
        let options = ["--chunk-size", "128k"];
        let full = world.run(&[&["--json", "upload", "a.img", "oh:"], &options[..]].concat());
        let full = summary(&full);
        let base = format!("oh:{}", full["drive"].as_str().unwrap());
        for chunk in [17, 100, 200] {
            write(&world.path("a.img"), &noise(chunk, 1000), chunk * (128 << 10));
        }
        let args =
            [&["--json", "upload", "--delta", "--base", &base, "a.img", "oh:", "--name", "v2"], &options[..]];
        let ended = world.run(&args.concat());
        assert_eq!(told(&ended), ("trusted".to_owned(), 3, 253), "{provider}: {}", ended.stdout);
        let summary = summary(&ended);
        let share = summary["bytes_wire"].as_f64().unwrap() / full["bytes_wire"].as_f64().unwrap();
        assert!(share <= 0.015, "{provider}: {share} of the bytes");
        let drive = summary["drive"].as_str().unwrap();
        assert_ne!(drive, full["drive"]);
        holds(&world, drive, &world.path("a.img"));
        assert!(world.drive_bytes(full["drive"].as_str().unwrap()) == noise(1, 32 << 20));
        assert!(ended.event("plan")["to"].as_str().unwrap().contains("a copy of"), "{}", ended.stdout);
        assert_eq!(world.drives(), 2);
    }
}

#[test]
fn a_base_that_is_in_doubt_or_of_another_size_makes_an_equal_drive() {
    for provider in [Provider::OpenHosting, Provider::CloudSigma] {
        let (mut world, image, drive) = uploaded(provider);
        // New drives hold noise where nothing was written.
        world.restart("dirty=1");
        let base = format!("oh:{drive}");
        let onto = |more: &[&str]| {
            let args = [&["--json", "upload", "a.img", "oh:", "--base", &base], &OPTIONS[..], more].concat();
            let ended = world.run(&args);
            let made = summary(&ended)["drive"].as_str().unwrap().to_owned();
            assert!(
                world.drive_bytes(&made)[..std::fs::read(&image).unwrap().len()]
                    == std::fs::read(&image).unwrap()
            );
            ended
        };
        // Larger: what is behind the copy is written, zeros too.
        File::options().write(true).open(&image).unwrap().set_len(9 * MIB + 100).unwrap();
        let larger = onto(&["--name", "larger", "--verify", "full"]);
        assert_eq!(told(&larger), ("trusted".to_owned(), 17, 128), "{}", larger.stdout);
        // Zeros where the copy has something else are written like everything.
        write(&image, &vec![0; 2 << 16], 16 * CHUNK);
        let zeros = onto(&["--name", "zeros"]);
        assert_eq!(told(&zeros), ("trusted".to_owned(), 19, 126), "{}", zeros.stdout);
        assert!(!zeros.stdout.contains("does not read as zero"), "{}", zeros.stdout);
        // Smaller: the drive is as large as its base.
        File::options().write(true).open(&image).unwrap().set_len(4 * MIB + 5000).unwrap();
        let smaller = onto(&["--name", "smaller", "--verify", "full"]);
        assert_eq!(told(&smaller), ("trusted".to_owned(), 3, 62), "{}", smaller.stdout);
        let small = world.run(&["upload", "a.img", "oh:", "--base", &base, "--size", "5M"]);
        assert!(
            small.code == 1 && small.stderr.contains("too small for a copy"),
            "{} {}",
            small.code,
            small.stderr
        );
        interfere(&world, &drive, &[7; 3000], 5 * CHUNK + 10);
        let doubtful = onto(&["--name", "doubtful"]);
        assert_eq!(told(&doubtful), ("read back".to_owned(), 3, 62), "{}", doubtful.stdout);
        assert!(world.journals().is_empty());
    }
}

/// Whatever a run was doing when it was killed: making the drive, having it copied, waiting, sending.
#[test]
fn a_base_that_is_killed_makes_no_second_drive() {
    for provider in [Provider::OpenHosting, Provider::CloudSigma] {
        for moment in [
            (Stage::Applied, Operation::Create, 1),
            (Stage::Received, Operation::Other, 2),
            (Stage::Applied, Operation::Other, 3),
            (Stage::Applied, Operation::Other, 4),
            (Stage::Answered, Operation::Other, 5),
            (Stage::Applied, Operation::Read, 2),
            (Stage::Applied, Operation::Write, 4),
        ] {
            if provider == Provider::CloudSigma && moment.1 == Operation::Create {
                // It clones.
                continue;
            }
            let (world, image, drive) = uploaded(provider);
            change(&image, (0..128).step_by(9));
            let base = format!("oh:{drive}");
            let args = [&["upload", "a.img", "oh:", "--name", "v2", "--base", &base], &OPTIONS[..]].concat();
            world.kill_at(world.emulator(), &args, moment);
            // Without the base it would be another drive: zeros would be left out where the base has none.
            let begun = !world.journals().is_empty();
            let other = world.run(&[&["upload", "a.img", "oh:", "--name", "v2"], &OPTIONS[..]].concat());
            if begun {
                assert!(
                    other.code == 1 && other.stderr.contains("the name, size, base or keys"),
                    "{other:?}"
                );
            }
            let drives = world.drives();
            let last = world.run(&[&["--json"], &args[..]].concat());
            let made = summary(&last)["drive"].as_str().unwrap().to_owned();
            holds(&world, &made, &image);
            assert!(
                world.drives() == 2 || other.code == 0 && world.drives() <= drives + 1,
                "{provider} {moment:?}"
            );
        }
    }
}

/// Somebody writes to the base after it was found to be as it was, and before it is copied.
#[test]
fn a_base_that_changes_before_it_is_copied_is_noticed() {
    let (world, image, drive) = uploaded(Provider::OpenHosting);
    let base = format!("oh:{drive}");
    let args = [&["--json", "upload", "a.img", "oh:", "--base", &base], &OPTIONS[..]].concat();
    let (child, gate) = world.spawn_held(world.emulator(), &args, (Stage::Applied, Operation::Create, 0));
    assert!(gate.wait_for(1, LONG));
    interfere(&world, &drive, &[7; 3000], 5 * CHUNK + 10);
    gate.open();
    let ended = Ended::new(child.wait_with_output().unwrap());
    assert_eq!(told(&ended), ("trusted".to_owned(), 1, 127), "{}", ended.stdout);
    assert!(ended.stderr.contains("written to since the last transfer"), "{}", ended.stderr);
    holds(&world, summary(&ended)["drive"].as_str().unwrap(), &image);
}

#[test]
fn a_copy_is_made_once_though_requests_fail() {
    for seed in 1..4 {
        let (mut world, image, drive) = uploaded(Provider::OpenHosting);
        change(&image, [1, 2]);
        world.restart(&format!("error=0.4,retry-after=0,seed={seed}"));
        let base = format!("oh:{drive}");
        let args = ["upload", "a.img", "oh:", "--base", &base, "--retries", "30", "--timeout", "1s"];
        let ended = world.run(&[&["--json"], &args[..], &OPTIONS[..]].concat());
        holds(&world, summary(&ended)["drive"].as_str().unwrap(), &image);
        assert_eq!(world.drives(), 2);
    }
}
