//! Disks that fill up and files that are damaged between two runs.

use crate::world::{Ended, World};
use diskferry::emulator::{Operation, Stage};
use std::os::unix::fs::FileExt;
use std::process::Command;

const MIB: u64 = 1 << 20;

/// An upload that was killed half way: 60 of its 112 writes were answered, and at most four were in flight.
fn half_an_upload() -> World {
    let world = World::new("");
    world.image("a.img", 16 * MIB);
    let args = ["upload", "a.img", "oh:", "--chunk-size", "128k", "--concurrency", "4"];
    world.kill_at(world.emulator(), &args, (Stage::Answered, Operation::Write, 60));
    world
}

#[test]
fn a_torn_journal_costs_work_and_no_data() {
    let world = half_an_upload();
    let path = world.journals().remove(0);
    let len = path.metadata().unwrap().len();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(len - 700).unwrap();
    let up = world.run(&["--json", "upload", "a.img", "oh:", "--chunk-size", "128k", "--verify", "full"]);
    assert_eq!(up.code, 0, "{}", up.stderr);
    assert!(up.stdout.contains("in the middle of a record"), "it says so: {}", up.stdout);
    assert!(up.event("summary")["chunks_resumed"].as_u64().unwrap() > 0);
    assert_eq!(world.drives(), 1);
}

#[test]
fn a_corrupt_journal_is_refused_and_restart_starts_over() {
    let world = half_an_upload();
    let path = world.journals().remove(0);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(b"?", 3).unwrap();
    let args = ["upload", "a.img", "oh:", "--chunk-size", "128k"];
    let refused = world.run(&args);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(refused.stderr.contains("damaged") && refused.stderr.contains("--restart"), "{}", refused.stderr);
    assert!(world.run(&["transfers", "list"]).stdout.contains("damaged"));
    let again = world.run(&[&args[..], &["--restart"]].concat());
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(world.drive_bytes(again.stdout.trim_end()) == std::fs::read(world.path("a.img")).unwrap());
}

#[test]
fn a_journal_of_other_settings_is_refused_with_the_reason() {
    let world = half_an_upload();
    let other = world.run(&["upload", "a.img", "oh:", "--chunk-size", "256k"]);
    assert_eq!(other.code, 1, "{}", other.stderr);
    assert!(other.stderr.contains("the chunk size was 131072 and is 262144"), "{}", other.stderr);
    let named = world.run(&["upload", "a.img", "oh:", "--chunk-size", "128k", "--name", "other"]);
    assert_eq!(named.code, 1, "{}", named.stderr);
}

#[test]
fn a_part_file_that_is_gone_is_noticed() {
    let world = World::new("");
    let image = world.image("a.img", 16 * MIB);
    let target = format!("oh:{}", world.upload(&["a.img", "oh:"]));
    let args = ["--json", "download", &target, "b.img", "--chunk-size", "128k"];
    world.kill_at(world.emulator(), &args, (Stage::Answered, Operation::Read, 40));
    std::fs::remove_file(world.path("b.img.part")).unwrap();
    let again = world.run(&args);
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.event("warning")["message"].as_str().unwrap().contains("starting over"));
    assert!(std::fs::read(world.path("b.img")).unwrap() == std::fs::read(&image).unwrap());

    // And one that nobody knows is not overwritten unasked.
    std::fs::write(world.path("c.img.part"), "mine").unwrap();
    assert_eq!(world.run(&["download", &target, "c.img"]).code, 1);
    assert_eq!(std::fs::read(world.path("c.img.part")).unwrap(), b"mine");
}

/// A file system of 8 MiB, in namespaces of this test's own where it may not mount otherwise.
#[test]
fn a_full_disk_says_so_and_the_download_goes_on_once_there_is_room() {
    let mut world = World::new("");
    let size = 24 * MIB;
    std::fs::write(world.path("a.img"), crate::world::noise(7, usize::try_from(size).unwrap())).unwrap();
    let target = format!("oh:{}", world.upload(&["a.img", "oh:"]));
    world.restart("");
    std::fs::create_dir(world.path("small")).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=8M none small || exit 77\n\
         \"$0\" download {target} small/b.img --chunk-size 1M; echo \"first $?\"\n\
         test -e small/b.img && echo named\n\
         mount -o remount,size=64M small\n\
         \"$0\" --json download {target} small/b.img --chunk-size 1M; echo \"second $?\"\n\
         cmp small/b.img a.img && echo equal"
    );
    let command = world.command(&[]);
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        &script,
        env!("CARGO_BIN_EXE_diskferry"),
    ]);
    unshare
        .env_clear()
        .envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let ended = Ended::new(unshare.current_dir(world.path("")).output().unwrap());
    if ended.code == 77
        || ended.stderr.contains("unshare failed")
        || ended.stderr.contains("Operation not permitted")
    {
        return crate::skipped::skipped(&format!("this machine lets nobody mount: {}", ended.stderr.trim()));
    }
    assert!(ended.stdout.contains("first 1\n") && !ended.stdout.contains("named"), "{ended:?}");
    assert!(ended.stderr.contains("No space left") && ended.stderr.contains("free some space"), "{ended:?}");
    assert!(ended.stdout.contains("second 0\n") && ended.stdout.contains("equal"), "{ended:?}");
    let summary = ended.stdout.lines().find(|l| l.contains("\"summary\"")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(summary).unwrap();
    assert!(summary["chunks_resumed"].as_u64().unwrap() > 0, "{summary}");
}
