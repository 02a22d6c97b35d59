//! Downloads into the formats that people use: what `qemu-img` finds in the file is what the drive holds.

use crate::support::qemu_img::{is_here, qemu_img, run};
use crate::world::{Ended, World};
use diskferry::emulator::{Operation, Stage};
use serde_json::Value;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

const MIB: u64 = 1 << 20;

/// Kills of each transfer.
const KILLS: u64 = 10;

/// Has `qemu-img` check a file and compare it with a raw one; what the check says.
fn judged(dir: &Path, format: &str, file: &str, raw: &str) -> Value {
    // A fixed VHD has no tables to be checked.
    let checked = if format == "qcow2" {
        let checked = run("qemu-img", dir, &["check", "--output=json", "-f", format, file]);
        serde_json::from_slice(&checked.stdout).unwrap()
    } else {
        Value::Null
    };
    qemu_img(dir, &format!("compare -q -f {format} -F raw {file} {raw}"));
    for fault in ["corruptions", "leaks", "check-errors"] {
        assert_eq!(checked[fault].as_u64().unwrap_or(0), 0, "{checked}");
    }
    checked
}

/// The bytes of a file that hold data, as `qemu-img map` says.
fn mapped(dir: &Path, format: &str, file: &str) -> u64 {
    let map = run("qemu-img", dir, &["map", "--output=json", "-f", format, file]);
    let map: Vec<Value> = serde_json::from_slice(&map.stdout).unwrap();
    map.iter().filter(|extent| extent["data"] == true).map(|extent| extent["length"].as_u64().unwrap()).sum()
}

fn ok(ended: &Ended) {
    assert_eq!(ended.code, 0, "{} {}", ended.stdout, ended.stderr);
}

#[test]
fn a_drive_comes_down_in_every_format() {
    if !is_here() {
        return;
    }
    let world = World::new("");
    let dir = world.path("");
    for size in [700, MIB, 9 * MIB + 4_321, 24 * MIB] {
        world.image("raw", size);
        let drive = format!("oh:{}", world.upload(&["raw", "oh:", "--zeros", "write"]));
        for (format, theirs, more) in [
            ("vhd", "vpc", &["--chunk-size", "100000"][..]),
            ("vhd", "vpc", &["--digest", "sha256"]),
            ("qcow2", "qcow2", &["--chunk-size", "100000"]),
            ("qcow2", "qcow2", &["--chunk-size", "4k", "--sha256"]),
            ("qcow2", "qcow2", &["--chunk-size", "1M", "--digest", "sha256"]),
            ("qcow2", "qcow2", &["--compress", "auto"]),
            ("qcow2", "qcow2", &["--compress", "9", "--chunk-size", "100000"]),
        ] {
            let args = [&["download", &drive, "file", "--format", format, "--force"], more].concat();
            let ended = world.run(&[&["--json"], &args[..], &["--verify", "full"]].concat());
            ok(&ended);
            let plan = ended.event("plan");
            assert_eq!(plan["target_format"], format, "{plan}");
            if format == "vhd" {
                std::fs::copy(world.path("raw"), world.path("padded")).unwrap();
                let padded = std::fs::OpenOptions::new().write(true).open(world.path("padded")).unwrap();
                padded.set_len(size.next_multiple_of(MIB)).unwrap();
            } else {
                assert_eq!(
                    plan["compress"],
                    if more.contains(&"auto") {
                        "auto"
                    } else if more.contains(&"9") {
                        "9"
                    } else {
                        "none"
                    }
                );
            }
            let raw = if format == "vhd" { "padded" } else { "raw" };
            let checked = judged(&dir, theirs, "file", raw);
            let packed = checked["compressed-clusters"].as_u64().unwrap_or(0);
            assert_eq!(packed > 0, more.contains(&"--compress"), "{size}: {checked}");
        }
    }
    assert!(world.journals().is_empty());
}

#[test]
fn a_sparse_drive_becomes_a_small_file() {
    if !is_here() {
        return;
    }
    let world = World::new("");
    let dir = world.path("");
    let image = std::fs::File::create(world.path("raw")).unwrap();
    image.set_len(700 * MIB + 512).unwrap();
    image.write_all_at(&vec![7; 100_000], 3 * MIB).unwrap();
    image.write_all_at(&vec![8; 70_000], 650 * MIB).unwrap();
    let drive = format!("oh:{}", world.upload(&["raw", "oh:", "--zeros", "skip"]));
    for format in ["qcow2", "vhd"] {
        ok(&world.run(&["download", &drive, format, "--format", format]));
        let meta = std::fs::metadata(world.path(format)).unwrap();
        assert!(meta.blocks() * 512 < MIB, "{format}: {}", meta.blocks() * 512);
    }
    let data = mapped(&dir, "qcow2", "qcow2");
    assert!((170_000..MIB).contains(&data), "{data}");
    judged(&dir, "qcow2", "qcow2", "raw");
    // What others see of its length is what it holds, and tables.
    assert!(std::fs::metadata(world.path("qcow2")).unwrap().len() < MIB);
    // And it goes up again like any other.
    let back = world.upload(&["qcow2", "oh:"]);
    assert!(world.run(&["verify", "raw", &format!("oh:{back}")]).code == 0);
}

/// After each kill the file has no name yet; in the end it is whole, whatever was compressed and where it came to lie.
#[test]
fn a_download_into_a_format_is_killed_again_and_again() {
    if !is_here() {
        return;
    }
    let world = World::new("");
    let dir = world.path("");
    let size = 12 * MIB + 4_321;
    world.image("raw", size);
    let drive = format!("oh:{}", world.upload(&["raw", "oh:"]));
    std::fs::copy(world.path("raw"), world.path("padded")).unwrap();
    let padded = std::fs::OpenOptions::new().write(true).open(world.path("padded")).unwrap();
    padded.set_len(size.next_multiple_of(MIB)).unwrap();
    let stages = [Stage::Received, Stage::Applied, Stage::Answered];
    for (n, (format, more)) in
        [("qcow2", &[][..]), ("qcow2", &["--compress", "1"]), ("vhd", &[])].into_iter().enumerate()
    {
        let name = format!("file{n}");
        let options = ["--format", format, "--chunk-size", "96k", "--concurrency", "4"];
        let args = [&["download", &drive, &name], &options[..], more].concat();
        for kill in 0..KILLS {
            let moment = (stages[usize::try_from(kill).unwrap() % 3], Operation::Read, 1 + kill * 7 % 12);
            world.kill_at(world.emulator(), &args, moment);
            assert!(!world.path(&name).exists(), "the file has its name only when it is whole");
        }
        let shown = world.run(&["--json", "transfers", "list"]).event("transfer");
        assert_eq!(shown["target_format"], format);
        let id = shown["id"].as_str().unwrap().to_owned();
        let shown = world.run(&["transfers", "show", &id]).stdout;
        assert!(shown.lines().any(|line| line.starts_with("format ") && line.ends_with(format)), "{shown}");
        // Another format would be another file.
        let other = if format == "vhd" { "qcow2" } else { "raw" };
        let refused = world.run(&["download", &drive, &name, "--format", other, "--chunk-size", "96k"]);
        assert_eq!(refused.code, 1, "{}", refused.stderr);
        assert!(
            refused.stderr.contains(&format!("the format was {format} and is {other}")),
            "{}",
            refused.stderr
        );
        let last = world.run(&[&["--json"], &args[..]].concat());
        ok(&last);
        let (theirs, raw) = if format == "vhd" { ("vpc", "padded") } else { ("qcow2", "raw") };
        judged(&dir, theirs, &name, raw);
        assert!(world.journals().is_empty() && !world.path(&format!("{name}.part")).exists());
    }
}

/// What an earlier run has fetched is found in the file again, and counts; what somebody has changed there does not.
#[test]
fn what_an_earlier_run_put_into_a_qcow2_is_proved_and_kept() {
    if !is_here() {
        return;
    }
    for damaged in [false, true] {
        let world = World::new("");
        let dir = world.path("");
        world.image("raw", 12 * MIB);
        let drive = format!("oh:{}", world.upload(&["raw", "oh:"]));
        let args =
            ["download", &drive, "file", "--format", "qcow2", "--chunk-size", "64k", "--compress", "3"];
        world.kill_at(world.emulator(), &args, (Stage::Applied, Operation::Read, 100));
        let part = std::fs::OpenOptions::new().read(true).write(true).open(world.path("file.part")).unwrap();
        if damaged {
            // Everything behind the tables.
            let len = part.metadata().unwrap().len();
            part.write_all_at(&vec![7; 256 << 10], len - (256 << 10)).unwrap();
        }
        let last = world.run(&[&["--json"], &args[..]].concat());
        ok(&last);
        let resumed = last.event("summary")["chunks_resumed"].as_u64().unwrap();
        assert!(resumed > 30, "{}", last.stdout);
        let missed = last
            .events()
            .iter()
            .any(|event| event["event"] == "warning" && event.to_string().contains("no longer in the file"));
        assert_eq!(missed, damaged, "{}", last.stdout);
        judged(&dir, "qcow2", "file", "raw");
    }
}

#[test]
fn a_run_that_was_killed_before_its_journal_went_finds_its_file() {
    if !is_here() {
        return;
    }
    let world = World::new("");
    world.image("raw", 3 * MIB);
    let drive = format!("oh:{}", world.upload(&["raw", "oh:"]));
    let args = ["download", &drive, "file", "--format", "qcow2", "--manifest", "gone/manifest"];
    // The file has its name, and then something fails.
    std::fs::create_dir(world.path("gone")).unwrap();
    std::fs::create_dir(world.path("gone/manifest")).unwrap();
    let failed = world.run(&args);
    assert_eq!(failed.code, 1, "{}", failed.stderr);
    assert!(world.path("file").exists() && world.journals().len() == 1, "{}", failed.stderr);
    let before = std::fs::read(world.path("file")).unwrap();
    std::fs::remove_dir(world.path("gone/manifest")).unwrap();
    let again = world.run(&[&["--json"], &args[..]].concat());
    ok(&again);
    assert_eq!(again.event("summary")["chunks_sent"], 0, "{}", again.stdout);
    assert!(
        std::fs::read(world.path("file")).unwrap() == before,
        "a file that has its name is not written to"
    );
    judged(&world.path(""), "qcow2", "file", "raw");
}

#[test]
fn standard_output_takes_what_comes_in_order() {
    let world = World::new("");
    world.image("raw", 3 * MIB + 5);
    let drive = format!("oh:{}", world.upload(&["raw", "oh:"]));
    let piped = world.command(&["download", &drive, "-", "--format", "vhd"]).output().unwrap();
    assert!(piped.status.success());
    ok(&world.run(&["download", &drive, "file", "--format", "vhd"]));
    assert!(piped.stdout == std::fs::read(world.path("file")).unwrap(), "the same bytes each time");
    for (args, why) in [
        (&["-", "--format", "qcow2"][..], "cannot go to standard output"),
        (&["file", "--format", "vhd", "--compress", "1"], "`--compress` needs `--format qcow2`"),
        (&["file", "--compress", "1"], "`--compress` needs `--format qcow2`"),
        (&["file", "--format", "vmdk"], "expected raw, qcow2 or vhd, got `vmdk`"),
    ] {
        let refused = world.run(&[&["download", &drive], args].concat());
        assert!(refused.code == 2 && refused.stderr.contains(why), "{args:?}: {}", refused.stderr);
    }
    // Without a name it is called after the drive, and what it is.
    for (format, name) in [("qcow2", "raw.qcow2"), ("vhd", "raw.vhd")] {
        ok(&world.run(&["download", &drive, "--format", format]));
        assert!(world.path(name).exists(), "{name}");
    }
    let plan = world.run(&["download", &drive, "other", "--format", "qcow2", "--dry-run", "--compress", "2"]);
    assert!(
        plan.stderr.contains("other as qcow2: ") && plan.stderr.contains("compression: 2"),
        "{}",
        plan.stderr
    );
    assert!(!world.path("other.part").exists());
}

#[test]
fn an_image_goes_up_as_a_vhd_and_is_compared_as_one() {
    let world = World::new("");
    let image = world.image("raw", 3 * MIB + 4_321);
    let mut vhd = std::fs::read(&image).unwrap();
    vhd.resize(4 << 20, 0);
    let up = world.run(&["--json", "upload", "raw", "oh:", "--target-format", "vhd"]);
    ok(&up);
    assert_eq!(up.event("plan")["target_format"], "vhd");
    let drive = up.event("summary")["drive"].as_str().unwrap().to_owned();
    let there = world.drive_bytes(&drive);
    assert!(there.len() == vhd.len() + 512 && there[..vhd.len()] == vhd[..]);
    assert_eq!(&there[vhd.len()..vhd.len() + 8], b"conectix");
    let target = format!("oh:{drive}");
    let verify = |image: &str| world.run(&["verify", image, &target, "--target-format", "vhd"]);
    ok(&verify("raw"));
    // A copy has another time and another path, and is the same image.
    std::fs::copy(&image, world.path("copy")).unwrap();
    ok(&verify("copy"));
    // The image alone is equal as far as it goes.
    ok(&world.run(&["verify", "raw", &target]));
    let file = std::fs::OpenOptions::new().write(true).open(world.drive_file(&drive)).unwrap();
    for at in [vhd.len() + 100, vhd.len() + 56, vhd.len() - 1] {
        let at = at as u64;
        file.write_all_at(&[1], at).unwrap();
        assert_eq!(verify("raw").code, 6, "{at}");
        file.write_all_at(&there[usize::try_from(at).unwrap()..][..1], at).unwrap();
    }
    ok(&verify("raw"));
    // Standard input.
    let pipe = |size: u64| {
        let size = size.to_string();
        let args = ["upload", "-", "oh:", "--size", &size, "--target-format", "vhd", "--restart"];
        let mut piped = world.command(&args);
        Ended::new(piped.stdin(std::fs::File::open(&image).unwrap()).output().unwrap())
    };
    for (wrong, how) in [(-1, "longer than expected"), (1, "ended early")] {
        let piped = pipe((3 * MIB + 4_321).strict_add_signed(wrong));
        assert!(piped.code == 1 && piped.stderr.contains(how), "{}", piped.stderr);
    }
    let piped = pipe(3 * MIB + 4_321);
    ok(&piped);
    ok(&world.run(&["verify", "raw", &format!("oh:{}", piped.stdout.trim()), "--target-format", "vhd"]));
    // A footer that would not be at the end, and what no drive holds.
    for (args, why) in [
        (&["oh:", "--size", "8M", "--target-format", "vhd"][..], "its footer would not be at the end"),
        (&["oh:", "--target-format", "qcow2"], "expected raw or vhd, got `qcow2`"),
    ] {
        let refused = world.run(&[&["upload", "raw"], args].concat());
        assert!(refused.code == 2 && refused.stderr.contains(why), "{args:?}: {}", refused.stderr);
    }
}

#[test]
fn an_upload_as_a_vhd_and_a_migration_to_one_are_resumed() {
    let mut world = World::new("");
    world.image("raw", 6 * MIB + 100);
    let options = ["--chunk-size", "64k", "--concurrency", "4", "--target-format", "vhd"];
    let upload = [&["upload", "raw", "oh:"], &options[..]].concat();
    for kill in 0..KILLS {
        world.kill_at(world.emulator(), &upload, (Stage::Applied, Operation::Write, 1 + kill));
    }
    let refused = world.run(&["upload", "raw", "oh:", "--chunk-size", "64k"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("the format was vhd and is raw"),
        "{}",
        refused.stderr
    );
    let drive = world.upload(&upload[1..]);
    assert_eq!(world.drives(), 1);
    ok(&world.run(&["verify", "raw", &format!("oh:{drive}"), "--target-format", "vhd"]));
    let raw = world.upload(&["raw", "oh:"]);
    world.add("cs", diskferry::provider::Provider::CloudSigma, "");
    let from = format!("oh:{raw}");
    let migrate = [&["migrate", &from, "cs:"], &options[..]].concat();
    world.kill_at(world.emulator(), &migrate, (Stage::Applied, Operation::Read, 30));
    let ended = world.run(&[&["--json"], &migrate[..]].concat());
    ok(&ended);
    assert_eq!(ended.event("plan")["target_format"], "vhd");
    let migrated = ended.event("summary")["drive"].as_str().unwrap().to_owned();
    ok(&world.run(&["verify", "raw", &format!("cs:{migrated}"), "--target-format", "vhd"]));
}
