//! Reads VHDX images, fixed and dynamic (MS-VHDX, "Virtual Hard Disk v2 (VHDX) File Format").

pub(in crate::disk::image) mod header;

use super::part::{Part, shown};
use super::{Layout, Place, Run, Take};
use crate::error::Result;
use header::{
    DISK_SIZE, FILE_PARAMETERS, Guid, LOGICAL_SECTOR, PARENT, Region, check_log, long, metadata, parent_path,
    regions,
};
use std::ops::Range;

/// The largest disk, and the valid block sizes (2.6.2.1 and 2.6.2.2).
const LARGEST: u64 = 64 << 40;
const BLOCKS: Range<u64> = 1 << 20..(256 << 20) + 1;

/// The sectors that a block of the sector bitmap covers (2.5.1.2).
const BITMAP_SECTORS: u64 = 1 << 23;

/// How many block entries are read at a time.
const SLICE: u64 = 1024;

/// The first bytes of the file.
pub(super) const MAGIC: &[u8] = b"vhdxfile";

/// An image whose headers were read.
pub(super) struct Vhdx {
    part: Part,
    size: u64,
    block: u64,
    /// The number of block entries before each entry of a bitmap block.
    ratio: u64,
    bat: Region,
    metadata: Region,
}

impl Vhdx {
    pub(super) fn open(part: Part) -> Result<Self> {
        if part.up_to(0, 8)? != MAGIC {
            return Err(part.refused("it is not a VHDX image: it does not begin with the VHDX signature"));
        }
        check_log(&part)?;
        let regions = regions(&part)?;
        let items = metadata(&part, regions.metadata)?;
        let item = |id: Guid, len: usize, what: &str| {
            let found = items.get(&id).and_then(|bytes| bytes.get(..len));
            found.ok_or_else(|| part.damaged(format_args!("its metadata lacks {what}")))
        };
        let parameters = item(FILE_PARAMETERS, 8, "the block size")?;
        let block = long(&parameters[..4]);
        if parameters[4] & 2 != 0 {
            let path = items.get(&PARENT).and_then(|locator| parent_path(locator));
            let path = path.map_or("which it does not name".to_owned(), |path| shown(&path));
            let why = format!("it contains only the differences to another file, {path}");
            return Err(part.refused(why).hint("merge the two first (`Merge-VHD`)"));
        }
        let size = long(item(DISK_SIZE, 8, "the disk size")?);
        let sector = long(item(LOGICAL_SECTOR, 4, "the sector size")?);
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
                "its table has {} entries, but it has {blocks} blocks",
                regions.bat.len / 8
            )));
        }
        Ok(Self { size, block, ratio, bat: regions.bat, metadata: regions.metadata, part })
    }

    /// Returns the place of a block's bytes by its entry (2.5.1).
    fn place(&self, entry: u64, range: &Range<u64>) -> Result<Place<'_>> {
        let wrong = |why: String| Err(self.part.damaged(why).offset(range.start));
        match entry & 7 {
            // Not present, undefined, zero, unmapped: QEMU and Windows read all of them as zeros.
            0..=3 => return Ok(Place::Zero),
            6 => {}
            7 => return wrong("a block is partially present, but the disk has no parent".to_owned()),
            state => return wrong(format!("a block has the unknown state {state}")),
        }
        let at = entry >> 20 << 20;
        let data = at.saturating_add(range.start % self.block);
        let len = range.end - range.start;
        if !self.part.has(data, len) {
            return wrong(format!("a block is at byte {at}, but the file has {} bytes", self.part.len()));
        }
        let on = |region: &Region| data < region.at + region.len && region.at < data + len;
        if data < 1 << 20 || on(&self.bat) || on(&self.metadata) {
            return wrong(format!("a block at byte {at} overlaps the header or a table"));
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
            // Up to the next bitmap entry, which is not needed here.
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
