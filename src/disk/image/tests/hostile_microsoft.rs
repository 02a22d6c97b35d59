//! VHD and VHDX images that are damaged or malicious.

use super::hostile::unreadable;
use super::matrix::{MIB, contents, write_sparse};
use super::qemu_img::{is_here, qemu_img};
use super::{bytes_of, disk};
use crate::disk::image::vhdx::header::crc;

/// Changes a footer or header of a VHD and updates its checksum, which is at `sum`.
fn summed(mut bytes: Vec<u8>, at: usize, len: usize, sum: usize, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let part = &mut bytes[at..at + len];
    change(part);
    part[sum..sum + 4].fill(0);
    let total: u32 = part.iter().map(|byte| u32::from(*byte)).sum();
    part[sum..sum + 4].copy_from_slice(&(!total).to_be_bytes());
    bytes
}

#[test]
fn images_of_microsoft_that_cannot_be_are_errors() {
    if !is_here() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_sparse(&dir.path().join("raw"), &contents(12 * MIB));
    qemu_img(dir.path(), "convert -O vpc -o force_size=on raw vhd");
    let path = dir.path().join("patched");
    let vhd = std::fs::read(dir.path().join("vhd")).unwrap();
    let footer = vhd.len() - 512;
    let table = usize::try_from(u64::from_be_bytes(vhd[512 + 16..512 + 24].try_into().unwrap())).unwrap();
    let word = |table: usize, entry: u32| {
        let mut bytes = vhd.clone();
        bytes[table..table + 4].copy_from_slice(&entry.to_be_bytes());
        bytes
    };
    let mut parent = summed(vhd.clone(), footer, 512, 64, |footer| footer[63] = 4);
    parent[512 + 64..512 + 70].copy_from_slice(&[0, b'p', 0, 0x1b, 0, b'q']);
    // The table is at the end, so that a block at the start does not overlap it.
    let mut moved = summed(vhd[..footer].to_vec(), 512, 1024, 36, |header| {
        header[16..24].copy_from_slice(&(footer as u64).to_be_bytes());
    });
    moved.extend_from_slice(&[0; 4]);
    moved.extend_from_slice(&vhd[table + 4..table + 512]);
    moved.extend_from_slice(&vhd[footer..]);
    for (bytes, says) in [
        (moved, "a block at byte 0 overlaps the block table or the header"),
        (summed(vhd.clone(), footer, 512, 64, |footer| footer[63] = 9), "its end is missing"),
        (parent, "differences to another file, `p\\u{1b}q`"),
        (summed(vhd.clone(), footer, 512, 64, |footer| footer[48] = 1), "has a disk size of"),
        (summed(vhd.clone(), footer, 512, 64, |footer| footer[51] = 1), "is too short"),
        (summed(vhd.clone(), footer, 512, 64, |footer| footer[16..24].fill(0xf0)), "it is truncated"),
        (summed(vhd.clone(), 512, 1024, 36, |header| header[32] = 1), "blocks of 18874368 bytes"),
        (summed(vhd.clone(), 512, 1024, 36, |header| header[32..36].fill(0)), "blocks of 0 bytes"),
        (summed(vhd.clone(), 512, 1024, 36, |header| header[16] = 0x7f), "is too short, or outside the file"),
        (word(table, 0x7fff_ffff), "a block is at byte 1099511627264, but the file has"),
        (word(table, 3), "overlaps the block table or the header"),
        (word(table, 0), "overlaps the block table or the header"),
        (vhd[..footer].to_vec(), "its end is missing"),
        (word(512, 0), "no valid header"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = unreadable(&path).to_string();
        assert!(error.contains(says), "{error}, not {says}");
    }

    qemu_img(dir.path(), "convert -O vhdx -o block_size=1M raw vhdx");
    let vhdx = std::fs::read(dir.path().join("vhdx")).unwrap();
    let with = |at: usize, new: &[u8]| {
        let mut bytes = vhdx.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        // Updates the checksums of the headers and region tables.
        for (at, len) in [(64 << 10, 4096), (128 << 10, 4096), (192 << 10, 64 << 10), (256 << 10, 64 << 10)] {
            let sum = crc(&bytes[at..at + len]).to_le_bytes();
            bytes[at + 4..at + 8].copy_from_slice(&sum);
        }
        bytes
    };
    // By GUID: the block table, the metadata, and in it the parameters and the size.
    let find = |id: &[u8]| vhdx.windows(id.len()).position(|window| window == id).unwrap();
    let region = |id: &[u8]| {
        usize::try_from(u64::from_le_bytes(vhdx[find(id) + 16..find(id) + 24].try_into().unwrap())).unwrap()
    };
    let bat = region(&[0x66, 0x77, 0xc2, 0x2d]);
    let metadata = region(&[0x06, 0xa2, 0x7c, 0x8b]);
    let item = |id: &[u8]| {
        metadata
            + usize::try_from(u32::from_le_bytes(vhdx[find(id) + 16..find(id) + 20].try_into().unwrap()))
                .unwrap()
    };
    let parameters = item(&[0x37, 0x67, 0xa1, 0xca]);
    let size = item(&[0x24, 0x42, 0xa5, 0x2f]);
    let newest = {
        let sequence = |at: usize| u64::from_le_bytes(vhdx[at + 8..at + 16].try_into().unwrap());
        if sequence(64 << 10) > sequence(128 << 10) { 64 << 10 } else { 128 << 10 }
    };
    std::fs::write(&path, with(0, b"vhdx")).unwrap();
    assert!(bytes_of(&*disk(&path)).unwrap() == contents(12 * MIB));
    let mut unknown = vhdx.clone();
    unknown[find(&[0x66, 0x77, 0xc2, 0x2d])] = 0;
    unknown[find(&[0x66, 0x77, 0xc2, 0x2d]) + 28] = 1;
    let sum = crc(&unknown[192 << 10..256 << 10]).to_le_bytes();
    unknown[(192 << 10) + 4..(192 << 10) + 8].copy_from_slice(&sum);
    let mut torn = vhdx.clone();
    torn[(64 << 10) + 100] ^= 1;
    torn[(128 << 10) + 100] ^= 1;
    for (bytes, says) in [
        (torn, "neither of its two headers is valid"),
        (with(newest + 48, &[1]), "it was not closed"),
        (with(newest + 66, &[7]), "it is VHDX of the unsupported version 7"),
        (with(parameters, &[0, 0, 0, 3]), "in blocks of 50331648"),
        (with(parameters, &[0; 4]), "in blocks of 0"),
        (with(parameters + 4, &[2]), "differences to another file, which it does not name"),
        (with(size, &[0, 0, 0, 0, 0, 0, 0, 1]), "a disk of 72057594037927936 bytes"),
        (with(size, &[0, 0, 0, 0, 0, 1, 0, 0]), "its table has"),
        (with(find(&[0x66, 0x77, 0xc2, 0x2d]) + 16, &[0xff; 7]), "a region is at the invalid offset"),
        (with(find(&[0x66, 0x77, 0xc2, 0x2d]), &[0]), "a required region is missing"),
        (unknown, "an unknown required region"),
        (with(find(&[0x37, 0x67, 0xa1, 0xca]), &[0]), "an unknown required metadata item"),
        (with(find(&[0x24, 0x42, 0xa5, 0x2f]) + 16, &[0xff; 4]), "is outside its region"),
        (with(metadata + 10, &[0xff, 0xff]), "a table of 65535 entries"),
        (with(bat, &[5]), "the unknown state 5"),
        (with(bat, &[7]), "partially present"),
        (with(bat, &[6, 0, 0, 0, 0, 0, 0, 1]), "but the file has"),
        (with(bat, &[6, 0, 0, 0]), "overlaps the header or a table"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = unreadable(&path).to_string();
        assert!(error.contains(says), "{error}, not {says}");
    }
}
