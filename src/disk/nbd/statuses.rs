//! Converts a server's block descriptors into extents.

use super::protocol::{STATE_DIRTY, STATE_ZERO};
use crate::disk::Extent;
use std::ops::Range;

/// The most extents kept of one reply. Everything beyond counts as data, which is always correct, and reading
/// it costs no more than so fine a list would.
const MOST_EXTENTS: usize = 1 << 18;

/// The reply to a block status request.
#[derive(Debug)]
pub(super) struct Statuses {
    context: u32,
    bitmap: bool,
    asked: Range<u64>,
    /// The end of the descriptors so far.
    at: u64,
    extents: Vec<Extent>,
    /// Whether the chunk with all descriptors has arrived.
    come: bool,
}

impl Statuses {
    /// Creates the state for a range and a context id, which may be that of a dirty bitmap.
    pub(super) fn new(context: u32, bitmap: bool, asked: Range<u64>) -> Self {
        Self { context, bitmap, at: asked.start, asked, extents: Vec::new(), come: false }
    }

    /// Begins a chunk of descriptors.
    pub(super) fn begin(&mut self, context: u32) -> Result<(), String> {
        if context != self.context {
            return Err(format!("block descriptors of context {context}, which was not requested"));
        }
        if std::mem::replace(&mut self.come, true) {
            return Err("two lists of block descriptors in one reply".to_owned());
        }
        Ok(())
    }

    /// Adds a descriptor.
    pub(super) fn push(&mut self, len: u32, flags: u32) -> Result<(), String> {
        if len == 0 {
            return Err("a block descriptor without a length".to_owned());
        }
        if self.at >= self.asked.end {
            return Err("more block descriptors than requested".to_owned());
        }
        // The last descriptor may extend beyond the requested range.
        let end = self.at.saturating_add(u64::from(len)).min(self.asked.end);
        let known = if self.bitmap { flags & STATE_DIRTY == 0 } else { flags & STATE_ZERO != 0 };
        append(&mut self.extents, self.at..end, known);
        self.at = end;
        Ok(())
    }

    /// Returns whether a reply arrived.
    pub(super) fn is_complete(&self) -> bool {
        self.come
    }

    /// Returns the extents from the start of the range to the end of the reply.
    pub(super) fn into_extents(self) -> Vec<Extent> {
        self.extents
    }
}

/// Appends a range to the extents.
pub(super) fn append(extents: &mut Vec<Extent>, range: Range<u64>, zero: bool) {
    let zero = zero && extents.len() < MOST_EXTENTS;
    match extents.last_mut() {
        Some(last) if last.zero == zero => last.range.end = range.end,
        _ => extents.push(Extent { range, zero }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(descriptors: &[(u32, u32)]) -> Result<Vec<(u64, u64, bool)>, String> {
        let mut statuses = Statuses::new(7, false, 1000..2000);
        assert!(!statuses.is_complete());
        statuses.begin(7)?;
        for (len, flags) in descriptors {
            statuses.push(*len, *flags)?;
        }
        assert!(statuses.is_complete());
        Ok(statuses.into_extents().into_iter().map(|e| (e.range.start, e.range.end, e.zero)).collect())
    }

    #[test]
    fn only_what_reads_as_zero_is_zero() {
        // Data, a hole with undefined contents, a hole of zeros, allocated zeros, and unknown flags.
        let all = of(&[(100, 0), (100, 1), (100, 3), (100, 2), (100, 0xfffc), (10_000, 3)]).unwrap();
        assert_eq!(all, [(1000, 1200, false), (1200, 1400, true), (1400, 1500, false), (1500, 2000, true)]);
        assert_eq!(of(&[(5, 0)]).unwrap(), [(1000, 1005, false)], "a server may stop early");
    }

    #[test]
    fn descriptors_that_never_end_are_refused() {
        assert!(of(&[(0, 0)]).unwrap_err().contains("without a length"));
        assert!(of(&[(1000, 0), (1, 0)]).unwrap_err().contains("more block descriptors"));
        assert!(of(&[(u32::MAX, 3), (1, 0)]).is_err());
        let mut statuses = Statuses::new(7, false, 0..10);
        assert!(statuses.begin(8).is_err());
        statuses.begin(7).unwrap();
        assert!(statuses.begin(7).unwrap_err().contains("two lists"));
    }

    #[test]
    fn a_list_too_fine_to_keep_ends_in_data() {
        let mut extents = Vec::new();
        for at in 0..1_u64 << 20 {
            append(&mut extents, at..at + 1, at % 2 == 0);
        }
        assert!(extents.len() <= MOST_EXTENTS + 1);
        let last = extents.last().unwrap();
        assert!(!last.zero && last.range.end == 1 << 20);
    }
}
