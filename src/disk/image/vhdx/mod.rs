//! VHDX (MS-VHDX, "Virtual Hard Disk v2 (VHDX) File Format"): fixed and dynamic.

pub(in crate::disk::image) mod header;

use super::part::{Part, shown};
use super::{Layout, Place, Run, Take};
use crate::error::Result;
use header::{
    DISK_SIZE, FILE_PARAMETERS, Guid, LOGICAL_SECTOR, PARENT, Region, check_log, long, metadata, parent_path,
    regions,
};
use std::ops::Range;

/// The largest disk and block (2.6.2.1 and 2.6.2.2).
const LARGEST: u64 = 64 << 40;
const BLOCKS: Range<u64> = 1 << 20..(256 << 20) + 1;

/// Sectors of which a block of the bitmap tells (2.5.1.2).
const BITMAP_SECTORS: u64 = 1 << 23;

/// Blocks whose entries are read at a time.
const SLICE: u64 = 1024;

/// What has to be the first bytes of the file.
pub(super) const MAGIC: &[u8] = b"vhdxfile";

/// An image whose header was read.
pub(super) struct Vhdx {
    part: Part,
    size: u64,
    block: u64,
    /// How many entries of blocks come before one of the bitmap.
    ratio: u64,
    bat: Region,
    metadata: Region,
}

impl Vhdx {
    pub(super) fn open(part: Part) -> Result<Self> {
        if part.up_to(0, 8)? != MAGIC {
            return Err(part.refused("it is no VHDX image: it does not begin like one"));
        }
        check_log(&part)?;
        let regions = regions(&part)?;
        let items = metadata(&part, regions.metadata)?;
        let item = |id: Guid, len: usize, what: &str| {
            let found = items.get(&id).and_then(|bytes| bytes.get(..len));
            found.ok_or_else(|| part.damaged(format_args!("its metadata do not say {what}")))
        };
        let parameters = item(FILE_PARAMETERS, 8, "how large its blocks are")?;
        let block = long(&parameters[..4]);
        if parameters[4] & 2 != 0 {
            let path = items.get(&PARENT).and_then(|locator| parent_path(locator));
            let path = path.map_or("one that it does not name".to_owned(), |path| shown(&path));
            let why = format!("it holds only the differences to another file, {path}");
            return Err(part.refused(why).hint("merge the two first (`Merge-VHD`)"));
        }
        let size = long(item(DISK_SIZE, 8, "how large the disk is")?);
        let sector = long(item(LOGICAL_SECTOR, 4, "how large a sector is")?);
        if !BLOCKS.contains(&block)
            || !block.is_power_of_two()
            || !matches!(sector, 512 | 4096)
            || size > LARGEST
        {
            return Err(part.damaged(format_args!(
                "a disk of {size} bytes in blocks of {block} and sectors of {sector} bytes"
            )));
        }
        let ratio = BITMAP_SECTORS * sector / block;
        let blocks = size.div_ceil(block);
        let needed = blocks + blocks.saturating_sub(1) / ratio;
        if needed * 8 > regions.bat.len {
            return Err(part.damaged(format_args!(
                "its table has room for {} blocks, and it has {blocks}",
                regions.bat.len / 8
            )));
        }
        Ok(Self { size, block, ratio, bat: regions.bat, metadata: regions.metadata, part })
    }

    /// The place of a block's bytes, by its entry (2.5.1).
    fn place(&self, entry: u64, range: &Range<u64>) -> Result<Place<'_>> {
        let wrong = |why: String| Err(self.part.damaged(why).offset(range.start));
        match entry & 7 {
            // Not there, without meaning, zeros, unmapped: QEMU and Windows read zeros of all.
            0..=3 => return Ok(Place::Zero),
            6 => {}
            7 => return wrong("a block is there in part, though the disk has no parent".to_owned()),
            state => return wrong(format!("a block has the unknown state {state}")),
        }
        let at = entry >> 20 << 20;
        let data = at.saturating_add(range.start % self.block);
        let len = range.end - range.start;
        if !self.part.has(data, len) {
            return wrong(format!("a block is at byte {at}, and the file has {} bytes", self.part.len()));
        }
        let on = |region: &Region| data < region.at + region.len && region.at < data + len;
        if data < 1 << 20 || on(&self.bat) || on(&self.metadata) {
            return wrong(format!("a block at byte {at} is on the header or a table"));
        }
        Ok(Place::Stored(&self.part, data))
    }
}

impl Layout for Vhdx {
    fn size(&self) -> u64 {
        self.size
    }

    fn map<'a>(&'a self, window: Range<u64>, take: Take<'_, 'a>) -> Result<()> {
        let (mut at, mut bytes) = (window.start, Vec::new());
        while at < window.end {
            // Up to the next entry of the bitmap, which tells nothing here.
            let first = at / self.block;
            let left = self.ratio - first % self.ratio;
            let count = ((window.end - 1) / self.block - first + 1).min(left).min(SLICE);
            bytes.resize(super::place(count * 8), 0);
            let entry = first + first / self.ratio;
            self.part.fill(self.bat.at + entry * 8, &mut bytes).map_err(|e| e.offset(at))?;
            for entry in bytes.as_chunks::<8>().0 {
                let range = at..window.end.min((at / self.block + 1) * self.block);
                at = range.end;
                let place = self.place(u64::from_le_bytes(*entry), &range)?;
                take(Run { range, place })?;
            }
        }
        Ok(())
    }
}
