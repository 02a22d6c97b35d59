//! Moving only what differs, to and from servers that nobody here wrote: NBD tells nothing of writes, Azure does.

use crate::end::{End, Kind};
use crate::images::{CHUNK, MIB, file_system, same};
use crate::kills::kill_once_ahead;
use crate::world::{Ended, World, noise};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const SIZE: u64 = 16 * MIB;

fn change(image: &Path, chunks: impl IntoIterator<Item = u64>) {
    let file = File::options().write(true).open(image).unwrap();
    for chunk in chunks {
        file.write_all_at(&noise(chunk + 7, 600), chunk * CHUNK + 700).unwrap();
    }
}

fn summary(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{} {}", ended.stdout, ended.stderr);
    ended.event("summary")
}

/// A far end with an image on its disk; `None` where it is not installed.
fn uploaded(kind: Kind) -> Option<(World, End, String)> {
    let end = End::start(kind, SIZE, None)?;
    let world = World::new("");
    file_system(&world.path(""), "root.img", SIZE);
    let disk = end.remote(&world, "far");
    let to = if kind.creates() { "far:" } else { &*disk };
    let chunk = CHUNK.to_string();
    let args = [&["--json", "upload", "root.img", to, "--chunk-size", &chunk], end.arguments()].concat();
    summary(&world.run(&args));
    end.gateway.reset();
    Some((world, end, disk))
}

fn up(world: &World, disk: &str, more: &[&str]) -> Ended {
    let chunk = CHUNK.to_string();
    world.run(&[&["--json", "upload", "root.img", disk, "--delta", "--chunk-size", &chunk], more].concat())
}

fn how(ended: &Ended) -> (String, u64) {
    let sent = summary(ended)["chunks_sent"].as_u64().unwrap();
    (ended.event("plan")["delta"].as_str().unwrap().to_owned(), sent)
}

fn read_back(kind: Kind) {
    let Some((world, end, disk)) = uploaded(kind) else { return };
    let image = world.path("root.img");
    change(&image, [0, 9, 127]);
    let first = up(&world, &disk, &[]);
    assert_eq!(how(&first), ("read back".to_owned(), 3), "{}", first.stdout);
    let plan = first.event("plan");
    assert!(
        plan["delta_why"].as_str().unwrap().contains("does not tell whether it was written to"),
        "{plan}"
    );
    // Holes of the disk are known without reading; what differs alone goes there.
    let passed = end.gateway.passed();
    assert!(passed.up < 3 * CHUNK + MIB / 2, "{passed:?}");
    assert!(passed.down < SIZE * 3 / 4, "{passed:?}");
    // On the user's word nothing is read.
    change(&image, [4]);
    end.gateway.reset();
    let trusted = up(&world, &disk, &["--resume", "trust", "--verify", "none"]);
    assert_eq!(how(&trusted), ("trusted".to_owned(), 1), "{}", trusted.stdout);
    assert!(end.gateway.passed().down < MIB, "{:?}", end.gateway.passed());
    // Down again: everything is fetched and compared, and only what differs is written.
    let back = world.path("back.img");
    std::fs::copy(&image, &back).unwrap();
    change(&back, [1, 50]);
    let chunk = CHUNK.to_string();
    let down = world.run(&["--json", "download", &disk, "back.img", "--delta", "--chunk-size", &chunk]);
    assert_eq!(how(&down).0, "read back", "{}", down.stdout);
    assert!(how(&down).1 <= 2, "{}", down.stdout);
    assert!(same(&image, &back));
    end.judge(&image);
}

#[test]
fn qemu_nbd_is_read_back() {
    read_back(Kind::QemuNbdQcow2);
}

#[test]
fn the_image_server_is_read_back() {
    read_back(Kind::ImageioQcow2);
}

/// What was flushed before the kill counts, and what was read back is not read again: nothing there tells of writes.
#[test]
fn a_delta_to_qemu_nbd_that_is_killed_goes_on() {
    let Some((world, end, disk)) = uploaded(Kind::QemuNbdRaw) else { return };
    let image = world.path("root.img");
    change(&image, 0..100);
    let chunk = CHUNK.to_string();
    let args = [
        "upload",
        "root.img",
        &*disk,
        "--delta",
        "--chunk-size",
        &chunk,
        "--concurrency",
        "2",
        "--bwlimit",
        "2M:",
    ];
    kill_once_ahead(&world, &end.gateway, &args, true);
    end.gateway.reset();
    let last = up(&world, &disk, &[]);
    assert_eq!(how(&last).0, "trusted", "{}", last.stdout);
    assert!(summary(&last)["chunks_resumed"].as_u64().unwrap() > 0, "{}", last.stdout);
    assert!(end.gateway.passed().down < SIZE / 2, "{:?}", end.gateway.passed());
    assert!(world.journals().is_empty());
    let verified = world.run(&["verify", "root.img", &disk]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
}

#[test]
fn a_blob_is_trusted_by_its_etag() {
    let Some((world, end, disk)) = uploaded(Kind::Azurite) else { return };
    let image = world.path("root.img");
    // So that what others overwrite is something.
    change(&image, [0, 9, 127]);
    File::options().write(true).open(&image).unwrap().write_all_at(&noise(5, 512), 0).unwrap();
    let first = up(&world, &disk, &[]);
    assert_eq!(how(&first), ("trusted".to_owned(), 3), "{}", first.stdout);
    assert!(end.gateway.passed().down < MIB, "{:?}", end.gateway.passed());
    assert_eq!(how(&up(&world, &disk, &[])), ("trusted".to_owned(), 0));
    end.azurite().interfere(crate::end::DISK);
    let mended = up(&world, &disk, &[]);
    assert_eq!(how(&mended), ("read back".to_owned(), 1), "{}", mended.stdout);
    assert!(mended.event("plan")["delta_why"].as_str().unwrap().contains("written to since"));
    // From another machine, with another state directory.
    change(&image, [33]);
    let chunk = CHUNK.to_string();
    let elsewhere = world
        .command(&["upload", "root.img", &disk, "--delta", "--chunk-size", &chunk])
        .env("HOME", world.path("elsewhere"))
        .output()
        .unwrap();
    assert!(elsewhere.status.success(), "{elsewhere:?}");
    let again = up(&world, &disk, &[]);
    assert_eq!(how(&again), ("read back".to_owned(), 0), "{}", again.stdout);
    // Down again by the same token.
    let back = world.path("back.img");
    std::fs::copy(&image, &back).unwrap();
    change(&back, [1]);
    end.gateway.reset();
    let down = world.run(&["--json", "download", &disk, "back.img", "--delta", "--chunk-size", &chunk]);
    assert_eq!(how(&down), ("trusted".to_owned(), 1), "{}", down.stdout);
    assert!(end.gateway.passed().down < MIB && same(&image, &back), "{:?}", end.gateway.passed());
    end.judge(&image);
    let base = world.run(&["upload", "root.img", "far:", "--base", &disk]);
    assert!(base.code == 2 && base.stderr.contains("cannot copy blobs"), "{} {}", base.code, base.stderr);
}
