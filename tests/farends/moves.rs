//! What goes up comes down, and holes stay holes.

use crate::end::{End, Kind};
use crate::images::{CHUNK, MIB, allocated, data, file_system, same, size};
use crate::world::World;
use std::os::unix::fs::FileExt;

fn moves(kind: Kind) {
    let Some(end) = End::start(kind, size(), None) else { return };
    let world = World::new("");
    let image = file_system(&world.path(""), "root.img", size());
    let disk = end.remote(&world, "far");
    let chunk = CHUNK.to_string();
    let options = ["--chunk-size", &chunk, "--retries", "20"];
    let to = if kind.creates() { "far:" } else { &*disk };
    let upload = [&["--json", "upload", "root.img", to, "--verify", "full"], end.arguments(), &options];
    let ended = world.run(&upload.concat());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let summary = ended.event("summary");
    assert_eq!(summary["chunks_verified"], summary["chunks_total"], "{summary}");
    let zeros = summary["chunks_zero"].as_u64().unwrap() * CHUNK;
    assert_eq!(zeros, size() - data(&image), "zeros are not sent: {summary}");
    if kind == Kind::Nbdkit {
        assert!(summary["retries"].as_u64().unwrap() > 0, "{summary}");
    }
    let most = data(&image) * 5 / 4 + MIB;
    assert!(end.gateway.passed().up < most, "{:?} of {most}", end.gateway.passed());

    end.gateway.reset();
    let fetched = world.run(&[&["--json", "download", &disk, "back.img"], &options[..]].concat());
    assert_eq!(fetched.code, 0, "{}", fetched.stderr);
    let back = world.path("back.img");
    assert!(same(&image, &back));
    assert!(allocated(&back) <= data(&image) + MIB, "{} bytes are allocated", allocated(&back));
    // Holes are not fetched, but where the server does not know them: of a file it says that all is data.
    let down = end.gateway.passed().down;
    assert!(kind == Kind::ImageioFile || down < most, "{down} of {most}");

    let verify = world.run(&[&["verify", "root.img", &disk], &options[..]].concat());
    assert_eq!(verify.code, 0, "{}", verify.stderr);
    let file = std::fs::File::options().write(true).open(&back).unwrap();
    file.write_all_at(b"another", 3 * MIB).unwrap();
    let verify = world.run(&[&["verify", "back.img", &disk], &options[..]].concat());
    assert_eq!(verify.code, 6, "{}", verify.stderr);
    assert!(verify.stderr.contains(&(3 * MIB).to_string()), "{}", verify.stderr);
    assert!(world.journals().is_empty());
    end.judge(&image);
}

#[test]
fn qemu_nbd_over_a_raw_image() {
    moves(Kind::QemuNbdRaw);
}

#[test]
fn qemu_nbd_over_a_qcow2_image() {
    moves(Kind::QemuNbdQcow2);
}

#[test]
fn nbdkit_with_errors_and_delays() {
    moves(Kind::Nbdkit);
}

#[test]
fn imageio_over_a_file() {
    moves(Kind::ImageioFile);
}

#[test]
fn imageio_over_qemu_nbd() {
    moves(Kind::ImageioQcow2);
}

#[test]
fn azurite() {
    moves(Kind::Azurite);
}
