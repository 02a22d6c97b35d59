//! Archives that grow without end when they are unpacked, or are in front of what is wanted.

use super::server::{reply, start};
use super::world::{Ended, World};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// An appliance of these bytes, on a server with ranges; `oh:` takes what comes.
fn appliance(bytes: Vec<u8>) -> World {
    World::new(&start(move |request| {
        if request.path.contains("/buyer/") {
            return reply("200 OK", "Content-Type: application/json\r\n", r#"{"name":"a"}"#);
        }
        let (from, to) = request.range(bytes.len() as u64);
        let headers = format!("ETag: \"a\"\r\nContent-Range: bytes {from}-{to}/{}\r\n", bytes.len());
        let at = |offset| usize::try_from(offset).unwrap();
        reply("206 Partial Content", &headers, &bytes[at(from)..=at(to)])
    }))
}

/// Looks and unpacks; both have to fail and say this.
fn refused(bytes: Vec<u8>, says: &[&str]) {
    let world = appliance(bytes);
    for args in [
        &["migrate", "spot:appliance/k", "oh:", "--dry-run"][..],
        &["download", "spot:appliance/k", "out", "--unpack", "--dry-run"],
        &["download", "spot:appliance/k", "out", "--unpack"],
    ] {
        world.run(LIMIT, args).failed(1, says);
    }
}

fn download(bytes: Vec<u8>) -> Ended {
    appliance(bytes).run(LIMIT, &["download", "spot:appliance/k", "out", "--unpack"])
}

/// A block of a tar archive and gigabytes of zeros behind it, compressed twice: some hundred bytes. The inner frame is
/// written by hand, in blocks that say "128 KiB of this byte", since a compressor would take minutes for it.
fn bomb(block: &[u8], gibibytes: usize) -> Vec<u8> {
    let (raw, repeated, window) = (0, 1 << 1, 7 << 3);
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window];
    let mut head = |kind: u32, len: usize, content: &[u8]| {
        let head = kind | u32::try_from(len).unwrap() << 3;
        frame.extend_from_slice(&head.to_le_bytes()[..3]);
        frame.extend_from_slice(content);
    };
    head(raw, block.len(), block);
    for _ in 0..gibibytes << 13 {
        head(repeated, 128 << 10, &[0]);
    }
    head(raw | 1, 0, &[]);
    zstd::encode_all(&*frame, 3).unwrap()
}

/// A block of a tar archive.
fn header(kind: tar::EntryType, name: &str, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header.as_bytes().to_vec()
}

#[test]
fn a_record_of_gigabytes_in_an_archive_is_refused_at_once() {
    for kind in [tar::EntryType::GNULongName, tar::EntryType::GNULongLink, tar::EntryType::XHeader] {
        let bomb = bomb(&header(kind, "x", 6 << 30), 6);
        refused(bomb, &["record", "larger than"]);
    }
}

#[test]
fn terabytes_in_front_of_the_image_are_not_passed_through() {
    for kind in [tar::EntryType::Directory, tar::EntryType::XGlobalHeader, tar::EntryType::Regular] {
        let bomb = bomb(&header(kind, "README", 4 << 40), 256);
        refused(bomb, &["64 MiB", "image"]);
    }
}

#[test]
fn a_description_and_a_usual_record_in_front_are_passed_through() {
    let mut archive = tar::Builder::new(Vec::new());
    let name = format!("{}/disk.raw", "d".repeat(3000));
    for (name, bytes) in [("box.ovf", vec![b'x'; 1 << 20]), (&*name, vec![7; 3000])] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, &*bytes).unwrap();
    }
    let packed = zstd::encode_all(&*archive.into_inner().unwrap(), 1).unwrap();
    let world = appliance(packed);
    let ended = world.run(LIMIT, &["download", "spot:appliance/k", "out", "--unpack"]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(std::fs::read(world.path("out")).unwrap(), [7; 3000]);
}

/// A zstd frame with this window, which may say this size, and 5 bytes.
fn frame(window_log: u8, size: Option<u64>) -> Vec<u8> {
    let flags = if size.is_some() { 0b1100_0000 } else { 0 };
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, flags, (window_log - 10) << 3];
    frame.extend(size.map(u64::to_le_bytes).into_iter().flatten());
    // The last block: 5 bytes as they are.
    frame.extend_from_slice(&[(5 << 3) | 1, 0, 0]);
    frame.extend_from_slice(b"hello");
    frame
}

#[test]
fn a_size_that_a_header_says_is_given_no_memory() {
    // The two numbers above these say that there is no size.
    for size in [1 << 63, u64::MAX - 2, 1 << 60] {
        let world = appliance(frame(20, Some(size)));
        world.run(LIMIT, &["migrate", "spot:appliance/k", "oh:"]).failed(2, &["chunks"]);
        let ended = world.run(LIMIT, &["download", "spot:appliance/k", "out", "--unpack"]);
        ended.failed(1, &["damaged"]);
    }
}

#[test]
fn a_window_that_is_too_large_is_refused_with_what_to_do() {
    for log in [27, 30, 31, 38] {
        download(frame(log, None)).failed(1, &["memory", "hint:"]);
    }
    let ended = download(frame(26, None));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

/// The longest form of a number in an index: nine bytes.
fn number(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
    out
}

#[test]
fn an_index_of_blocks_without_measure_is_refused() {
    for (blocks, unpadded, raw) in [
        (2, (1_u64 << 63) - 4, (1_u64 << 63) - 1),
        (3, (1 << 63) - 4, 5),
        (1, (1 << 63) - 4, 5),
        (2, 8, 1 << 62),
    ] {
        let mut index = vec![0];
        index.extend(number(blocks));
        for _ in 0..blocks {
            index.extend(number(unpadded));
            index.extend(number(raw));
        }
        index.resize(index.len().next_multiple_of(4), 0);
        let mut file = b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46".to_vec();
        file.resize(1000, 0);
        let backward = u32::try_from(index.len() / 4).unwrap() - 1;
        file.extend(index);
        file.extend([0; 4]);
        file.extend(backward.to_le_bytes());
        file.extend(b"\0\x04YZ");
        let world = appliance(file);
        let ended = world.run(LIMIT, &["migrate", "spot:appliance/k", "oh:"]);
        assert_eq!(ended.code, 1, "{}", ended.stderr);
    }
}
