//! What is behind an image that becomes a fixed VHD.

use super::{FOOTER, Footer, UNIT};
use crate::error::{Error, Kind, Result};
use std::ops::Range;
use std::time::SystemTime;

/// Zeros up to the next MiB, and the footer.
#[derive(Clone, Debug)]
pub struct Behind {
    zeros: u64,
    footer: Box<[u8; 512]>,
}

impl Behind {
    /// What is behind an image of `size` bytes, which is `name` in messages. `id` and `made` go into the
    /// footer: the same in every run of a transfer, or what an earlier run has written differs.
    ///
    /// # Errors
    /// If the image is empty, or so large that no size could tell it with the footer.
    pub fn new(name: &str, size: u64, id: [u8; 16], made: SystemTime) -> Result<Self> {
        let padded = size.checked_next_multiple_of(UNIT).filter(|padded| *padded > 0);
        let padded = padded.filter(|padded| padded.checked_add(FOOTER).is_some());
        let padded = padded
            .ok_or_else(|| Error::new(Kind::Source, format!("{name} is empty or too large for a VHD")))?;
        let footer = Box::new(Footer::fixed(padded, id, made).to_bytes());
        Ok(Self { zeros: padded - size, footer })
    }

    /// How many bytes it has.
    pub fn len(&self) -> u64 {
        self.zeros + FOOTER
    }

    /// Always false: there is a footer.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The zeros of them.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Appends those of a range, counted from the end of the image.
    pub fn append(&self, range: Range<u64>, into: &mut Vec<u8>) {
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let zeros = range.end.min(self.zeros).saturating_sub(range.start);
        into.resize(into.len() + index(zeros), 0);
        let [start, end] = [range.start, range.end].map(|at| at.saturating_sub(self.zeros).min(FOOTER));
        into.extend_from_slice(&self.footer[index(start)..index(end)]);
    }
}
