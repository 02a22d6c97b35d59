//! The pages of a blob that hold data (Azure Storage REST reference, `Get Page Ranges`).

use super::xml;
use crate::disk::Extent;
use crate::error::{Error, Kind, Result};
use std::ops::Range;

/// The most ranges kept of one window. Everything beyond counts as data, which is correct, only slower.
pub(super) const MOST: usize = 1 << 17;

/// The ranges per page of a list: the most that the service returns.
pub(super) const AT_A_TIME: &str = "10000";

/// The ranges with data in a window, collected part by part.
#[derive(Debug)]
pub(super) struct Pages {
    window: Range<u64>,
    data: Vec<Range<u64>>,
    /// The end of the last range; no later range may begin before it.
    reached: u64,
    /// The start of the first range that was not kept.
    beyond: Option<u64>,
}

impl Pages {
    /// Creates an empty collection for a window.
    pub(super) fn of(window: Range<u64>) -> Self {
        Self { reached: window.start, window, data: Vec::new(), beyond: None }
    }

    /// Returns whether there were more ranges than are kept.
    pub(super) fn are_full(&self) -> bool {
        self.beyond.is_some()
    }

    /// Adds a part of a list. Returns the marker of the next part, if there is one.
    ///
    /// A list is refused if its ranges are out of order, overlap, or are outside the window. It may be the
    /// reply to another request, and whatever it does not name would count as zeros.
    pub(super) fn take(&mut self, text: &str) -> Result<Option<String>> {
        let (mut start, mut end, mut marker) = (None, None, String::new());
        let mut is_list = false;
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| format!("{text:.40?} is no offset"));
        xml::walk(text, |path, text| {
            match path {
                "PageList/PageRange/Start" | "PageList/ClearRange/Start" => start = Some(number(text)?),
                "PageList/PageRange/End" | "PageList/ClearRange/End" => end = Some(number(text)?),
                "PageList/PageRange" => self.add(start.take(), end.take())?,
                // A cleared range in a list of differences; it is zero like everything that is not named.
                "PageList/ClearRange" => (start, end) = (None, None),
                "PageList/NextMarker" => text.trim().clone_into(&mut marker),
                "PageList" => is_list = true,
                _ => {}
            }
            Ok(())
        })
        .and_then(|()| if is_list { Ok(()) } else { Err("it is not a list of pages".to_owned()) })
        .map_err(|why| {
            Error::new(Kind::Protocol, format!("cannot parse the server's list of pages: {why}"))
                .hint("another server or a proxy may have replied: check the remote's url and the network")
        })?;
        Ok(Some(marker).filter(|marker| !marker.is_empty()))
    }

    fn add(&mut self, start: Option<u64>, end: Option<u64>) -> Result<(), String> {
        let (Some(start), Some(last)) = (start, end) else {
            return Err("a range has no start or no end".to_owned());
        };
        let end = last.checked_add(1).filter(|end| *end > start);
        let end = end.ok_or_else(|| format!("the range {start}-{last} ends before it starts"))?;
        // The service may return whole ranges where the window cuts them.
        let cut = start.max(self.window.start)..end.min(self.window.end);
        if cut.is_empty() {
            let Range { start: from, end: to } = self.window;
            return Err(format!(
                "the range {start}-{last} is outside of {from}-{}, which was requested",
                to - 1
            ));
        }
        if cut.start < self.reached || (!self.data.is_empty() && start < self.reached) {
            return Err(format!("the range {start}-{last} comes after one that ends at {}", self.reached));
        }
        self.reached = cut.end;
        let has_room = self.data.len() < MOST;
        match self.data.last_mut() {
            Some(before) if before.end == cut.start && self.beyond.is_none() => before.end = cut.end,
            _ if has_room => self.data.push(cut),
            _ => self.beyond = self.beyond.or(Some(cut.start)),
        }
        Ok(())
    }

    /// Returns extents that cover the window. `complete` tells whether the list was read to its end.
    pub(super) fn into_extents(mut self, complete: bool) -> Vec<Extent> {
        let unknown = self.beyond.or(if complete { None } else { Some(self.reached) });
        if let Some(from) = unknown.filter(|from| *from < self.window.end) {
            self.data.push(from..self.window.end);
        }
        let mut extents = Vec::with_capacity(self.data.len() * 2 + 1);
        let mut at = self.window.start;
        for data in self.data {
            if data.start > at {
                extents.push(Extent { range: at..data.start, zero: true });
            }
            at = data.end;
            extents.push(Extent { range: data, zero: false });
        }
        if at < self.window.end {
            extents.push(Extent { range: at..self.window.end, zero: true });
        }
        extents
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    fn list(ranges: &[(u64, u64)], more: &str) -> String {
        let mut text = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><PageList>".to_owned();
        for (start, end) in ranges {
            write!(text, "<PageRange><Start>{start}</Start><End>{end}</End></PageRange>").unwrap();
        }
        text + more + "</PageList>"
    }

    fn extents(window: Range<u64>, text: &str) -> Result<Vec<(u64, u64, bool)>> {
        let mut pages = Pages::of(window);
        let marker = pages.take(text)?;
        Ok(pages
            .into_extents(marker.is_none())
            .into_iter()
            .map(|e| (e.range.start, e.range.end, e.zero))
            .collect())
    }

    #[test]
    fn what_is_not_listed_is_zero() {
        let cleared = "<ClearRange><Start>2048</Start><End>2559</End></ClearRange>";
        let text = list(&[(512, 1023), (1024, 1535), (3072, 4095)], cleared);
        assert_eq!(
            extents(0..4096, &text).unwrap(),
            [(0, 512, true), (512, 1536, false), (1536, 3072, true), (3072, 4096, false)]
        );
        // A window that cuts the ranges at both ends.
        assert_eq!(
            extents(600..3100, &text).unwrap(),
            [(600, 1536, false), (1536, 3072, true), (3072, 3100, false)]
        );
        assert_eq!(extents(5..6, &list(&[], "")).unwrap(), [(5, 6, true)]);
        assert_eq!(extents(5..6, "<PageList/>").unwrap(), [(5, 6, true)]);
    }

    #[test]
    fn a_list_goes_on_at_its_marker() {
        let mut pages = Pages::of(0..4096);
        let next = "<NextMarker>more</NextMarker>";
        assert_eq!(pages.take(&list(&[(0, 511)], next)).unwrap().as_deref(), Some("more"));
        // Without the rest of the list, the window may hold anything.
        assert_eq!(
            extents(0..4096, &list(&[(0, 511)], next)).unwrap(),
            [(0, 512, false), (512, 4096, false)]
        );
        assert_eq!(pages.take(&list(&[(1024, 1535)], "<NextMarker/>")).unwrap(), None);
        assert_eq!(pages.into_extents(true).len(), 4);
    }

    #[test]
    fn a_list_that_cannot_be_of_this_window_is_refused() {
        for (ranges, why) in [
            (&[(1024, 1535), (512, 1023)][..], "comes after"),
            (&[(0, 1023), (512, 1535)], "comes after"),
            (&[(0, 511), (0, 511)], "comes after"),
            (&[(8192, 8703)], "outside"),
            (&[(0, 511), (4096, 4607)], "outside"),
            (&[(600, 511)], "ends before"),
            (&[(0, u64::MAX)], "ends before"),
        ] {
            let error = extents(0..4096, &list(ranges, "")).unwrap_err();
            assert!(error.kind() == Kind::Protocol && error.to_string().contains(why), "{ranges:?}: {error}");
        }
        let text = list(&[(0, 511)], "");
        let half = &text[..text.len() - 5];
        for bad in [
            "",
            "<html>log in</html>",
            half,
            &text.replace("511", "-1"),
            &text.replace("<Start>0</Start>", ""),
        ] {
            assert!(extents(0..4096, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn more_ranges_than_are_kept_are_data() {
        let count = MOST as u64 + 10;
        let ranges: Vec<(u64, u64)> = (0..count).map(|n| (n * 1024, n * 1024 + 511)).collect();
        let mut pages = Pages::of(0..count * 1024);
        pages.take(&list(&ranges, "")).unwrap();
        let extents = pages.into_extents(true);
        let last = extents.last().unwrap();
        assert!(!last.zero && last.range == (MOST as u64 * 1024..count * 1024), "{last:?}");
    }
}
