//! The entries of an L2 table (QEMU, `docs/interop/qcow2.rst`, `L2 table entry`).

use super::layout::{CLUSTER, SECTOR};
use std::ops::Range;

/// Set if the refcount is one, so that the cluster can be written in place.
pub(super) const COPIED: u64 = 1 << 63;

/// Set for a compressed cluster.
const COMPRESSED: u64 = 1 << 62;

/// The bit position of the sector count in the entry of a compressed cluster, for clusters of 64 KiB.
const SECTORS_AT: u32 = 54;

/// The position of an image cluster in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// None: the cluster reads as zero.
    Hole,
    /// Uncompressed, from this byte on.
    Plain(u64),
    /// Compressed, in this byte range or at its beginning.
    Packed { start: u64, end: u64 },
}

impl Entry {
    /// Returns the entry of a compressed cluster of `len` bytes at `start`.
    pub(super) fn packed(start: u64, len: u64) -> Self {
        Self::Packed { start, end: (start + len).next_multiple_of(SECTOR) }
    }

    /// Parses an entry. Returns `None` for one that diskferry never writes. `within` is where clusters may
    /// be.
    pub(super) fn parse(entry: u64, within: &Range<u64>) -> Option<Self> {
        if entry == 0 {
            return Some(Self::Hole);
        }
        let found = if entry & COMPRESSED == 0 {
            let place = entry & !COPIED;
            if entry & COPIED == 0 || !place.is_multiple_of(CLUSTER) {
                return None;
            }
            Self::Plain(place)
        } else {
            let start = entry & ((1 << SECTORS_AT) - 1);
            let sectors = ((entry & !COMPRESSED) >> SECTORS_AT) + 1;
            if sectors > CLUSTER / SECTOR + 1 {
                return None;
            }
            Self::Packed { start, end: (start / SECTOR + sectors) * SECTOR }
        };
        let range = found.range();
        (range.start >= within.start && range.end <= within.end).then_some(found)
    }

    /// Returns the entry's bits.
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Hole => 0,
            Self::Plain(place) => place | COPIED,
            Self::Packed { start, end } => {
                let more = end.div_ceil(SECTOR) - start / SECTOR - 1;
                COMPRESSED | more << SECTORS_AT | start
            }
        }
    }

    /// Returns the byte range in the file.
    pub(super) fn range(self) -> Range<u64> {
        match self {
            Self::Hole => 0..0,
            Self::Plain(place) => place..place + CLUSTER,
            Self::Packed { start, end } => start..end,
        }
    }

    /// Returns the numbers of the file's clusters that hold it.
    pub(super) fn clusters(self) -> Range<u64> {
        let range = self.range();
        range.start / CLUSTER..range.end.div_ceil(CLUSTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WITHIN: Range<u64> = 1 << 20..1 << 30;

    #[test]
    fn an_entry_says_what_it_was_made_of() {
        let all = [
            Entry::Hole,
            Entry::Plain(5 << 20),
            Entry::packed(2 << 20, 1),
            Entry::packed((2 << 20) + 511, 2),
            Entry::packed((3 << 20) - 1, 65_535),
        ];
        for entry in all {
            assert_eq!(Entry::parse(entry.bits(), &WITHIN), Some(entry));
        }
        // QEMU counts the touched sectors minus the first.
        assert_eq!(Entry::packed((2 << 20) + 511, 2).bits(), 1 << 62 | 1 << 54 | ((2 << 20) + 511));
        assert_eq!(Entry::packed((3 << 20) - 1, 2).clusters(), 47..49);
        assert_eq!(Entry::packed((3 << 20) - 1, 1).clusters(), 47..48);
    }

    #[test]
    fn what_is_never_written_is_not_taken() {
        let bad = [
            1,
            5 << 20,
            COPIED | ((5 << 20) + 512),
            COPIED | 1 << 19,
            COPIED | 1 << 30,
            COPIED | ((1 << 30) - 4096),
            COPIED | 1 << 56,
            COMPRESSED | 1 << 19,
            COMPRESSED | 1 << 30,
            COMPRESSED | 200 << SECTORS_AT | 2 << 20,
            COMPRESSED | COPIED | 2 << 20,
            u64::MAX,
        ];
        for entry in bad {
            assert_eq!(Entry::parse(entry, &WITHIN), None, "{entry:x}");
        }
    }
}
