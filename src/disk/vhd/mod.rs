//! Fixed VHDs, which Azure boots: the bytes of an image followed by a footer of 512 bytes.
//!
//! Source: Microsoft, `Virtual Hard Disk Image Format Specification`, version 1.0, `Hard Disk Footer Format`
//! and `CHS Calculation`. Azure requires the size without the footer to be a multiple of 1 MiB (`Prepare a
//! Windows VHD or VHDX to upload to Azure`).

mod behind;
mod with_footer;
mod without_footer;

pub use behind::Behind;
pub use with_footer::WithFooter;
pub use without_footer::WithoutFooter;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The length of a footer in bytes.
pub const FOOTER: u64 = 512;

/// The size of an image is rounded up to a multiple of this.
pub const UNIT: u64 = 1 << 20;

const COOKIE: &[u8; 8] = b"conectix";

/// Seconds from 1970 to 1 January 2000, the epoch of footers.
const EPOCH: u64 = 946_684_800;

/// The size of a sector, the unit of geometries.
const SECTOR: u64 = 512;

/// The most sectors that a geometry can express.
const MOST_SECTORS: u64 = 65_535 * 16 * 255;

/// The type of a VHD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskType {
    /// The bytes of the disk.
    Fixed,
    /// Only the blocks that were written.
    Dynamic,
    /// Only the blocks that differ from another VHD.
    Differencing,
}

/// The footer of a VHD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// The type of the VHD.
    pub disk_type: DiskType,
    /// The size of the disk in bytes.
    pub current_size: u64,
    /// The offset of the header of a dynamic disk; all ones in a fixed one.
    pub data_offset: u64,
    /// Identifies the VHD.
    pub id: [u8; 16],
    /// The creation time in seconds since 2000.
    pub timestamp: u32,
}

impl Footer {
    /// Creates the footer of a fixed VHD of `size` bytes.
    pub fn fixed(size: u64, id: [u8; 16], made: SystemTime) -> Self {
        let seconds =
            made.duration_since(UNIX_EPOCH + Duration::from_secs(EPOCH)).unwrap_or_default().as_secs();
        let timestamp = u32::try_from(seconds).unwrap_or(u32::MAX);
        Self { disk_type: DiskType::Fixed, current_size: size, data_offset: u64::MAX, id, timestamp }
    }

    /// Returns whether the VHD is fixed.
    pub fn is_fixed(&self) -> bool {
        self.disk_type == DiskType::Fixed
    }

    /// Returns the creation time.
    pub fn made(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(EPOCH + u64::from(self.timestamp))
    }

    /// Parses the last 512 bytes of a file. Returns `None` if they are not a footer, or one of an unknown
    /// version or type.
    pub fn parse(bytes: &[u8; 512]) -> Option<Self> {
        let be32 = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let be64 = |at: usize| u64::from(be32(at)) << 32 | u64::from(be32(at + 4));
        if bytes[..8] != *COOKIE || be32(64) != checksum(bytes) || be32(12) >> 16 != 1 {
            return None;
        }
        let disk_type = match be32(60) {
            2 => DiskType::Fixed,
            3 => DiskType::Dynamic,
            4 => DiskType::Differencing,
            _ => return None,
        };
        let mut id = [0; 16];
        id.copy_from_slice(&bytes[68..84]);
        Some(Self { disk_type, current_size: be64(48), data_offset: be64(16), id, timestamp: be32(24) })
    }

    /// Returns the bytes of the footer.
    ///
    /// Programs disagree on whether the size or the coarse geometry is authoritative. QEMU decides by the
    /// creator (`block/vpc.c`, `vpc_open`): older releases use the size only for known creators, newer ones
    /// use the geometry only for `vpc ` and `qemu`. The footer names Hyper-V, `win `, whose format Azure
    /// takes and whose size is used by all of them.
    pub fn to_bytes(&self) -> [u8; 512] {
        let mut bytes = [0; 512];
        let kind: u32 = match self.disk_type {
            DiskType::Fixed => 2,
            DiskType::Dynamic => 3,
            DiskType::Differencing => 4,
        };
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, COOKIE);
        // A bit that is always set.
        put(8, &2_u32.to_be_bytes());
        put(12, &0x0001_0000_u32.to_be_bytes());
        put(16, &self.data_offset.to_be_bytes());
        put(24, &self.timestamp.to_be_bytes());
        put(28, b"win ");
        put(32, &0x000a_0000_u32.to_be_bytes());
        put(36, b"Wi2k");
        put(40, &self.current_size.to_be_bytes());
        put(48, &self.current_size.to_be_bytes());
        put(56, &geometry(self.current_size));
        put(60, &kind.to_be_bytes());
        put(68, &self.id);
        let sum = checksum(&bytes);
        bytes[64..68].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

/// Returns the id of the VHD that is made from an image: the same in each run, a UUID of version 8 (RFC 9562,
/// 5.8).
pub fn id_of(image: &str) -> [u8; 16] {
    let digest = blake3::derive_key("diskferry 2026 unique id of a VHD", image.as_bytes());
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    id[6] = id[6] & 0x0f | 0x80;
    id[8] = id[8] & 0x3f | 0x80;
    id
}

/// Returns the one's complement of the sum of all bytes except those of the checksum.
fn checksum(bytes: &[u8; 512]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    !(sum(&bytes[..64]) + sum(&bytes[68..]))
}

/// Returns the cylinders, heads and sectors of a disk (`CHS Calculation`).
fn geometry(size: u64) -> [u8; 4] {
    let sectors = (size / SECTOR).min(MOST_SECTORS);
    let (mut per_track, mut heads, mut tracks);
    if sectors >= 65_535 * 16 * 63 {
        (per_track, heads, tracks) = (255, 16, sectors / 255);
    } else {
        per_track = 17;
        tracks = sectors / 17;
        heads = tracks.div_ceil(1024).max(4);
        if tracks >= heads * 1024 || heads > 16 {
            (per_track, heads, tracks) = (31, 16, sectors / 31);
        }
        if tracks >= heads * 1024 {
            (per_track, heads, tracks) = (63, 16, sectors / 63);
        }
    }
    let [_, _, _, _, _, _, high, low] = (tracks / heads).to_be_bytes();
    let byte = |n: u64| n.to_le_bytes()[0];
    [high, low, byte(heads), byte(per_track)]
}

#[cfg(test)]
mod tests;
