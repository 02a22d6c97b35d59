//! casync's index of a blob (`.caibx`): the chunks of an image, in order.
//!
//! Numbers are 64-bit little endian (casync, src/caformat.h, `CaFormatIndex`, `CaFormatTable`;
//! src/caindex.c):
//!
//! ```text
//! 48, INDEX, feature flags, smallest, average and largest chunk size
//! all ones, TABLE
//! end of the chunk in the image, digest (32 bytes)      one per chunk
//! 0, 0, 48, size of the table, TAIL
//! ```

use crate::digest::{Algorithm, Digest, hex};
use crate::error::{Error, Kind, Result};
use sha2::Digest as _;
use std::ops::Range;

/// The largest chunk that casync reads (casync, src/cachunk.h, `CA_CHUNK_SIZE_LIMIT_MAX`).
pub const LARGEST_CHUNK: u64 = 128 << 20;

/// The largest index that is read, in bytes: 25 million chunks, the limit of a transfer.
pub const LARGEST_INDEX: u64 = 40 * crate::chunk::MAX_CHUNKS + HEAD as u64 + ITEM as u64;

const INDEX: u64 = 0x9682_4d9c_7b12_9ff9;
const TABLE: u64 = 0xe75b_9e11_2f17_417d;
const TAIL: u64 = 0x4b4f_050e_5549_ecd1;

/// The flag for SHA-512/256 digests (casync, src/caformat.h, `CA_FORMAT_SHA512_256`).
const SHA512_256: u64 = 1 << 61;
/// The other flags that `casync make` sets for a blob (`CA_FORMAT_EXCLUDE_NODUMP`, `CA_FORMAT_EXCLUDE_FILE`).
const BLOB_FLAGS: u64 = 1 << 63 | 1 << 60;

const HEAD: usize = 64;
const ITEM: usize = 40;
const INDEX_SIZE: u64 = 48;

/// The algorithm of an index's digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChunkHash {
    /// SHA-256, which diskferry writes.
    Sha256,
    /// SHA-512/256, casync's default.
    Sha512_256,
}

impl ChunkHash {
    /// Returns the digest of a chunk.
    pub fn digest(self, bytes: &[u8]) -> Digest {
        match self {
            Self::Sha256 => Algorithm::Sha256.digest(bytes),
            Self::Sha512_256 => Digest(sha2::Sha512_256::digest(bytes).into()),
        }
    }
}

/// A chunk of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRef {
    /// The position of the chunk in the index.
    pub number: usize,
    /// The offset in the image.
    pub offset: u64,
    /// The length in bytes.
    pub len: u64,
    /// The digest of the chunk, which is also its name in a store.
    pub digest: Digest,
}

impl ChunkRef {
    /// Returns the byte range in the image.
    pub fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.len
    }
}

/// A valid index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    flags: u64,
    /// The smallest, average and largest size of a chunk.
    sizes: [u64; 3],
    /// The end of each chunk in the image, and its digest.
    items: Vec<(u64, Digest)>,
}

impl Index {
    /// Creates an index of chunks of one size with SHA-256 digests. The last chunk may be shorter.
    ///
    /// # Errors
    /// Fails if the chunk size is zero or above [`LARGEST_CHUNK`], or if the number of chunks does not match
    /// the size.
    pub fn fixed(size: u64, chunk_size: u64, digests: &[Digest]) -> Result<Self> {
        if !(1..=LARGEST_CHUNK).contains(&chunk_size) {
            return Err(Error::usage(format!(
                "expected a chunk size from 1 to {LARGEST_CHUNK} bytes, got {chunk_size}"
            )));
        }
        if size.div_ceil(chunk_size) != digests.len() as u64 {
            return Err(Error::usage(format!(
                "{} chunks of {chunk_size} bytes do not make an image of {size} bytes",
                digests.len()
            )));
        }
        let mut end = 0_u64;
        let items = digests.iter().map(|digest| {
            end = end.saturating_add(chunk_size).min(size);
            (end, *digest)
        });
        Ok(Self { flags: BLOB_FLAGS, sizes: [chunk_size; 3], items: items.collect() })
    }

    /// Parses an index. `name` is used in errors.
    ///
    /// # Errors
    /// Fails for whatever casync refuses, except unknown flags, and for more chunks than a transfer may have.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        let bad = |at: usize, rule: String| {
            let what = format!("the index {name} is damaged: {rule}");
            Error::new(Kind::Source, what)
                .offset(at as u64)
                .hint("use an older backup of the drive, or make a new one")
        };
        if bytes.len() < HEAD + ITEM || !(bytes.len() - HEAD).is_multiple_of(ITEM) {
            let rule = format!("{} bytes are not a header of {HEAD} and items of {ITEM}", bytes.len());
            return Err(bad(bytes.len(), rule));
        }
        if bytes.len() as u64 > LARGEST_INDEX {
            return Err(bad(0, format!("{} bytes are more than the limit of {LARGEST_INDEX}", bytes.len())));
        }
        let word = |at: usize| -> u64 {
            bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes)
        };
        let expect = |at: usize, what: &str, wanted: u64| {
            let is = word(at);
            if is == wanted {
                Ok(())
            } else {
                Err(bad(at, format!("{what} is {is:#x}, expected {wanted:#x}")))
            }
        };
        expect(8, "the type of the file", INDEX)?;
        expect(0, "the size of the header", INDEX_SIZE)?;
        expect(48, "the size of the table", u64::MAX)?;
        expect(56, "the type of the table", TABLE)?;
        let sizes = [word(24), word(32), word(40)];
        for (n, size) in sizes.iter().enumerate() {
            if !(1..=LARGEST_CHUNK).contains(size) {
                let rule = format!("a chunk size of {size} bytes is not between 1 and {LARGEST_CHUNK}");
                return Err(bad(24 + 8 * n, rule));
            }
        }
        if !sizes.is_sorted() {
            return Err(bad(24, format!("the chunk sizes {sizes:?} are not in ascending order")));
        }
        let tail = bytes.len() - ITEM;
        expect(tail + 32, "the marker at the end", TAIL)?;
        expect(tail, "the first word of the end", 0)?;
        expect(tail + 8, "the second word of the end", 0)?;
        expect(tail + 16, "the distance to the header", INDEX_SIZE)?;
        expect(tail + 24, "the size of the table", bytes.len() as u64 - INDEX_SIZE)?;
        let mut items = Vec::with_capacity((tail - HEAD) / ITEM);
        let mut before = 0;
        for at in (HEAD..tail).step_by(ITEM) {
            let end = word(at);
            if end <= before {
                return Err(bad(at, format!("a chunk ends at {end}, the one before it at {before}")));
            }
            if end - before > sizes[2] {
                let rule = format!("a chunk has {} bytes, more than the limit of {}", end - before, sizes[2]);
                return Err(bad(at, rule));
            }
            let digest = bytes.get(at + 8..at + ITEM).and_then(|digest| digest.try_into().ok());
            items.push((end, Digest(digest.unwrap_or_default())));
            before = end;
        }
        Ok(Self { flags: word(16), sizes, items })
    }

    /// Returns the bytes of the index file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let table = (self.items.len() + 1) * ITEM + 16;
        let [least, average, greatest] = self.sizes;
        let head = [INDEX_SIZE, INDEX, self.flags, least, average, greatest, u64::MAX, TABLE];
        let mut bytes = Vec::with_capacity(HEAD + table);
        bytes.extend(head.iter().flat_map(|word| word.to_le_bytes()));
        for (end, digest) in &self.items {
            bytes.extend(end.to_le_bytes());
            bytes.extend(digest.0);
        }
        let tail = [0, 0, INDEX_SIZE, table as u64, TAIL];
        bytes.extend(tail.iter().flat_map(|word| word.to_le_bytes()));
        bytes
    }

    /// Returns the algorithm of the digests.
    pub fn hash(&self) -> ChunkHash {
        if self.flags & SHA512_256 == 0 { ChunkHash::Sha256 } else { ChunkHash::Sha512_256 }
    }

    /// Returns the size of the image in bytes.
    pub fn size(&self) -> u64 {
        self.items.last().map_or(0, |(end, _)| *end)
    }

    /// Returns the largest permitted chunk size in bytes.
    pub fn chunk_size(&self) -> u64 {
        self.sizes[2]
    }

    /// Returns whether all chunks except the last have one size.
    pub fn is_fixed(&self) -> bool {
        self.sizes[0] == self.sizes[2]
    }

    /// Returns the number of chunks.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Returns whether the image is empty.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns a chunk by its position.
    pub fn chunk(&self, number: usize) -> Option<ChunkRef> {
        let (end, digest) = *self.items.get(number)?;
        let offset =
            number.checked_sub(1).and_then(|before| self.items.get(before)).map_or(0, |(end, _)| *end);
        Some(ChunkRef { number, offset, len: end - offset, digest })
    }

    /// Returns all chunks in order.
    pub fn chunks(&self) -> impl Iterator<Item = ChunkRef> + '_ {
        (0..self.items.len()).filter_map(|number| self.chunk(number))
    }

    /// Returns the positions of the chunks that overlap a range of the image.
    pub fn touching(&self, range: &Range<u64>) -> Range<usize> {
        if range.is_empty() {
            return 0..0;
        }
        let first = self.items.partition_point(|(end, _)| *end <= range.start);
        let last = self.items.partition_point(|(end, _)| *end < range.end);
        first..(last + 1).min(self.items.len()).max(first)
    }
}

/// Returns the key of a chunk in a store, such as `30e1/30e14955….cacnk`.
pub fn chunk_key(digest: &Digest) -> String {
    let name = hex(&digest.0);
    format!("{}/{name}{CHUNK_SUFFIX}", &name[..4])
}

/// The file name suffix of chunks.
pub const CHUNK_SUFFIX: &str = ".cacnk";

/// Returns the digest of the chunk at a key, or `None` if the key is not one of a chunk.
pub fn digest_of_key(key: &str) -> Option<Digest> {
    let (directory, file) = key.split_once('/')?;
    let name = file.strip_suffix(CHUNK_SUFFIX)?;
    if name.len() != 64 || directory != name.get(..4)? {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(name.as_bytes().chunks(2)) {
        let digit = |c: u8| match c {
            b'0'..=b'9' => Some(c - b'0'),
            b'a'..=b'f' => Some(c - b'a' + 10),
            _ => None,
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(Digest(digest))
}
