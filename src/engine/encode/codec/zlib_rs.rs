//! zlib-rs, in Rust: not used for chunks, but the baseline of the benchmark.

use super::Codec;
use crate::error::{Error, Result};
use std::io::Write;

/// flate2 over zlib-rs, levels 1 to 9.
pub struct ZlibRs {
    level: u32,
}

impl ZlibRs {
    /// Creates a compressor of a level, clamped to 1 to 9.
    pub fn new(level: u32) -> Self {
        Self { level: level.clamp(1, 9) }
    }
}

impl Codec for ZlibRs {
    fn name(&self) -> String {
        format!("zlib-rs {}", self.level)
    }

    fn gzip<'a>(&mut self, input: &[u8], room: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        room.clear();
        let mut encoder = flate2::write::GzEncoder::new(&mut *room, flate2::Compression::new(self.level));
        encoder
            .write_all(input)
            .and_then(|()| encoder.finish().map(drop))
            .map_err(|e| Error::io("compressing a chunk", e))?;
        Ok(room)
    }
}
