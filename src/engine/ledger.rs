//! The state of each chunk of a transfer, which proves at the end that nothing is missing.

use crate::chunk::{AckedChunk, Geometry, MAX_CHUNKS};
use crate::digest::{Algorithm, Digest, ZeroDigests};
use std::collections::HashMap;

/// The state of every chunk. A chunk of zeros takes one bit, any other its digest.
#[derive(Debug)]
pub struct Ledger {
    geometry: Geometry,
    algorithm: Algorithm,
    zeros: ZeroDigests,
    zero: Bits,
    settled: Bits,
    digests: HashMap<u64, Digest>,
}

impl Ledger {
    /// Creates a ledger in which no chunk is settled.
    pub fn new(geometry: Geometry, algorithm: Algorithm) -> Self {
        Self {
            geometry,
            algorithm,
            zeros: ZeroDigests::new(algorithm),
            zero: Bits::new(geometry.chunks()),
            settled: Bits::new(geometry.chunks()),
            digests: HashMap::new(),
        }
    }

    /// Returns how the image is cut.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Returns the algorithm of the digests.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Settles an acknowledged chunk.
    pub fn settle(&mut self, chunk: &AckedChunk) {
        self.settled.set(chunk.index, true);
        self.zero.set(chunk.index, chunk.zero);
        if chunk.zero {
            self.digests.remove(&chunk.index);
        } else {
            self.digests.insert(chunk.index, chunk.digest);
        }
    }

    /// Settles the chunks that an earlier run moved. Chunks that do not fit the geometry are left out.
    pub fn fill(&mut self, chunks: &[AckedChunk]) {
        let geometry = self.geometry;
        let fits =
            |chunk: &&AckedChunk| chunk.index < geometry.chunks() && chunk.len == geometry.len(chunk.index);
        for chunk in chunks.iter().filter(fits) {
            self.settle(chunk);
        }
    }

    /// Makes a chunk missing again.
    pub fn revoke(&mut self, index: u64) {
        self.settled.set(index, false);
    }

    /// Returns whether a chunk is settled.
    pub fn is_settled(&self, index: u64) -> bool {
        self.settled.get(index)
    }

    /// Returns the digest of a settled chunk.
    pub fn get(&self, index: u64) -> Option<Digest> {
        if !self.is_settled(index) {
            None
        } else if self.zero.get(index) {
            Some(self.zeros.of(self.geometry.len(index)))
        } else {
            self.digests.get(&index).copied()
        }
    }

    /// Returns a settled chunk in the form that journals keep.
    pub fn chunk(&self, index: u64) -> Option<AckedChunk> {
        let digest = self.get(index)?;
        Some(AckedChunk { index, len: self.geometry.len(index), digest, zero: self.is_zero(index) })
    }

    /// Returns whether a settled chunk is all zeros.
    pub fn is_zero(&self, index: u64) -> bool {
        self.zero.get(index)
    }

    /// Returns the number of settled chunks.
    pub fn settled(&self) -> u64 {
        self.settled.count()
    }

    /// Returns the missing chunks, in order.
    pub fn missing(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.geometry.chunks()).filter(|i| !self.is_settled(*i))
    }

    /// Returns a copy of the settled bits, for other threads.
    pub fn settled_bits(&self) -> Bits {
        self.settled.clone()
    }

    /// Returns the number of image bytes in settled chunks.
    pub fn settled_bytes(&self) -> u64 {
        let last = self.geometry.chunks().saturating_sub(1);
        let full = self.settled().saturating_mul(self.geometry.chunk_size());
        if self.geometry.is_empty() || !self.is_settled(last) {
            return full;
        }
        full - (self.geometry.chunk_size() - self.geometry.len(last))
    }

    /// Returns the digests of all chunks in order, each with whether the chunk is zero. Meant for a complete
    /// ledger: a missing chunk counts as zeros.
    pub fn digests(&self) -> impl Iterator<Item = (Digest, bool)> + '_ {
        (0..self.geometry.chunks()).map(|index| match self.digests.get(&index) {
            Some(digest) if !self.zero.get(index) => (*digest, false),
            _ => (self.zeros.of(self.geometry.len(index)), true),
        })
    }

    /// Returns the digest over all chunk digests.
    pub fn digest(&self) -> Digest {
        let all: Vec<Digest> = self.digests().map(|(digest, _)| digest).collect();
        self.algorithm.over(all.iter())
    }
}

/// A set of bits.
#[derive(Clone, Debug, Default)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// Creates `len` zero bits. `len` is capped at [`MAX_CHUNKS`], because it may come from outside.
    pub fn new(len: u64) -> Self {
        Self(vec![0; usize::try_from(len.min(MAX_CHUNKS).div_ceil(64)).unwrap_or(0)])
    }

    fn place(index: u64) -> (usize, u64) {
        (usize::try_from(index / 64).unwrap_or(usize::MAX), 1 << (index % 64))
    }

    /// Returns a bit; false out of range.
    pub fn get(&self, index: u64) -> bool {
        let (word, bit) = Self::place(index);
        self.0.get(word).is_some_and(|w| w & bit != 0)
    }

    /// Sets a bit. Out of range this does nothing.
    pub fn set(&mut self, index: u64, on: bool) {
        let (word, bit) = Self::place(index);
        if let Some(w) = self.0.get_mut(word) {
            if on { *w |= bit } else { *w &= !bit }
        }
    }

    /// Returns the positions of the set bits, in order.
    pub fn ones(&self) -> impl Iterator<Item = u64> + '_ {
        let words = (0_u64..).zip(&self.0).filter(|(_, word)| **word != 0);
        words.flat_map(|(at, word)| {
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| at * 64 + bit)
        })
    }

    /// Returns the number of set bits.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|w| u64::from(w.count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acked(index: u64, len: u64, zero: bool) -> AckedChunk {
        let bytes = vec![u8::from(!zero); usize::try_from(len).unwrap()];
        AckedChunk { index, len, digest: Algorithm::Blake3.digest(&bytes), zero }
    }

    #[test]
    fn bits_are_bounded_whatever_number_they_are_asked_for() {
        let mut bits = Bits::new(u64::MAX);
        assert_eq!(bits.0.len() as u64 * 64, MAX_CHUNKS);
        bits.set(u64::MAX, true);
        bits.set(MAX_CHUNKS - 1, true);
        assert!(!bits.get(u64::MAX) && bits.get(MAX_CHUNKS - 1));
        assert_eq!(bits.count(), 1);
        assert_eq!(bits.ones().collect::<Vec<_>>(), [MAX_CHUNKS - 1]);
    }

    #[test]
    fn what_is_settled_is_counted_once() {
        let mut ledger = Ledger::new(Geometry::new(10, 4), Algorithm::Blake3);
        assert_eq!(ledger.missing().collect::<Vec<_>>(), [0, 1, 2]);
        ledger.settle(&acked(2, 2, false));
        ledger.settle(&acked(2, 2, false));
        ledger.settle(&acked(0, 4, true));
        assert_eq!((ledger.settled(), ledger.settled_bytes()), (2, 6));
        assert_eq!(ledger.missing().collect::<Vec<_>>(), [1]);
        assert_eq!(ledger.get(0), Some(Algorithm::Blake3.digest(&[0; 4])));
        assert_eq!(ledger.get(1), None);
        ledger.revoke(2);
        assert_eq!((ledger.settled(), ledger.settled_bytes()), (1, 4));
    }
}
