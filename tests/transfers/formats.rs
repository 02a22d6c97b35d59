//! Images in the formats that people have, through the binary: what comes down is what `qemu-img` says is in them.

use crate::support::qemu_img::{is_here, qemu_img, raw, run};
use crate::world::{Ended, World};
use diskferry::emulator::{Operation, Stage};
use std::io::Write;
use std::process::Stdio;

const MIB: u64 = 1 << 20;

/// Uploads by chunks of 128 KiB, with more arguments; it has to succeed.
fn uploaded(world: &World, image: &str, more: &[&str]) -> Ended {
    let args = [&["--json", "upload", image, "oh:", "--chunk-size", "128k"], more].concat();
    let ended = world.run(&args);
    assert_eq!(ended.code, 0, "{image}: {} {}", ended.stdout, ended.stderr);
    ended
}

#[test]
fn what_goes_up_in_any_format_comes_down_raw() {
    if !is_here() {
        return;
    }
    let world = World::new("");
    world.image("raw", 16 * MIB);
    let dir = world.path("");
    for (theirs, options, format) in [
        ("qcow2", "", "qcow2"),
        ("qcow2", "-c -o compression_type=zstd", "qcow2"),
        ("vmdk", "-o subformat=streamOptimized", "vmdk"),
        ("vmdk", "-o subformat=monolithicFlat", "vmdk"),
        ("vpc", "-o force_size=on", "vhd"),
        ("vpc", "-o subformat=fixed,force_size=on", "vhd"),
        ("vhdx", "", "vhdx"),
    ] {
        qemu_img(&dir, &format!("convert -f raw -O {theirs} {options} raw image"));
        let ended = uploaded(&world, "image", &["--verify", "full"]);
        assert_eq!(ended.event("plan")["format"], format);
        let summary = ended.event("summary");
        let drive = summary["drive"].as_str().unwrap();
        let down = world.run(&["download", &format!("oh:{drive}"), "back", "--force"]);
        assert_eq!(down.code, 0, "{}", down.stderr);
        assert!(
            std::fs::read(world.path("back")).unwrap() == raw(&dir, theirs, "image"),
            "{theirs} {options}"
        );
        // The last eighth of the image is a hole, and no hole is read.
        assert!(summary["chunks_zero"].as_u64().unwrap() >= 16, "{theirs} {options}: {summary}");
    }
    // The same into the provider that is always there.
    let local = world.run(&["upload", "image", "local:", "--dry-run"]);
    assert!(local.code == 0 && local.stderr.contains("upload image (vhdx) to local:"), "{}", local.stderr);
    let drive = world.run(&["upload", "image", "local:"]).stdout;
    let down = world.run(&["download", &format!("local:{}", drive.trim_end()), "back", "--force"]);
    assert_eq!(down.code, 0, "{}", down.stderr);
    assert!(std::fs::read(world.path("back")).unwrap() == std::fs::read(world.path("raw")).unwrap());
}

#[test]
fn holes_of_a_format_are_counted_without_being_read() {
    if !is_here() {
        return;
    }
    let world = World::new("");
    let dir = world.path("");
    // A disk of 64 GiB: to read its zeros would take longer than anybody waits.
    qemu_img(&dir, "create -q -f qcow2 sparse 64G");
    run("qemu-io", &dir, &["-c", "write -P 7 33G 1M", "-c", "write -z 5G 64M", "sparse"]);
    let ended = world.run(&["--json", "upload", "sparse", "oh:", "--chunk-size", "1M", "--zeros", "skip"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let summary = ended.event("summary");
    assert_eq!(summary["chunks_total"], 64 << 10);
    assert_eq!((&summary["chunks_sent"], &summary["chunks_zero"]), (&1.into(), &((64 << 10) - 1).into()));
}

#[test]
fn an_image_of_a_format_is_resumed_and_its_change_is_noticed() {
    if !is_here() {
        return;
    }
    let world = World::new("");
    world.image("raw", 16 * MIB);
    let dir = world.path("");
    qemu_img(&dir, "convert -c -O qcow2 raw image");
    let args = ["--json", "upload", "image", "oh:", "--chunk-size", "128k", "--concurrency", "4"];
    world.kill_at(world.emulator(), &args, (Stage::Answered, Operation::Write, 30));
    // As another format it is another image.
    let other = world.run(&[&args[..], &["--source-format", "raw"]].concat());
    assert!(other.code == 1 && other.stderr.contains("the image changed"), "{}", other.stderr);
    let ended = world.run(&args);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let summary = ended.event("summary");
    assert!(summary["chunks_resumed"].as_u64().unwrap() >= 8, "{summary}");
    let expected = std::fs::read(world.path("raw")).unwrap();
    assert!(world.drive_bytes(summary["drive"].as_str().unwrap()) == expected);

    world.kill_at(world.emulator(), &args, (Stage::Answered, Operation::Write, 30));
    run("qemu-io", &dir, &["-c", "write -P 7 1M 64k", "image"]);
    let refused = world.run(&args);
    assert!(refused.code == 1 && refused.stderr.contains("the image changed"), "{}", refused.stderr);
    let again = world.run(&[&args[..], &["--restart"]].concat());
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(
        world.drive_bytes(again.event("summary")["drive"].as_str().unwrap()) == raw(&dir, "qcow2", "image")
    );
}

#[test]
fn what_is_packed_is_unpacked_and_resumed() {
    let world = World::new("");
    let image = world.image("raw", 16 * MIB);
    let bytes = std::fs::read(&image).unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&bytes).unwrap();
    let packed = packed.finish().unwrap();
    std::fs::write(world.path("raw.gz"), &packed).unwrap();
    let args = ["--json", "upload", "raw.gz", "oh:", "--chunk-size", "128k", "--concurrency", "4"];
    world.kill_at(world.emulator(), &args, (Stage::Answered, Operation::Write, 30));
    let ended = world.run(&args);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.event("plan")["format"], "raw in gzip");
    let summary = ended.event("summary");
    assert!(summary["chunks_resumed"].as_u64().unwrap() >= 8, "{summary}");
    assert!(world.drive_bytes(summary["drive"].as_str().unwrap()) == bytes);
    // On standard input, too, of a known size or with zeros behind it.
    for (size, padding) in [(["--size", "16M"], 0), (["--size-at-most", "17M"], MIB)] {
        let mut command =
            world.command(&[&["upload", "-", "oh:", "--chunk-size", "128k"], &size[..]].concat());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&packed).unwrap();
        let ended = Ended::new(child.wait_with_output().unwrap());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let drive = world.drive_bytes(ended.stdout.trim_end());
        assert!(drive == [&bytes[..], &vec![0; usize::try_from(padding).unwrap()]].concat());
    }
    // Nothing that is named is wrong.
    for (args, code, says) in [
        (&["upload", "raw", "oh:", "--source-format", "qcow2"][..], 1, "it is not a qcow2 image"),
        (&["upload", "raw", "oh:", "--source-format", "vhd"], 1, "it is not a VHD image"),
        (&["upload", "raw", "oh:", "--source-format", "vhdx"], 1, "it is not a VHDX image"),
        (&["upload", "raw", "oh:", "--source-format", "vmdk"], 1, "it is not a VMDK image"),
        (&["upload", "raw.gz", "oh:", "--source-format", "qcow2"], 1, "it is not a qcow2 image"),
        (&["upload", "raw", "oh:", "--source-format", "vdi"], 2, "expected auto, raw"),
        (&["upload", "raw", "oh:", "--member", "x"], 2, "`--member` is for archives"),
        (&["upload", "raw", "oh:", "--size-at-most", "1G"], 2, "`--size-at-most` is for"),
    ] {
        let ended = world.run(args);
        assert!(ended.code == code && ended.stderr.contains(says), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn a_format_is_sent_as_it_is_where_that_is_asked_for() {
    if !is_here() {
        return;
    }
    let world = World::new("");
    world.image("raw", 2 * MIB);
    let dir = world.path("");
    qemu_img(&dir, "convert -O qcow2 raw image");
    let ended = uploaded(&world, "image", &["--source-format", "raw"]);
    assert_eq!(ended.event("plan")["format"], "raw");
    let drive = ended.event("summary")["drive"].as_str().unwrap().to_owned();
    assert!(world.drive_bytes(&drive) == std::fs::read(world.path("image")).unwrap());
    // A chain goes up only where that is asked for.
    qemu_img(&dir, "create -q -f qcow2 -b image -F qcow2 top");
    run("qemu-io", &dir, &["-c", "write -P 9 1M 64k", "top"]);
    let refused = world.run(&["upload", "top", "oh:"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("its backing file is another file, `image`"),
        "{}",
        refused.stderr
    );
    assert!(refused.stderr.contains("--follow-backing"));
    let ended = uploaded(&world, "top", &["--follow-backing"]);
    assert!(
        world.drive_bytes(ended.event("summary")["drive"].as_str().unwrap()) == raw(&dir, "qcow2", "top")
    );
    // A qcow2 on standard input is told, and not sent.
    let stdin = std::fs::File::open(world.path("image")).unwrap();
    let ended =
        Ended::new(world.command(&["upload", "-", "oh:", "--size", "2M"]).stdin(stdin).output().unwrap());
    assert!(ended.code == 1 && ended.stderr.contains("cannot be read sequentially"), "{}", ended.stderr);
}
