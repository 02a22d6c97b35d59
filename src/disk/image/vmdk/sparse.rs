//! A sparse extent of a VMDK, stream-optimised or not (`VMware`, "Virtual Disk Format 5.0", `Hosted Sparse
//! Extents` and `Stream-Optimized Compressed Sparse Extents`).

use super::descriptor::LONGEST;
use crate::disk::image::decode::{self, Codec, Packed};
use crate::disk::image::part::Part;
use crate::disk::image::{Layout, Place, Run, Take, place};
use crate::error::Result;
use std::ops::Range;

const SECTOR: u64 = 512;

/// The first bytes of a sparse extent.
pub(super) const MAGIC: &[u8] = b"KDMV";

/// The directory offset in a header that was written before the directory; a footer then has it.
const AT_THE_END: u64 = u64::MAX;

const COMPRESSED: u32 = 1 << 16;
const MARKERS: u32 = 1 << 17;
const ZERO_GRAINS: u32 = 1 << 2;

/// The largest grain in bytes (QEMU, block/vmdk.c, `vmdk_add_extent`: 1 GiB).
const LARGEST_GRAIN: u64 = 1 << 30;

/// An extent whose header was read.
pub(super) struct Sparse {
    part: Part,
    size: u64,
    /// The size of a grain in bytes.
    grain: u64,
    /// The number of entries in a grain table.
    per_table: u64,
    /// The range of the grain directory.
    directory: Range<u64>,
    zero_grains: bool,
    compressed: bool,
}

/// The fields of a header.
struct Header {
    flags: u32,
    capacity: u64,
    grain: u64,
    descriptor: (u64, u64),
    per_table: u64,
    directory: u64,
    algorithm: u32,
}

impl Header {
    fn read(part: &Part, at: u64) -> Result<Self> {
        let bytes: [u8; 512] = part.array(at)?;
        if !bytes.starts_with(MAGIC) {
            return Err(part.damaged(format_args!("no VMDK header at byte {at}")));
        }
        let number = |at: usize, len: usize| {
            bytes[at..at + len].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        let word = |at| u32::try_from(number(at, 4)).unwrap_or_default();
        if !(1..=3).contains(&word(4)) {
            return Err(part.refused(format_args!(
                "it is VMDK of the unsupported version {}: expected 1 to 3",
                word(4)
            )));
        }
        Ok(Self {
            flags: word(8),
            capacity: number(12, 8),
            grain: number(20, 8),
            descriptor: (number(28, 8), number(36, 8)),
            per_table: number(44, 4),
            directory: number(56, 8),
            algorithm: u32::try_from(number(77, 2)).unwrap_or_default(),
        })
    }
}

/// Returns the embedded descriptor; empty if there is none.
pub(super) fn description(part: &Part) -> Result<Vec<u8>> {
    let (at, len) = Header::read(part, 0)?.descriptor;
    if at == 0 || len == 0 {
        return Ok(Vec::new());
    }
    match (at.checked_mul(SECTOR), len.checked_mul(SECTOR)) {
        (Some(at), Some(len)) if len <= LONGEST && part.has(at, len) => part.up_to(at, len),
        _ => Err(part.damaged(format_args!("its descriptor is at sector {at} and has {len} sectors"))),
    }
}

impl Sparse {
    pub(super) fn open(part: Part) -> Result<Self> {
        let mut header = Header::read(&part, 0)?;
        if header.directory == AT_THE_END {
            // The footer, which has the form of the header, precedes the end-of-stream marker.
            let at = part.len().checked_sub(2 * SECTOR);
            let at = at.ok_or_else(|| part.damaged("it ends before its footer"))?;
            header =
                Header::read(&part, at).map_err(|e| e.hint("its end is missing: fetch the image again"))?;
        }
        let compressed = header.flags & COMPRESSED != 0;
        if compressed && (header.algorithm != 1 || header.flags & MARKERS == 0) {
            return Err(part.refused(format_args!("its compression {} is unknown", header.algorithm)));
        }
        let odd = || {
            part.damaged(format_args!(
                "{} sectors in grains of {}, and {} grains in a table",
                header.capacity, header.grain, header.per_table
            ))
        };
        let bytes = |sectors: u64| sectors.checked_mul(SECTOR).ok_or_else(odd);
        let (size, grain) = (bytes(header.capacity)?, bytes(header.grain)?);
        if !grain.is_power_of_two() || grain > LARGEST_GRAIN || !(1..=512).contains(&header.per_table) {
            return Err(odd());
        }
        if compressed && grain > decode::LARGEST {
            return Err(decode::too_large(&part, grain));
        }
        let entries = size.div_ceil(grain * header.per_table);
        let at = header.directory.checked_mul(SECTOR).filter(|at| part.has(*at, entries.saturating_mul(4)));
        let Some(at) = at else {
            let why = format!("its grain directory is at the invalid sector {}", header.directory);
            return Err(part.damaged(why));
        };
        Ok(Self {
            size,
            grain,
            per_table: header.per_table,
            directory: at..at + entries * 4,
            zero_grains: header.flags & ZERO_GRAINS != 0,
            compressed,
            part,
        })
    }

    /// Returns the offset of a sector entry, after checking that `len` bytes there are in the file, after the
    /// header, and not on the directory.
    fn sector(&self, entry: u32, len: u64, what: &str, at: u64) -> Result<u64> {
        let place = u64::from(entry) * SECTOR;
        if !self.part.has(place, len) {
            let why = format!("{what} is at byte {place}, but the file has {} bytes", self.part.len());
            return Err(self.part.damaged(why).offset(at));
        }
        if place < SECTOR || (place < self.directory.end && self.directory.start < place + len) {
            let why = format!("{what} at byte {place} overlaps the header or the grain directory");
            return Err(self.part.damaged(why).offset(at));
        }
        Ok(place)
    }

    /// Returns the place of a grain's bytes by its entry.
    fn place(&self, entry: u32, table: &Range<u64>, range: &Range<u64>) -> Result<Place<'_>> {
        let skip = range.start % self.grain;
        let len = range.end - range.start;
        if entry == 0 || (entry == 1 && self.zero_grains) {
            return Ok(Place::Zero);
        }
        let (what, needed) = if self.compressed { ("a grain", 12) } else { ("a grain", skip + len) };
        let at = self.sector(entry, needed, what, range.start)?;
        if at < table.end && table.start < at + needed {
            let why = format!("a grain at byte {at} overlaps its own table");
            return Err(self.part.damaged(why).offset(range.start));
        }
        if !self.compressed {
            return Ok(Place::Stored(&self.part, at + skip));
        }
        let codec = Codec::Grain { sector: (range.start - skip) / SECTOR };
        Ok(Place::Packed(Packed { part: &self.part, at, len: 0, codec, size: self.grain, skip }))
    }
}

impl Layout for Sparse {
    fn size(&self) -> u64 {
        self.size
    }

    fn map<'a>(&'a self, window: Range<u64>, take: Take<'_, 'a>) -> Result<()> {
        let span = self.grain * self.per_table;
        let (mut at, mut bytes) = (window.start, Vec::new());
        while at < window.end {
            let end = window.end.min((at / span + 1) * span);
            let entry: [u8; 4] = self.part.array(self.directory.start + at / span * 4)?;
            let entry = u32::from_le_bytes(entry);
            if entry == 0 {
                take(Run { range: at..end, place: Place::Zero })?;
                at = end;
                continue;
            }
            let table = self.sector(entry, self.per_table * 4, "a grain table", at)?;
            let first = at % span / self.grain;
            let count = (end - 1) % span / self.grain - first + 1;
            bytes.resize(place(count * 4), 0);
            self.part.fill(table + first * 4, &mut bytes).map_err(|e| e.offset(at))?;
            let table = table..table + self.per_table * 4;
            for entry in bytes.as_chunks::<4>().0 {
                let range = at..end.min((at / self.grain + 1) * self.grain);
                at = range.end;
                let place = self.place(u32::from_le_bytes(*entry), &table, &range)?;
                take(Run { range, place })?;
            }
        }
        Ok(())
    }
}
