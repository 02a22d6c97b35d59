//! Appliances: by ranges, as one stream, unpacked, and into drives of another provider.

use crate::support::moment::{LONG, stop_while_held};
use crate::support::qemu_img::{is_here, qemu_img};
use crate::world::{Ended, World, noise};
use diskferry::emulator::{Operation, Stage};
use rustix::process::Signal;
use std::io::Write;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

fn gzip(world: &World, image: &Path) -> PathBuf {
    let path = world.path("packed.gz");
    let file = std::fs::File::create(&path).unwrap();
    let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    out.write_all(&std::fs::read(image).unwrap()).unwrap();
    out.finish().unwrap();
    path
}

/// A world with `spot:`, whose appliances are an image and the same in gzip; `oh:` is Open Hosting.
fn world(faults: &str, size: u64) -> (World, PathBuf) {
    let mut world = World::new("");
    let image = world.image("root.img", size);
    let packed = gzip(&world, &image);
    world.add_spotcloud(faults, &[("raw", &image), ("gz", &packed)]);
    (world, image)
}

/// Requests for bytes that the provider of appliances was sent.
fn fetches(world: &World) -> usize {
    world.added().log().iter().filter(|request| request.path.contains("/download/")).count()
}

#[test]
fn ranges_are_fetched_side_by_side_and_verified() {
    let (world, image) = world("redirect=0.5,seed=3", 5 * MIB + 77);
    let args = [
        "--json",
        "download",
        "spot:appliance/raw",
        "out",
        "--chunk-size",
        "1M",
        "--sha256",
        "--verify",
        "full",
    ];
    let done = world.run(&args);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let bytes = std::fs::read(&image).unwrap();
    assert!(std::fs::read(world.path("out")).unwrap() == bytes);
    let summary = done.event("summary");
    assert_eq!((&summary["chunks_total"], &summary["chunks_verified"]), (&6.into(), &6.into()));
    assert_eq!(summary["digest_kind"], "sha256");
    assert_eq!(summary["size"], bytes.len());
    assert_eq!(fetches(&world), 2 + 2 * 6, "two to ask, one a chunk, and one a chunk to compare");
    let redirected = world.added().log().iter().filter(|request| request.path.starts_with("/blobs/")).count();
    assert!(redirected > 3, "{redirected}");
    assert!(world.run(&["download", "spot:appliance/raw", "out"]).stderr.contains("--force"));
}

/// After a SIGKILL what was not synced may be fetched again, so it is not asserted that nothing is; after an orderly stop
/// something is resumed. Eight kills at the 3rd to the 18th request, four more in flight: less than the 192 chunks.
#[test]
fn a_killed_download_goes_on_where_the_server_has_ranges() {
    let (world, image) = world("error=0.1,retry-after=0,seed=8", 12 * MIB);
    let args = [
        "download",
        "spot:appliance/raw",
        "out",
        "--chunk-size",
        "64k",
        "--timeout",
        "1s",
        "--retries",
        "20",
        "--concurrency",
        "4",
    ];
    let stages = [Stage::Received, Stage::Applied, Stage::Answered].into_iter().cycle();
    for (byte, stage) in noise(5, 8).into_iter().zip(stages) {
        world.kill_at(world.added(), &args, (stage, Operation::Download, 3 + u64::from(byte % 16)));
        assert!(!world.path("out").exists() && world.journals().len() <= 1);
    }
    let (child, gate) = world.spawn_held(world.added(), &args, (Stage::Applied, Operation::Download, 20));
    assert!(gate.wait_for(1, LONG));
    let stopped = Ended::new(stop_while_held(child, Signal::TERM, &gate));
    assert_eq!(stopped.code, 130, "{}", stopped.stderr);
    world.added().clear_hook();
    let last = world.run(&[&["--json"], &args[..]].concat());
    assert_eq!(last.code, 0, "{}", last.stderr);
    assert!(last.event("summary")["chunks_resumed"].as_u64().unwrap() > 0, "{}", last.stdout);
    assert!(std::fs::read(world.path("out")).unwrap() == std::fs::read(image).unwrap());
}

#[test]
fn a_stream_goes_on_after_a_broken_connection_and_says_where_it_starts_over() {
    // Half of all replies end early.
    for (server, says) in [
        ("ranges=no", "does not support ranges"),
        ("ranges=wrong", "other ranges"),
        ("etag=no", "no validator for the appliance"),
        ("etag=changing", "a different validator each time"),
    ] {
        let (world, image) = world(&format!("{server},short=0.5,seed=6"), 3 * MIB);
        let done =
            world.run(&["download", "spot:appliance/raw", "out", "--timeout", "1s", "--retries", "30"]);
        assert_eq!(done.code, 0, "{server}: {}", done.stderr);
        assert!(done.stderr.contains(says), "{server}: {}", done.stderr);
        assert!(std::fs::read(world.path("out")).unwrap() == std::fs::read(&image).unwrap(), "{server}");
        assert!(world.journals().is_empty());
    }
    // Which request is cut short depends on the seed; one of these cuts the stream, and that is told.
    let told = (1..=6).any(|seed| {
        let (world, image) = world(&format!("ranges=no,short=0.5,seed={seed}"), 3 * MIB);
        let args = ["download", "spot:appliance/gz", "out", "--unpack", "--timeout", "1s", "--retries", "60"];
        let unpacked = world.run(&args);
        assert_eq!(unpacked.code, 0, "{}", unpacked.stderr);
        assert!(std::fs::read(world.path("out")).unwrap() == std::fs::read(image).unwrap());
        unpacked.stderr.contains("again from its start")
    });
    assert!(told);
}

#[test]
fn an_appliance_is_unpacked_on_the_way_to_a_file_or_a_pipe() {
    let (world, image) = world("", 3 * MIB);
    let bytes = std::fs::read(&image).unwrap();
    let done =
        world.run(&["--json", "download", "spot:appliance/gz", "--unpack", "--sha256", "--verify", "full"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    // Named after the appliance, without what says how it is packed.
    assert!(std::fs::read(world.path("packed")).unwrap() == bytes);
    assert_eq!(done.event("summary")["size"], bytes.len());
    let piped = world.command(&["-q", "download", "spot:appliance/gz", "-", "--unpack"]).output().unwrap();
    assert!(piped.status.success() && piped.stdout == bytes);
    let packed = world.command(&["-q", "download", "spot:appliance/gz", "-"]).output().unwrap();
    assert!(packed.stdout == std::fs::read(world.path("packed.gz")).unwrap());
}

#[test]
fn a_damaged_or_foreign_appliance_leaves_no_file_and_no_drive() {
    let mut world = World::new("");
    let image = world.image("root.img", MIB);
    let packed = std::fs::read(gzip(&world, &image)).unwrap();
    std::fs::write(world.path("cut.gz"), &packed[..packed.len() / 2]).unwrap();
    std::fs::write(world.path("disk.qcow2"), b"QFI\xfb and so on").unwrap();
    let (cut, qcow) = (world.path("cut.gz"), world.path("disk.qcow2"));
    world.add_spotcloud("", &[("cut", &cut), ("qcow", &qcow)]);
    for (args, code, says) in [
        (vec!["download", "spot:appliance/cut", "out", "--unpack"], 1, "damaged or truncated"),
        (vec!["migrate", "spot:appliance/cut", "oh:"], 1, "damaged or truncated"),
        (vec!["download", "spot:appliance/qcow", "out", "--unpack"], 1, "QCOW2"),
        (vec!["migrate", "spot:appliance/qcow", "oh:"], 1, "QCOW2"),
        (vec!["download", "spot:appliance/nosuch", "out"], 5, "404"),
        (vec!["download", "oh:x", "out", "--unpack"], 2, "`--unpack` is for appliances"),
    ] {
        let ended = world.run(&args);
        assert_eq!(ended.code, code, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{args:?}: {}", ended.stderr);
    }
    assert!(!world.path("out").exists());
    assert_eq!(world.drives(), 0);
}

#[test]
fn an_appliance_becomes_a_drive_of_its_raw_size() {
    let (world, image) = world("", 3 * MIB + 512);
    let bytes = std::fs::read(&image).unwrap();
    for key in ["raw", "gz"] {
        let moved =
            world.run(&["--json", "migrate", &format!("spot:appliance/{key}"), "oh:", "--verify", "full"]);
        assert_eq!(moved.code, 0, "{}", moved.stderr);
        let summary = moved.event("summary");
        assert!(world.drive_bytes(summary["drive"].as_str().unwrap()) == bytes, "{key}");
        assert_eq!(summary["size"], bytes.len());
    }
    let list = world.run(&["drive", "list", "oh:"]).stdout;
    assert!(list.contains("root.img") && list.contains("packed"), "{list}");
    let wrong = world.run(&["migrate", "spot:appliance/gz", "oh:", "--size", "1M", "--restart"]);
    assert_eq!(wrong.code, 1, "{}", wrong.stderr);
    assert!(wrong.stderr.contains("goes on after 1048576 bytes"), "{}", wrong.stderr);
}

/// Ten kills at one of the first eight writes, two more in flight: less than the 128 chunks.
#[test]
fn spotcloud_to_open_hosting_killed_ten_times_over_faults_ends_equal() {
    for key in ["raw", "gz"] {
        let faults = "error=0.1,retry-after=0,seed=5";
        let mut world = World::new(faults);
        let image = world.image("root.img", 8 * MIB);
        let packed = gzip(&world, &image);
        world.add_spotcloud(faults, &[("raw", &image), ("gz", &packed)]);
        let from = format!("spot:appliance/{key}");
        let args = [
            "migrate",
            &*from,
            "oh:",
            "--zeros",
            "write",
            "--chunk-size",
            "64k",
            "--timeout",
            "1s",
            "--retries",
            "20",
            "--concurrency",
            "2",
        ];
        let stages = [Stage::Received, Stage::Applied, Stage::Answered].into_iter().cycle();
        for (byte, stage) in noise(7, 10).into_iter().zip(stages) {
            world.kill_at(world.emulator(), &args, (stage, Operation::Write, 1 + u64::from(byte % 8)));
        }
        let last = world.run(&[&["--json"], &args[..]].concat());
        assert_eq!(last.code, 0, "{key}: {}", last.stderr);
        let summary = last.event("summary");
        assert!(
            world.drive_bytes(summary["drive"].as_str().unwrap()) == std::fs::read(&image).unwrap(),
            "{key}"
        );
        assert_eq!(world.drives(), 1, "{key}: a kill left a second drive");
        if key == "gz" {
            assert!(last.stdout.contains("cannot be read from the middle"), "{}", last.stdout);
        }
    }
}

#[test]
fn a_raw_appliance_becomes_another_format_and_a_packed_one_does_not() {
    let (world, image) = world("", 3 * MIB + 77);
    for (format, theirs) in [("qcow2", "qcow2"), ("vhd", "vpc")] {
        let done = world.run(&["download", "spot:appliance/raw", format, "--format", format]);
        assert_eq!(done.code, 0, "{}", done.stderr);
        if is_here() {
            // A VHD is padded, which is said and no difference.
            qemu_img(&world.path(""), &format!("compare -q -f {theirs} -F raw {format} {}", image.display()));
        }
    }
    for (args, why) in [
        (&["spot:appliance/gz"][..], "it is packed"),
        (&["spot:appliance/raw", "--unpack"], "it comes as one stream"),
    ] {
        let refused = world.run(&[&["download", "--format", "qcow2"], args].concat());
        assert!(refused.code == 2 && refused.stderr.contains(why), "{args:?}: {}", refused.stderr);
    }
}
