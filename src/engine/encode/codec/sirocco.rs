//! sirocco, in Rust: the fast rung of [`auto`](super::ladder).
//!
//! Findings of a review of version 0.3.1, before it was trusted with disks:
//!
//! - Its author also maintains `crc32fast`, which flate2 rests on. It is young: first published in October
//!   2026, the fifth and latest release nine days later. MIT or Apache-2.0. The version is fixed in
//!   `Cargo.toml`; a newer one has to be reviewed again.
//! - The encoder is a port of libdeflate's in safe code (`deny(unsafe_code)` on its module). Every match is
//!   compared byte by byte before it is used, so stale tables cost ratio but cannot corrupt. The decoder's
//!   one `unsafe` is not on this path, and neither is Adler-32.
//! - It panics only for a buffer shorter than what it has consumed, and for levels above 9. It allocates
//!   once, 340 KiB of tables, and reuses them for any number of streams; it writes into any buffer and
//!   continues in a larger one.
//! - `crc32fast` computes the CRC-32 from the input, apart from the parsing. So a wrong stream does not match
//!   its own trailer, and the remote refuses it.
//! - Its published tests decode with itself and with `miniz_oxide`. Ours add libdeflate and zlib-rs: unit
//!   tests, and the fuzz target `codec`.

use super::Codec;
use crate::error::{Error, Kind, Result};
use ::sirocco::Format;
use ::sirocco::deflate::{Encoder, Flush, Level};

/// sirocco, levels 1 to 9.
pub struct Sirocco {
    encoder: Encoder,
}

impl Sirocco {
    /// Creates a compressor. A level outside 1 to 9 is a usage error.
    pub fn new(level: u8) -> Result<Self> {
        if !(1..=9).contains(&level) {
            return Err(Error::usage(format!("expected a sirocco level from 1 to 9, got {level}")));
        }
        Ok(Self { encoder: Encoder::new(Format::Gzip, Level::new(level)) })
    }
}

impl Codec for Sirocco {
    fn name(&self) -> String {
        format!("sirocco {}", self.encoder.level().get())
    }

    fn gzip<'a>(&mut self, input: &[u8], room: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        // A stream that was abandoned halfway must not continue with other bytes.
        self.encoder.reset();
        super::fill(room, input.len(), |room| {
            let progress = self.encoder.compress(input, room, Flush::Finish);
            match (progress.done, progress.full) {
                (true, _) => Ok((progress.output.len(), true)),
                (false, true) => Ok((progress.output.len(), false)),
                (false, false) => Err(Error::new(Kind::Io, "sirocco stopped in the middle of a chunk")),
            }
        })
    }
}
