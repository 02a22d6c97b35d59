//! Reads VHD images, fixed and dynamic ("Virtual Hard Disk Image Format Specification", 1.0).

use super::linear::Linear;
use super::part::{Part, shown};
use super::{Layout, Place, Run, Take};
use crate::disk::vhd::{DiskType, Footer};
use crate::error::Result;
use std::ops::Range;

/// The length of the footer, and of a sector.
pub(super) const FOOTER: u64 = 512;

/// The largest disk that is accepted. The format and Windows allow about 2 TiB ("Hard Disk Footer Format",
/// `Current Size`).
const LARGEST: u64 = 4 << 40;

/// How many table entries are read at a time.
const SLICE: u64 = 1024;

/// Returns the footer at the end of the file, if there is one.
fn footer(part: &Part) -> Result<Option<Footer>> {
    let Some(at) = part.len().checked_sub(FOOTER) else { return Ok(None) };
    Ok(Footer::parse(&part.array(at)?))
}

/// Returns whether `tail` is the footer of a fixed disk in a file of `len` bytes, in which only the footer
/// follows the disk.
pub(super) fn ends_fixed(tail: &[u8; 512], len: u64) -> bool {
    Footer::parse(tail).is_some_and(|footer| {
        footer.disk_type == DiskType::Fixed && footer.current_size.checked_add(FOOTER) == Some(len)
    })
}

/// Returns whether the part is a fixed disk.
pub(super) fn is_fixed(part: &Part) -> Result<bool> {
    let Some(at) = part.len().checked_sub(FOOTER) else { return Ok(false) };
    Ok(ends_fixed(&part.array(at)?, part.len()))
}

pub(super) fn open(part: Part) -> Result<Box<dyn Layout>> {
    // A dynamic disk has a copy of the footer at its start, in case the end is lost.
    let first = if part.has(0, FOOTER) { Footer::parse(&part.array(0)?) } else { None };
    let Some(footer) = footer(&part)? else {
        return Err(match first {
            Some(_) => part.damaged("it does not end with a VHD footer: its end is missing"),
            None => part.refused("it is not a VHD image: it does not end with a VHD footer"),
        });
    };
    let size = footer.current_size;
    if size > LARGEST {
        return Err(part.damaged(format_args!("its footer has a disk size of {size} bytes")));
    }
    match footer.disk_type {
        DiskType::Fixed if size > part.len() - FOOTER => {
            let has = part.len() - FOOTER;
            Err(part.damaged(format_args!(
                "its footer has a disk size of {size} bytes, but {has} bytes precede it"
            )))
        }
        DiskType::Fixed => Ok(Box::new(Linear::of(part, size))),
        DiskType::Dynamic => Ok(Box::new(Dynamic::open(part, &footer)?)),
        DiskType::Differencing => {
            let name: [u8; 512] = part.array(footer.data_offset.saturating_add(64))?;
            let units: Vec<u16> =
                name.as_chunks::<2>().0.iter().map(|two| u16::from_be_bytes(*two)).collect();
            let name = String::from_utf16_lossy(&units);
            let name = shown(name.trim_end_matches('\0'));
            let why = format!("it contains only the differences to another file, {name}");
            Err(part
                .refused(why)
                .hint("merge the two first (`Merge-VHD`, or `qemu-img convert` of the parent's chain)"))
        }
    }
}

/// A disk in blocks, of which only written ones are stored.
struct Dynamic {
    part: Part,
    size: u64,
    block: u64,
    /// The length of the bitmap before each block, in bytes.
    bitmap: u64,
    /// The range of the block table.
    table: Range<u64>,
}

impl Dynamic {
    fn open(part: Part, footer: &Footer) -> Result<Self> {
        let header: [u8; 1024] = part.array(footer.data_offset)?;
        let sum = header.iter().enumerate().filter(|(i, _)| !(36..40).contains(i));
        let sum: u32 = sum.map(|(_, byte)| u32::from(*byte)).sum();
        let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap_or_default());
        if !header.starts_with(b"cxsparse") || word(36) != !sum {
            return Err(part
                .damaged(format_args!("no valid header of a dynamic disk at byte {}", footer.data_offset)));
        }
        let (size, block) = (footer.current_size, u64::from(word(32)));
        if block < FOOTER || !block.is_power_of_two() {
            return Err(part.damaged(format_args!("blocks of {block} bytes")));
        }
        let at = u64::from(word(16)) << 32 | u64::from(word(20));
        let (has, needed) = (u64::from(word(28)), size.div_ceil(block));
        if has < needed || !part.has(at, needed * 4) {
            let why = format!("its table of {has} blocks at byte {at} is too short, or outside the file");
            return Err(part.damaged(why));
        }
        let bitmap = (block / FOOTER).div_ceil(8).next_multiple_of(FOOTER);
        Ok(Self { part, size, block, bitmap, table: at..at + needed * 4 })
    }

    /// Returns the place of a block's bytes by its entry.
    fn place(&self, entry: u32, range: &Range<u64>) -> Result<Place<'_>> {
        if entry == u32::MAX {
            return Ok(Place::Zero);
        }
        // The bitmap of written sectors is ignored, as in QEMU: blocks begin as zeros, and some programs do
        // not write it.
        let at = u64::from(entry) * FOOTER;
        let block = at..at + self.bitmap + self.block;
        let data = block.start + self.bitmap + range.start % self.block;
        // The last block may be cut off after the end of the disk.
        let len = range.end - range.start;
        if !self.part.has(data, len) {
            let why = format!("a block is at byte {at}, but the file has {} bytes", self.part.len());
            return Err(self.part.damaged(why).offset(range.start));
        }
        if at < FOOTER || (block.start < self.table.end && self.table.start < block.end) {
            let why = format!("a block at byte {at} overlaps the block table or the header");
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
