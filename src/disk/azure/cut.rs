//! Splits a byte range into whole pages and the partial pages at its edges.

use super::PAGE;
use std::ops::Range;

/// A range split at page boundaries.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cut {
    /// The pages that it covers completely.
    pub(super) whole: Range<u64>,
    /// The pages that it covers in part: at most two.
    pub(super) edges: Vec<Edge>,
}

/// A page that a range covers in part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// The offset of the page.
    pub(super) page: u64,
    /// The covered part, relative to the page.
    pub(super) within: Range<usize>,
    /// Whether the range covers everything of the page that is on the disk. The rest is padding, and zero.
    pub(super) is_padded: bool,
}

impl Cut {
    /// Splits a range of a disk of `size` bytes.
    pub(super) fn of(range: Range<u64>, size: u64) -> Self {
        let Range { start, end } = range;
        let (first, last) = (start.div_ceil(PAGE) * PAGE, end / PAGE * PAGE);
        let edge = |page: u64, from: u64, to: u64| Edge {
            page,
            within: index(from - page)..index(to - page),
            is_padded: from == page && to == size,
        };
        if start >= end {
            return Self { whole: start..start, edges: Vec::new() };
        }
        if first > last {
            return Self { whole: start..start, edges: vec![edge(last, start, end)] };
        }
        let head = (start < first).then(|| edge(first - PAGE, start, first));
        let tail = (end > last).then(|| edge(last, last, end));
        Self { whole: first..last, edges: head.into_iter().chain(tail).collect() }
    }

    /// Returns the position of the whole pages in a buffer that begins at `offset`.
    pub(super) fn within(&self, offset: u64) -> Range<usize> {
        index(self.whole.start - offset)..index(self.whole.end - offset)
    }
}

impl Edge {
    /// Returns the position of the edge in a buffer that begins at `offset`.
    pub(super) fn bytes(&self, offset: u64) -> Range<usize> {
        let start = index(self.page + self.within.start as u64 - offset);
        start..start + self.within.len()
    }
}

/// Converts an offset into bytes in memory, which always fits.
fn index(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_in_one_part() {
        const SIZE: u64 = 2100;
        // Around page boundaries and the end of the disk.
        let places: Vec<u64> =
            (0..=SIZE).filter(|at| at % PAGE < 2 || at % PAGE > 509 || at + 60 > SIZE).collect();
        for start in places.clone() {
            for end in places.iter().copied().filter(|end| *end >= start) {
                let cut = Cut::of(start..end, SIZE);
                let bytes: Vec<u64> = (start..end).collect();
                let mut seen: Vec<u64> = cut.whole.clone().collect();
                if !cut.whole.is_empty() {
                    assert_eq!(bytes[cut.within(start)], seen, "{start}..{end}");
                }
                assert!(
                    cut.whole.start.is_multiple_of(PAGE) && cut.whole.end.is_multiple_of(PAGE)
                        || cut.whole.is_empty()
                );
                for edge in &cut.edges {
                    let part = &bytes[edge.bytes(start)];
                    assert!(edge.page % PAGE == 0 && edge.within.len() < 512, "{start}..{end}");
                    assert_eq!(part[0], edge.page + edge.within.start as u64);
                    assert_eq!(edge.is_padded, edge.within.start == 0 && part.last() == Some(&(SIZE - 1)));
                    seen.extend_from_slice(part);
                }
                seen.sort_unstable();
                assert_eq!(seen, bytes, "{start}..{end}");
            }
        }
    }
}
