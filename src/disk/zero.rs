//! Zeros: detection, and a disk of zeros.

use super::{Attempt, Buffer, DiskInfo, Extent, LocalRead, ReadAt};
use crate::error::Error;
use std::ops::Range;

/// A disk of zeros.
#[derive(Clone, Debug)]
pub struct ZeroDisk(DiskInfo);

impl ZeroDisk {
    /// Creates a disk of `size` bytes.
    pub fn new(size: u64) -> Self {
        Self(DiskInfo::new("zeros", size))
    }
}

impl ReadAt for ZeroDisk {
    fn info(&self) -> &DiskInfo {
        &self.0
    }

    fn read_at(&self, offset: u64, len: u64, mut into: Buffer) -> Attempt<Buffer> {
        let read = self.0.check_range(offset, len).map(|()| {
            let end = into.len() + usize::try_from(len).unwrap_or(0);
            into.resize(end, 0);
            into
        });
        Box::pin(async { read })
    }

    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        Box::pin(async move { Ok(vec![Extent { range: window, zero: true }]) })
    }

    fn changed(&self) -> Attempt<Option<Error>> {
        Box::pin(async { Ok(None) })
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        None
    }
}

/// Returns whether all bytes are zero. Checks 64 bytes per step, so that the compiler can use vector
/// registers, and stops at the first step with data.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (steps, rest) = bytes.as_chunks::<64>();
    steps.iter().all(|step| step.iter().fold(0, |all, b| all | b) == 0) && rest.iter().all(|b| *b == 0)
}

/// Returns the ranges of a chunk that hold data. Zero runs of at least `grain` bytes, aligned to `grain`, are
/// left out. `grain` is the allocation unit of a file system; a smaller hole saves nothing.
pub fn data_runs(bytes: &[u8], grain: usize) -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (i, piece) in bytes.chunks(grain).enumerate() {
        if is_zero(piece) {
            continue;
        }
        let (start, end) = (i * grain, i * grain + piece.len());
        match runs.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_anywhere_is_seen() {
        for len in [0, 1, 63, 64, 65, 200, 4096] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes));
            for at in 0..len {
                bytes[at] = 1;
                assert!(!is_zero(&bytes), "{at} of {len}");
                bytes[at] = 0;
            }
        }
    }

    #[test]
    fn runs_are_joined_and_aligned() {
        let mut bytes = vec![0; 50];
        bytes[12] = 1;
        bytes[25] = 1;
        bytes[49] = 1;
        assert_eq!(data_runs(&bytes, 10), [10..30, 40..50]);
        assert!(data_runs(&[0; 50], 10).is_empty());
        assert_eq!(data_runs(&[1; 15], 10), vec![0..15]);
    }
}
