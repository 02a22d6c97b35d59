//! `--report`: the page says what the summary says, however the transfer ends, and a browser agrees.

use crate::chromium::{Chromium, Scheme};
use crate::support::moment::{LONG, stop_while_held};
use crate::world::{Ended, World, noise};
use diskferry::emulator::{Operation, Stage};
use diskferry::provider::Provider;
use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

const MIB: u64 = 1 << 20;

/// What a page has under `data-key`.
fn figures(page: &str) -> BTreeMap<String, String> {
    page.split("data-key=\"")
        .skip(1)
        .map(|rest| {
            let (key, rest) = rest.split_once('"').unwrap();
            let value = rest.split_once("data-value=\"").unwrap().1.split_once('"').unwrap().0;
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

/// How many chunks the legends of the page's maps count.
fn counted(page: &str, fate: &str) -> u64 {
    let item = format!("data-outcome=\"{fate}\" data-count=\"");
    page.split(&*item).skip(1).map(|rest| rest.split_once('"').unwrap().0.parse::<u64>().unwrap()).sum()
}

/// The page says all that the summary says.
fn agree(page: &str, summary: &Value) {
    let shown = figures(page);
    let mut compared = 0;
    for (key, value) in summary.as_object().unwrap() {
        if matches!(&**key, "event" | "set" | "failed") || value.is_null() {
            continue;
        }
        let plain = match value {
            Value::String(text) => text.clone(),
            Value::Array(all) => all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            other => other.to_string(),
        };
        assert_eq!(shown.get(key), Some(&plain), "{key}");
        compared += 1;
    }
    assert!(compared > 10, "{summary}");
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The map counts what the summary counts.
fn map_agrees(page: &str, summary: &Value) {
    for (fate, key) in [
        ("sent", "chunks_sent"),
        ("zero", "chunks_zero"),
        ("unchanged", "chunks_unchanged"),
        ("resumed", "chunks_resumed"),
        ("verified", "chunks_verified"),
    ] {
        assert_eq!(Some(counted(page, fate)), summary[key].as_u64(), "{key} of {summary}");
    }
}

#[test]
fn the_page_of_each_kind_of_transfer_has_the_figures_of_its_summary() {
    let mut world = World::new("busy=0.05,unavailable=0.03,retry-after=0,seed=5");
    world.add("to", Provider::Crosspeer, "");
    world.image("a.img", 30 * MIB);
    let report = world.path("r.html");
    let run = |args: &[&str]| {
        let ended = world.run(&[&["--json"], args, &["--report", "r.html", "--chunk-size", "256k"]].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        // Of a set it comes last.
        let summary = ended.events().into_iter().rfind(|event| event["event"] == "summary").unwrap();
        let page = read(&report);
        agree(&page, &summary);
        (page, summary)
    };
    let (page, up) = run(&["upload", "a.img", "oh:", "--verify", "full"]);
    map_agrees(&page, &up);
    assert!(up["retries"].as_u64().unwrap() > 0, "nothing was repeated: {up}");
    assert!(page.contains("data-outcome=\"retried\"") && page.contains("tag retry"));
    assert!(page.contains("What exit 0 rests on") && page.contains("every chunk was read back"));
    let drive = format!("oh:{}", up["drive"].as_str().unwrap());
    let (page, down) = run(&["download", &drive, "b.img", "--verify", "sample"]);
    map_agrees(&page, &down);
    let (page, moved) = run(&["migrate", &drive, "to:"]);
    map_agrees(&page, &moved);
    let (page, verified) = run(&["verify", "a.img", &drive]);
    assert_eq!(Some(counted(&page, "verified")), verified["chunks_verified"].as_u64());
    world.run(&["upload", "a.img", "oh:", "--name", "other"]);
    let (page, set) = run(&["download", "oh:", "--all", "out"]);
    assert_eq!(
        Some(counted(&page, "sent")),
        set["chunks_sent"].as_u64(),
        "the last summary is that of the set"
    );
}

#[test]
fn a_comparison_that_finds_a_difference_shows_where() {
    let world = World::new("");
    world.image("a.img", 4 * MIB);
    let drive = world.upload(&["a.img", "oh:"]);
    std::os::unix::fs::FileExt::write_all_at(
        &std::fs::File::options().write(true).open(world.drive_file(&drive)).unwrap(),
        b"x",
        MIB,
    )
    .unwrap();
    let args =
        ["--json", "verify", "a.img", &format!("oh:{drive}"), "--chunk-size", "64k", "--report", "r.html"];
    let ended = world.run(&args);
    assert_eq!(ended.code, 6, "{}", ended.stderr);
    let page = read(&world.path("r.html"));
    agree(&page, &ended.event("summary"));
    assert_eq!((counted(&page, "differs"), &*figures(&page)["exit_status"]), (1, "6"));
    assert!(page.contains("<title>1048576 to 1114112: differs</title>"));
}

#[test]
fn what_fails_or_is_stopped_has_a_page_that_says_how_to_go_on() {
    let mut world = World::new(&format!("refuse={},seed=1", 3 * MIB));
    std::fs::write(world.path("a.img"), noise(1, 8 << 20)).unwrap();
    let args = [
        "upload",
        "a.img",
        "oh:",
        "--chunk-size",
        "256k",
        "--retries",
        "1",
        "--report",
        "r.html",
        "--compress",
        "none",
    ];
    let failed = world.run(&args);
    assert_eq!(failed.code, 3, "{}", failed.stderr);
    let page = read(&world.path("r.html"));
    assert_eq!(
        (counted(&page, "failed"), counted(&page, "sent"), &*figures(&page)["exit_status"]),
        (1, 31, "3")
    );
    assert_eq!(figures(&page)["chunks_sent"], "31");
    assert!(page.contains("id=\"resume\"") && page.contains("upload a.img oh:"), "{page}");
    assert!(page.contains("it proves nothing about the whole"));

    world.restart("");
    let (child, gate) = world.spawn_held(world.emulator(), &args, (Stage::Received, Operation::Write, 0));
    assert!(gate.wait_for(1, LONG));
    let stopped = Ended::new(stop_while_held(child, Signal::INT, &gate));
    assert_eq!(stopped.code, 130, "{}", stopped.stderr);
    let page = read(&world.path("r.html"));
    assert_eq!((counted(&page, "resumed"), &*figures(&page)["exit_status"]), (31, "130"));
    assert!(page.contains("interrupted") && page.contains("id=\"resume\""));

    gate.open();
    let done = world.run(&args);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let page = read(&world.path("r.html"));
    // What was in flight when it stopped was settled.
    assert!(page.contains("32 chunks were transferred by an earlier run"));
    let left: Vec<_> = std::fs::read_dir(world.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".report"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_page_that_cannot_be_written_is_refused_before_anything_is_sent() {
    let world = World::new("");
    world.image("a.img", MIB);
    std::fs::create_dir(world.path("dir")).unwrap();
    for (report, code) in [("nowhere/r.html", 1), ("dir", 1), ("/dev/null", 1)] {
        let ended = world.run(&["upload", "a.img", "oh:", "--report", report]);
        assert_eq!(ended.code, code, "{report}: {}", ended.stderr);
        assert!(
            ended.stderr.contains("the report") && ended.stderr.contains("cannot write the report"),
            "{}",
            ended.stderr
        );
    }
    assert_eq!(world.run(&["upload", "a.img", "oh:", "--report", "r.html", "--dry-run"]).code, 2);
    assert!(world.emulator().log().is_empty(), "{:?}", world.emulator().log());
}

#[test]
fn nothing_that_a_server_or_a_file_is_called_is_markup() {
    let world = World::new("");
    let evil = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&";
    std::fs::write(world.path("a.img"), noise(3, 1 << 20)).unwrap();
    let one = world.upload(&["a.img", "oh:", "--name", evil, "--set", &format!("user:x={evil}")]);
    world.upload(&["a.img", "oh:", "--name", "plain"]);
    let (drive, file) = (format!("oh:{one}"), "<b>&\"it's\".img");
    for args in [&["download", &*drive, file][..], &["download", "oh:", "--all", "<i>out</i>"]] {
        let ended = world.run(&[args, &["--report", "r.html"]].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let page = read(&world.path("r.html"));
        for bad in ["<script", "<img", "onerror=alert(2)>\"", "<b>", "<i>"] {
            assert!(!page.contains(bad), "{bad} in the page of {args:?}");
        }
    }
    assert!(read(&world.path("r.html")).contains("&lt;script&gt;alert(1)"));
}

#[test]
fn no_secret_of_the_command_is_on_the_page() {
    let world = World::new("");
    std::fs::write(world.path("a.img"), noise(3, 1 << 20)).unwrap();
    // The emulator refuses such a key of a drive, and the page shows the command and the refusal.
    let args = ["upload", "a.img", "oh:", "--set", "vnc:password=hunter22", "--report", "r.html"];
    let ended = world.run(&args);
    let page = read(&world.path("r.html"));
    assert!(page.contains("upload a.img oh:") && page.contains("vnc:password"), "{}", ended.stderr);
    assert!(!page.contains("hunter22") && !ended.stderr.contains("hunter22"));
}

#[test]
fn a_browser_reads_the_same_figures_and_draws_light_and_dark_wide_and_narrow() {
    let world = World::new("busy=0.1,seed=9");
    let Some(chromium) = Chromium::find(&world.path(".")) else { return };
    world.image("a.img", 20 * MIB);
    let ended = world.run(&[
        "--json",
        "upload",
        "a.img",
        "oh:",
        "--chunk-size",
        "128k",
        "--verify",
        "sample",
        "--report",
        "r.html",
    ]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let page = world.path("r.html");
    let dom = chromium.dom(&page);
    agree(&dom, &ended.event("summary"));
    map_agrees(&dom, &ended.event("summary"));
    assert_eq!(dom.matches("<rect class=\"").count(), read(&page).matches("<rect class=\"").count());
    let mut corners = Vec::new();
    for scheme in [Scheme::Light, Scheme::Dark] {
        for width in [390, 1280] {
            let picture = world.path("shot.png");
            chromium.screenshot(&page, width, scheme, &picture);
            let (size, corner, colours) = look(&picture);
            assert_eq!(size, (width, 2000), "{scheme:?}");
            assert!(colours > 50, "{scheme:?} at {width}: {colours} colours");
            corners.push(corner);
            std::fs::remove_file(&picture).unwrap();
        }
    }
    assert_eq!(corners, [[0xf4, 0xf6, 0xf8], [0xf4, 0xf6, 0xf8], [0x10, 0x15, 0x1b], [0x10, 0x15, 0x1b]]);
}

/// The size of a picture, the colour of its last pixel but one line, and how many colours it has.
fn look(picture: &Path) -> ((u32, u32), [u8; 3], usize) {
    let file = std::io::BufReader::new(std::fs::File::open(picture).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    let step = bytes.len() / (info.width as usize * info.height as usize);
    let colour = |pixel: &[u8]| [pixel[0], pixel[1], pixel[2]];
    let colours: std::collections::HashSet<_> = bytes.chunks_exact(step).map(colour).collect();
    ((info.width, info.height), colour(&bytes[..step]), colours.len())
}
