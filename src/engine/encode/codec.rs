//! Compression of whole chunks into gzip members.
//!
//! `benches/codec.rs` compares the codecs on real data. libdeflate wins here at every level for whole buffers: at level
//! 1 about the speed of zlib-rs and a fifth less on the wire, so it is what `--compress` uses; zlib-rs is the baseline
//! to measure it against.

use crate::error::{Error, Kind, Result};
use std::io::Write;

/// A compressor of whole buffers into the gzip format (RFC 1952), used again and again by one thread.
pub trait Codec: Send {
    /// Its name and level.
    fn name(&self) -> String;

    /// Appends one gzip member with `input` to the empty `out`.
    fn gzip(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<()>;
}

/// libdeflate, levels 1 to 12.
pub struct Libdeflate {
    level: u8,
    compressor: libdeflater::Compressor,
    /// As large as the worst case, and kept: what is handed on takes only as much room as it needs.
    scratch: Vec<u8>,
}

impl Libdeflate {
    /// A compressor of that level; outside 1 to 12 is a usage error.
    pub fn new(level: u8) -> Result<Self> {
        let valid = if level == 0 { None } else { libdeflater::CompressionLvl::new(level.into()).ok() };
        let lvl =
            valid.ok_or_else(|| Error::usage(format!("there is no compression level {level}: 1 to 12")))?;
        Ok(Self { level, compressor: libdeflater::Compressor::new(lvl), scratch: Vec::new() })
    }
}

impl Codec for Libdeflate {
    fn name(&self) -> String {
        format!("libdeflate {}", self.level)
    }

    fn gzip(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let bound = self.compressor.gzip_compress_bound(input.len());
        if self.scratch.len() < bound {
            self.scratch.resize(bound, 0);
        }
        let len = self
            .compressor
            .gzip_compress(input, &mut self.scratch)
            .map_err(|e| Error::new(Kind::Io, "compressing a chunk").source(e))?;
        out.extend_from_slice(&self.scratch[..len]);
        Ok(())
    }
}

/// flate2 over zlib-rs, levels 1 to 9.
pub struct ZlibRs {
    level: u32,
}

impl ZlibRs {
    /// A compressor of that level.
    pub fn new(level: u32) -> Self {
        Self { level: level.clamp(1, 9) }
    }
}

impl Codec for ZlibRs {
    fn name(&self) -> String {
        format!("zlib-rs {}", self.level)
    }

    fn gzip(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(self.level));
        encoder
            .write_all(input)
            .and_then(|()| encoder.finish().map(drop))
            .map_err(|e| Error::io("compressing a chunk", e))
    }
}

/// How chunks are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// What pays on most lines: libdeflate at [`AUTO_LEVEL`].
    #[default]
    Auto,
    /// Not at all.
    None,
    /// libdeflate at that level, 1 to 12.
    Level(u8),
}

/// The level of [`Compression::Auto`]: the fastest of libdeflate. On two cores it feeds 2 Gbit/s of image; a slower
/// level would hold up every line faster than a few hundred Mbit/s.
pub const AUTO_LEVEL: u8 = 1;

impl Compression {
    /// A codec of this setting, if it has one.
    pub fn codec(self) -> Result<Option<Box<dyn Codec>>> {
        let level = match self {
            Compression::Auto => AUTO_LEVEL,
            Compression::None => return Ok(None),
            Compression::Level(level) => level,
        };
        Ok(Some(Box::new(Libdeflate::new(level)?)))
    }
}

impl std::str::FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match (text, text.parse::<u8>()) {
            ("auto", _) => Ok(Compression::Auto),
            ("none", _) => Ok(Compression::None),
            (_, Ok(level @ 1..=12)) => Ok(Compression::Level(level)),
            _ => Err(Error::usage(format!("there is no compression {text:?}: auto, none or 1 to 12"))),
        }
    }
}

/// How much of a chunk is tried before the whole is compressed: four pieces of 16 KiB, spread over it.
const SAMPLE_PIECE: usize = 16 << 10;
const SAMPLE_PIECES: usize = 4;

/// A chunk whose sample shrinks to more than this share, in percent, goes raw: what compression would save on the wire
/// costs the far end as much time to undo.
const WORTH_PERCENT: usize = 95;

/// Whether compressing pays. Random data runs at half the speed of text through every deflate and comes out larger, so
/// a sample of 64 KiB is tried first; a chunk not much larger than that is worth a full try.
pub fn is_worth(codec: &mut dyn Codec, input: &[u8], scratch: &mut Vec<u8>) -> Result<bool> {
    if input.len() < 4 * SAMPLE_PIECE * SAMPLE_PIECES {
        return Ok(true);
    }
    let stride = input.len() / SAMPLE_PIECES;
    let mut out = 0;
    for i in 0..SAMPLE_PIECES {
        let start = i * stride + (stride - SAMPLE_PIECE) / 2;
        scratch.clear();
        codec.gzip(&input[start..start + SAMPLE_PIECE], scratch)?;
        out += scratch.len();
    }
    Ok(pays(SAMPLE_PIECE * SAMPLE_PIECES, out))
}

/// Whether `out` bytes on the wire instead of `input` are worth it.
pub fn pays(input: usize, out: usize) -> bool {
    out < input / 100 * WORTH_PERCENT + input % 100 * WORTH_PERCENT / 100
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn noise(len: usize) -> Vec<u8> {
        let mut x = 0x9E37_79B9_7F4A_7C15_u64;
        (0..len)
            .map(|_| {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                x.to_le_bytes()[0]
            })
            .collect()
    }

    #[test]
    fn every_codec_writes_gzip_that_another_library_reads() {
        let text = b"all work and no play makes jack a dull boy\n".repeat(5000);
        let mut codecs: Vec<Box<dyn Codec>> = vec![Box::new(ZlibRs::new(1)), Box::new(ZlibRs::new(9))];
        for level in 1..=12 {
            codecs.push(Compression::Level(level).codec().unwrap().unwrap());
        }
        for codec in &mut codecs {
            let mut out = Vec::new();
            codec.gzip(&text, &mut out).unwrap();
            let mut back = Vec::new();
            flate2::read::GzDecoder::new(&out[..]).read_to_end(&mut back).unwrap();
            assert!(back == text, "{}", codec.name());
            assert!(out.len() < text.len() / 10, "{}", codec.name());
        }
    }

    #[test]
    fn noise_is_told_from_text_by_a_sample() {
        let mut codec = Libdeflate::new(1).unwrap();
        let mut scratch = Vec::new();
        assert!(!is_worth(&mut codec, &noise(4 << 20), &mut scratch).unwrap());
        assert!(is_worth(&mut codec, &b"hello world, ".repeat(400_000), &mut scratch).unwrap());
        assert!(pays(1000, 900) && !pays(1000, 951));
    }

    #[test]
    fn levels_outside_are_refused() {
        assert!(Libdeflate::new(0).is_err() && Libdeflate::new(13).is_err());
        assert!("0".parse::<Compression>().is_err() && "13".parse::<Compression>().is_err());
        assert_eq!("12".parse::<Compression>().unwrap(), Compression::Level(12));
    }
}
