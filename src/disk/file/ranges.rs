//! The byte ranges of a file that were written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A set of byte ranges, in which touching ranges are joined.
#[derive(Debug, Default)]
pub(super) struct WrittenRanges(BTreeMap<u64, u64>);

impl WrittenRanges {
    /// Returns whether `range` overlaps the set.
    pub(super) fn touches(&self, range: &Range<u64>) -> bool {
        self.0.range(..range.end).next_back().is_some_and(|(_, end)| *end > range.start)
    }

    /// Adds `range`.
    pub(super) fn add(&mut self, mut range: Range<u64>) {
        while let Some((start, end)) = self.0.range(..=range.end).next_back().map(|(s, e)| (*s, *e))
            && end >= range.start
        {
            self.0.remove(&start);
            range = range.start.min(start)..range.end.max(end);
        }
        self.0.insert(range.start, range.end);
    }
}

/// Locks the ranges. A poisoned lock is ignored, because they are never left half changed.
pub(super) fn lock(ranges: &Mutex<WrittenRanges>) -> MutexGuard<'_, WrittenRanges> {
    ranges.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_touches_becomes_one_and_what_does_not_stays_apart() {
        let mut ranges = WrittenRanges::default();
        for range in [10..20, 40..50, 20..30, 5..12, 60..60] {
            ranges.add(range);
        }
        assert_eq!(
            ranges.0.iter().map(|(s, e)| (*s, *e)).filter(|(s, e)| s < e).collect::<Vec<_>>(),
            [(5, 30), (40, 50)]
        );
        for (range, touched) in [(0..5, false), (0..6, true), (29..40, true), (30..40, false), (49..99, true)]
        {
            assert_eq!(ranges.touches(&range), touched, "{range:?}");
        }
        ranges.add(0..100);
        assert_eq!(ranges.0.len(), 1);
    }
}
