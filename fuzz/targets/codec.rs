//! Compression: two independent decoders restore what every rung and sirocco's levels 1 to 3 write.

use super::input::Input;
use diskferry::engine::encode::codec::{Codec, Compression, Rung, Sirocco};
use std::cell::RefCell;
use std::io::Read;

/// The most bytes that a script builds: several times an encoder's window and its largest block.
const MOST: usize = 160 << 10;

thread_local! {
    /// Reused for every input, as a worker does: one chunk must leave nothing behind in the next.
    static CODECS: RefCell<Vec<Box<dyn Codec>>> = RefCell::new(codecs());
}

fn codecs() -> Vec<Box<dyn Codec>> {
    let rungs = (0..Rung::COUNT).map(|steps| {
        let rung = Rung::default();
        (0..steps).for_each(|_| assert!(rung.stronger()));
        Compression::Auto.codec(&rung).expect("a codec").expect("auto compresses")
    });
    let sirocco = (1..=3).map(|level| Box::new(Sirocco::new(level).expect("a level")) as Box<dyn Codec>);
    rungs.chain(sirocco).collect()
}

/// The first byte says whether the rest is the chunk itself or a script that builds one.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let chunk = match input.byte() % 2 {
        0 => input.rest().to_vec(),
        _ => build(input),
    };
    CODECS.with_borrow_mut(|codecs| codecs.iter_mut().for_each(|codec| round_trip(codec.as_mut(), &chunk)));
}

/// Builds a chunk of literal bytes, runs, copies of earlier bytes, and noise.
fn build(mut script: Input<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    while !script.is_empty() && out.len() < MOST {
        let (kind, len) = (script.byte() % 4, script.number());
        let len = len.min(MOST - out.len());
        match kind {
            0 => out.extend_from_slice(script.bytes(len)),
            1 => out.resize(out.len() + len, script.byte()),
            2 => {
                let back = script.number() + 1;
                let start = out.len().saturating_sub(back);
                (0..if out.is_empty() { 0 } else { len }).for_each(|i| out.push(out[start + i]));
            }
            _ => {
                let mut x = u32::from(script.byte()) | 0x100;
                out.extend((0..len).map(|_| {
                    x ^= x << 13;
                    x ^= x >> 17;
                    x ^= x << 5;
                    x.to_le_bytes()[0]
                }));
            }
        }
    }
    out
}

fn round_trip(codec: &mut dyn Codec, chunk: &[u8]) {
    let member = codec.gzip(chunk, &mut Vec::new()).expect("every chunk can be compressed").to_vec();
    // A stored block of at least 5,000 bytes costs 5 bytes.
    assert!(
        member.len() <= chunk.len() + chunk.len() / 1000 + 64,
        "{}: {} bytes",
        codec.name(),
        member.len()
    );

    let mut whole = vec![0; chunk.len()];
    let len = libdeflater::Decompressor::new().gzip_decompress(&member, &mut whole);
    assert!(len == Ok(chunk.len()) && whole == chunk, "{}, read by libdeflate", codec.name());

    let (mut rest, mut whole) = (&member[..], Vec::new());
    let read = flate2::bufread::GzDecoder::new(&mut rest).read_to_end(&mut whole);
    assert!(read.is_ok() && whole == chunk && rest.is_empty(), "{}, read by zlib-rs", codec.name());
}
