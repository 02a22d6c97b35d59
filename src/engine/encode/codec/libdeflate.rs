//! libdeflate, in C: the strong rungs of [`auto`](super::ladder), and every level that `--compress` names.

use super::Codec;
use crate::error::{Error, Kind, Result};

/// libdeflate, levels 1 to 12.
pub struct Libdeflate {
    level: u8,
    compressor: libdeflater::Compressor,
}

impl Libdeflate {
    /// Creates a compressor. A level outside 1 to 12 is a usage error.
    pub fn new(level: u8) -> Result<Self> {
        let valid = if level == 0 { None } else { libdeflater::CompressionLvl::new(level.into()).ok() };
        let lvl = valid
            .ok_or_else(|| Error::usage(format!("expected a compression level from 1 to 12, got {level}")))?;
        Ok(Self { level, compressor: libdeflater::Compressor::new(lvl) })
    }
}

impl Codec for Libdeflate {
    fn name(&self) -> String {
        format!("libdeflate {}", self.level)
    }

    fn gzip<'a>(&mut self, input: &[u8], room: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        // Reserve the worst case, because libdeflate cannot continue in a larger buffer.
        let bound = self.compressor.gzip_compress_bound(input.len());
        if room.len() < bound {
            // Zeroed memory from the allocator: pages that the member does not reach are never mapped.
            *room = vec![0; bound];
        }
        let len = self
            .compressor
            .gzip_compress(input, room)
            .map_err(|e| Error::new(Kind::Io, "compressing a chunk").source(e))?;
        Ok(&room[..len])
    }
}
