//! Numbers from outside that are too large, too small or too many: refused before they are given memory or time.

use super::server::{Answer, reply, start, text};
use super::world::{DRIVE, World};
use std::fmt::Write;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// A drive of this size that reads as zeros, on a server that says yes.
fn drive(size: &'static str) -> World {
    World::new(&start(move |request| match &*request.path {
        path if path.contains("/write") => super::server::done(),
        path if path.contains("/read/") => {
            reply("200 OK", "", vec![0; path.rsplit('/').next().unwrap().parse().unwrap()])
        }
        _ => text(format!("drive {DRIVE}\nname a\nsize {size}\n")),
    }))
}

#[test]
fn a_drive_of_a_size_without_measure_is_refused() {
    let drive_name = format!("oh:{DRIVE}");
    for size in ["18446744073709551615", "9223372036854775808", "16777215T", "129T"] {
        let world = drive(size);
        let ended = world.run(LIMIT, &["download", &drive_name, "out"]);
        ended.failed(2, &["chunk", "hint:"]);
        assert!(!world.path("out.part").exists());
        world.run(LIMIT, &["migrate", &drive_name, "oh:"]).failed(2, &["chunk"]);
        world.run(LIMIT, &["download", &drive_name, "out", "--dry-run"]).failed(2, &["chunk"]);
    }
    // What a larger chunk makes possible is planned, and told before.
    let world = drive("129T");
    world.run(LIMIT, &["download", &drive_name, "out"]).failed(2, &["--chunk-size 8M"]);
    let plan = world.run(LIMIT, &["download", &drive_name, "out", "--dry-run", "--chunk-size", "8M"]);
    assert_eq!(plan.code, 0, "{}", plan.stderr);
}

#[test]
fn a_large_drive_takes_no_more_memory_than_a_small_one() {
    let world = drive("128T");
    let plan = world.run(LIMIT, &["download", &format!("oh:{DRIVE}"), "out", "--dry-run"]);
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    assert!(plan.peak_kib < 64 << 10, "{} KiB", plan.peak_kib);
}

#[test]
fn options_that_are_too_large_are_usage_errors() {
    let world = drive("1000");
    let image = world.image(1000);
    let drive = format!("oh:{DRIVE}");
    for args in [
        &["upload", "-", "oh:", "--size", "16777215T"][..],
        &["upload", "-", "oh:", "--size", "18446744073709551615"],
        &["upload", &image, &drive, "--timeout", "18446744073709551615s"],
        &["upload", &image, &drive, "--timeout", "18446744073709551615ms"],
        &["upload", &image, &drive, "--timeout", "5124095576030430h"],
        &["drive", "list", "oh:", "--timeout", "18446744073709551615s"],
    ] {
        world.run(LIMIT, args).failed(2, &[]);
    }
    for args in [["--timeout", "24h"], ["--bwlimit", "16777215T"], ["--retries", "4294967295"]] {
        let ended = world.run(LIMIT, &[&["upload", &image, &drive][..], &args].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
    }
}

#[test]
fn a_wait_without_measure_is_not_waited() {
    let busy = || reply("503 Busy", "Retry-After: 18446744073709551615\r\n", "");
    let world = World::new(&start(move |_| busy()));
    let ended = world.run(LIMIT, &["drive", "list", "oh:", "--retries", "0"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
}

/// An appliance whose probe is answered with this range and a length of 1.
fn ranged(range: &'static str) -> World {
    World::new(&start(move |request| {
        if request.path.contains("/buyer/") {
            return reply("200 OK", "Content-Type: application/json\r\n", r#"{"name":"a"}"#);
        }
        reply("206 Partial Content", &format!("ETag: \"a\"\r\nContent-Range: {range}\r\n"), "x")
    }))
}

#[test]
fn a_range_of_a_size_without_measure_or_sense_is_refused() {
    for range in [
        "bytes 0-0/18446744073709551615",
        "bytes 0-0/9223372036854775808",
        "bytes 0-0/0",
        "bytes 0-18446744073709551615/18446744073709551615",
        "bytes 1-0/5",
    ] {
        for args in [
            &["download", "spot:appliance/k", "out"][..],
            &["download", "spot:appliance/k", "out", "--unpack"],
            &["migrate", "spot:appliance/k", "oh:"],
        ] {
            let ended = ranged(range).run(LIMIT, &[args, &["--retries", "0"]].concat());
            assert!(ended.code == 1 || ended.code == 2, "{range}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_hundred_thousand_keys_take_no_time() {
    let mut body = format!("drive {DRIVE}\nname a\nsize 1000\n");
    for i in 0..100_000 {
        let _ = writeln!(body, "user:key{i} {i}");
    }
    let mut object = format!(r#"{{"drive":"{DRIVE}","name":"a","size":1000"#);
    for i in 0..100_000 {
        let _ = write!(object, r#","user:key{i}":"{i}""#);
    }
    object.push('}');
    let json = "Content-Type: application/json\r\n";
    let answers: [Box<dyn Fn() -> Answer + Send + Sync>; 2] =
        [Box::new(move || text(&body)), Box::new(move || reply("200 OK", json, &object))];
    for answer in answers {
        let world = World::new(&start(move |_| answer()));
        let drive = format!("oh:{DRIVE}");
        let limit = Duration::from_secs(8);
        assert_eq!(world.run(limit, &["drive", "info", &drive]).code, 0);
        assert_eq!(world.run(limit, &["download", &drive, "out", "--dry-run"]).code, 0);
    }
}

#[test]
fn a_reply_of_too_many_values_is_refused_before_it_is_read() {
    let bodies = [
        ("text/plain", "a\n".repeat(8 << 20)),
        ("text/plain", "a\n\n".repeat(5 << 20)),
        ("application/json", format!("[{}{{}}]", "{\"a\":1},".repeat(1 << 20))),
        ("application/json", format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20))),
        ("application/json", format!("[{}0]", "0,".repeat(7 << 20))),
    ];
    for (kind, body) in bodies {
        let world = World::new(&start(move |_| reply("200 OK", &format!("Content-Type: {kind}\r\n"), &body)));
        for args in [
            &["drive", "list", "oh:"][..],
            &["call", "oh:", "drives.info_all", "--json"],
            &["drive", "info", &format!("oh:{DRIVE}")],
        ] {
            let ended = world.run(LIMIT, args);
            assert_eq!(ended.code, 1, "{}", ended.stderr);
        }
    }
}

/// A reply of 16 MiB is held as bytes, as text and as values. No transfer has one.
const LARGE_REPLY_KIB: u64 = 128 << 10;

#[test]
fn a_reply_of_as_many_values_as_there_may_be_is_read_within_the_budget() {
    let most = (1 << 17) - 10;
    let keys: Vec<String> = (0..most).map(|i| format!("\"k{i}\":1")).collect();
    let bodies = [
        ("text/plain", "a\n".repeat(most)),
        ("application/json", format!("[{}{{}}]", "{\"a\":1},".repeat(most / 2))),
        ("application/json", format!("{{{}}}", keys.join(","))),
        ("text/plain", format!("name {}\n", "x".repeat((16 << 20) - 100))),
    ];
    for (kind, body) in bodies {
        let world = World::new(&start(move |_| reply("200 OK", &format!("Content-Type: {kind}\r\n"), &body)));
        for args in [&["drive", "list", "oh:"][..], &["call", "oh:", "drives.info_all", "--json"]] {
            assert_eq!(world.run_within(LIMIT, LARGE_REPLY_KIB, args).code, 0, "the budget is checked there");
        }
    }
}
