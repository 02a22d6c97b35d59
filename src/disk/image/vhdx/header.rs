//! The structures at the start of a VHDX (MS-VHDX 2.2): headers, the region table, and the metadata.

use crate::disk::image::part::Part;
use crate::error::Result;
use std::collections::HashMap;

/// A GUID in the file's byte order.
pub(super) type Guid = [u8; 16];

const HEADERS: [u64; 2] = [64 << 10, 128 << 10];
const REGIONS: [u64; 2] = [192 << 10, 256 << 10];
const REGION_TABLE: u64 = 64 << 10;

/// The most entries of a table (2.2.3.1 and 2.6.1.1).
const MOST_ENTRIES: usize = 2047;

const BAT: Guid = guid(0x2dc2_7766, 0xf623, 0x4200, 0x9d64_115e_9bfd_4a08);
const METADATA: Guid = guid(0x8b7c_a206, 0x4790, 0x4b9a, 0xb8fe_575f_050f_886e);

pub(super) const FILE_PARAMETERS: Guid = guid(0xcaa1_6737, 0xfa36, 0x4d43, 0xb3b6_33f0_aa44_e76b);
pub(super) const DISK_SIZE: Guid = guid(0x2fa5_4224, 0xcd1b, 0x4876, 0xb211_5dbe_d83b_f4b8);
pub(super) const LOGICAL_SECTOR: Guid = guid(0x8141_bf1d, 0xa96f, 0x4709, 0xba47_f233_a8fa_ab5f);
pub(super) const PARENT: Guid = guid(0xa8d3_5f2d, 0xb30b, 0x454d, 0xabf7_d3d8_4834_ab0c);
const DISK_ID: Guid = guid(0xbeca_12ab, 0xb2e6, 0x4523, 0x93ef_c309_e000_c746);
const PHYSICAL_SECTOR: Guid = guid(0xcda3_48c7, 0x445d, 0x4471, 0x9cc9_e988_5251_c556);

/// Returns a GUID from its fields (MS-DTYP 2.3.4.2), of which the first three are little-endian.
const fn guid(a: u32, b: u16, c: u16, rest: u64) -> Guid {
    let (a, b, c, d) = (a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes(), rest.to_be_bytes());
    [a[0], a[1], a[2], a[3], b[0], b[1], c[0], c[1], d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7]]
}

/// A region of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    pub(super) at: u64,
    pub(super) len: u64,
}

/// The required regions.
pub(super) struct Regions {
    pub(super) bat: Region,
    pub(super) metadata: Region,
}

/// Returns an error if the current header says that the log contains changes to replay.
pub(super) fn check_log(part: &Part) -> Result<()> {
    let mut newest: Option<(u64, [u8; 4096])> = None;
    for at in HEADERS {
        if !part.has(at, 4096) {
            continue;
        }
        let header: [u8; 4096] = part.array(at)?;
        let sequence = long(&header[8..16]);
        let later = newest.as_ref().is_none_or(|(other, _)| *other < sequence);
        if header.starts_with(b"head") && is_summed(&header) && later {
            newest = Some((sequence, header));
        }
    }
    let Some((_, header)) = newest else {
        return Err(part.damaged("neither of its two headers is valid"));
    };
    let (log_version, version) = (long(&header[64..66]), long(&header[66..68]));
    if version != 1 || log_version != 0 {
        return Err(part.refused(format_args!("it is VHDX of the unsupported version {version}: expected 1")));
    }
    if header[48..64] != [0; 16] {
        let why = "it was not closed: its log contains changes to replay";
        return Err(part.refused(why).hint(
            "to replay them, start and stop the machine that uses it, or run `qemu-img check -r all` on a copy",
        ));
    }
    Ok(())
}

/// Returns the regions by the first valid one of the two region tables.
pub(super) fn regions(part: &Part) -> Result<Regions> {
    let table = REGIONS.iter().find_map(|at| {
        let table = part.up_to(*at, REGION_TABLE).ok()?;
        (table.len() as u64 == REGION_TABLE && table.starts_with(b"regi") && is_summed(&table))
            .then_some(table)
    });
    let table = table.ok_or_else(|| part.damaged("neither of its two region tables is valid"))?;
    let (mut bat, mut metadata) = (None, None);
    for entry in entries(part, &table[16..], long(&table[8..12]))? {
        let region = Region { at: long(&entry[16..24]), len: long(&entry[24..28]) };
        let known = if entry[..16] == BAT {
            &mut bat
        } else if entry[..16] == METADATA {
            &mut metadata
        } else if entry[28] & 1 == 1 {
            return Err(part.refused("it has an unknown required region"));
        } else {
            continue;
        };
        if known.is_some() || !part.has(region.at, region.len) || region.at < 1 << 20 {
            return Err(part.damaged(format_args!("a region is at the invalid offset {}", region.at)));
        }
        *known = Some(region);
    }
    match (bat, metadata) {
        (Some(bat), Some(metadata)) => Ok(Regions { bat, metadata }),
        _ => Err(part.damaged("a required region is missing")),
    }
}

/// Reads the known metadata items, each up to the end of the first 64 KiB of the region.
pub(super) fn metadata(part: &Part, region: Region) -> Result<HashMap<Guid, Vec<u8>>> {
    const LONGEST: u64 = 64 << 10;
    let table = part.up_to(region.at, region.len.min(LONGEST))?;
    if table.len() < 32 || !table.starts_with(b"metadata") {
        return Err(part.damaged("it has no metadata table"));
    }
    let mut found = HashMap::new();
    for entry in entries(part, &table[32..], long(&table[10..12]))? {
        let id = <Guid>::try_from(&entry[..16]).unwrap_or_default();
        let (at, len) = (long(&entry[16..20]), long(&entry[20..24]));
        if ![FILE_PARAMETERS, DISK_SIZE, LOGICAL_SECTOR, PARENT, DISK_ID, PHYSICAL_SECTOR].contains(&id) {
            // Bit 2: the item is required.
            if entry[24] & 4 != 0 {
                return Err(part.refused("it has an unknown required metadata item"));
            }
            continue;
        }
        if len > LONGEST || at.checked_add(len).is_none_or(|end| end > region.len) {
            return Err(part.damaged("a metadata item is outside its region"));
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        part.fill(region.at + at, &mut bytes)?;
        if found.insert(id, bytes).is_some() {
            return Err(part.damaged("it has a metadata item twice"));
        }
    }
    Ok(found)
}

/// Returns `count` table entries of 32 bytes each.
fn entries<'t>(part: &Part, table: &'t [u8], count: u64) -> Result<&'t [[u8; 32]]> {
    let all = table.as_chunks::<32>().0;
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count > MOST_ENTRIES || count > all.len() {
        return Err(part.damaged(format_args!("a table of {count} entries")));
    }
    Ok(&all[..count])
}

/// Returns a little-endian number of up to eight bytes.
pub(super) fn long(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Returns whether the CRC-32C of a structure, at its byte 4, is correct.
fn is_summed(bytes: &[u8]) -> bool {
    long(&bytes[4..8]) == u64::from(crc(bytes))
}

/// Returns the CRC-32C of a structure, with bytes 4 to 7 taken as zeros.
pub(in crate::disk::image) fn crc(bytes: &[u8]) -> u32 {
    let crc = [&bytes[..4], &[0; 4], &bytes[8..]].into_iter().flatten().fold(u32::MAX, |crc, byte| {
        let [low, ..] = crc.to_le_bytes();
        crc >> 8 ^ CRC[usize::from(low ^ byte)]
    });
    !crc
}

/// The table of CRC-32C (RFC 3720, appendix B.4, polynomial 0x1EDC6F41, reflected).
const CRC: [u32; 256] = {
    let mut table = [0_u32; 256];
    let mut index = 0_u32;
    while index < 256 {
        let (mut crc, mut bit) = (index, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[index as usize] = crc;
        index += 1;
    }
    table
};

/// Returns the path of the parent from the parent locator (2.6.2.6).
pub(super) fn parent_path(locator: &[u8]) -> Option<String> {
    let utf16 = |at: u64, len: u64| -> Option<String> {
        let from = usize::try_from(at).ok()?;
        let bytes = locator.get(from..from.checked_add(usize::try_from(len).ok()?)?)?;
        let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|two| u16::from_le_bytes(*two)).collect();
        Some(String::from_utf16_lossy(&units))
    };
    let count = usize::try_from(long(locator.get(18..20)?)).ok()?;
    let mut paths = Vec::new();
    for entry in locator.get(20..)?.as_chunks::<12>().0.iter().take(count) {
        let key = utf16(long(&entry[..4]), long(&entry[8..10]))?;
        let value = utf16(long(&entry[4..8]), long(&entry[10..12]))?;
        if key.ends_with("path") {
            paths.push((key != "relative_path", value));
        }
    }
    paths.sort();
    Some(paths.into_iter().next()?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc32c() {
        // RFC 3720, appendix B.4: 32 zero bytes. The four bytes of the checksum count as zeros, so they can
        // be among them.
        let mut bytes = [0; 32];
        bytes[4..8].copy_from_slice(&0x8a91_36aa_u32.to_le_bytes());
        assert!(is_summed(&bytes));
        bytes[31] = 1;
        assert!(!is_summed(&bytes));
    }
}
