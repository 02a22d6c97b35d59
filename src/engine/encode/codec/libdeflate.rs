//! libdeflate, in C: the strong rungs of [`auto`](super::ladder), and every level that `--compress` names.

use super::Codec;
use crate::error::{Error, Kind, Result};

/// libdeflate, levels 1 to 12.
pub struct Libdeflate {
    level: u8,
    compressor: libdeflater::Compressor,
}

impl Libdeflate {
    /// Makes a compressor of a level; outside 1 to 12 is a usage error.
    pub fn new(level: u8) -> Result<Self> {
        let valid = if level == 0 { None } else { libdeflater::CompressionLvl::new(level.into()).ok() };
        let lvl =
            valid.ok_or_else(|| Error::usage(format!("there is no compression level {level}: 1 to 12")))?;
        Ok(Self { level, compressor: libdeflater::Compressor::new(lvl) })
    }
}

impl Codec for Libdeflate {
    fn name(&self) -> String {
        format!("libdeflate {}", self.level)
    }

    fn gzip<'a>(&mut self, input: &[u8], room: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        // Room for the worst case, because libdeflate cannot continue in a larger buffer.
        let bound = self.compressor.gzip_compress_bound(input.len());
        if room.len() < bound {
            // From the allocator's zeros: what the member does not reach takes no memory.
            *room = vec![0; bound];
        }
        let len = self
            .compressor
            .gzip_compress(input, room)
            .map_err(|e| Error::new(Kind::Io, "compressing a chunk").source(e))?;
        Ok(&room[..len])
    }
}
