//! The data after an image in a fixed VHD.

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
    /// Returns what follows an image of `size` bytes; `name` is used in messages. `id` and `made` go into the
    /// footer. They must be the same in every run of a transfer, or what an earlier run wrote differs.
    ///
    /// # Errors
    /// Fails if the image is empty or too large for a VHD.
    pub fn new(name: &str, size: u64, id: [u8; 16], made: SystemTime) -> Result<Self> {
        let padded = size.checked_next_multiple_of(UNIT).filter(|padded| *padded > 0);
        let padded = padded.filter(|padded| padded.checked_add(FOOTER).is_some());
        let padded = padded
            .ok_or_else(|| Error::new(Kind::Source, format!("{name} is empty or too large for a VHD")))?;
        let footer = Box::new(Footer::fixed(padded, id, made).to_bytes());
        Ok(Self { zeros: padded - size, footer })
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> u64 {
        self.zeros + FOOTER
    }

    /// Always returns false: there is a footer.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Returns the number of zeros.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// Appends a range of the data, relative to the end of the image.
    pub fn append(&self, range: Range<u64>, into: &mut Vec<u8>) {
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let zeros = range.end.min(self.zeros).saturating_sub(range.start);
        into.resize(into.len() + index(zeros), 0);
        let [start, end] = [range.start, range.end].map(|at| at.saturating_sub(self.zeros).min(FOOTER));
        into.extend_from_slice(&self.footer[index(start)..index(end)]);
    }
}
