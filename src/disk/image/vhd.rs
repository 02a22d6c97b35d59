//! VHD ("Virtual Hard Disk Image Format Specification", 1.0): fixed and dynamic.

use super::linear::Linear;
use super::part::{Part, shown};
use super::{Layout, Place, Run, Take};
use crate::disk::vhd::{DiskType, Footer};
use crate::error::Result;
use std::ops::Range;

/// The footer's length, and that of a sector.
pub(super) const FOOTER: u64 = 512;

/// The largest disk: 2 TiB and 40 GiB are what the format and Windows have ("Hard Disk Footer Format",
/// `Current Size`).
const LARGEST: u64 = 4 << 40;

/// Entries of the table that are read at a time.
const SLICE: u64 = 1024;

/// The footer at the end, if the file has one there.
fn footer(part: &Part) -> Result<Option<Footer>> {
    let Some(at) = part.len().checked_sub(FOOTER) else { return Ok(None) };
    Ok(Footer::parse(&part.array(at)?))
}

/// Whether these are the last bytes of a fixed disk in a file of `len` bytes: all of it is the disk, but for
/// the footer.
pub(super) fn ends_fixed(tail: &[u8; 512], len: u64) -> bool {
    Footer::parse(tail).is_some_and(|footer| {
        footer.disk_type == DiskType::Fixed && footer.current_size.checked_add(FOOTER) == Some(len)
    })
}

/// Whether the part is a fixed disk.
pub(super) fn is_fixed(part: &Part) -> Result<bool> {
    let Some(at) = part.len().checked_sub(FOOTER) else { return Ok(false) };
    Ok(ends_fixed(&part.array(at)?, part.len()))
}

pub(super) fn open(part: Part) -> Result<Box<dyn Layout>> {
    // A dynamic disk has a copy at its start, for the day when the end is lost.
    let first = if part.has(0, FOOTER) { Footer::parse(&part.array(0)?) } else { None };
    let Some(footer) = footer(&part)? else {
        return Err(match first {
            Some(_) => part.damaged("it does not end with the footer of a VHD: its end is missing"),
            None => part.refused("it is no VHD image: it does not end with the footer of one"),
        });
    };
    let size = footer.current_size;
    if size > LARGEST {
        return Err(part.damaged(format_args!("its footer says that the disk has {size} bytes")));
    }
    match footer.disk_type {
        DiskType::Fixed if size > part.len() - FOOTER => {
            let has = part.len() - FOOTER;
            Err(part
                .damaged(format_args!("its footer says {size} bytes, and there are {has} in front of it")))
        }
        DiskType::Fixed => Ok(Box::new(Linear::of(part, size))),
        DiskType::Dynamic => Ok(Box::new(Dynamic::open(part, &footer)?)),
        DiskType::Differencing => {
            let name: [u8; 512] = part.array(footer.data_offset.saturating_add(64))?;
            let units: Vec<u16> =
                name.as_chunks::<2>().0.iter().map(|two| u16::from_be_bytes(*two)).collect();
            let name = String::from_utf16_lossy(&units);
            let name = shown(name.trim_end_matches('\0'));
            let why = format!("it holds only the differences to another file, {name}");
            Err(part
                .refused(why)
                .hint("merge the two first (`Merge-VHD`, or `qemu-img convert` of the parent's chain)"))
        }
    }
}

/// A disk in blocks, of which those that were never written to are not there.
struct Dynamic {
    part: Part,
    size: u64,
    block: u64,
    /// Bytes of the bitmap in front of each block.
    bitmap: u64,
    /// Where the table of blocks is, and its bytes.
    table: Range<u64>,
}

impl Dynamic {
    fn open(part: Part, footer: &Footer) -> Result<Self> {
        let header: [u8; 1024] = part.array(footer.data_offset)?;
        let sum = header.iter().enumerate().filter(|(i, _)| !(36..40).contains(i));
        let sum: u32 = sum.map(|(_, byte)| u32::from(*byte)).sum();
        let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap_or_default());
        if !header.starts_with(b"cxsparse") || word(36) != !sum {
            return Err(part.damaged(format_args!(
                "there is no valid header of a dynamic disk at byte {}",
                footer.data_offset
            )));
        }
        let (size, block) = (footer.current_size, u64::from(word(32)));
        if block < FOOTER || !block.is_power_of_two() {
            return Err(part.damaged(format_args!("blocks of {block} bytes")));
        }
        let at = u64::from(word(16)) << 32 | u64::from(word(20));
        let (has, needed) = (u64::from(word(28)), size.div_ceil(block));
        if has < needed || !part.has(at, needed * 4) {
            let why = format!("its table of {has} blocks at byte {at} is too short, or not in the file");
            return Err(part.damaged(why));
        }
        let bitmap = (block / FOOTER).div_ceil(8).next_multiple_of(FOOTER);
        Ok(Self { part, size, block, bitmap, table: at..at + needed * 4 })
    }

    /// The place of a block's bytes, by its entry.
    fn place(&self, entry: u32, range: &Range<u64>) -> Result<Place<'_>> {
        if entry == u32::MAX {
            return Ok(Place::Zero);
        }
        // The bitmap says which sectors were written. It is not looked at, as QEMU does not either: a block
        // begins as zeros, and there are writers that leave the bitmap out.
        let at = u64::from(entry) * FOOTER;
        let block = at..at + self.bitmap + self.block;
        let data = block.start + self.bitmap + range.start % self.block;
        // The last block may be cut behind the disk's end.
        let len = range.end - range.start;
        if !self.part.has(data, len) {
            let why = format!("a block is at byte {at}, and the file has {} bytes", self.part.len());
            return Err(self.part.damaged(why).offset(range.start));
        }
        if at < FOOTER || (block.start < self.table.end && self.table.start < block.end) {
            let why = format!("a block at byte {at} is on the table of blocks or the header");
            return Err(self.part.damaged(why).offset(range.start));
        }
        Ok(Place::Stored(&self.part, data))
    }
}

impl Layout for Dynamic {
    fn size(&self) -> u64 {
        self.size
    }

    fn map<'a>(&'a self, window: Range<u64>, take: Take<'_, 'a>) -> Result<()> {
        let (mut at, mut bytes) = (window.start, Vec::new());
        while at < window.end {
            let first = at / self.block;
            let count = ((window.end - 1) / self.block - first + 1).min(SLICE);
            bytes.resize(super::place(count * 4), 0);
            self.part.fill(self.table.start + first * 4, &mut bytes).map_err(|e| e.offset(at))?;
            for entry in bytes.as_chunks::<4>().0 {
                let range = at..window.end.min((at / self.block + 1) * self.block);
                at = range.end;
                let place = self.place(u32::from_be_bytes(*entry), &range)?;
                take(Run { range, place })?;
            }
        }
        Ok(())
    }
}
