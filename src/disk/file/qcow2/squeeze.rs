//! Compressed clusters: raw deflate (RFC 1951) with a window of 4 KiB, which is the window of QEMU's
//! decompressor (`block/qcow2-threads.c`, `qcow2_zlib_decompress`).

use super::layout::CLUSTER;
use crate::error::{Error, Kind, Result};
use flate2::{Compress, Compression, FlushCompress, Status};
use libdeflater::Decompressor;

/// The base-2 logarithm of the window size.
const WINDOW_BITS: u8 = 12;

/// The compression levels of zlib.
const LEVELS: std::ops::RangeInclusive<u32> = 1..=9;

/// The size of a cluster in bytes.
pub(super) const LEN: usize = 64 << 10;
const _: () = assert!(LEN as u64 == CLUSTER);

/// The largest useful compressed size. A cluster that does not shrink by at least a sector is stored
/// uncompressed.
const MOST: usize = LEN - 512;

/// Compresses clusters one after the other.
pub(super) struct Squeezer {
    deflate: Compress,
    room: Vec<u8>,
    padded: Vec<u8>,
}

impl Squeezer {
    /// Creates a compressor of a level, clamped to the valid ones.
    pub(super) fn new(level: u32) -> Self {
        let level = Compression::new(level.clamp(*LEVELS.start(), *LEVELS.end()));
        let deflate = Compress::new_with_window_bits(level, false, WINDOW_BITS);
        // Room for any result (zlib.h, `deflateBound`), because zlib-rs 0.6.8 keeps pending output over a
        // reset (`Pending::reset_keep`).
        Self { deflate, room: vec![0; LEN + LEN / 4], padded: Vec::new() }
    }

    /// Returns a cluster's bytes compressed, if that is worth it. A short cluster is padded with zeros.
    pub(super) fn squeeze(&mut self, cluster: &[u8]) -> Result<Option<&[u8]>> {
        let bytes = if cluster.len() < LEN {
            self.padded.clear();
            self.padded.extend_from_slice(cluster);
            self.padded.resize(LEN, 0);
            &self.padded
        } else {
            cluster
        };
        self.deflate.reset();
        let done = self.deflate.compress(bytes, &mut self.room, FlushCompress::Finish);
        match done.map_err(|e| Error::new(Kind::Io, "cannot compress a cluster").source(e))? {
            Status::StreamEnd => {
                let len = usize::try_from(self.deflate.total_out()).unwrap_or(LEN);
                Ok(self.room.get(..len).filter(|packed| packed.len() <= MOST))
            }
            Status::Ok | Status::BufError => {
                Err(Error::new(Kind::Io, "compressing a cluster did not end; this is a bug in diskferry"))
            }
        }
    }
}

/// Decompresses a cluster into all of `into`. Bytes after it in its last sector are ignored.
pub(super) fn unsqueeze(packed: &[u8], into: &mut [u8]) -> Result<()> {
    match Decompressor::new().deflate_decompress(packed, into) {
        Ok(len) if len == into.len() => Ok(()),
        Ok(_) => Err(Error::new(Kind::Io, "a compressed cluster is too short")),
        Err(e) => Err(Error::new(Kind::Io, "a compressed cluster is damaged").source(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Decompress, FlushDecompress};

    /// Text whose repetitions are all farther apart than the window.
    fn text() -> Vec<u8> {
        let words =
            (0..20_000_u64).flat_map(|n| format!("{:x} ", n % 1500 * 0x9e37_79b9 % 65_521).into_bytes());
        words.take(LEN).collect()
    }

    #[test]
    fn a_cluster_comes_back_at_every_level_and_needs_no_larger_window() {
        let text = text();
        for level in 0..=12 {
            let mut squeezer = Squeezer::new(level);
            for _ in 0..2 {
                let packed = squeezer.squeeze(&text).unwrap().unwrap().to_vec();
                // With its repetitions it would be a tenth of that.
                assert!(packed.len() > 20_000, "level {level}: {} bytes", packed.len());
                let mut back = vec![1; LEN];
                unsqueeze(&[&packed[..], &[7; 300]].concat(), &mut back).unwrap();
                assert!(back == text, "level {level}");
                // One byte at a time, so that references reach only into the window.
                let mut inflate = Decompress::new_with_window_bits(false, WINDOW_BITS);
                let (mut at, mut out, mut got) = (0, [0], Vec::new());
                while got.len() < LEN {
                    let (read, wrote) = (inflate.total_in(), inflate.total_out());
                    inflate.decompress(&packed[at..], &mut out, FlushDecompress::None).unwrap();
                    at += usize::try_from(inflate.total_in() - read).unwrap();
                    if inflate.total_out() > wrote {
                        got.push(out[0]);
                    }
                }
                assert!(got == text, "level {level}");
            }
        }
    }

    #[test]
    fn short_ones_are_padded_and_noise_is_left_alone() {
        let mut squeezer = Squeezer::new(1);
        let packed = squeezer.squeeze(b"the end").unwrap().unwrap().to_vec();
        let mut back = vec![1; LEN];
        unsqueeze(&packed, &mut back).unwrap();
        assert!(back.starts_with(b"the end\0") && back[7..].iter().all(|byte| *byte == 0));
        let mut x = 1_u64;
        let noise: Vec<u8> = (0..LEN)
            .map(|_| {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                x.to_be_bytes()[0]
            })
            .collect();
        assert!(squeezer.squeeze(&noise).unwrap().is_none());
        // The next cluster is unaffected.
        assert!(squeezer.squeeze(&text()).unwrap().is_some());
        assert!(unsqueeze(&packed[..packed.len() / 2], &mut back).is_err());
        let mut more = vec![0; LEN + 1];
        assert!(unsqueeze(&packed, &mut more).is_err());
    }
}
