//! Compression of whole chunks into gzip members (RFC 1952).
//!
//! | `--compress` | library and level |
//! | --- | --- |
//! | `auto` | a rung of the [`ladder`], which a running transfer can change |
//! | `1` to `12` | libdeflate at that level |
//! | `none` | no compression |
//!
//! The fastest rung, [`sirocco`], is a young library; its file says why it is trusted. [`sample`] detects
//! chunks that do not shrink before they cost time. `benches/codec.rs` compares the codecs on real data.

#[cfg(feature = "isal")]
mod isal;
pub mod ladder;
mod libdeflate;
pub mod sample;
mod sirocco;
#[cfg(test)]
mod tests;
mod zlib_rs;

#[cfg(feature = "isal")]
pub use isal::Isal;
pub use ladder::{Ladder, Rung};
pub use libdeflate::Libdeflate;
pub use sample::{is_worth, pays};
pub use sirocco::Sirocco;
pub use zlib_rs::ZlibRs;

use crate::error::{Error, Kind, Result};

/// A compressor of whole buffers into the gzip format, reused by one thread.
pub trait Codec: Send {
    /// Returns the library and level, such as `libdeflate 4`.
    fn name(&self) -> String;

    /// Writes one gzip member with `input` into `room` and returns the member. `room` grows as needed, may
    /// hold anything, and is not cleared when it is reused.
    fn gzip<'a>(&mut self, input: &[u8], room: &'a mut Vec<u8>) -> Result<&'a [u8]>;
}

/// How to compress chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// At the current rung of the [`ladder`], which starts at the fastest.
    #[default]
    Auto,
    /// No compression.
    None,
    /// libdeflate at this level, 1 to 12.
    Level(u8),
}

impl Compression {
    /// Creates the codec of this setting, if it has one. `Auto` follows `rung`.
    pub fn codec(self, rung: &Rung) -> Result<Option<Box<dyn Codec>>> {
        Ok(match self {
            Compression::Auto => Some(Box::new(Ladder::new(rung.clone()))),
            Compression::None => None,
            Compression::Level(level) => Some(Box::new(Libdeflate::new(level)?)),
        })
    }
}

impl std::str::FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match (text, text.parse::<u8>()) {
            ("auto", _) => Ok(Compression::Auto),
            ("none", _) => Ok(Compression::None),
            (_, Ok(level @ 1..=12)) => Ok(Compression::Level(level)),
            _ => Err(Error::usage(format!("expected `auto`, `none` or a level from 1 to 12, got `{text}`"))
                .hint("1 is fast, 12 is small; `--compress auto` takes what the line needs")),
        }
    }
}

/// Runs a streaming encoder until its member of `input` bytes is complete, in room that grows as needed. Most
/// chunks shrink to less than half, so reserving the worst case would waste memory.
///
/// `encode` fills the room that it is given. It returns how much it wrote, and whether the member is
/// complete.
fn fill(
    room: &mut Vec<u8>,
    input: usize,
    mut encode: impl FnMut(&mut [u8]) -> Result<(usize, bool)>,
) -> Result<&[u8]> {
    let step = input / 4 + 64;
    let most = 2 * (input + step);
    let (mut len, mut end) = (0, room.len().clamp(step, most));
    loop {
        if room.len() < end {
            room.resize(end, 0);
        }
        let (wrote, complete) = encode(&mut room[len..end])?;
        len += wrote;
        if complete {
            return Ok(&room[..len]);
        }
        if end == most {
            return Err(Error::new(Kind::Io, "compressing a chunk did not end; this is a bug in diskferry"));
        }
        end = (end + step).min(most);
    }
}
