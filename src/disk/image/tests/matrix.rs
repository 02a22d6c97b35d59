//! Images created by `qemu-img`, over formats, cluster sizes, compression and subformats.

use super::qemu_img::{is_here, qemu_img, raw, run};
use super::{OpenOptions, bytes_of, disk_with, zeros};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

pub(super) const MIB: usize = 1 << 20;

/// Text, noise, zeros and holes; the end is noise, so that truncation shows.
pub(super) fn contents(size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut bytes = vec![0; size];
    for (n, piece) in bytes.chunks_mut(64 << 10).enumerate() {
        match n % 7 {
            0 | 4 => piece.iter_mut().for_each(|byte| *byte = noise().to_le_bytes()[0]),
            1 => piece.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at / 97).to_le_bytes()[0] | 1),
            2 => piece[noise().to_le_bytes()[0] as usize % 100] = 7,
            // Zeros, including four MiB of them in the middle.
            _ => {}
        }
    }
    if size > 8 * MIB {
        bytes[4 * MIB..8 * MIB].fill(0);
    }
    let end = bytes.len();
    bytes[end.saturating_sub(100)..].fill(0x5a);
    bytes
}

/// Creates a sparse raw file of these bytes.
pub(super) fn write_sparse(path: &Path, bytes: &[u8]) {
    let file = std::fs::File::create(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    for run in crate::disk::zero::data_runs(bytes, 4096) {
        file.write_all_at(&bytes[run.clone()], run.start as u64).unwrap();
    }
}

/// Arguments of `qemu-img convert`: the format's name in QEMU and here, the size of the image, options.
const IMAGES: &[(&str, &str, usize, &str)] = &[
    ("qcow2", "qcow2", 12 * MIB, ""),
    ("qcow2", "qcow2", 12 * MIB, "-o compat=0.10"),
    ("qcow2", "qcow2", 12 * MIB, "-c -o compat=0.10"),
    ("qcow2", "qcow2", 3 * MIB + 512, "-o cluster_size=512"),
    ("qcow2", "qcow2", 3 * MIB + 1536, "-c -o cluster_size=512"),
    ("qcow2", "qcow2", 12 * MIB + 3 * 512, "-o cluster_size=4k"),
    ("qcow2", "qcow2", 12 * MIB + 3 * 512, "-c -o cluster_size=4k,compression_type=zstd"),
    ("qcow2", "qcow2", 12 * MIB, "-c"),
    ("qcow2", "qcow2", 12 * MIB + 512, "-c -o compression_type=zstd"),
    ("qcow2", "qcow2", 12 * MIB + 512, "-o cluster_size=2M"),
    ("qcow2", "qcow2", 12 * MIB + 512, "-c -o cluster_size=2M"),
    ("qcow2", "qcow2", 12 * MIB + 512, "-c -o cluster_size=2M,compression_type=zstd"),
    ("qcow2", "qcow2", 12 * MIB, "-o extended_l2=on"),
    ("qcow2", "qcow2", 12 * MIB + 512, "-o extended_l2=on,cluster_size=16k"),
    ("qcow2", "qcow2", 12 * MIB, "-c -o extended_l2=on,cluster_size=128k"),
    ("qcow2", "qcow2", 12 * MIB, "-c -o extended_l2=on,compression_type=zstd"),
    ("qcow2", "qcow2", 12 * MIB, "-o preallocation=metadata"),
    ("qcow2", "qcow2", 12 * MIB, "-o preallocation=falloc"),
    ("qcow2", "qcow2", 12 * MIB, "-o preallocation=full,cluster_size=32k"),
    ("qcow2", "qcow2", 12 * MIB, "-o lazy_refcounts=on,refcount_bits=1"),
    ("qcow2", "qcow2", 12 * MIB + 1000, "-o refcount_bits=64"),
    ("qcow2", "qcow2", 512, ""),
    ("qcow2", "qcow2", 1, "-c"),
    ("vmdk", "vmdk", 12 * MIB, ""),
    ("vmdk", "vmdk", 12 * MIB + 512, "-o subformat=monolithicSparse"),
    ("vmdk", "vmdk", 12 * MIB + 512, "-o subformat=monolithicSparse,zeroed_grain=on"),
    ("vmdk", "vmdk", 12 * MIB, "-o subformat=monolithicFlat"),
    ("vmdk", "vmdk", 12 * MIB + 512, "-o subformat=twoGbMaxExtentSparse"),
    ("vmdk", "vmdk", 12 * MIB + 512, "-o subformat=twoGbMaxExtentFlat"),
    ("vmdk", "vmdk", 12 * MIB, "-o subformat=streamOptimized"),
    ("vmdk", "vmdk", 12 * MIB + 512, "-o subformat=streamOptimized,hwversion=14"),
    ("vhd", "vpc", 12 * MIB, ""),
    ("vhd", "vpc", 12 * MIB, "-o force_size=on"),
    ("vhd", "vpc", 12 * MIB + 1024, "-o subformat=dynamic,force_size=on"),
    ("vhd", "vpc", 12 * MIB, "-o subformat=fixed"),
    ("vhd", "vpc", 12 * MIB + 512, "-o subformat=fixed,force_size=on"),
    ("vhdx", "vhdx", 12 * MIB, ""),
    ("vhdx", "vhdx", 12 * MIB + 512, "-o block_size=1M"),
    ("vhdx", "vhdx", 12 * MIB, "-o subformat=dynamic,block_size=16M,block_state_zero=off"),
    ("vhdx", "vhdx", 12 * MIB, "-o subformat=fixed,block_size=2M"),
    ("vhdx", "vhdx", 12 * MIB, "-o subformat=dynamic,block_size=256M"),
    ("raw", "raw", 12 * MIB, ""),
];

#[test]
fn every_image_of_qemu_img_is_read_byte_for_byte() {
    if !is_here() {
        return;
    }
    let mut made = std::collections::HashMap::new();
    for (n, (format, theirs, size, options)) in IMAGES.iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = made.entry(*size).or_insert_with(|| contents(*size));
        write_sparse(&dir.path().join("raw"), bytes);
        let name = format!("image-{n}");
        qemu_img(dir.path(), &format!("convert -f raw -O {theirs} {options} raw {name}"));
        let judged = raw(dir.path(), theirs, &name);
        assert!(judged.starts_with(&bytes[..size / 512 * 512]), "{theirs} {options}: the judge");
        let path = dir.path().join(&name);
        let exactly = OpenOptions { format: format.parse().unwrap(), ..OpenOptions::default() };
        disk_with(&path, &exactly).unwrap_or_else(|e| panic!("{theirs} {options}: {e}"));
        let chosen = OpenOptions::default();
        let (disk, reading) = disk_with(&path, &chosen).unwrap_or_else(|e| panic!("{theirs} {options}: {e}"));
        assert_eq!(&reading, format, "{theirs} {options}");
        let read = bytes_of(&*disk).unwrap_or_else(|e| panic!("{theirs} {options}: {e}"));
        assert_eq!(read.len(), judged.len(), "{theirs} {options}");
        if read != judged {
            let differs = read.iter().zip(&judged).position(|(is, should)| is != should);
            panic!("{theirs} {options}: it differs at {differs:?}");
        }
        // The four MiB of zeros, as far as the format represents them.
        let known = zeros(&*disk, &judged);
        let coarse = ["256M", "16M", "=falloc", "=full"].iter().any(|coarse| options.contains(coarse))
            || *size < 8 * MIB;
        assert!(known >= 3 * MIB as u64 || coarse, "{theirs} {options}: {known} zeros are known");
    }
    assert!(IMAGES.len() >= 40);
}

#[test]
fn a_chain_of_backing_files_is_read_where_that_is_asked_for() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let base = contents(5 * MIB + 700);
    std::fs::write(at.join("base.raw"), &base).unwrap();
    qemu_img(at, "create -q -f qcow2 -b base.raw -F raw middle.qcow2 6M");
    run("qemu-io", at, &["-c", "write -P 17 1M 100k", "-c", "write -z 3M 64k", "middle.qcow2"]);
    qemu_img(at, "create -q -f qcow2 -o extended_l2=on -b middle.qcow2 -F qcow2 top.qcow2 20M");
    run("qemu-io", at, &["-c", "write -P 18 1060k 3k", "-c", "write -P 19 19M 512", "top.qcow2"]);
    let follow = OpenOptions { follow_backing: true, ..OpenOptions::default() };
    let (disk, _) = disk_with(&at.join("top.qcow2"), &follow).unwrap();
    let judged = raw(at, "qcow2", "top.qcow2");
    assert!(bytes_of(&*disk).unwrap() == judged);
    assert!(zeros(&*disk, &judged) > 13 * MIB as u64);
    // A change to any file of the chain changes the image.
    let local = disk.local().unwrap();
    local.check_unchanged().unwrap();
    std::fs::OpenOptions::new()
        .append(true)
        .open(at.join("base.raw"))
        .unwrap()
        .set_len(9 * MIB as u64)
        .unwrap();
    let changed = local.check_unchanged().unwrap_err().to_string();
    assert!(changed.contains("base.raw changed"), "{changed}");
}

#[test]
fn clusters_in_a_file_of_their_own_are_read_where_that_is_asked_for() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bytes = contents(5 * MIB);
    std::fs::write(dir.path().join("raw"), &bytes).unwrap();
    for raw_data in ["off", "on"] {
        let options = format!("data_file=data-{raw_data},data_file_raw={raw_data}");
        qemu_img(dir.path(), &format!("convert -O qcow2 -o {options} raw split-{raw_data}"));
        let path = dir.path().join(format!("split-{raw_data}"));
        let follow = OpenOptions { follow_backing: true, ..OpenOptions::default() };
        assert!(bytes_of(&*disk_with(&path, &follow).unwrap().0).unwrap() == bytes, "{raw_data}");
        let refused = super::refused(&path, &OpenOptions::default());
        assert!(
            refused.to_string().contains(&format!("its data is another file, `data-{raw_data}`")),
            "{refused}"
        );
    }
}

#[test]
fn several_threads_read_one_image_at_once() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let bytes = contents(64 * MIB);
    std::fs::write(dir.path().join("raw"), &bytes).unwrap();
    for options in ["", "-c"] {
        qemu_img(dir.path(), &format!("convert -O qcow2 {options} raw image"));
        let disk = super::disk(&dir.path().join("image"));
        let local = disk.local().unwrap();
        let read = |threads: usize| {
            let start = Instant::now();
            std::thread::scope(|scope| {
                for thread in 0..threads {
                    let bytes = &bytes;
                    scope.spawn(move || {
                        let mut piece = Vec::new();
                        for n in (thread..16).step_by(threads) {
                            local.read_into((n * 4 * MIB) as u64, 4 << 20, &mut piece).unwrap();
                            assert!(piece == bytes[n * 4 * MIB..(n + 1) * 4 * MIB]);
                        }
                    });
                }
            });
            start.elapsed()
        };
        read(1);
        // A figure for manual runs; the machine may be busy.
        eprintln!("qcow2 {options}: 64 MiB by one thread in {:?}, by two in {:?}", read(1), read(2));
    }
}

#[test]
fn what_a_guest_writes_into_a_raw_image_leads_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("guest.raw");
    std::fs::write(dir.path().join("secret"), vec![7; MIB]).unwrap();
    // A qcow2 header with `secret` as its backing file.
    let mut bytes = vec![0; MIB];
    bytes[..8].copy_from_slice(b"QFI\xfb\0\0\0\x02");
    bytes[8..20].copy_from_slice(&[0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 6]);
    bytes[20..32].copy_from_slice(&[0, 0, 0, 16, 0, 0, 0, 0, 0, 16, 0, 0]);
    bytes[36..48].copy_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 3, 0, 0]);
    bytes[256..262].copy_from_slice(b"secret");
    std::fs::write(&path, &bytes).unwrap();
    let error = super::refused(&path, &OpenOptions::default());
    assert!(error.to_string().contains("its backing file is another file, `secret`"), "{error}");
    assert!(error.hint_text().unwrap().contains("--follow-backing"));
    let raw = OpenOptions { format: "raw".parse().unwrap(), ..OpenOptions::default() };
    assert!(bytes_of(&*disk_with(&path, &raw).unwrap().0).unwrap() == bytes);
    // A file with only an MBR is raw.
    let mut disk = vec![0; MIB];
    disk[..2].copy_from_slice(b"\xeb\x63");
    disk[510..512].copy_from_slice(b"\x55\xaa");
    std::fs::write(&path, &disk).unwrap();
    assert_eq!(disk_with(&path, &OpenOptions::default()).unwrap().1, "raw");
}
