//! Images whose bytes lie uncompressed in one file or in several.

use super::part::Part;
use super::{Layout, Place, Run, Take};
use crate::error::Result;
use std::ops::Range;

/// The contents of a segment of an image.
pub(super) enum Segment {
    /// Bytes of a file from this offset.
    Stored(Part, u64),
    /// Zeros.
    Zero,
    /// Another image.
    Image(Box<dyn Layout>),
}

/// Contiguous segments.
pub(super) struct Linear {
    /// The segments, each with the offset of its end in the image.
    segments: Vec<(u64, Segment)>,
}

impl Linear {
    /// Creates an image of the first `size` bytes of a part.
    pub(super) fn of(part: Part, size: u64) -> Self {
        Self { segments: vec![(size, Segment::Stored(part, 0))] }
    }

    /// Creates an image of segments, each with its length.
    pub(super) fn new(segments: Vec<(u64, Segment)>) -> Self {
        let mut end = 0_u64;
        let with_end = |(len, segment)| {
            end = end.saturating_add(len);
            (end, segment)
        };
        Self { segments: segments.into_iter().map(with_end).collect() }
    }
}

impl Layout for Linear {
    fn size(&self) -> u64 {
        self.segments.last().map_or(0, |(end, _)| *end)
    }

    fn map<'a>(&'a self, window: Range<u64>, take: Take<'_, 'a>) -> Result<()> {
        let first = self.segments.partition_point(|(end, _)| *end <= window.start);
        let mut start = first.checked_sub(1).map_or(0, |before| self.segments[before].0);
        let mut at = window.start;
        for (end, segment) in &self.segments[first..] {
            if at >= window.end {
                break;
            }
            let range = at..window.end.min(*end);
            at = range.end;
            match segment {
                Segment::Zero => take(Run { range, place: Place::Zero })?,
                Segment::Stored(part, offset) => {
                    let place = Place::Stored(part, offset + (range.start - start));
                    take(Run { range, place })?;
                }
                Segment::Image(layout) => {
                    layout.map(range.start - start..range.end - start, &mut |run| {
                        let range = run.range.start + start..run.range.end + start;
                        take(Run { range, place: run.place })
                    })?;
                }
            }
            start = *end;
        }
        Ok(())
    }
}
