//! Decides which chunks are worth compressing.

use super::Codec;
use crate::error::Result;

/// The sample that is compressed before the whole chunk: four pieces of 16 KiB, spread over it.
const SAMPLE_PIECE: usize = 16 << 10;
const SAMPLE_PIECES: usize = 4;

/// A chunk whose sample shrinks to more than this percentage is sent raw: the bytes saved on the wire cost
/// the remote as much time to decompress.
const WORTH_PERCENT: usize = 95;

/// Returns whether compressing `input` is likely to pay.
///
/// Random data runs through libdeflate and zlib-rs at half the speed of text and comes out larger, so a
/// sample of 64 KiB is tried first. A chunk not much larger than that is always compressed.
pub fn is_worth(codec: &mut dyn Codec, input: &[u8], scratch: &mut Vec<u8>) -> Result<bool> {
    if input.len() < 4 * SAMPLE_PIECE * SAMPLE_PIECES {
        return Ok(true);
    }
    let stride = input.len() / SAMPLE_PIECES;
    let mut out = 0;
    for i in 0..SAMPLE_PIECES {
        let start = i * stride + (stride - SAMPLE_PIECE) / 2;
        out += codec.gzip(&input[start..start + SAMPLE_PIECE], scratch)?.len();
    }
    Ok(pays(SAMPLE_PIECE * SAMPLE_PIECES, out))
}

/// Returns whether sending `out` bytes instead of `input` pays.
pub fn pays(input: usize, out: usize) -> bool {
    out < input / 100 * WORTH_PERCENT + input % 100 * WORTH_PERCENT / 100
}
