//! How an image is cut into chunks, and the states of a chunk.
//!
//! The state of a chunk is its type. A [`DigestedChunk`] is in flight; an [`AckedChunk`] is at the
//! destination, which requires the [`Receipt`] of a disk. Only an acknowledged chunk can enter a journal.

use crate::digest::Digest;
use crate::disk::Receipt;
use crate::error::{Error, Result};
use std::ops::Range;

/// The most chunks of an image: 128 TiB at the default chunk size of 4 MiB, 2 PiB at the largest of 64 MiB.
///
/// A transfer keeps two bits per chunk and iterates over all of them several times. At this limit the bits
/// take 8 MiB and a pass takes less than a second, whatever size a server, an archive header or an option
/// claims.
pub const MAX_CHUNKS: u64 = 1 << 25;

/// The largest chunk size that a hint suggests.
const LARGEST_HINT: u64 = 64 << 20;

/// How an image is cut: equal chunks, of which the last may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    image_size: u64,
    chunk_size: u64,
}

impl Geometry {
    /// Creates the geometry of an image whose size comes from outside. Both sizes are in bytes.
    ///
    /// # Errors
    ///
    /// A usage error if there are more than [`MAX_CHUNKS`] chunks.
    pub fn checked(image_size: u64, chunk_size: u64) -> Result<Self> {
        let geometry = Self::new(image_size, chunk_size);
        if geometry.chunks() <= MAX_CHUNKS {
            return Ok(geometry);
        }
        let error = Error::usage(format!(
            "an image of {image_size} bytes has too many chunks of {} bytes: {} of at most {MAX_CHUNKS}",
            geometry.chunk_size,
            geometry.chunks()
        ));
        let needed = image_size.div_ceil(MAX_CHUNKS).checked_next_power_of_two();
        Err(match needed.filter(|needed| *needed <= LARGEST_HINT) {
            Some(needed) => {
                let unit =
                    if needed >= 1 << 20 { (needed >> 20, "M") } else { (needed.max(1 << 10) >> 10, "k") };
                error.hint(format!("use larger chunks: `--chunk-size {}{}`", unit.0, unit.1))
            }
            None => error.hint("check the size: no chunk size is large enough for it"),
        })
    }

    /// Creates a geometry. Both sizes are in bytes; a chunk size of 0 counts as 1. For sizes that come from
    /// outside see [`Geometry::checked`].
    pub fn new(image_size: u64, chunk_size: u64) -> Self {
        Self { image_size, chunk_size: chunk_size.max(1) }
    }

    /// Returns the size of the image in bytes.
    pub fn image_size(self) -> u64 {
        self.image_size
    }

    /// Returns the size of all chunks except possibly the last, in bytes.
    pub fn chunk_size(self) -> u64 {
        self.chunk_size
    }

    /// Returns the number of chunks.
    pub fn chunks(self) -> u64 {
        self.image_size.div_ceil(self.chunk_size)
    }

    /// Returns the byte offset of a chunk, saturating.
    pub fn offset(self, index: u64) -> u64 {
        index.saturating_mul(self.chunk_size)
    }

    /// Returns the length of a chunk in bytes; 0 after the end.
    pub fn len(self, index: u64) -> u64 {
        self.image_size.saturating_sub(self.offset(index)).min(self.chunk_size)
    }

    /// Returns whether the image is empty.
    pub fn is_empty(self) -> bool {
        self.image_size == 0
    }

    /// Returns the indices of the chunks that overlap a byte range.
    pub fn touching(self, bytes: Range<u64>) -> Range<u64> {
        if bytes.is_empty() {
            return 0..0;
        }
        bytes.start / self.chunk_size..bytes.end.min(self.image_size).div_ceil(self.chunk_size)
    }
}

/// A chunk that was digested and is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestedChunk {
    /// The index of the chunk in the image.
    pub index: u64,
    /// The length in bytes.
    pub len: u64,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Whether the chunk is all zeros.
    pub zero: bool,
}

impl DigestedChunk {
    /// Converts a chunk whose bytes a disk acknowledged.
    pub fn acknowledged(self, receipt: Receipt) -> AckedChunk {
        // Consumed, because a receipt stands for one chunk.
        drop(receipt);
        let Self { index, len, digest, zero } = self;
        AckedChunk { index, len, digest, zero }
    }

    /// Converts a chunk that needed no write, because the destination is known to hold these bytes.
    pub fn known(self) -> AckedChunk {
        let Self { index, len, digest, zero } = self;
        AckedChunk { index, len, digest, zero }
    }
}

/// A chunk that the destination is known to hold, acknowledged by a disk or there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckedChunk {
    /// The index of the chunk in the image.
    pub index: u64,
    /// The length in bytes.
    pub len: u64,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Whether the chunk is all zeros.
    pub zero: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_chunk_is_short() {
        let g = Geometry::new(10, 4);
        assert_eq!((g.chunks(), g.len(0), g.len(2), g.len(3)), (3, 4, 2, 0));
        assert_eq!(g.offset(2), 8);
        assert_eq!(Geometry::new(0, 4).chunks(), 0);
        assert_eq!(Geometry::new(8, 4).chunks(), 2);
    }

    #[test]
    fn what_has_too_many_chunks_is_refused_with_a_chunk_size_that_would_do() {
        let tib = 1_u64 << 40;
        assert_eq!(Geometry::checked(128 * tib, 4 << 20).unwrap().chunks(), MAX_CHUNKS);
        let hint = |size, chunk| Geometry::checked(size, chunk).unwrap_err().hint_text().unwrap().to_owned();
        assert!(hint(128 * tib + 1, 4 << 20).contains("--chunk-size 8M"));
        assert!(hint(tib, 4 << 10).contains("--chunk-size 32k"));
        for size in [1 << 63, u64::MAX - 1, u64::MAX, 16_777_215 * tib] {
            assert!(hint(size, 64 << 20).contains("check the size"), "{size}");
            assert_eq!(Geometry::checked(size, 4 << 20).unwrap_err().kind().exit_code(), 2);
        }
        let huge = Geometry::new(u64::MAX, 4 << 20);
        assert_eq!((huge.offset(u64::MAX), huge.len(u64::MAX)), (u64::MAX, 0));
    }

    #[test]
    fn ranges_touch_whole_chunks() {
        let g = Geometry::new(10, 4);
        assert_eq!(g.touching(3..5), 0..2);
        assert_eq!(g.touching(4..8), 1..2);
        assert_eq!(g.touching(8..100), 2..3);
        assert!(g.touching(5..5).is_empty());
    }
}
