//! Files checked with qemu-img, and files of runs that ended early.

use super::*;
use crate::disk::conformance::qemu_img::{is_here, qemu_img, run};
use crate::disk::file::PartFile;
use serde_json::Value;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// More than an L2 table maps, and not aligned to anything.
const LARGE: u64 = (600 << 20) + 700;

/// Text, noise and zeros, whole clusters and parts of them, from a seed.
fn image(size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut x = 7_u64;
    while (bytes.len() as u64) < size {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let len = usize::try_from(x >> 47).unwrap();
        match x >> 33 & 3 {
            0 => bytes.resize(bytes.len() + len, 0),
            1 => bytes.extend(format!("a line of text {x} ").into_bytes().iter().cycle().take(len)),
            _ => {
                let mut noise = x;
                bytes.extend((0..len / 4).map(|_| {
                    noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(x | 1);
                    noise.to_be_bytes()[0]
                }));
            }
        }
    }
    bytes.truncate(usize::try_from(size).unwrap());
    bytes
}

fn opened(dir: &Path, size: u64, level: Option<u32>) -> Qcow2Part {
    let part = PartFile::create(&dir.join("image"), |_| None).unwrap();
    let qcow2 = Qcow2Part::new(part, size, level).unwrap();
    qcow2.begin().unwrap();
    qcow2
}

/// Opens the same file as a later run does.
fn again(qcow2: Qcow2Part, dir: &Path, size: u64, level: Option<u32>) -> Qcow2Part {
    let known = qcow2.part.record().unwrap();
    drop(qcow2);
    // A child process of another test holds the file open, and so its lock, until it executes its program.
    let deadline = Instant::now() + Duration::from_mins(1);
    let part = loop {
        match PartFile::resume(&dir.join("image"), known) {
            Err(error) if error.kind() == Kind::Exists && Instant::now() < deadline => {
                std::thread::yield_now();
            }
            resumed => break resumed.unwrap().unwrap(),
        }
    };
    let qcow2 = Qcow2Part::new(part, size, level).unwrap();
    qcow2.recover(&Stop::never()).unwrap();
    qcow2
}

/// Chunks of a size, in reverse order.
fn chunks(bytes: &[u8], size: usize) -> impl Iterator<Item = (u64, &[u8])> {
    bytes.chunks(size).enumerate().rev().map(move |(n, chunk)| ((n * size) as u64, chunk))
}

fn read(qcow2: &Qcow2Part, range: Range<u64>) -> Vec<u8> {
    let mut into = vec![9; 3];
    qcow2.read_into(range.start, range.end - range.start, &mut into).unwrap();
    into
}

/// Seals the file, has qemu-img check it and compare it with `bytes`, and returns qemu-img's description.
fn judged(qcow2: Qcow2Part, dir: &Path, bytes: &[u8]) -> Option<Value> {
    qcow2.seal(&Stop::never()).unwrap();
    qcow2.part.finish(true).unwrap();
    if !is_here() {
        return None;
    }
    std::fs::write(dir.join("raw"), bytes).unwrap();
    let checked = run("qemu-img", dir, &["check", "--output=json", "-f", "qcow2", "image"]);
    qemu_img(dir, "compare -f qcow2 -F raw image raw");
    let checked: Value = serde_json::from_slice(&checked.stdout).unwrap();
    let faults = ["corruptions", "leaks", "check-errors"].map(|fault| checked[fault].as_u64().unwrap_or(0));
    assert_eq!(faults, [0, 0, 0], "{checked}");
    Some(checked)
}

#[test]
fn what_is_written_in_any_order_is_a_qcow2_for_qemu() {
    for size in [1, 512, 65_536, 65_537, (9 << 20) + 4_321] {
        let bytes = image(size);
        for (chunk, level) in [
            (4096, None),
            (65_536, None),
            (100_000, None),
            (1 << 20, None),
            (4096, Some(1)),
            (100_000, Some(6)),
            (1 << 20, Some(1)),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let qcow2 = opened(dir.path(), size, level);
            for (offset, chunk) in chunks(&bytes, chunk) {
                if is_zero(chunk) {
                    qcow2.zero(&(offset..offset + chunk.len() as u64)).unwrap();
                } else {
                    qcow2.write(offset, chunk).unwrap();
                }
                assert!(read(&qcow2, offset..offset + chunk.len() as u64) == chunk);
            }
            for range in [0..size, 0..1, size - 1..size, size / 3..size / 2, size..size] {
                let part = &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
                assert!(read(&qcow2, range.clone()) == part, "{size} {chunk} {level:?} {range:?}");
            }
            let Some(said) = judged(qcow2, dir.path(), &bytes) else { continue };
            let data = bytes.chunks(LEN).filter(|cluster| !is_zero(cluster)).count();
            assert_eq!(said["allocated-clusters"].as_u64().unwrap_or(0), data as u64, "{said}");
            let packed = said["compressed-clusters"].as_u64().unwrap_or(0);
            // The last cluster may be in one chunk, however small.
            let (chunk, last) = (chunk as u64, (size - 1) / CLUSTER * CLUSTER);
            let whole = chunk >= CLUSTER || (size - 1) / chunk * chunk <= last;
            assert_eq!(packed > 0, level.is_some() && whole, "{size} {chunk}: {said}");
        }
    }
}

#[test]
fn a_large_image_of_holes_costs_what_its_data_costs() {
    let dir = tempfile::tempdir().unwrap();
    let qcow2 = opened(dir.path(), LARGE, None);
    let text = vec![b'x'; 1 << 20];
    qcow2.write(LARGE - 1000, &text[..1000]).unwrap();
    qcow2.write(300 << 20, &text).unwrap();
    qcow2.zero(&(0..4 << 20)).unwrap();
    qcow2.seal(&Stop::never()).unwrap();
    let meta = std::fs::metadata(qcow2.part.path()).unwrap();
    let tables = qcow2.layout.data;
    // The last bytes are in two clusters.
    assert_eq!(meta.len(), tables + (1 << 20) + 2 * CLUSTER);
    assert!(meta.blocks() * 512 < (1 << 20) + (256 << 10), "{}", meta.blocks() * 512);
    qcow2.part.finish(true).unwrap();
    if !is_here() {
        return;
    }
    qemu_img(dir.path(), "check -q -f qcow2 image");
    let map = run("qemu-img", dir.path(), &["map", "--output=json", "-f", "qcow2", "image"]);
    let map: Vec<Value> = serde_json::from_slice(&map.stdout).unwrap();
    let mut data: Vec<(u64, u64)> = Vec::new();
    for extent in map.iter().filter(|extent| extent["data"] == true) {
        let (start, length) = (extent["start"].as_u64().unwrap(), extent["length"].as_u64().unwrap());
        match data.last_mut() {
            Some((first, all)) if *first + *all == start => *all += length,
            _ => data.push((start, length)),
        }
    }
    let last = (LARGE / CLUSTER - 1) * CLUSTER;
    assert_eq!(data, [(300 << 20, 1 << 20), (last, LARGE.next_multiple_of(512) - last)]);
    // QEMU can go on writing to it.
    run("qemu-io", dir.path(), &["-f", "qcow2", "-c", "write -P 7 500M 2M", "image"]);
    qemu_img(dir.path(), "check -q -f qcow2 image");
}

#[test]
fn what_an_earlier_run_left_is_gone_on_from_and_does_not_shine_through() {
    let size = (9 << 20) + 4_321;
    let bytes = image(size);
    for (chunk, level) in [(100_000, None), (1 << 20, None), (100_000, Some(1)), (1 << 20, Some(1))] {
        let dir = tempfile::tempdir().unwrap();
        let mut qcow2 = opened(dir.path(), size, level);
        // Data that no journal records: other bytes than those that are written at last.
        let other: Vec<u8> = bytes.iter().map(|byte| byte.wrapping_add(1)).collect();
        for (n, (offset, chunk)) in chunks(&other, chunk).enumerate() {
            if n % 3 == 0 {
                qcow2.write(offset, chunk).unwrap();
            }
        }
        for (n, (offset, chunk)) in chunks(&bytes, chunk).enumerate() {
            if n % 5 == 0 {
                qcow2 = again(qcow2, dir.path(), size, level);
            }
            qcow2.write(offset, chunk).unwrap();
        }
        // Killed while the last tables were written.
        qcow2.seal(&Stop::never()).unwrap();
        qcow2 = again(qcow2, dir.path(), size, level);
        let mut header = vec![1; 512];
        qcow2.part.read_over(0, &mut header).unwrap();
        assert!(is_zero(&header), "what is not whole is no qcow2");
        assert!(read(&qcow2, 0..size) == bytes, "{chunk} {level:?}");
        // Written again unchanged, as after a failed sync: no cluster needs another place.
        let before = qcow2.room().next;
        chunks(&bytes, chunk).for_each(|(offset, chunk)| qcow2.write(offset, chunk).unwrap());
        assert_eq!(qcow2.room().next, before);
        judged(qcow2, dir.path(), &bytes);
    }
}

#[test]
fn entries_that_lead_nowhere_are_taken_out_and_those_that_contradict_are_refused() {
    let size = 4 << 20;
    let dir = tempfile::tempdir().unwrap();
    let qcow2 = opened(dir.path(), size, None);
    let bytes = vec![b'x'; 4 << 20];
    qcow2.write(0, &bytes).unwrap();
    let place = |number: u64| qcow2.layout.l2 + number * ENTRY;
    let wild = [u64::MAX, 5, 1 << 63, (1 << 63) + qcow2.layout.end, (1 << 63) + qcow2.layout.l2];
    for (number, entry) in wild.iter().enumerate() {
        qcow2.part.put(place(number as u64), &entry.to_be_bytes()).unwrap();
    }
    let mut into = Vec::new();
    let refused = qcow2.read_into(0, 65_536, &mut into).unwrap_err();
    assert!(refused.to_string().contains("is damaged"), "{refused}");
    // As after a crash that lost the end of the file.
    let end = std::fs::metadata(qcow2.part.path()).unwrap().len();
    qcow2.part.set_len(end - CLUSTER).unwrap();
    let qcow2 = again(qcow2, dir.path(), size, None);
    assert!(is_zero(&read(&qcow2, 0..wild.len() as u64 * CLUSTER)));
    assert!(is_zero(&read(&qcow2, size - CLUSTER..size)));
    assert!(read(&qcow2, wild.len() as u64 * CLUSTER..size - CLUSTER).iter().all(|byte| *byte == b'x'));
    qcow2.write(0, &bytes).unwrap();
    let qcow2 = again(qcow2, dir.path(), size, None);
    let mut entry = [0; 8];
    qcow2.part.read_over(qcow2.layout.l2, &mut entry).unwrap();
    qcow2.part.put(qcow2.layout.l2 + 20 * ENTRY, &entry).unwrap();
    let refused = qcow2.seal(&Stop::never()).unwrap_err();
    assert!(refused.hint_text().is_some_and(|hint| hint.contains("--restart")), "{refused}");
    // Writing the wrong clusters again, elsewhere, repairs it.
    qcow2.part.put(qcow2.layout.l2 + 20 * ENTRY, &[0; 8]).unwrap();
    qcow2.write(0, &bytes).unwrap();
    judged(qcow2, dir.path(), &bytes);
}

#[test]
fn what_has_no_place_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut qcow2 = opened(dir.path(), 1 << 20, None);
    let bytes = vec![1; 1 << 20];
    for outside in [1 << 20..(1 << 20) + 1, 1..(1 << 20) + 1] {
        let len = usize::try_from(outside.end - outside.start).unwrap();
        assert!(
            qcow2.zero(&outside).is_err()
                && qcow2.read_into(outside.start, len as u64, &mut Vec::new()).is_err()
        );
        assert!(qcow2.write(outside.start, &vec![1; len]).is_err());
    }
    qcow2.layout.end = qcow2.layout.data + 3 * CLUSTER;
    qcow2.write(0, &bytes[..3 * LEN]).unwrap();
    let refused = qcow2.write(3 * CLUSTER, &bytes[..LEN]).unwrap_err();
    assert!(refused.to_string().contains("no space left"), "{refused}");
    assert!(is_zero(&read(&qcow2, 3 * CLUSTER..4 * CLUSTER)));
}

#[test]
fn threads_that_write_at_once_do_not_take_each_others_places() {
    let size = (9 << 20) + 4_321;
    let bytes = image(size);
    for level in [None, Some(1)] {
        let dir = tempfile::tempdir().unwrap();
        let qcow2 = opened(dir.path(), size, level);
        let all: Vec<_> = chunks(&bytes, 100_000).collect();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (qcow2, all) = (&qcow2, &all);
                scope.spawn(move || {
                    for (offset, chunk) in all.iter().skip(thread).step_by(4) {
                        qcow2.write(*offset, chunk).unwrap();
                        assert!(read(qcow2, *offset..*offset + chunk.len() as u64) == *chunk);
                    }
                });
            }
        });
        judged(qcow2, dir.path(), &bytes);
    }
}
