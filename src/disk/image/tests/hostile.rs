//! Images that are damaged or malicious.

use super::matrix::{MIB, contents, write_sparse};
use super::qemu_img::{is_here, qemu_img};
use super::{OpenOptions, bytes_of, disk, disk_with, extents, refused};
use crate::error::{Error, Kind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub(super) fn follow() -> OpenOptions {
    OpenOptions { follow_backing: true, ..OpenOptions::default() }
}

/// Returns a copy with some bytes changed.
fn patched(path: &Path, changes: &[(u64, &[u8])]) -> PathBuf {
    let copy = path.with_extension("patched");
    std::fs::copy(path, &copy).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&copy).unwrap();
    for (at, bytes) in changes {
        file.write_all_at(bytes, *at).unwrap();
    }
    copy
}

/// Returns why an image cannot be read, on opening or later; its extents fail alike.
pub(super) fn unreadable(path: &Path) -> Error {
    let disk = match disk_with(path, &OpenOptions::default()) {
        Ok((disk, _)) => disk,
        Err(error) => return error,
    };
    let error = bytes_of(&*disk).expect_err("it was read");
    let mapped = extents(&*disk).expect_err("its extents are known");
    assert_eq!(error.to_string(), mapped.to_string());
    error
}

/// A qcow2 of 12 MiB: clusters of 64 KiB, L1 at 0x30000, the only L2 at 0x40000, data from 0x50000.
fn qcow2(dir: &Path) -> PathBuf {
    write_sparse(&dir.join("raw"), &contents(12 * MIB));
    qemu_img(dir, "convert -O qcow2 raw image.qcow2");
    dir.join("image.qcow2")
}

#[test]
fn tables_that_cannot_be_are_errors_before_they_get_memory() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = qcow2(dir.path());
    let exbi = (1_u64 << 60).to_be_bytes();
    for (changes, says) in [
        // An L1 table of 4 GiB.
        (&[(36, &[0x20, 0, 0, 0][..])][..], "its L1 table has 536870912 entries, more than the limit"),
        (&[(24, &exbi[..])], "more than the limit"),
        (
            &[(24, &[0, 0, 0, 0x80, 0, 0, 0, 0])],
            "its L1 table has 1 entries, but a disk of 549755813888 bytes needs 1024",
        ),
        (&[(40, &[0, 0, 1, 0, 0, 0, 0, 0])], "its L1 table is at the invalid offset 1099511627776"),
        (&[(40, &[0, 0, 0, 0, 0, 3, 0, 8])], "invalid offset"),
        (&[(20, &[0, 0, 0, 63])], "clusters of 2^63 bytes"),
        (&[(20, &[0, 0, 0, 0])], "clusters of 2^0 bytes"),
        (&[(4, &[0, 0, 0, 9])], "qcow2 of the unsupported version 9"),
        (&[(32, &[0, 0, 0, 1])], "it is encrypted"),
        (&[(79, &[2])], "is marked as corrupt"),
        (&[(72, &[0x80, 0, 0, 0, 0, 0, 0, 0x20])], "unknown features (bits 5, 63)"),
        (&[(79, &[8]), (104, &[9])], "its compression type Some(9) is unknown"),
        (&[(100, &[0xff, 0, 0, 0])], "a header of 4278190080 bytes"),
        (&[(116, &[0xff, 0, 0, 0])], "a header extension is longer"),
        (&[(8, &[0, 0, 0, 0, 0, 1, 0, 0]), (16, &[0x10, 0, 0, 0])], "a name of 268435456 bytes"),
        (&[(24, &[0; 8])], "is empty"),
    ] {
        let path = patched(&image, changes);
        let error = refused(&path, &OpenOptions::default());
        assert!(error.to_string().contains(says), "{error}, not {says}");
        assert_eq!(error.kind(), Kind::Source);
    }
}

#[test]
fn entries_that_lead_into_a_loop_or_out_of_the_file_are_errors_at_their_offset() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let image = qcow2(dir.path());
    let entry = |at: u64| (at | 1 << 63).to_be_bytes();
    for (at, bytes, offset, says) in [
        // L1: to itself, to the header, beyond the file, to an unaligned cluster.
        (0x30000, entry(0x30000), 0, "overlap"),
        (0x30000, entry(0x10000), 0, "overlap"),
        (0x30000, entry(0x7000_0000), 0, "an L2 table is at the invalid offset 1879048192"),
        (0x30000, entry(0x40200), 0, "invalid offset"),
        // L2: to a table, to itself, to the header, beyond the end, unaligned, compressed data beyond the
        // file or on a table.
        (0x40000, entry(0x30000), 0, "a cluster at byte 196608 overlaps the table at byte 196608"),
        (0x40008, entry(0x40000), 0x10000, "overlaps the table at byte 262144"),
        (0x40008, 0x10000_u64.to_be_bytes(), 0x10000, "overlaps the table"),
        (0x40008, entry(0x00ff_0000_0000_0000), 0x10000, "but the file has"),
        (0x40008, entry(0x50200), 0x10000, "a cluster has an invalid offset"),
        (0x40008, (1_u64 << 62 | 0x0fff_0000_0000).to_be_bytes(), 0x10000, "a compressed cluster is at byte"),
        (0x40008, (1_u64 << 62 | 0x30000).to_be_bytes(), 0x10000, "overlaps the table"),
    ] {
        let says = says.replace("but the file has", "image.patched, which has");
        let error = unreadable(&patched(&image, &[(at, &bytes)]));
        assert!(error.to_string().contains(&says), "{error}, not {says}");
        assert_eq!((error.kind(), error.at_offset()), (Kind::Source, Some(offset)), "{error}");
    }
    // Zeros in version 2, which has no such flag.
    let old = patched(&image, &[(4, &[0, 0, 0, 2]), (0x40000, &1_u64.to_be_bytes())]);
    assert!(unreadable(&old).to_string().contains("which version 2 does not support"));
}

#[test]
fn what_does_not_unpack_to_a_cluster_is_an_error() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_sparse(&dir.path().join("raw"), &vec![3; 2 * MIB]);
    for (format, options) in
        [("qcow2", "-c"), ("qcow2", "-c -o compression_type=zstd"), ("vmdk", "-o subformat=streamOptimized")]
    {
        qemu_img(dir.path(), &format!("convert -O {format} {options} raw packed"));
        let image = dir.path().join("packed");
        let bytes = std::fs::read(&image).unwrap();
        let read = bytes_of(&*disk(&image)).unwrap();
        assert!(read == vec![3; 2 * MIB]);
        // The first piece: the data its entry refers to.
        let at = if format == "vmdk" {
            bytes.windows(2).position(|two| two == b"\x78\x9c").unwrap() as u64 - 12
        } else {
            0x50000
        };
        let noise: Vec<u8> = (0..40_u8).map(|n| n.wrapping_mul(37) | 6).collect();
        let place = if format == "vmdk" { at + 12 } else { at };
        let damaged = patched(&image, &[(place, &noise)]);
        let error = bytes_of(&*disk(&damaged)).unwrap_err();
        assert!(error.to_string().contains(&format!("the compressed data at byte {at}")), "{error}");
        assert_eq!(error.at_offset(), Some(0), "{error}");
        if format == "vmdk" {
            let error = bytes_of(&*disk(&patched(&image, &[(at, &[8])]))).unwrap_err().to_string();
            assert!(error.contains("has sector 8, expected 0"), "{error}");
            let error = bytes_of(&*disk(&patched(&image, &[(at + 8, &[0xff; 4])]))).unwrap_err().to_string();
            assert!(error.contains("longer than the limit"), "{error}");
        }
    }
    // A bomb: 2 MiB in place of a cluster of 64 KiB. And too little data.
    let deflated = |len: usize| {
        let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut deflate, &vec![0; len]).unwrap();
        deflate.finish().unwrap()
    };
    let (bomb, short) = (deflated(2 * MIB), deflated(1000));
    qemu_img(dir.path(), "convert -c -O qcow2 raw packed");
    let entry = (1_u64 << 62 | 7 << 54 | 0x50000).to_be_bytes();
    let image = patched(&dir.path().join("packed"), &[(0x40000, &entry), (0x50000, &bomb)]);
    let error = bytes_of(&*disk(&image)).unwrap_err();
    assert!(error.to_string().contains("the compressed data at byte 327680"), "{error}");
    let image = patched(&dir.path().join("packed"), &[(0x40000, &entry), (0x50000, &short)]);
    let error = bytes_of(&*disk(&image)).unwrap_err();
    assert!(error.to_string().contains("ends after 1000 of 65536 bytes"), "{error}");
}

#[test]
fn a_file_that_lost_its_end_is_an_error_in_every_format() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("raw"), vec![5; 12 * MIB]).unwrap();
    for (format, options) in [
        ("qcow2", ""),
        ("qcow2", "-c -o cluster_size=512"),
        ("vmdk", ""),
        ("vmdk", "-o subformat=streamOptimized"),
        ("vmdk", "-o subformat=monolithicFlat"),
        ("vmdk", "-o subformat=twoGbMaxExtentSparse"),
        ("vpc", "-o force_size=on"),
        ("vpc", "-o subformat=fixed,force_size=on"),
        ("vhdx", ""),
    ] {
        let dir = tempfile::tempdir_in(dir.path()).unwrap();
        std::os::unix::fs::symlink("../raw", dir.path().join("raw")).unwrap();
        qemu_img(dir.path(), &format!("convert -f raw -O {format} {options} raw image.x"));
        // The largest file has the data.
        let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap());
        let files = files.filter(|entry| entry.file_name() != "raw").map(|entry| entry.path());
        let data = files.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
        let len = data.metadata().unwrap().len();
        let file = std::fs::OpenOptions::new().write(true).open(&data).unwrap();
        for cut in [len / 2, len / 3 + 77] {
            file.set_len(cut).unwrap();
            if options.contains("fixed") {
                // Without its footer it is like any raw image; only `--source-format vhd` fails.
                let vhd = OpenOptions { format: "vhd".parse().unwrap(), ..OpenOptions::default() };
                let error = refused(&dir.path().join("image.x"), &vhd).to_string();
                assert!(error.contains("it does not end with a VHD footer"), "{error}");
                continue;
            }
            let error = match disk_with(&dir.path().join("image.x"), &OpenOptions::default()) {
                Ok((disk, _)) => {
                    bytes_of(&*disk).expect_err(&format!("{format} {options} cut to {cut} was read"))
                }
                Err(error) => error,
            };
            assert_eq!(error.kind(), Kind::Source, "{error}");
            assert!(error.to_string().contains("damaged"), "{format} {options}: {error}");
        }
    }
}

#[test]
fn a_chain_is_followed_only_where_it_is_sound() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    qemu_img(at, "create -q -f qcow2 a 1M");
    qemu_img(at, "create -q -f qcow2 -b a -F qcow2 b");
    qemu_img(at, "create -q -f qcow2 -b b -F qcow2 c");
    disk_with(&at.join("c"), &follow()).unwrap();
    let error = refused(&at.join("c"), &OpenOptions::default());
    assert!(error.to_string().contains("its backing file is another file, `b`"), "{error}");
    qemu_img(at, "rebase -u -b c -F qcow2 a");
    let error = refused(&at.join("c"), &follow());
    assert!(error.to_string().contains("is a loop"), "{error}");
    // Through a link as well.
    std::os::unix::fs::symlink("c", at.join("link")).unwrap();
    qemu_img(at, "rebase -u -b link -F qcow2 a");
    assert!(refused(&at.join("c"), &follow()).to_string().contains("is a loop"));
    for (name, format, says) in [
        ("nowhere", "qcow2", "refers to the file `nowhere`, which cannot be read: No such file"),
        ("nbd://localhost/x", "raw", "refers to `nbd://localhost/x`, which is not a file"),
        ("json:{\"driver\":\"file\"}", "raw", "which is not a file"),
        ("\u{1b}[2Jx", "qcow2", "`\\u{1b}[2Jx`"),
        (".", "raw", "it is not a regular file"),
        ("pipe", "raw", "it is not a regular file"),
        ("b", "vdi", "in the unsupported format `vdi`"),
        ("b", "vmdk", "it is not a VMDK image"),
    ] {
        let _ = std::process::Command::new("mkfifo").arg(at.join("pipe")).output();
        // Written by hand, since qemu-img examines what it writes: a version 3 header, and an empty table.
        let mut image = vec![0; 3 << 16];
        image[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        image[8..20].copy_from_slice(&[0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, u8::try_from(name.len()).unwrap()]);
        image[20..32].copy_from_slice(&[0, 0, 0, 16, 0, 0, 0, 0, 0, 16, 0, 0]);
        image[36..48].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0]);
        image[100..104].copy_from_slice(&[0, 0, 0, 104]);
        image[104..112].copy_from_slice(&[
            0xe2,
            0x79,
            0x2a,
            0xca,
            0,
            0,
            0,
            u8::try_from(format.len()).unwrap(),
        ]);
        image[112..112 + format.len()].copy_from_slice(format.as_bytes());
        image[512..512 + name.len()].copy_from_slice(name.as_bytes());
        std::fs::write(at.join("made"), &image).unwrap();
        let error = refused(&at.join("made"), &follow()).to_string();
        assert!(error.contains(says), "{error}, not {says}");
        assert!(!error.contains('\u{1b}'), "{error:?}");
        image[104..112].fill(0);
        std::fs::write(at.join("made"), &image).unwrap();
        let error = refused(&at.join("made"), &follow()).to_string();
        assert!(error.contains("lacks the format"), "{error}");
    }
    // A chain without an end.
    qemu_img(at, "create -q -f qcow2 n0 1M");
    let header = std::fs::read(at.join("b")).unwrap();
    let name = header.windows(4).position(|four| four == [0, 0, 0, 1]).unwrap();
    assert!(name > 0);
    for n in 1..70 {
        qemu_img(at, &format!("create -q -f qcow2 -u -b n{} -F qcow2 n{n} 1M", n - 1));
    }
    disk_with(&at.join("n63"), &follow()).unwrap();
    assert!(refused(&at.join("n64"), &follow()).to_string().contains("more than 64 files"));
}

/// Any byte of a header or table may change without a panic or an endless loop.
#[test]
fn any_byte_may_be_any_other() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_sparse(&dir.path().join("raw"), &contents(2 * MIB));
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    for (format, options) in [
        ("qcow2", "-o extended_l2=on"),
        ("qcow2", "-c -o cluster_size=512"),
        ("vmdk", ""),
        ("vmdk", "-o subformat=streamOptimized"),
        ("vpc", "-o force_size=on"),
        ("vhdx", "-o block_size=1M"),
    ] {
        qemu_img(dir.path(), &format!("convert -O {format} {options} raw image"));
        let whole = std::fs::read(dir.path().join("image")).unwrap();
        // Meaningful bytes, and those after them.
        let said: Vec<usize> =
            (0..whole.len().min(3 * MIB)).filter(|at| whole[*at] != 0 && at % 65_536 < 1200).collect();
        let path = dir.path().join("changed");
        for _ in 0..150 {
            let mut bytes = whole.clone();
            for _ in 0..=random(3) {
                let at = said[random(said.len())] + random(9);
                if at < bytes.len() {
                    bytes[at] = [0, 1, 0x7f, 0x80, 0xff, bytes[at] ^ (1 << random(8))][random(6)];
                }
            }
            std::fs::write(&path, &bytes).unwrap();
            let chosen = if format == "vpc" { "vhd" } else { format };
            let options = OpenOptions { format: chosen.parse().unwrap(), ..OpenOptions::default() };
            let Ok((disk, _)) = disk_with(&path, &options) else { continue };
            let (size, mut piece) = (disk.info().size, Vec::new());
            let local = disk.local().unwrap();
            for at in [0, size / 2, size.saturating_sub(300_000)] {
                let _ = local.read_into(at, (size - at).min(300_000), &mut piece);
            }
            if size < 1 << 30 {
                let _ = extents(&*disk);
            }
        }
    }
}
