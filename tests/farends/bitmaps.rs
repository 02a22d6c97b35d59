//! Backups that read what a far end's dirty bitmap names: of QEMU by NBD, and of the oVirt image server.

use crate::end::configure;
use crate::image_server::{ImageServer, QemuNbd, Setup};
use crate::images::{MIB, same};
use crate::nbd_server::NbdServer;
use crate::support::qemu_img;
use crate::world::{Ended, World, noise};
use serde_json::Value;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const CHUNK: &str = "64k";

fn backup(world: &World, what: &str, more: &[&str]) -> Ended {
    world.run(&[&["--json", "backup", what, "store", "--chunk-size", CHUNK], more].concat())
}

fn summary(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{} {}", ended.stdout, ended.stderr);
    ended.event("summary")
}

/// Chunks sent and chunks left as they were.
fn counts(ended: &Ended) -> (u64, u64) {
    let told = summary(ended);
    (told["chunks_sent"].as_u64().unwrap(), told["chunks_unchanged"].as_u64().unwrap())
}

/// Fails unless the newest backup is what QEMU reads of an image.
fn restores(world: &World, name: &str, image: &Path) {
    let back = world.run(&["restore", &format!("store/{name}"), "back.img", "--force"]);
    assert_eq!(back.code, 0, "{}", back.stderr);
    let raw = world.path("judged.img");
    let here = world.path("");
    qemu_img::run(
        "qemu-img",
        &here,
        &["convert", "-O", "raw", image.to_str().unwrap(), raw.to_str().unwrap()],
    );
    assert!(same(&raw, &world.path("back.img")));
}

#[test]
fn what_a_bitmap_of_an_nbd_export_names_is_read_and_nothing_else() {
    if !qemu_img::is_here() {
        return;
    }
    let world = World::new("");
    let here = world.path("");
    std::fs::write(world.path("root.img"), noise(5, 16 << 20)).unwrap();
    qemu_img::qemu_img(&here, "convert -f raw -O qcow2 root.img disk.qcow2");
    qemu_img::qemu_img(&here, "bitmap --add -g 65536 disk.qcow2 nightly");
    let image = world.path("disk.qcow2");
    let serve = || NbdServer::qemu_nbd(&here, &image, "qcow2", &["-x", "disk", "-B", "nightly"]).unwrap();
    let write = |what: &str| {
        qemu_img::run("qemu-io", &here, &["-f", "qcow2", "-c", what, image.to_str().unwrap()]);
    };
    let server = serve();
    configure(&world, "far", "nbd", &server.address("disk"), None, "");
    assert_eq!(counts(&backup(&world, "far:", &[])), (256, 0));
    server.end();
    write("write -P 0x5a 1000000 70000");
    let server = serve();
    let second = backup(&world, "far:", &["--since", "last", "--bitmap", "nightly"]);
    // 1,000,000 to 1,070,000 is in the chunks 15 and 16.
    assert_eq!(counts(&second), (2, 254), "{}", second.stdout);
    let plan = second.event("plan");
    assert!(
        plan["delta"] == "trusted" && plan["delta_why"].as_str().unwrap().contains("since disk@"),
        "{plan}"
    );
    assert!(summary(&second)["bytes_wire"].as_u64().unwrap() < 3 * 65_536, "{}", second.stdout);
    server.end();
    restores(&world, "disk", &image);

    // One that is not there, or not named.
    let server = serve();
    for more in [&["--since", "last"][..], &["--since", "last", "--bitmap", "weekly"]] {
        let refused = world.run(&[&["backup", "far:", "store", "--chunk-size", CHUNK], more].concat());
        assert_eq!(refused.code, 2, "{more:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("no dirty bitmap"), "{more:?}: {}", refused.stderr);
    }
    let other = world.run(&["backup", "far:", "store", "--since", "last", "--bitmap", "nightly"]);
    assert!(other.code == 2 && other.stderr.contains("another image size or chunk size"), "{}", other.stderr);
    let never = backup(&world, "far:", &["--since", "2001-01-01T000000Z", "--bitmap", "nightly"]);
    assert_eq!(never.code, 5, "{}", never.stdout);
    server.end();

    // A bitmap that began after the backup lies: the sample finds it, and everything is read.
    write("write -P 0x11 0 16M");
    qemu_img::qemu_img(&here, "bitmap --clear disk.qcow2 nightly");
    let server = serve();
    let lied = backup(&world, "far:", &["--since", "last", "--bitmap", "nightly"]);
    assert!(lied.stdout.contains("reading all of it"), "{}", lied.stdout);
    summary(&lied);
    server.end();
    restores(&world, "disk", &image);
}

#[test]
fn the_ticket_of_an_incremental_backup_tells_what_to_read() {
    const FULL: &str = "0a1b2c3d-1111-4111-8111-000000000001";
    const NEXT: &str = "0a1b2c3d-2222-4222-8222-000000000002";
    let size = 8 * MIB;
    let Some(storage) = QemuNbd::start_with_bitmap(size, "checkpoint") else { return };
    let Some(server) = ImageServer::start(&Setup::default()) else { return };
    let world = World::new("");
    server.ticket(FULL, size, &storage.url(), &["read", "write"]);
    configure(&world, "far", "imageio", &server.url(), Some(FULL), "");
    configure(&world, "next", "imageio", &server.url(), Some(NEXT), "");
    let first = backup(&world, "far:", &[]);
    assert_eq!(summary(&first)["chunks_total"], 128);
    let name = summary(&first)["backup"].as_str().unwrap().split_once('@').unwrap().0.to_owned();
    // Full of zeros but for two chunks, which alone are written.
    let image = File::create(world.path("root.img")).unwrap();
    image.set_len(size).unwrap();
    for chunk in [3, 77] {
        image.write_all_at(&noise(chunk, 65_536), chunk * 65_536).unwrap();
    }
    let sent = world.run(&["--json", "upload", "root.img", "far:", "--chunk-size", CHUNK]);
    assert_eq!(summary(&sent)["chunks_sent"], 2, "{}", sent.stdout);
    server.incremental_ticket(NEXT, size, &storage.url());
    let second = backup(&world, "next:", &["--since", "last"]);
    assert_eq!(counts(&second), (2, 126), "{}", second.stdout);
    assert!(
        summary(&second)["backup"].as_str().unwrap().starts_with(&format!("{name}@")),
        "{}",
        second.stdout
    );
    let back = world.run(&["restore", &format!("store/{name}"), "back.img"]);
    assert_eq!(back.code, 0, "{}", back.stderr);
    assert!(same(&world.path("root.img"), &world.path("back.img")));
}
