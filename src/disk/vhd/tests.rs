//! Footers checked against the specification, and whole images against qemu-img.

use super::*;
use crate::disk::file::FileDisk;
use crate::disk::memory::MemoryDisk;
use crate::disk::{Buffers, Extent, ReadAt};
use crate::error::Kind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const MADE: u64 = EPOCH + 0x1234_5678;

fn made() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(MADE)
}

fn footer(size: u64) -> Footer {
    Footer::fixed(size, id_of("t1"), made())
}

#[test]
fn a_footer_has_its_fields_where_the_specification_has_them() {
    let bytes = footer(3 << 20).to_bytes();
    assert_eq!(&bytes[..8], b"conectix");
    assert_eq!(bytes[8..16], [0, 0, 0, 2, 0, 1, 0, 0]);
    assert_eq!(bytes[16..24], [0xff; 8]);
    assert_eq!(bytes[24..28], [0x12, 0x34, 0x56, 0x78]);
    assert_eq!((&bytes[28..32], &bytes[36..40]), (&b"win "[..], &b"Wi2k"[..]));
    assert_eq!(bytes[40..56], [0, 0, 0, 0, 0, 0x30, 0, 0, 0, 0, 0, 0, 0, 0x30, 0, 0]);
    assert_eq!(bytes[60..64], [0, 0, 0, 2]);
    assert_eq!(bytes[68..84], id_of("t1"));
    assert!(bytes[84..].iter().all(|byte| *byte == 0));
    // All bytes and the complement of their sum add up to all ones.
    let sum: u32 =
        bytes.iter().enumerate().filter(|(at, _)| !(64..68).contains(at)).map(|(_, b)| u32::from(*b)).sum();
    assert_eq!(bytes[64..68], (!sum).to_be_bytes());
    assert_eq!(Footer::parse(&bytes), Some(footer(3 << 20)));
    assert_eq!((id_of("t1") == id_of("t2"), id_of("t1")[6] >> 4, id_of("t1")[8] >> 6), (false, 8, 2));
    assert_eq!(Footer::fixed(1, [0; 16], UNIX_EPOCH).timestamp, 0);
}

#[test]
fn no_byte_of_a_footer_may_be_another() {
    let good = footer(3 << 20).to_bytes();
    for at in 0..512 {
        let mut bad = good;
        bad[at] ^= 0x40;
        assert_eq!(Footer::parse(&bad), None, "{at}");
    }
    assert_eq!(Footer::parse(&[0; 512]), None);
}

#[test]
fn geometries_are_those_of_the_specification() {
    // Cylinders, heads, sectors per track.
    let of = |size: u64| {
        let [high, low, heads, sectors] = geometry(size);
        (u16::from_be_bytes([high, low]), heads, sectors)
    };
    assert_eq!(of(1 << 20), (30, 4, 17));
    assert_eq!(of(40 << 20), (963, 5, 17));
    assert_eq!(of(200 << 20), (825, 16, 31));
    assert_eq!(of(256 << 20), (520, 16, 63));
    assert_eq!(of(1 << 30), (2080, 16, 63));
    assert_eq!(of(100 << 30), (51_400, 16, 255));
    assert_eq!(of(u64::MAX), (65_535, 16, 255));
}

/// Odd, with a hole before the end.
const SIZE: u64 = (5 << 20) + 300;

fn image() -> Vec<u8> {
    let byte = |n: u64| if (1 << 20..4 << 20).contains(&n) { 0 } else { (n * 7 % 251).to_le_bytes()[0] };
    (0..SIZE).map(byte).collect()
}

fn sparse(path: &Path) {
    let (file, bytes) = (std::fs::File::create(path).unwrap(), image());
    file.set_len(SIZE).unwrap();
    file.write_all_at(&bytes[..1 << 20], 0).unwrap();
    file.write_all_at(&bytes[4 << 20..], 4 << 20).unwrap();
}

async fn read(disk: &dyn ReadAt, range: Range<u64>) -> Vec<u8> {
    disk.read_at(range.start, range.end - range.start, Buffers::new(1).take(0)).await.unwrap().to_vec()
}

fn local(disk: &dyn ReadAt, range: Range<u64>) -> Vec<u8> {
    let mut into = vec![9; 3];
    disk.local().unwrap().read_into(range.start, range.end - range.start, &mut into).unwrap();
    into
}

#[tokio::test]
async fn an_image_with_a_footer_reads_like_the_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image");
    sparse(&path);
    let file: Arc<dyn ReadAt> = Arc::new(FileDisk::open(&path).unwrap());
    let disk = WithFooter::new(Arc::clone(&file), id_of("t1"), made()).unwrap();
    let mut whole = image();
    whole.resize(6 << 20, 0);
    whole.extend_from_slice(&footer(6 << 20).to_bytes());
    let size = whole.len() as u64;
    assert_eq!(disk.info().size, size);
    let part = |range: &Range<u64>| {
        whole[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()].to_vec()
    };
    let ends = [0, 1, SIZE - 1, SIZE, SIZE + 1, (6 << 20) - 1, 6 << 20, (6 << 20) + 1, size - 1, size];
    for start in ends {
        for end in ends.into_iter().filter(|end| *end > start) {
            let range = start..end;
            assert!(read(&disk, range.clone()).await == part(&range), "{range:?}");
            assert!(local(&disk, range.clone()) == part(&range), "{range:?}");
            let mut at = start;
            for extent in disk.extents(range.clone()).await.unwrap() {
                assert!(extent.range.start == at && !extent.range.is_empty(), "{range:?}");
                assert!(!extent.zero || part(&extent.range).iter().all(|byte| *byte == 0), "{extent:?}");
                at = extent.range.end;
            }
            assert_eq!(at, end, "{range:?}");
        }
    }
    let extents = disk.extents(0..size).await.unwrap();
    assert!(extents.contains(&Extent { range: SIZE..6 << 20, zero: true }), "{extents:?}");
    assert!(extents.iter().any(|extent| extent.zero && extent.range.start < 2 << 20), "{extents:?}");
    for outside in [size..size + 1, size - 1..size + 1] {
        let got = disk.read_at(outside.start, outside.end - outside.start, Buffers::new(1).take(0)).await;
        assert_eq!(got.unwrap_err().kind(), Kind::Refused);
        assert!(disk.local().unwrap().read_into(outside.start, 2, &mut Vec::new()).is_err());
    }
    assert!(disk.changed().await.unwrap().is_none());
    file.local().unwrap().check_unchanged().unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(7).unwrap();
    assert!(disk.local().unwrap().check_unchanged().is_err() && disk.changed().await.unwrap().is_some());
    // A remote disk does not become local.
    let far: Arc<dyn ReadAt> = Arc::new(MemoryDisk::new(vec![1; 100]));
    assert!(WithFooter::new(far, [0; 16], made()).unwrap().local().is_none());
    assert!(WithFooter::new(Arc::new(MemoryDisk::new(Vec::new())), [0; 16], made()).is_err());
}

#[tokio::test]
async fn a_footer_is_taken_off_again() {
    let with = WithFooter::new(Arc::new(MemoryDisk::new(image())), id_of("t1"), made()).unwrap();
    let without = WithoutFooter::detect(Arc::new(with)).await.unwrap().expect("it has a footer");
    assert_eq!((without.info().size, without.footer()), (6 << 20, &footer(6 << 20)));
    assert!(read(&without, 0..SIZE).await == image());
    assert_eq!(without.extents(5..10).await.unwrap()[0].range, 5..10);
    assert!(without.read_at(6 << 20, 1, Buffers::new(1).take(0)).await.is_err());
    assert!(without.extents((6 << 20) - 1..(6 << 20) + 1).await.is_err());
    // The size in the footer counts if more bytes precede it.
    let file = |size: u64, kind: DiskType| {
        let mut bytes = vec![1; 4096];
        bytes.extend_from_slice(&Footer { disk_type: kind, ..footer(size) }.to_bytes());
        WithoutFooter::detect(Arc::new(MemoryDisk::new(bytes)))
    };
    assert_eq!(file(3584, DiskType::Fixed).await.unwrap().unwrap().info().size, 3584);
    assert!(file(4096, DiskType::Dynamic).await.unwrap().is_none());
    for size in [0, 4097, u64::MAX] {
        let error = file(size, DiskType::Fixed).await.err().expect("it says what it cannot have");
        assert!(error.kind() == Kind::Source && error.hint_text().is_some(), "{error}");
    }
    for none in [vec![0; 512], vec![0; 511], vec![1; 5000]] {
        assert!(WithoutFooter::detect(Arc::new(MemoryDisk::new(none))).await.unwrap().is_none());
    }
}

/// Runs qemu-img. Returns `None` and reports that if it is not installed, which is a failure in CI.
fn qemu_img(arguments: &[&str]) -> Option<String> {
    let Ok(ran) = Command::new("qemu-img").args(arguments).output() else {
        crate::skipped::skipped("qemu-img is not installed (Debian: qemu-utils)");
        return None;
    };
    let (said, error) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{arguments:?}: {said}{error}");
    Some(said.into_owned())
}

#[tokio::test]
async fn qemu_takes_what_is_made_here() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    // Geometries that mostly do not match the size, and the largest ones.
    for size in [1, 512, SIZE, 40 << 20, (300 << 20) + 5, 3 << 30, 127 << 30, 2040 << 30] {
        let raw = std::fs::File::create(path("raw")).unwrap();
        raw.set_len(size).unwrap();
        raw.write_all_at(b"x", size - 1).unwrap();
        let file: Arc<dyn ReadAt> = Arc::new(FileDisk::open(Path::new(&path("raw"))).unwrap());
        let disk = WithFooter::new(file, id_of("t1"), made()).unwrap();
        // Only the end is copied: a new file of the same size reads as zero elsewhere.
        let vhd = std::fs::File::create(path("vhd")).unwrap();
        vhd.set_len(disk.info().size).unwrap();
        let start = size - 1;
        vhd.write_all_at(&read(&disk, start..disk.info().size).await, start).unwrap();
        let Some(info) = qemu_img(&["info", "--output=json", "-f", "vpc", &path("vhd")]) else { return };
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        let padded = size.next_multiple_of(1 << 20);
        assert_eq!(info["virtual-size"], padded, "{size}: {info}");
        raw.set_len(padded).unwrap();
        qemu_img(&["compare", "-f", "vpc", "-F", "raw", &path("vhd"), &path("raw")]).unwrap();
    }
}

#[tokio::test]
async fn what_qemu_makes_is_read_here() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    sparse(Path::new(&path("raw")));
    for options in ["subformat=fixed,force_size", "subformat=fixed"] {
        let convert = ["convert", "-f", "raw", "-O", "vpc", "-o", options, &path("raw"), &path("vhd")];
        if qemu_img(&convert).is_none() {
            return;
        }
        let file: Arc<dyn ReadAt> = Arc::new(FileDisk::open(Path::new(&path("vhd"))).unwrap());
        let disk = WithoutFooter::detect(file).await.unwrap().expect("it is a fixed VHD");
        let info = qemu_img(&["info", "--output=json", "-f", "vpc", &path("vhd")]).unwrap();
        let info: serde_json::Value = serde_json::from_str(&info).unwrap();
        assert_eq!(info["virtual-size"], disk.info().size, "{options}: {info}");
        assert!(read(&disk, 0..SIZE).await == image() && local(&disk, 0..SIZE) == image(), "{options}");
    }
    // Without force_size the size is that of a geometry, which must be the one computed here.
    for size in [1_u64 << 20, 40 << 20, 250 << 20, 1 << 30, 100 << 30] {
        qemu_img(&["create", "-f", "vpc", "-o", "subformat=fixed", &path("empty"), &size.to_string()])
            .unwrap();
        let file = std::fs::File::open(path("empty")).unwrap();
        let (mut bytes, end) = ([0; 512], file.metadata().unwrap().len() - FOOTER);
        file.read_exact_at(&mut bytes, end).unwrap();
        let footer = Footer::parse(&bytes).unwrap();
        assert_eq!((footer.current_size, bytes[56..60].to_vec()), (end, geometry(end).to_vec()), "{size}");
    }
    let dynamic = ["convert", "-f", "raw", "-O", "vpc", &path("raw"), &path("dynamic")];
    qemu_img(&dynamic).unwrap();
    let file: Arc<dyn ReadAt> = Arc::new(FileDisk::open(Path::new(&path("dynamic"))).unwrap());
    assert!(WithoutFooter::detect(file).await.unwrap().is_none());
}
