//! What goes up comes down.

use crate::world::{World, acknowledged_writes, data_requests};
use diskferry::provider::Provider;
use sha2::{Digest, Sha256};
use std::os::unix::fs::MetadataExt;

const MIB: u64 = 1 << 20;

#[test]
fn the_first_command_of_the_readme_needs_nothing() {
    let home = tempfile::tempdir().unwrap();
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/small.ext4");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_diskferry"))
        .args(["upload", image, "--verify", "full"])
        .env_clear()
        .env("HOME", home.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("local:"), "it says where the drive is: {stderr}");
    let drive = String::from_utf8(output.stdout).unwrap();
    let raw = home.path().join(format!(".local/share/diskferry/local/drives/{}.raw", drive.trim_end()));
    assert!(std::fs::read(raw).unwrap() == std::fs::read(image).unwrap());
}

#[test]
fn an_image_goes_up_and_comes_down_identical() {
    let world = World::new("");
    let size = 40 * MIB + 12345;
    let image = world.image("root.img", size);
    let drive = world.upload(&["root.img", "oh:", "--verify", "full"]);
    let bytes = std::fs::read(&image).unwrap();
    assert!(world.drive_bytes(&drive) == bytes);
    assert!(world.journals().is_empty(), "a finished transfer leaves no journal");

    let back = world.run(&["--json", "download", &format!("oh:{drive}"), "back.img", "--sha256"]);
    assert_eq!(back.code, 0, "{}", back.stderr);
    assert!(std::fs::read(world.path("back.img")).unwrap() == bytes);
    assert!(!world.path("back.img.part").exists());
    let summary = back.event("summary");
    assert_eq!(summary["digest"], diskferry::digest::hex(&Sha256::digest(&bytes)));
    let (source, copy) =
        (image.metadata().unwrap().blocks(), world.path("back.img").metadata().unwrap().blocks());
    assert!(copy <= source + source / 20, "{copy} of 512 bytes on disk, the source has {source}");

    // Without a file the drive's name is the file's, and that is the image's.
    std::fs::create_dir(world.path("elsewhere")).unwrap();
    let named =
        world.command(&["download", &format!("oh:{drive}")]).current_dir(world.path("elsewhere")).output();
    assert!(named.unwrap().status.success());
    assert!(world.path("elsewhere/root.img").exists());
}

#[test]
fn every_provider_with_drives_takes_and_gives_images() {
    for provider in [Provider::Crosspeer, Provider::CloudSigma] {
        let world = World::of(provider, "busy=0.1,unavailable=0.05,retry-after=0,seed=4");
        let image = world.image("a.img", 9 * MIB);
        let drive = world.upload(&["a.img", "oh:", "--chunk-size", "256k", "--verify", "sample"]);
        let bytes = std::fs::read(&image).unwrap();
        assert!(world.drive_bytes(&drive) == bytes, "{provider}");
        let down = world.run(&["download", &format!("oh:{drive}"), "b.img", "--chunk-size", "5M"]);
        assert_eq!(down.code, 0, "{provider}: {}", down.stderr);
        assert!(std::fs::read(world.path("b.img")).unwrap() == bytes, "{provider}");
    }
}

#[test]
fn every_chunk_is_written_once_and_zeros_not_at_all() {
    let world = World::new("");
    let image = world.path("sparse.img");
    let file = std::fs::File::create(&image).unwrap();
    file.set_len(64 * MIB).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"data", 9 * MIB).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 4096], 30 * MIB).unwrap();
    let up = world.run(&["--json", "upload", "sparse.img", "oh:"]);
    assert_eq!(up.code, 0, "{}", up.stderr);
    assert_eq!(acknowledged_writes(&world.emulator().log()), [8 * MIB]);
    let summary = up.event("summary");
    for (key, value) in [
        ("size", 64 * MIB),
        ("chunk_size", 4 * MIB),
        ("chunks_total", 16),
        ("chunks_sent", 1),
        ("chunks_zero", 15),
        ("chunks_unchanged", 0),
        ("chunks_resumed", 0),
        ("retries", 0),
    ] {
        assert_eq!(summary[key], value, "{key}");
    }
    for key in ["drive", "bytes_wire", "elapsed_s", "digest"] {
        assert!(!summary[key].is_null(), "{key}");
    }
    // Of a transfer that short there is nothing to tell, and that is said.
    let short = summary["elapsed_s"].as_f64().unwrap() < 1.0;
    assert_eq!((summary.get("limited_by").is_some(), summary["limited_by"].is_null()), (true, short));
    assert_eq!(up.event("plan")["chunks_total"], 16);
}

#[test]
fn requests_are_of_the_form_that_the_manuals_ask_for() {
    let world = World::new("");
    world.image("a.img", 9 * MIB);
    let drive = world.upload(&["a.img", "oh:", "--compress", "none"]);
    world.run(&["download", &format!("oh:{drive}"), "b.img", "--chunk-size", "8M"]);
    let log = world.emulator().log();
    let writes = data_requests(&log, "write");
    assert!(writes.iter().all(|w| w.method == "POST" && w.body_bytes > 0), "{writes:?}");
    // A chunk larger than one read may be is fetched in several.
    let reads: Vec<&str> = data_requests(&log, "read")
        .iter()
        .filter_map(|r| r.path.rsplit_once('/'))
        .map(|(_, len)| len)
        .collect();
    assert!(reads.iter().all(|len| len.parse::<u64>().unwrap() <= 4 * MIB), "{reads:?}");
    assert!(world.path("b.img").metadata().unwrap().len() == 9 * MIB);
}

#[test]
fn an_existing_drive_is_overwritten_to_the_last_zero() {
    let world = World::new("");
    world.image("full.img", 12 * MIB);
    let drive = world.upload(&["full.img", "oh:"]);
    let empty = std::fs::File::create(world.path("zeros.img")).unwrap();
    empty.set_len(12 * MIB).unwrap();
    world.upload(&["zeros.img", &format!("oh:{drive}")]);
    assert!(world.drive_bytes(&drive).iter().all(|b| *b == 0));
    assert_eq!(world.drives(), 1);
}

#[test]
fn a_new_drive_that_does_not_read_as_zero_gets_its_zeros_written() {
    let world = World::new("dirty=1");
    let size = 16 * MIB;
    let file = std::fs::File::create(world.path("sparse.img")).unwrap();
    file.set_len(size).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"data", 5 * MIB).unwrap();
    let drive = world.upload(&["sparse.img", "oh:", "--verify", "full"]);
    assert_eq!(world.run(&["verify", "sparse.img", &format!("oh:{drive}")]).code, 0);
    // Told to skip them all the same, the verification finds out, and the next run mends it.
    let skipped =
        world.run(&["upload", "sparse.img", "oh:", "--zeros", "skip", "--verify", "full", "--name", "x"]);
    assert_eq!(skipped.code, 6, "{}", skipped.stderr);
    assert!(skipped.stderr.contains("offsets 0, 8388608, 12582912"), "{}", skipped.stderr);
    let mended = world.run(&["--json", "upload", "sparse.img", "oh:", "--verify", "full", "--name", "x"]);
    assert_eq!(mended.code, 0, "{}", mended.stderr);
    assert_eq!(mended.event("summary")["chunks_resumed"], 1);
}

#[test]
fn a_new_drive_is_looked_at_only_where_zeros_were_left_out() {
    let world = World::new("");
    // Without zeros nothing is read at all.
    std::fs::write(world.path("dense.img"), vec![7; 12 << 20]).unwrap();
    world.upload(&["dense.img", "oh:"]);
    assert!(data_requests(&world.emulator().log(), "read").is_empty());
    let file = std::fs::File::create(world.path("sparse.img")).unwrap();
    file.set_len(64 * MIB).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"data", 9 * MIB).unwrap();
    world.upload(&["sparse.img", "oh:"]);
    let log = world.emulator().log();
    let reads = data_requests(&log, "read");
    let places: Vec<u64> =
        reads.iter().map(|read| read.path.rsplit('/').nth(1).unwrap().parse().unwrap()).collect();
    assert!(places.len() >= 455, "{}", places.len());
    assert!(places.iter().all(|at| !(8 * MIB..12 * MIB).contains(at)), "{places:?}");
    // After everything else.
    let first = log.iter().position(|request| request.path == reads[0].path).unwrap();
    assert!(log[..first].iter().any(|request| request.path.contains("/write/8388608")));
}

#[test]
fn standard_input_and_output_work_as_files_do() {
    let world = World::new("");
    let image = world.image("a.img", 10 * MIB + 7);
    let size = (10 * MIB + 7).to_string();
    let stdin = || std::process::Stdio::from(std::fs::File::open(&image).unwrap());
    let up = world
        .command(&["--json", "upload", "-", "oh:", "--size", &size, "--sha256", "--name", "piped"])
        .stdin(stdin())
        .output()
        .unwrap();
    let up = crate::world::Ended::new(up);
    assert_eq!(up.code, 0, "{}", up.stderr);
    let summary = up.event("summary");
    let bytes = std::fs::read(&image).unwrap();
    assert_eq!(summary["digest"], diskferry::digest::hex(&Sha256::digest(&bytes)));
    let drive = summary["drive"].as_str().unwrap();
    let down = world.command(&["download", &format!("oh:{drive}"), "-"]).output().unwrap();
    assert!(down.status.success() && down.stdout == bytes);

    let unsized_stdin = world.command(&["upload", "-", "oh:"]).stdin(stdin()).output().unwrap();
    assert_eq!(unsized_stdin.status.code(), Some(2));
    let wrong = world.command(&["upload", "-", "oh:", "--size", "11M"]).stdin(stdin()).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("expected 11534336 bytes, got 10485767"));
}

#[test]
fn a_manifest_names_every_chunk() {
    let world = World::new("");
    let image = world.image("a.img", 9 * MIB);
    for (digest, algorithm) in
        [("blake3", diskferry::digest::Algorithm::Blake3), ("sha256", diskferry::digest::Algorithm::Sha256)]
    {
        world.upload(&["a.img", "oh:", "--manifest", "m.json", "--digest", digest, "--chunk-size", "1M"]);
        let manifest: diskferry::manifest::Manifest =
            serde_json::from_slice(&std::fs::read(world.path("m.json")).unwrap()).unwrap();
        let bytes = std::fs::read(&image).unwrap();
        assert_eq!((manifest.version, manifest.image_size, manifest.chunk_size), (1, 9 * MIB, MIB));
        assert_eq!(manifest.algorithm, digest);
        assert_eq!(manifest.chunks.len(), 9);
        let digests: Vec<_> = bytes.chunks(1 << 20).map(|c| algorithm.digest(c)).collect();
        for (entry, (chunk, digest)) in manifest.chunks.iter().zip(bytes.chunks(1 << 20).zip(&digests)) {
            assert_eq!(entry.digest, digest.to_string());
            assert_eq!(entry.zero, chunk.iter().all(|b| *b == 0));
        }
        assert_eq!(manifest.digest, algorithm.over(digests.iter()).to_string());
    }
}

#[test]
fn verify_names_the_offsets_that_differ() {
    let world = World::new("");
    world.image("a.img", 20 * MIB);
    let drive = world.upload(&["a.img", "oh:"]);
    let target = format!("oh:{drive}");
    assert_eq!(world.run(&["verify", "a.img", &target]).code, 0);
    let raw = std::fs::OpenOptions::new().write(true).open(world.drive_file(&drive)).unwrap();
    for at in [5 * MIB, 17 * MIB] {
        std::os::unix::fs::FileExt::write_all_at(&raw, b"!", at).unwrap();
    }
    let differ = world.run(&["verify", "a.img", &target]);
    assert_eq!((differ.code, &*differ.stdout), (6, "4194304\n16777216\n"));
    let json = world.run(&["--json", "verify", "a.img", &target]);
    assert_eq!(json.event("summary")["offsets_differ"], serde_json::json!([4_194_304, 16_777_216]));
    assert_eq!(json.event("error")["exit_code"], 6);
}

#[test]
fn a_plan_changes_nothing() {
    let world = World::new("");
    world.image("a.img", 9 * MIB);
    let plan = world.run(&["--json", "upload", "a.img", "oh:", "--dry-run"]);
    assert_eq!(plan.code, 0, "{}", plan.stderr);
    assert_eq!(plan.event("plan")["chunks_total"], 3);
    assert!(world.emulator().log().is_empty());
    assert!(world.journals().is_empty());
}

/// Virtual size costs nothing: neither time nor memory.
#[test]
fn a_tebibyte_with_little_in_it_is_like_a_small_image() {
    let world = World::new("");
    let file = std::fs::File::create(world.path("huge.img")).unwrap();
    file.set_len(1 << 40).unwrap();
    for i in 0..32 {
        let piece = crate::world::noise(i, 4 << 20);
        std::os::unix::fs::FileExt::write_all_at(&file, &piece, i * (32 << 30) + 4096).unwrap();
    }
    let mut child = world.spawn(&["upload", "huge.img", "oh:"]);
    let mut peak_kib = 0;
    while child.try_wait().unwrap().is_none() {
        if let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", child.id())) {
            let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
            let kib = line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok());
            peak_kib = peak_kib.max(kib.unwrap_or(0));
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let ended = crate::world::Ended::new(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!((1..64 << 10).contains(&peak_kib), "{peak_kib} KiB resident at the most");
    assert_eq!(acknowledged_writes(&world.emulator().log()).len(), 64);
}
