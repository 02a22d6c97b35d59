//! Backups: into a store, out of it, and what of it is kept.

use crate::casync;
use crate::support::moment;
use crate::world::{Ended, World, data_requests, noise};
use diskferry::emulator::{Operation, Stage};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;
const CHUNK: u64 = 64 << 10;

fn backup(world: &World, what: &[&str]) -> Ended {
    world.run(&[&["--json", "backup"], what, &["store", "--chunk-size", "64k"]].concat())
}

fn summary(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{} {}", ended.stdout, ended.stderr);
    ended.event("summary")
}

fn number(of: &Value, key: &str) -> u64 {
    of[key].as_u64().unwrap_or_else(|| panic!("{key} in {of}"))
}

/// The indexes of a store.
fn indexes(store: &Path) -> Vec<PathBuf> {
    files(store, "caibx")
}

fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found
}

/// Writes other bytes into these chunks of an image.
fn change(image: &Path, chunks: impl IntoIterator<Item = u64>, seed: u64) {
    let file = File::options().write(true).open(image).unwrap();
    for index in chunks {
        file.write_all_at(&noise(index + seed, 700), index * CHUNK + 512).unwrap();
    }
}

fn same(one: &Path, other: &Path) -> bool {
    std::fs::read(one).unwrap() == std::fs::read(other).unwrap()
}

#[test]
fn a_backup_is_restored_to_a_file_to_a_drive_and_by_casync() {
    let world = World::new("");
    let image = world.image("a.img", 4 * MIB + 3000);
    let drive = world.upload(&[
        "a.img",
        "oh:",
        "--name",
        "web 1",
        "--set",
        "tags=nightly blue",
        "--chunk-size",
        "64k",
    ]);
    let made = backup(&world, &[&format!("oh:{drive}")]);
    let told = summary(&made);
    let name = told["backup"].as_str().unwrap().to_owned();
    assert!(name.starts_with("web 1@") || name.starts_with("web_1@"), "{name}");
    let to_file = world.run(&["restore", &format!("store/{name}"), "back.img"]);
    assert_eq!(to_file.code, 0, "{}", to_file.stderr);
    assert!(same(&image, &world.path("back.img")));
    // The newest of the name; it bears the name and the tags of the drive.
    let (bare, _) = name.split_once('@').unwrap();
    let to_drive = world.run(&["restore", &format!("store/{bare}"), "oh:"]);
    assert_eq!(to_drive.code, 0, "{}", to_drive.stderr);
    let again = to_drive.stdout.trim().to_owned();
    assert!(world.drive_bytes(&again)[..] == std::fs::read(&image).unwrap()[..]);
    let info = world.run(&["call", "oh:", "drives.info", &again]).stdout;
    assert!(info.contains("name web 1\n") && info.contains("tags nightly blue\n"), "{info}");
    // Onto a drive that is there, only what differs.
    change(&world.drive_file(&again), [3, 40], 5);
    let mended = world.run(&[
        "--json",
        "restore",
        &format!("store/{name}"),
        &format!("oh:{again}"),
        "--delta",
        "--chunk-size",
        "64k",
    ]);
    assert_eq!(number(&summary(&mended), "chunks_sent"), 2, "{}", mended.stdout);
    assert!(world.drive_bytes(&again)[..] == std::fs::read(&image).unwrap()[..]);
    if casync::is_here() {
        let index = indexes(&world.path("store")).pop().unwrap();
        casync::casync(
            &world.path("."),
            &["extract", "--store=store", index.to_str().unwrap(), "casync.img"],
        );
        assert!(same(&image, &world.path("casync.img")));
    }
}

#[test]
fn what_casync_made_is_restored() {
    if !casync::is_here() {
        return;
    }
    let world = World::new("");
    let image = world.image("a.img", 3 * MIB + 100);
    let here = world.path(".");
    for made in ["chunks", "default"] {
        std::fs::create_dir(here.join(made)).unwrap();
    }
    casync::casync(&here, &["make", "--store=chunks", "chunks/a.caibx", "a.img"]);
    casync::casync(&here, &["make", "default/a.caibx", "a.img"]);
    for (n, index) in ["chunks/a.caibx", "default/a.caibx"].into_iter().enumerate() {
        let to = format!("back-{n}.img");
        let ended = world.run(&["restore", index, &to]);
        assert_eq!(ended.code, 0, "{index}: {}", ended.stderr);
        assert!(same(&image, &world.path(&to)), "{index}");
    }
}

/// Of twelve drives with a twentieth of their chunks changed by `--delta`, hardly more than that is read and written.
#[test]
fn the_second_backup_of_a_set_costs_what_has_changed() {
    let world = World::new("");
    let mut drives = Vec::new();
    for n in 0..12 {
        let name = format!("disk-{n}.img");
        let image = world.path(&name);
        std::fs::write(&image, noise(900 + n, 5 * 1_310_720)).unwrap();
        let drive = world.upload(&[&name, "oh:", "--chunk-size", "64k"]);
        drives.push((name, image, drive));
    }
    let first = backup(&world, &["oh:", "--all"]);
    let sum = first.events().into_iter().rfind(|event| event["set"] == true).unwrap();
    assert_eq!((number(&sum, "members_done"), number(&sum, "chunks_sent")), (12, 1200), "{sum}");
    let store = world.path("store");
    let size = |files: &[PathBuf]| files.iter().map(|path| path.metadata().unwrap().len()).sum::<u64>();
    let chunks_then = size(&files(&store, "cacnk"));
    for (name, image, drive) in &drives {
        change(image, (0..100).step_by(20), 7);
        let sent = world.run(&["upload", "--delta", name, &format!("oh:{drive}"), "--chunk-size", "64k"]);
        assert_eq!(sent.code, 0, "{}", sent.stderr);
    }
    let read = |world: &World| -> u64 {
        data_requests(&world.emulator().log(), "read")
            .iter()
            .map(|read| read.path.rsplit_once('/').unwrap().1.parse::<u64>().unwrap())
            .sum()
    };
    let before = read(&world);
    let second = backup(&world, &["oh:", "--all"]);
    let sum = second.events().into_iter().rfind(|event| event["set"] == true).unwrap();
    assert_eq!((number(&sum, "members_done"), number(&sum, "chunks_sent")), (12, 60), "{sum}");
    assert_eq!(number(&sum, "chunks_unchanged"), 1140);
    let (whole, read) = (12 * 100 * CHUNK, read(&world) - before);
    assert!(read * 100 <= whole * 8, "{read} of {whole}");
    let written = size(&files(&store, "cacnk")) - chunks_then;
    assert!(written * 100 <= chunks_then * 8, "{written} of {chunks_then}");
    for (_, image, drive) in &drives {
        assert!(world.drive_bytes(drive)[..] == std::fs::read(image).unwrap()[..]);
    }
    let out = world.run(&["restore", "store", "out", "--all"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    for (name, image, _) in &drives {
        assert!(same(image, &world.path("out").join(name)), "{name}");
    }
}

/// A drive that somebody else wrote to is read, whatever the record says.
#[test]
fn a_drive_that_was_written_to_elsewhere_is_read_again() {
    let world = World::new("");
    let image = world.image("a.img", 2 * MIB);
    let drive = world.upload(&["a.img", "oh:", "--chunk-size", "64k"]);
    let target = format!("oh:{drive}");
    let first = backup(&world, &[&target]);
    assert_eq!(number(&summary(&first), "chunks_total"), 32);
    // Nothing has changed: nothing is sent, and hardly anything read.
    let same_again = backup(&world, &[&target]);
    assert_eq!(same_again.event("plan")["delta"], "trusted");
    assert_eq!(number(&summary(&same_again), "chunks_unchanged"), 32);
    let bytes = noise(3, 65_536);
    std::fs::write(world.path("bytes"), &bytes).unwrap();
    let wrote = world.run(&["call", "oh:", "drives.write", &drive, "65536", "-f", "bytes"]);
    assert_eq!(wrote.code, 0, "{}", wrote.stderr);
    let after = backup(&world, &[&target]);
    assert_eq!(after.event("plan")["delta"], "read back");
    assert_eq!(number(&summary(&after), "chunks_sent"), 1, "{}", after.stdout);
    let out = world.run(&["restore", "store/a.img", "back.img"]);
    assert_eq!(out.code, 0, "{}", out.stderr);
    let mut wanted = std::fs::read(&image).unwrap();
    wanted[65_536..131_072].copy_from_slice(&bytes);
    assert!(std::fs::read(world.path("back.img")).unwrap() == wanted);
}

#[test]
fn drives_of_one_name_have_backups_of_their_own() {
    let world = World::new("");
    world.image("a.img", MIB);
    std::fs::write(world.path("b.img"), noise(8, 1 << 20)).unwrap();
    world.upload(&["a.img", "oh:", "--name", "twin"]);
    world.upload(&["b.img", "oh:", "--name", "twin"]);
    for _ in 0..2 {
        let ended = backup(&world, &["oh:", "--all"]);
        assert_eq!(ended.code, 0, "{} {}", ended.stdout, ended.stderr);
    }
    let out = world.run(&["restore", "store", "out", "--all"]);
    assert_eq!(out.code, 0, "{} {}", out.stdout, out.stderr);
    let mut restored: Vec<Vec<u8>> = Vec::new();
    for entry in std::fs::read_dir(world.path("out")).unwrap() {
        restored.push(std::fs::read(entry.unwrap().path()).unwrap());
    }
    assert_eq!(restored.len(), 2);
    for image in ["a.img", "b.img"] {
        assert!(restored.contains(&std::fs::read(world.path(image)).unwrap()), "{image}");
    }
}

#[test]
fn a_drive_that_a_server_uses_is_refused_unless_it_is_wanted() {
    let world = World::new("");
    world.image("a.img", MIB);
    let drive = world.upload(&["a.img", "oh:"]);
    let server = world.run(&[
        "server",
        "create",
        "oh:",
        "name=s",
        "cpu=1000",
        "mem=512",
        "persistent=true",
        "boot=ide:0:0",
        &format!("ide:0:0={drive}"),
    ]);
    assert_eq!(server.code, 0, "{}", server.stderr);
    let target = format!("oh:{drive}");
    let refused = world.run(&["backup", &target, "store"]);
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("is in use") && refused.stderr.contains("--if-in-use"),
        "{}",
        refused.stderr
    );
    assert!(indexes(&world.path("store")).is_empty());
    let warned = world.run(&["backup", &target, "store", "--if-in-use", "warn"]);
    assert!(warned.code == 0 && warned.stderr.contains("may be half old"), "{}", warned.stderr);
    let quiet = world.run(&["backup", &target, "store", "--if-in-use", "ignore"]);
    assert!(quiet.code == 0 && !quiet.stderr.contains("half old"), "{}", quiet.stderr);
    let download = world.run(&["download", &target, "x.img", "--if-in-use", "refuse"]);
    assert_eq!(download.code, 1, "{}", download.stderr);
    assert!(!world.path("x.img").exists());
}

/// Killed at twenty moments, with a prune and a restore of other processes in between: whatever index there is, is whole.
#[test]
fn no_index_is_ever_without_its_chunks() {
    let world = World::new("");
    let image = world.image("a.img", 4 * MIB);
    let drive = world.upload(&["a.img", "oh:", "--chunk-size", "64k"]);
    let (target, store) = (format!("oh:{drive}"), world.path("store"));
    let args = ["backup", &target, "store", "--chunk-size", "64k", "--concurrency", "4"];
    assert_eq!(world.run(&args).code, 0);
    let mut wrong = 0;
    for n in 0..20 {
        // Another part of the drive is new each time, and the drive counts the write: nothing is trusted.
        change(&image, (n..64).step_by(7), 100 * n);
        let sent = world.run(&["upload", "a.img", &target, "--chunk-size", "64k"]);
        assert_eq!(sent.code, 0, "{}", sent.stderr);
        let moment = (Stage::Received, Operation::Read, 1 + n * 3);
        let mut command = world.command(&args);
        let (_, killed) = moment::run_until(world.emulator(), &mut command, moment);
        wrong += u32::from(!killed);
        let beside = [
            vec!["backups", "prune", "store", "--keep-last", "2"],
            vec!["restore", "store/a.img", "back.img", "--force"],
            vec!["backups", "list", "store"],
        ];
        let ended = world.run(&beside[usize::try_from(n).unwrap() % 3]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let whole = world.run(&["backups", "verify", "store", "--read-data"]);
        assert_eq!(whole.code, 0, "after kill {n}: {} {}", whole.stdout, whole.stderr);
    }
    assert!(wrong < 10, "{wrong} runs ended before they could be killed");
    assert_eq!(world.run(&args).code, 0);
    let back = world.run(&["restore", "store/a.img", "back.img", "--force"]);
    assert_eq!(back.code, 0, "{}", back.stderr);
    assert!(same(&image, &world.path("back.img")));
    // What the killed runs left goes with the next prune.
    let pruned = world.run(&["backups", "prune", "store", "--keep-last", "1"]);
    assert_eq!(pruned.code, 0, "{}", pruned.stderr);
    assert_eq!(indexes(&store).len(), 1);
    assert!(files(&store, "cacnk").len() <= 65, "{}", files(&store, "cacnk").len());
}

/// What a killed run has written is not written again, and where the drive tells that it is as it was, not read again either.
#[test]
fn a_killed_backup_goes_on() {
    let world = World::new("");
    std::fs::write(world.path("a.img"), noise(4, 4 << 20)).unwrap();
    let drive = world.upload(&["a.img", "oh:", "--chunk-size", "64k"]);
    let target = format!("oh:{drive}");
    let args = [
        "--json",
        "backup",
        &target,
        "store",
        "--chunk-size",
        "64k",
        "--concurrency",
        "2",
        "--resume",
        "auto",
    ];
    // Without the record of what it holds.
    std::fs::remove_dir_all(world.path(".local/state/diskferry/contents")).unwrap();
    world.kill_at(world.emulator(), &args, (Stage::Received, Operation::Read, 40));
    let there = files(&world.path("store"), "cacnk").len();
    assert!((20..64).contains(&there), "{there}");
    let ended = world.run(&args);
    let told = summary(&ended);
    let (resumed, sent) = (number(&told, "chunks_resumed"), number(&told, "chunks_sent"));
    assert!(resumed > 15 && resumed + sent + number(&told, "chunks_unchanged") == 64, "{told}");
    assert!(world.journals().is_empty());
}

/// What the properties beside an index say may be anything: no key of a request is made of a value.
#[test]
fn properties_that_were_tampered_with_make_no_keys() {
    let world = World::new("");
    world.image("a.img", MIB);
    let drive = world.upload(&["a.img", "oh:", "--set", "tags=blue"]);
    assert_eq!(backup(&world, &[&format!("oh:{drive}")]).code, 0);
    let path = files(&world.path("store"), "json").pop().unwrap();
    let mut known: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(known["keys"]["tags"], "blue");
    known["keys"]["tags"] = "blue\nsize 1\nuser:evil yes".into();
    known["keys"]["user:kept"] = "yes".into();
    known["keys"]["status"] = "dead".into();
    std::fs::write(&path, known.to_string()).unwrap();
    let restored = world.run(&["restore", "store/a.img", "oh:"]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    let info = world.run(&["call", "oh:", "drives.info", restored.stdout.trim()]).stdout;
    assert!(info.contains("user:kept yes\n") && !info.contains("evil") && !info.contains("tags"), "{info}");
    assert!(!info.contains("dead"), "{info}");
}

/// A chunk that is in the store already is a claim: some are read before a backup builds on them.
#[test]
fn a_backup_does_not_build_on_a_store_that_is_damaged() {
    let world = World::new("");
    // As few chunks as a sample has.
    std::fs::write(world.path("a.img"), noise(21, 4 << 16)).unwrap();
    let drive = world.upload(&["a.img", "oh:"]);
    let target = format!("oh:{drive}");
    assert_eq!(number(&summary(&backup(&world, &[&target])), "chunks_verified"), 0);
    let again = backup(&world, &[&target, "--resume", "full"]);
    assert_eq!(number(&summary(&again), "chunks_verified"), 4, "{}", again.stdout);
    let store = world.path("store");
    let victim = files(&store, "cacnk").pop().unwrap();
    let bytes = std::fs::read(&victim).unwrap();
    std::fs::write(&victim, &bytes[..bytes.len() - 9]).unwrap();
    for resume in ["auto", "full"] {
        let refused = backup(&world, &[&target, "--resume", resume, "--retries", "0"]);
        assert_ne!(refused.code, 0, "{resume}: {}", refused.stdout);
        assert!(
            refused.stdout.contains(victim.file_stem().unwrap().to_str().unwrap()),
            "{resume}: {}",
            refused.stdout
        );
    }
    assert_eq!(indexes(&store).len(), 2);
    // Removed, it is written anew.
    std::fs::remove_file(&victim).unwrap();
    summary(&backup(&world, &[&target]));
    assert_eq!(world.run(&["backups", "verify", "store", "--read-data"]).code, 0);
}

/// What the store has is read back where that is asked for, also what an earlier backup wrote.
#[test]
fn a_backup_that_is_verified_reads_the_store() {
    let world = World::new("");
    std::fs::write(world.path("a.img"), noise(12, 1 << 20)).unwrap();
    let drive = world.upload(&["a.img", "oh:"]);
    let target = format!("oh:{drive}");
    let first = backup(&world, &[&target, "--verify", "full"]);
    assert_eq!(number(&summary(&first), "chunks_verified"), 16, "{}", first.stdout);
    let store = world.path("store");
    let victim = files(&store, "cacnk").pop().unwrap();
    let bytes = std::fs::read(&victim).unwrap();
    std::fs::write(&victim, &bytes[..bytes.len() / 2]).unwrap();
    let second = backup(&world, &[&target, "--verify", "full", "--retries", "0"]);
    assert_ne!(second.code, 0, "{}", second.stdout);
    assert!(second.stdout.contains(victim.file_stem().unwrap().to_str().unwrap()), "{}", second.stdout);
    assert_eq!(indexes(&store).len(), 1);
}

#[test]
fn what_is_damaged_is_named_and_never_restored() {
    let world = World::new("");
    world.image("a.img", 2 * MIB);
    let drive = world.upload(&["a.img", "oh:", "--chunk-size", "64k"]);
    assert_eq!(backup(&world, &[&format!("oh:{drive}")]).code, 0);
    let chunks = files(&world.path("store"), "cacnk");
    let victim = chunks.iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let bytes = std::fs::read(victim).unwrap();
    let mut other = bytes.clone();
    let middle = other.len() / 2;
    other[middle] ^= 0x40;
    for (what, damaged) in
        [("changed", Some(other)), ("short", Some(bytes[..middle].to_vec())), ("gone", None)]
    {
        match damaged {
            Some(damaged) => std::fs::write(victim, damaged).unwrap(),
            None => std::fs::remove_file(victim).unwrap(),
        }
        let verified = world.run(&["backups", "verify", "store", "--read-data"]);
        assert_eq!(verified.code, 6, "{what}: {} {}", verified.stdout, verified.stderr);
        let digest = victim.file_stem().unwrap().to_str().unwrap();
        assert!(verified.stdout.contains(digest), "{what}: {}", verified.stdout);
        let restored = world.run(&["restore", "store/a.img", "back.img", "--retries", "0"]);
        assert_ne!(restored.code, 0, "{what}");
        assert!(restored.stderr.contains(digest), "{what}: {}", restored.stderr);
        assert!(!world.path("back.img").exists(), "{what}");
    }
    // A backup that reads the drive writes the chunk that is gone.
    let mended = backup(&world, &[&format!("oh:{drive}"), "--resume", "full"]);
    assert_eq!(mended.code, 0, "{} {}", mended.stdout, mended.stderr);
    assert_eq!(world.run(&["backups", "verify", "store", "--read-data"]).code, 0);
    let restored = world.run(&["restore", "store/a.img", "whole.img"]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
}
