//! The layout of a qcow2 file for an image of known size.
//!
//! Source: QEMU, `docs/interop/qcow2.rst` (`Header`, `Host cluster management`, `L1/L2 table entries`).

use crate::error::{Error, Result};

/// The size of a cluster in bytes, as in qemu-img's default.
pub(super) const CLUSTER: u64 = 64 << 10;

/// The size of a sector in bytes: the unit of sizes, and of the lengths of compressed clusters.
pub(super) const SECTOR: u64 = 512;

/// The largest file, with tables far below QEMU's limits (`block/qcow2.h`, `QCOW_MAX_L1_SIZE` and
/// `QCOW_MAX_REFTABLE_SIZE`).
const LARGEST: u64 = 1 << 50;

/// The size in bytes of an entry of the L1, L2 and refcount tables.
pub(super) const ENTRY: u64 = 8;

/// The size of a refcount in bytes (`refcount_order` 4).
pub(super) const REFCOUNT: u64 = 2;

/// The offsets of the tables. Tables of one kind are contiguous and have their largest possible size, as
/// holes until they are needed. So all L2 tables form one array of entries, and all refcount blocks another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The size of the image in bytes.
    pub(super) image: u64,
    /// The number of image clusters.
    pub(super) clusters: u64,
    /// The offset of the refcount table.
    pub(super) table: u64,
    /// The offset of the refcount blocks.
    pub(super) refcounts: u64,
    /// The offset of the L1 table.
    pub(super) l1: u64,
    /// The offset of the L2 tables.
    pub(super) l2: u64,
    /// The offset of the image clusters.
    pub(super) data: u64,
    /// The end of what the refcounts cover; no cluster may lie beyond.
    pub(super) end: u64,
}

impl Layout {
    /// Returns the layout for an image of `image` bytes.
    ///
    /// # Errors
    /// Fails if a file with clusters of this size cannot hold the image.
    pub(super) fn of(image: u64) -> Result<Self> {
        if image > LARGEST {
            return Err(Error::usage(format!("an image of {image} bytes is too large for a qcow2"))
                .hint("download it with `--format raw`"));
        }
        let clusters = image.div_ceil(CLUSTER);
        let l1 = tables(clusters).div_ceil(CLUSTER / ENTRY);
        // A compressed cluster that a resumed run writes again may leave its old place unused.
        let data = clusters + clusters / 4 + 256;
        // Refcounts cover the clusters that hold them, too.
        let mut blocks = 1;
        let (table, all) = loop {
            let table = u64::div_ceil(blocks, CLUSTER / ENTRY);
            let all = 1 + table + blocks + l1 + tables(clusters) + data;
            let needed = all.div_ceil(CLUSTER / REFCOUNT);
            if needed <= blocks {
                break (table, all);
            }
            blocks = needed;
        };
        let place = |clusters: u64| clusters * CLUSTER;
        Ok(Self {
            image,
            clusters,
            table: place(1),
            refcounts: place(1 + table),
            l1: place(1 + table + blocks),
            l2: place(1 + table + blocks + l1),
            data: place(1 + table + blocks + l1 + tables(clusters)),
            end: place(all),
        })
    }

    /// Returns the number of L2 tables.
    pub(super) fn tables(&self) -> u64 {
        tables(self.clusters)
    }

    /// Returns the header of the file.
    pub(super) fn header(&self) -> Vec<u8> {
        let mut bytes = b"QFI\xfb".to_vec();
        let mut word = |n: u64| bytes.extend(u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes());
        let version = 3;
        let long = |n: u64| [n >> 32, n & 0xffff_ffff];
        word(version);
        // No backing file; the length of its name is 0.
        [0, 0, 0].into_iter().for_each(&mut word);
        word(u64::from(CLUSTER.trailing_zeros()));
        long(self.image.next_multiple_of(SECTOR)).into_iter().for_each(&mut word);
        // Not encrypted.
        word(0);
        word(self.tables());
        long(self.l1).into_iter().for_each(&mut word);
        long(self.table).into_iter().for_each(&mut word);
        word((self.refcounts - self.table) / CLUSTER);
        // No snapshots; no features, incompatible, compatible or autoclear.
        [0; 9].into_iter().for_each(&mut word);
        // Refcounts of 16 bits; the length of the header; the end of its extensions.
        [4, 104, 0, 0].into_iter().for_each(&mut word);
        bytes
    }
}

/// Returns how many L2 tables `clusters` need.
fn tables(clusters: u64) -> u64 {
    clusters.div_ceil(CLUSTER / ENTRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_refcounts_have_room_and_no_table_touches_another() {
        for image in [1, 511, 512, 65_536, 65_537, 1 << 29, (1 << 29) + 1, 5 << 30, 3 << 40, LARGEST] {
            let layout = Layout::of(image).unwrap();
            let places = [0, layout.table, layout.refcounts, layout.l1, layout.l2, layout.data, layout.end];
            assert!(places.is_sorted_by(|a, b| a < b), "{image}: {layout:?}");
            assert!(places.iter().all(|place| place % CLUSTER == 0));
            assert!(layout.clusters * CLUSTER >= image);
            let of = |from: u64, to: u64, bytes: u64| (to - from) / bytes;
            assert!(of(layout.l2, layout.data, ENTRY) >= layout.clusters);
            assert!(of(layout.l1, layout.l2, ENTRY) >= layout.tables());
            assert!(of(layout.refcounts, layout.l1, REFCOUNT) >= layout.end / CLUSTER);
            assert!(of(layout.table, layout.refcounts, ENTRY) >= of(layout.refcounts, layout.l1, CLUSTER));
            assert!(layout.end - layout.data >= layout.clusters * CLUSTER);
            // `block/qcow2.h`.
            assert!(layout.refcounts - layout.table <= 8 << 20 && layout.tables() * ENTRY <= 32 << 20);
            assert_eq!(layout.header().len(), 112);
        }
        assert!(Layout::of(LARGEST + 1).is_err());
    }
}
