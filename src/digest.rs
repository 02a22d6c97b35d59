//! Digests of chunks, and of lists of them.
//!
//! The default is BLAKE3. Without SHA instructions SHA-256 costs more than the compression (185 MB/s per core
//! against 4,300 on the machine where this was decided).

use crate::error::{Error, Result};
use sha2::Digest as _;
use std::fmt;
use std::str::FromStr;

/// The digest of a chunk: 32 bytes, of either algorithm.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

/// The algorithm of chunk digests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// BLAKE3, 256 bits.
    #[default]
    Blake3,
    /// SHA-256.
    Sha256,
}

impl Algorithm {
    /// Returns the name in options, manifests and journals.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Blake3 => "blake3",
            Algorithm::Sha256 => "sha256",
        }
    }

    /// Returns the digest of `bytes`.
    pub fn digest(self, bytes: &[u8]) -> Digest {
        match self {
            Algorithm::Blake3 => Digest(*blake3::hash(bytes).as_bytes()),
            Algorithm::Sha256 => Digest(sha2::Sha256::digest(bytes).into()),
        }
    }

    /// Returns the digest of `len` zeros.
    ///
    /// The zeros come in pieces: once glibc has taken back an allocation of the size of a chunk, it keeps all
    /// later ones of that size in its arenas, which fragment (mallopt(3), `M_MMAP_THRESHOLD`). That took up to
    /// 30 MiB.
    fn digest_of_zeros(self, mut len: u64) -> Digest {
        const ZEROS: [u8; 16 << 10] = [0; 16 << 10];
        let mut all = blake3::Hasher::new();
        let mut sha = sha2::Sha256::new();
        while len > 0 {
            let piece = &ZEROS[..usize::try_from(len).unwrap_or(usize::MAX).min(ZEROS.len())];
            match self {
                Algorithm::Blake3 => drop(all.update(piece)),
                Algorithm::Sha256 => sha.update(piece),
            }
            len -= piece.len() as u64;
        }
        match self {
            Algorithm::Blake3 => Digest(*all.finalize().as_bytes()),
            Algorithm::Sha256 => Digest(sha.finalize().into()),
        }
    }

    /// Returns the digest over chunk digests in order, which identifies the whole image at this chunk size.
    pub fn over<'a>(self, digests: impl Iterator<Item = &'a Digest>) -> Digest {
        let mut all = blake3::Hasher::new();
        let mut sha = sha2::Sha256::new();
        for digest in digests {
            match self {
                Algorithm::Blake3 => drop(all.update(&digest.0)),
                Algorithm::Sha256 => sha.update(digest.0),
            }
        }
        match self {
            Algorithm::Blake3 => Digest(*all.finalize().as_bytes()),
            Algorithm::Sha256 => Digest(sha.finalize().into()),
        }
    }
}

/// Digests of zeros by length, computed once for a full chunk and once for a short last one.
#[derive(Debug)]
pub struct ZeroDigests {
    algorithm: Algorithm,
    known: std::sync::Mutex<Vec<(u64, Digest)>>,
}

impl ZeroDigests {
    /// Creates a cache for an algorithm.
    pub fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, known: std::sync::Mutex::default() }
    }

    /// Returns the digest of `len` zeros.
    pub fn of(&self, len: u64) -> Digest {
        let mut known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, digest)) = known.iter().find(|(l, _)| *l == len) {
            return *digest;
        }
        let digest = self.algorithm.digest_of_zeros(len);
        known.push((len, digest));
        digest
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "blake3" => Ok(Algorithm::Blake3),
            "sha256" => Ok(Algorithm::Sha256),
            _ => Err(Error::usage(format!("expected `blake3` or `sha256`, got `{name}`"))
                .hint("`--digest blake3` is the default and the faster one")),
        }
    }
}

/// Returns bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        // FIPS 180-4 example "abc"; BLAKE3's test_vectors.json, input length 0.
        assert_eq!(
            Algorithm::Sha256.digest(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(
            Algorithm::Blake3.digest(b"").to_string(),
            "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        );
    }

    #[test]
    fn the_digest_over_digests_is_that_of_their_bytes() {
        let parts = [Algorithm::Sha256.digest(b"a"), Algorithm::Sha256.digest(b"b")];
        let joined: Vec<u8> = parts.iter().flat_map(|d| d.0).collect();
        for algorithm in [Algorithm::Blake3, Algorithm::Sha256] {
            assert_eq!(algorithm.over(parts.iter()), algorithm.digest(&joined));
        }
    }

    #[test]
    fn zeros_are_digested_once_a_length() {
        let zeros = ZeroDigests::new(Algorithm::Blake3);
        assert_eq!(zeros.of(5), Algorithm::Blake3.digest(&[0; 5]));
        assert_eq!(zeros.of(5), zeros.of(5));
        assert_ne!(zeros.of(5), zeros.of(6));
        for algorithm in [Algorithm::Blake3, Algorithm::Sha256] {
            let len = (16 << 10) * 3 + 7;
            assert_eq!(ZeroDigests::new(algorithm).of(len as u64), algorithm.digest(&vec![0; len]));
        }
    }
}
