//! The checksum of an image that the server computes, and the same checksum of local bytes.
//!
//! It is a digest over the digests of blocks: `H(H(block 0) ‖ H(block 1) ‖ …)`, where the last block may be
//! shorter (ovirt-imageio, `_internal/blkhash.py`, `Hash`). The digest of a zero block is computed once on
//! either side. With SHA-256 the result equals [`Algorithm::over`] of chunk digests if chunks are as long as
//! blocks.

use crate::digest::{Algorithm, Digest, ZeroDigests, hex};
use crate::disk::zero::is_zero;
use crate::error::{Error, Kind, Result};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::io::Read;
use std::ops::RangeInclusive;

/// The server's default block size (`_internal/blkhash.py`, `BLOCK_SIZE`).
pub const BLOCK_SIZE: u64 = 4 << 20;

/// The block sizes that the server accepts, if they are multiples of 4096 (`_internal/handlers/checksum.py`).
pub(super) const BLOCK_SIZES: RangeInclusive<u64> = 1 << 20..=16 << 20;

/// The server's name for SHA-256, from Python's hashlib.
pub(super) const ALGORITHM: &str = "sha256";

/// The longest reply: three short fields.
pub(super) const LONGEST: usize = 4 << 10;

/// A checksum computed by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerChecksum {
    /// The algorithm of both levels of digests.
    pub algorithm: Algorithm,
    /// The block size in bytes.
    pub block_size: u64,
    /// The digest over the blocks' digests, in hexadecimal.
    pub hex: String,
}

impl ServerChecksum {
    /// Parses the server's reply to a request for this block size.
    pub(super) fn parse(body: &[u8], block_size: u64) -> Result<Self> {
        #[derive(Deserialize)]
        struct Answer {
            algorithm: String,
            block_size: u64,
            checksum: String,
        }
        let bad =
            |what: &str| Error::new(Kind::Protocol, format!("cannot use the server's checksum: {what}"));
        let answer: Answer =
            serde_json::from_slice(body).map_err(|e| bad("it is not a checksum in JSON").source(e))?;
        if answer.algorithm != ALGORITHM || answer.block_size != block_size {
            return Err(bad("its algorithm or block size differs from the request"));
        }
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if answer.checksum.len() != 64 || !answer.checksum.bytes().all(is_digit) {
            return Err(bad("it does not have 64 hexadecimal digits"));
        }
        Ok(Self { algorithm: Algorithm::Sha256, block_size, hex: answer.checksum })
    }
}

/// Computes the server's checksum of local bytes, given in order.
#[derive(Debug)]
pub struct BlockChecksum {
    block_size: u64,
    block: Sha256,
    filled: u64,
    all: Sha256,
    zeros: ZeroDigests,
}

impl BlockChecksum {
    /// Creates an empty checksum. `block_size` is that of the [`ServerChecksum`] to compare with.
    pub fn new(block_size: u64) -> Self {
        Self {
            block_size: block_size.max(1),
            block: Sha256::new(),
            filled: 0,
            all: Sha256::new(),
            zeros: ZeroDigests::new(Algorithm::Sha256),
        }
    }

    /// Adds the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let left = usize::try_from(self.block_size - self.filled).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(left.min(bytes.len()));
            if self.filled == 0 && now.len() as u64 == self.block_size && is_zero(now) {
                self.all.update(self.zeros.of(self.block_size).0);
            } else {
                self.block.update(now);
                self.filled += now.len() as u64;
                if self.filled == self.block_size {
                    self.end_block();
                }
            }
            bytes = later;
        }
    }

    fn end_block(&mut self) {
        let digest: [u8; 32] = self.block.finalize_reset().into();
        self.all.update(digest);
        self.filled = 0;
    }

    /// Returns the checksum of all bytes, in hexadecimal.
    pub fn finish(mut self) -> String {
        if self.filled > 0 {
            self.end_block();
        }
        hex(&self.all.finalize())
    }

    /// Returns the checksum from the digests of all blocks, in order.
    pub fn of_digests<'a>(digests: impl Iterator<Item = &'a Digest>) -> String {
        Algorithm::Sha256.over(digests).to_string()
    }
}

/// Computes the server's checksum of everything that `reader` returns.
pub fn checksum_of(mut reader: impl Read, block_size: u64) -> Result<String> {
    let mut checksum = BlockChecksum::new(block_size);
    let mut buffer = vec![0; 1 << 20];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(checksum.finish()),
            Ok(read) => checksum.update(&buffer[..read]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::io("cannot read the data of a checksum", error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_digest_over_the_digests_of_blocks() {
        let bytes: Vec<u8> =
            (0..10_000_u32).map(|n| if (4096..8192).contains(&n) { 0 } else { n.to_le_bytes()[0] }).collect();
        let digests: Vec<Digest> = bytes.chunks(4096).map(|block| Algorithm::Sha256.digest(block)).collect();
        let all = digests.iter().flat_map(|digest| digest.0).collect::<Vec<u8>>();
        let expected = Algorithm::Sha256.digest(&all).to_string();
        assert_eq!(checksum_of(&bytes[..], 4096).unwrap(), expected);
        assert_eq!(BlockChecksum::of_digests(digests.iter()), expected);
        for step in [1, 7, 4095, 4096, 4097, 9_999] {
            let mut checksum = BlockChecksum::new(4096);
            bytes.chunks(step).for_each(|piece| checksum.update(piece));
            assert_eq!(checksum.finish(), expected, "{step}");
        }
        assert_ne!(checksum_of(&bytes[..], 8192).unwrap(), expected);
    }

    #[test]
    fn an_answer_has_to_be_one() {
        let hex = "0123456789abcdef".repeat(4);
        let answer = |algorithm: &str, block: u64, hex: &str| {
            let json = format!(r#"{{"algorithm":"{algorithm}","block_size":{block},"checksum":"{hex}"}}"#);
            ServerChecksum::parse(json.as_bytes(), BLOCK_SIZE)
        };
        assert_eq!(answer("sha256", BLOCK_SIZE, &hex).unwrap().hex, hex);
        for wrong in [
            answer("blake2b", BLOCK_SIZE, &hex),
            answer("sha256", 1 << 20, &hex),
            answer("sha256", BLOCK_SIZE, &hex[1..]),
            answer("sha256", BLOCK_SIZE, &hex.to_uppercase()),
            ServerChecksum::parse(b"null\n", BLOCK_SIZE),
        ] {
            assert_eq!(wrong.unwrap_err().kind(), Kind::Protocol);
        }
    }
}
