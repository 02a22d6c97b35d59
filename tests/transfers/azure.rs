//! Fixed VHDs on Azurite: made on the way there, taken off on the way back.

use crate::azurite::{Azurite, account_sas};
use crate::support::moment::until;
use crate::support::qemu_img::{is_here, qemu_img};
use crate::world::{Ended, World};
use diskferry::journal;
use std::io::Write;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 9 * MIB + 4_321;

/// A world with a container as `az:`, and an image `raw` with its bytes as a VHD holds them.
fn world() -> Option<(World, Azurite, Vec<u8>)> {
    let server = Azurite::start()?;
    let world = World::new("");
    let mut config = std::fs::OpenOptions::new().append(true).open(world.path("config.toml")).unwrap();
    let (url, token) = (server.url(), account_sas("2999-01-01T00:00:00Z", "rwdlac"));
    writeln!(config, "[remotes.az]\nprovider = \"azure\"\nurl = \"{url}\"\nsecret = \"{token}\"").unwrap();
    let mut padded = std::fs::read(world.image("raw", SIZE)).unwrap();
    padded.resize(10 << 20, 0);
    Some((world, server, padded))
}

fn ok(ended: &Ended) {
    assert_eq!(ended.code, 0, "{} {}", ended.stdout, ended.stderr);
}

#[test]
fn a_vhd_goes_there_in_several_runs_and_comes_back_without_its_footer() {
    let Some((world, _server, padded)) = world() else { return };
    let options = ["--chunk-size", "64k", "--concurrency", "2"];
    let upload =
        [&["upload", "raw", "az:", "--name", "disk.vhd", "--target-format", "vhd"], &options[..]].concat();
    let acknowledged = || match &world.journals()[..] {
        [path] => journal::peek(path).map_or(0, |replay| replay.acked.len()),
        _ => 0,
    };
    for _ in 0..4 {
        let before = acknowledged();
        // So slow that it cannot end before it is seen to have come further.
        let mut child = world.spawn(&[&upload[..], &["--bwlimit", "512k"]].concat());
        until("more chunks", || acknowledged() > before + 3 || child.try_wait().unwrap().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(acknowledged() > before + 3, "it was killed in the middle");
    }
    ok(&world.run(&[&upload[..], &["--verify", "full"]].concat()));
    ok(&world.run(&["verify", "raw", "az:disk.vhd", "--target-format", "vhd"]));
    let equal = world.run(&["verify", "raw", "az:disk.vhd"]);
    assert!(equal.code == 0 && equal.stderr.contains("is a fixed VHD"), "{}", equal.stderr);

    let down = world.run(&["download", "az:disk.vhd", "back"]);
    ok(&down);
    assert!(down.stderr.contains("without its footer (`--format vhd` keeps it"), "{}", down.stderr);
    assert!(std::fs::read(world.path("back")).unwrap() == padded);
    ok(&world.run(&["download", "az:disk.vhd", "whole", "--format", "vhd"]));
    let whole = std::fs::read(world.path("whole")).unwrap();
    assert!(whole[..padded.len()] == padded && whole.len() == padded.len() + 512);
    // That file is an image again, and compared as it is.
    ok(&world.run(&["verify", "whole", "az:disk.vhd", "--source-format", "raw"]));
    ok(&world.run(&["verify", "whole", "az:disk.vhd", "--target-format", "vhd"]));
    ok(&world.run(&["download", "az:disk.vhd", "file", "--format", "qcow2", "--compress", "auto"]));
    if is_here() {
        qemu_img(&world.path(""), "compare -q -f vpc -F raw whole back");
        qemu_img(&world.path(""), "compare -q -f qcow2 -F raw file back");
    }

    let migrated = world.run(&["migrate", "az:disk.vhd", "oh:", "--verify", "full"]);
    ok(&migrated);
    let drive = migrated.stdout.trim().to_owned();
    assert!(world.drive_bytes(&drive) == padded);
    // And the other way: a drive becomes what Azure boots.
    let from = format!("oh:{drive}");
    ok(&world.run(&["migrate", &from, "az:", "--name", "again", "--target-format", "vhd"]));
    ok(&world.run(&["download", "az:again", "again", "--format", "vhd"]));
    let again = std::fs::read(world.path("again")).unwrap();
    assert!(again[..padded.len()] == padded && again[padded.len()..].starts_with(b"conectix"));
}

#[test]
fn what_has_no_footer_is_as_it_is_and_one_that_is_wrong_is_said() {
    let Some((world, _server, padded)) = world() else { return };
    ok(&world.run(&["upload", "raw", "az:", "--name", "plain"]));
    let down = world.run(&["download", "az:plain", "back"]);
    ok(&down);
    let back = std::fs::read(world.path("back")).unwrap();
    assert!(back[..] == padded[..back.len()] && back.len() as u64 == SIZE.next_multiple_of(512));
    assert!(!down.stderr.contains("VHD"), "{}", down.stderr);
    ok(&world.run(&["download", "az:plain", "whole", "--format", "vhd"]));
    let mut whole = std::fs::read(world.path("whole")).unwrap();
    assert!(whole[..padded.len()] == padded && whole[padded.len()..].starts_with(b"conectix"));

    whole.drain(..1 << 20);
    std::fs::write(world.path("cut"), &whole).unwrap();
    ok(&world.run(&["upload", "cut", "az:", "--name", "cut", "--source-format", "raw"]));
    let refused = world.run(&["download", "az:cut", "out"]);
    assert!(refused.code == 1 && refused.stderr.contains("is a VHD of 10485760 bytes"), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: `--format vhd` keeps it as it is"), "{}", refused.stderr);
    ok(&world.run(&["download", "az:cut", "out", "--format", "vhd"]));
    assert!(std::fs::read(world.path("out")).unwrap() == whole);

    let refused =
        world.run(&["upload", "cut", "az:plain", "--source-format", "raw", "--target-format", "vhd"]);
    assert_eq!(refused.code, 1, "it does not fit: {}", refused.stderr);
    world.image("small", MIB);
    let refused = world.run(&["upload", "small", "az:plain", "--target-format", "vhd"]);
    assert!(refused.code == 2 && refused.stderr.contains("would not be at the end"), "{}", refused.stderr);
}
