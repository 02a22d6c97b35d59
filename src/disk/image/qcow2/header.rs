//! The header of a qcow2 and its extensions (QEMU, docs/interop/qcow2.rst, `Header` and `Header extensions`).

use crate::disk::image::part::{Part, shown};
use crate::error::Result;

/// The largest L1 table in bytes: QEMU's own limit (block/qcow2.h, `QCOW_MAX_L1_SIZE`).
const LARGEST_L1: u64 = 32 << 20;

/// The longest name of a backing file (`backing_file_size`).
const LONGEST_NAME: u32 = 1023;

/// The bits of the features that a reader has to know (`incompatible_features`).
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
/// Whether the refcounts may be wrong, which only matters to writers.
const DIRTY: u64 = 1;

/// The compression of clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Zlib,
    Zstd,
}

/// A valid header.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) cluster_bits: u32,
    pub(super) size: u64,
    /// The offset of the L1 table, and the number of entries that the image needs.
    pub(super) l1: (u64, u64),
    /// The offset of the refcount table, and its length in bytes.
    pub(super) refcounts: (u64, u64),
    pub(super) extended: bool,
    pub(super) compression: Compression,
    pub(super) backing: Option<Backing>,
    /// The external data file, if there is one. It may have no name.
    pub(super) data_file: Option<String>,
}

/// The backing file.
#[derive(Debug)]
pub(super) struct Backing {
    pub(super) name: String,
    /// The format, if the header has it.
    pub(super) format: Option<String>,
}

impl Header {
    pub(super) fn read(part: &Part) -> Result<Self> {
        let bytes = part.up_to(0, 112)?;
        let short = || part.damaged("it ends inside its header");
        let word = |at: usize| -> Result<u32> {
            let word = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
            word.map(u32::from_be_bytes).ok_or_else(short)
        };
        let long = |at: usize| Ok(u64::from(word(at)?) << 32 | u64::from(word(at + 4)?));
        if word(0)? != u32::from_be_bytes(*b"QFI\xfb") {
            return Err(part.refused("it is not a qcow2 image: it does not begin with the qcow2 signature"));
        }
        let version = word(4)?;
        let (features, header_len) = match version {
            2 => (0, 72),
            3 => (long(72)?, u64::from(word(100)?)),
            other => {
                return Err(part.refused(format_args!(
                    "it is qcow2 of the unsupported version {other}: expected 2 or 3"
                )));
            }
        };
        let cluster_bits = word(20)?;
        if !(9..=21).contains(&cluster_bits) {
            return Err(part.damaged(format_args!("clusters of 2^{cluster_bits} bytes")));
        }
        let cluster = 1_u64 << cluster_bits;
        if version == 3 && !(104..=cluster).contains(&header_len) {
            return Err(part.damaged(format_args!("a header of {header_len} bytes")));
        }
        check_features(part, features)?;
        if word(32)? != 0 {
            return Err(part.refused("it is encrypted").hint("decrypt it with `qemu-img convert`"));
        }
        let compression = match (features & COMPRESSION != 0, header_len > 104) {
            (true, true) => match bytes.get(104) {
                Some(0) => Compression::Zlib,
                Some(1) => Compression::Zstd,
                other => {
                    return Err(part.refused(format_args!("its compression type {other:?} is unknown")));
                }
            },
            (true, false) => return Err(part.damaged("its header lacks the compression type")),
            (false, _) => Compression::Zlib,
        };
        let extended = features & EXTENDED_L2 != 0;
        if extended && cluster_bits < 14 {
            return Err(part.damaged("its clusters are too small for subclusters"));
        }
        let size = long(24)?;
        let l1 = l1(part, size, cluster_bits, extended, (long(40)?, u64::from(word(36)?)))?;
        let refcounts = (long(48)?, u64::from(word(56)?) << cluster_bits);
        let name = (long(8)?, word(16)?);
        let extensions =
            Extensions::read(part, header_len, if name.0 == 0 { cluster } else { name.0.min(cluster) })?;
        let backing = if name.0 == 0 || name.1 == 0 {
            None
        } else if name.1 > LONGEST_NAME {
            return Err(part.damaged(format_args!("its backing file has a name of {} bytes", name.1)));
        } else {
            let mut bytes = vec![0; usize::try_from(name.1).unwrap_or_default()];
            part.fill(name.0, &mut bytes)?;
            Some(Backing {
                name: String::from_utf8_lossy(&bytes).into_owned(),
                format: extensions.backing_format,
            })
        };
        let data_file = (features & EXTERNAL_DATA != 0).then(|| extensions.data_file.unwrap_or_default());
        Ok(Self { version, cluster_bits, size, l1, refcounts, extended, compression, backing, data_file })
    }
}

fn check_features(part: &Part, features: u64) -> Result<()> {
    if features & CORRUPT != 0 {
        let error = part.damaged("it is marked as corrupt");
        return Err(error.hint("repair it with `qemu-img check -r all`, then check its contents"));
    }
    let unknown = features & !(DIRTY | CORRUPT | EXTERNAL_DATA | COMPRESSION | EXTENDED_L2);
    if unknown != 0 {
        let bits: Vec<String> =
            (0..64).filter(|bit| unknown >> bit & 1 == 1).map(|bit| bit.to_string()).collect();
        let error = part.refused(format_args!("it uses unknown features (bits {})", bits.join(", ")));
        return Err(error.hint("convert it with `qemu-img convert -O qcow2`"));
    }
    Ok(())
}

/// Returns the offset of the L1 table and the number of entries needed. `table` is its offset and number of
/// entries.
fn l1(part: &Part, size: u64, cluster_bits: u32, extended: bool, table: (u64, u64)) -> Result<(u64, u64)> {
    let (at, has) = table;
    let entries_bits = cluster_bits - if extended { 4 } else { 3 };
    let needed = size.div_ceil(1 << (cluster_bits + entries_bits));
    let too_large = has.max(needed) > LARGEST_L1 / 8;
    if too_large {
        let why = format!(
            "its L1 table has {} entries, more than the limit of {}",
            has.max(needed),
            LARGEST_L1 / 8
        );
        return Err(part.damaged(why));
    }
    if has < needed {
        return Err(part.damaged(format_args!(
            "its L1 table has {has} entries, but a disk of {size} bytes needs {needed}"
        )));
    }
    if !at.is_multiple_of(1 << cluster_bits) || (at == 0 && needed > 0) || !part.has(at, needed * 8) {
        return Err(part.damaged(format_args!("its L1 table is at the invalid offset {at}")));
    }
    Ok((at, needed))
}

/// The known header extensions.
#[derive(Default)]
struct Extensions {
    backing_format: Option<String>,
    data_file: Option<String>,
}

impl Extensions {
    /// Reads the extensions from `at` to `end`.
    fn read(part: &Part, mut at: u64, end: u64) -> Result<Self> {
        let mut found = Self::default();
        while at + 8 <= end && part.has(at, 8) {
            let head: [u8; 8] = part.array(at)?;
            let (kind, len) = head.split_at(4);
            let len = u32::from_be_bytes(len.try_into().unwrap_or_default());
            at += 8;
            if u64::from(len) > end - at {
                return Err(part.damaged("a header extension is longer than the header"));
            }
            let text = || -> Result<String> {
                if len > LONGEST_NAME {
                    return Err(part.damaged("a name in its header is too long"));
                }
                let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
                part.fill(at, &mut bytes)?;
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            };
            match kind {
                [0, 0, 0, 0] => break,
                [0xe2, 0x79, 0x2a, 0xca] => found.backing_format = Some(text()?),
                b"DATA" => found.data_file = Some(text()?),
                _ => {}
            }
            at += u64::from(len).next_multiple_of(8);
        }
        Ok(found)
    }
}

/// Returns the error for an image that refers to another file, if that is not allowed.
pub(super) fn leads_away(part: &Part, what: &str, name: &str) -> crate::error::Error {
    part.refused(format_args!("{what} is another file, {}", shown(name))).hint(
        "if you trust the image, add `--follow-backing`, or flatten it with `qemu-img convert -O qcow2`",
    )
}
