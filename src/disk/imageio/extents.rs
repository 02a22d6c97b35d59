//! Parses the server's list of extents while it arrives.
//!
//! The server returns one list for the whole image, without windows (ovirt-imageio, docs/images.md,
//! "EXTENTS"), so its length depends on the fragmentation of the image. It is parsed entry by entry, and only
//! the relevant ranges are kept.

use crate::disk::Extent;
use crate::error::{Error, Kind, Result};
use serde::Deserialize;
use std::ops::Range;

/// The most entries that are parsed. Everything beyond counts as data or as changed, which is correct, only
/// slower. The ranges of this many entries take 8 MiB.
pub(super) const MOST_ENTRIES: usize = 1 << 20;

/// The longest list in bytes: the most entries, at more than the length they have for an image of many TiB.
const LONGEST_LIST: u64 = 128 << 20;

/// The longest entry in bytes. The server's have four fields and less than 100 bytes.
const LONGEST_ENTRY: usize = 512;

/// An entry of the list (docs/images.md, "Zero extent" and "Dirty extent").
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Entry {
    start: u64,
    length: u64,
    zero: Option<bool>,
    dirty: Option<bool>,
}

/// The kind of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// Ranges that read as zero.
    Zero,
    /// Ranges that changed since the checkpoint of an incremental backup.
    Dirty,
}

impl Context {
    /// Returns the name in the request.
    pub(super) fn name(self) -> &'static str {
        match self {
            Context::Zero => "zero",
            Context::Dirty => "dirty",
        }
    }
}

/// The ranges of a list.
#[derive(Debug, Default)]
pub(super) struct Extents {
    /// The ranges that read as zero or are dirty, in order and not adjacent.
    pub(super) ranges: Vec<Range<u64>>,
    /// For a list of dirty ranges, those among them that read as zero.
    pub(super) zeros: Vec<Range<u64>>,
    /// The end of the image according to the list; `None` if only its start was parsed.
    pub(super) end: Option<u64>,
}

impl Extents {
    /// Returns contiguous extents that cover `window`.
    pub(super) fn window(&self, window: Range<u64>) -> Vec<Extent> {
        let first = self.ranges.partition_point(|zeros| zeros.end <= window.start);
        let (mut extents, mut at) = (Vec::new(), window.start);
        for zeros in self.ranges[first..].iter().take_while(|zeros| zeros.start < window.end) {
            let (start, end) = (zeros.start.max(window.start), zeros.end.min(window.end));
            if at < start {
                extents.push(Extent { range: at..start, zero: false });
            }
            // An empty window has no extents.
            if start < end {
                extents.push(Extent { range: start..end, zero: true });
                at = end;
            }
        }
        if at < window.end {
            extents.push(Extent { range: at..window.end, zero: false });
        }
        extents
    }

    /// Removes a range from those that read as zero.
    pub(super) fn forget(&mut self, range: &Range<u64>) {
        let first = self.ranges.partition_point(|zeros| zeros.end <= range.start);
        let after = self.ranges.partition_point(|zeros| zeros.start < range.end);
        if first >= after {
            return;
        }
        let before = self.ranges[first].start..range.start;
        let behind = range.end..self.ranges[after - 1].end;
        let rest = [before, behind].into_iter().filter(|rest| rest.start < rest.end);
        self.ranges.splice(first..after, rest);
    }
}

/// The parser's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    FirstEntry,
    InEntry,
    AfterEntry,
    NextEntry,
    End,
}

/// An incremental parser of a list.
pub(super) struct Parser {
    context: Context,
    /// The size of the image. The list covers it; ranges beyond are ignored.
    size: u64,
    place: Place,
    entry: Vec<u8>,
    entries: usize,
    bytes: u64,
    at: u64,
    extents: Extents,
}

impl Parser {
    /// Creates a parser for the list of an image of `size` bytes.
    pub(super) fn new(context: Context, size: u64) -> Self {
        Self {
            context,
            size,
            place: Place::Start,
            entry: Vec::new(),
            entries: 0,
            bytes: 0,
            at: 0,
            extents: Extents::default(),
        }
    }

    /// Parses the next bytes. Returns whether more are wanted.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<bool> {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if self.bytes > LONGEST_LIST {
            let limit = LONGEST_LIST >> 20;
            return Err(self.bad(&format!("it is longer than the limit of {limit} MiB")));
        }
        for &byte in bytes {
            if self.place == Place::InEntry {
                if self.entry.len() >= LONGEST_ENTRY {
                    return Err(
                        self.bad(&format!("an entry is longer than the limit of {LONGEST_ENTRY} bytes"))
                    );
                }
                self.entry.push(byte);
                if byte == b'}' {
                    self.take_entry()?;
                    if self.entries >= MOST_ENTRIES {
                        return Ok(false);
                    }
                }
                continue;
            }
            self.place = match (self.place, byte) {
                (place, b' ' | b'\t' | b'\r' | b'\n') => place,
                (Place::Start, b'[') => Place::FirstEntry,
                (Place::FirstEntry | Place::NextEntry, b'{') => {
                    self.entry.clear();
                    self.entry.push(byte);
                    Place::InEntry
                }
                (Place::AfterEntry, b',') => Place::NextEntry,
                (Place::FirstEntry | Place::AfterEntry, b']') => Place::End,
                _ => return Err(self.bad("it is not a JSON list of extents")),
            };
        }
        Ok(true)
    }

    fn take_entry(&mut self) -> Result<()> {
        let entry: Entry = serde_json::from_slice(&self.entry)
            .map_err(|e| self.bad("an entry is not an extent in JSON").source(e))?;
        if entry.start != self.at {
            let (start, at) = (entry.start, self.at);
            return Err(self.bad(&format!("an extent starts at {start} where the one before ends at {at}")));
        }
        let end = entry.start.checked_add(entry.length).filter(|end| *end > entry.start);
        let end = end.ok_or_else(|| self.bad(&format!("an extent has a length of {}", entry.length)))?;
        let range = entry.start..end.min(self.size);
        match (self.context, entry.zero, entry.dirty) {
            (Context::Zero, Some(zero), _) => {
                if zero {
                    append(&mut self.extents.ranges, range);
                }
            }
            (Context::Dirty, zero, Some(dirty)) => {
                if dirty {
                    append(&mut self.extents.ranges, range.clone());
                }
                // Servers before 2.2 omit it; all their extents count as data.
                if dirty && zero == Some(true) {
                    append(&mut self.extents.zeros, range);
                }
            }
            (context, ..) => {
                return Err(self.bad(&format!("an extent does not say whether it is {}", context.name())));
            }
        }
        (self.at, self.place) = (end, Place::AfterEntry);
        self.entries += 1;
        Ok(())
    }

    /// Returns the result of a complete list.
    pub(super) fn finish(mut self) -> Result<Extents> {
        if self.place != Place::End {
            return Err(Error::new(Kind::ShortReply, "the list of extents ended early"));
        }
        if self.at < self.size {
            let (at, size) = (self.at, self.size);
            return Err(self.bad(&format!("it ends at {at}, and the image at {size}")));
        }
        self.extents.end = Some(self.at);
        Ok(self.extents)
    }

    /// Returns the result of the parsed part.
    pub(super) fn give_up(mut self) -> Extents {
        if self.context == Context::Dirty && self.at < self.size {
            append(&mut self.extents.ranges, self.at..self.size);
        }
        self.extents
    }

    fn bad(&self, what: &str) -> Error {
        let (name, entries) = (self.context.name(), self.entries);
        Error::new(
            Kind::Protocol,
            format!("cannot use the server's list of {name} extents: {what} (after {entries} extents)"),
        )
    }
}

/// Appends a range, merging it with the last one if they are adjacent.
fn append(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    if range.start >= range.end {
        return;
    }
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "lists of ranges, some with one")]
mod tests {
    use super::*;

    /// Parses byte by byte, as if every byte arrived alone.
    fn parse(context: Context, size: u64, list: &str) -> Result<Extents> {
        let mut parser = Parser::new(context, size);
        for byte in list.as_bytes() {
            assert!(parser.push(&[*byte])?);
        }
        parser.finish()
    }

    fn zero(size: u64, list: &[(u64, u64, bool)]) -> Result<Extents> {
        let entry = |(start, length, zero): &(u64, u64, bool)| {
            format!(r#"{{"start": {start}, "length": {length}, "zero": {zero}, "hole": false}}"#)
        };
        let list: Vec<String> = list.iter().map(entry).collect();
        parse(Context::Zero, size, &format!("[{}]\n", list.join(", ")))
    }

    fn extents(list: &[(Range<u64>, bool)]) -> Vec<Extent> {
        list.iter().map(|(range, zero)| Extent { range: range.clone(), zero: *zero }).collect()
    }

    #[test]
    fn windows_are_covered_by_what_the_list_says() {
        let all =
            zero(100, &[(0, 10, true), (10, 20, true), (30, 40, false), (70, 10, true), (80, 90, false)])
                .unwrap();
        assert_eq!((&all.ranges[..], all.end), (&[0..30, 70..80][..], Some(170)));
        assert_eq!(
            all.window(0..100),
            extents(&[(0..30, true), (30..70, false), (70..80, true), (80..100, false)])
        );
        assert_eq!(all.window(5..6), extents(&[(5..6, true)]));
        assert_eq!(all.window(30..70), extents(&[(30..70, false)]));
        assert_eq!(all.window(79..81), extents(&[(79..80, true), (80..81, false)]));
        assert_eq!(all.window(7..7), extents(&[]));
        // Ranges beyond the image are ignored.
        assert_eq!(zero(15, &[(0, 10, false), (10, 20, true)]).unwrap().ranges, [10..15]);
        assert_eq!(zero(5, &[(0, 10, false), (10, 20, true)]).unwrap().ranges, []);
    }

    #[test]
    fn what_is_written_no_longer_counts_as_zero() {
        let start = || Extents { ranges: vec![10..20, 30..40, 50..60], ..Extents::default() };
        let after = |range: Range<u64>| {
            let mut extents = start();
            extents.forget(&range);
            extents.ranges
        };
        assert_eq!(after(0..10), [10..20, 30..40, 50..60]);
        assert_eq!(after(12..15), [10..12, 15..20, 30..40, 50..60]);
        assert_eq!(after(10..20), [30..40, 50..60]);
        assert_eq!(after(15..55), [10..15, 55..60]);
        assert_eq!(after(20..30), start().ranges);
        assert_eq!(after(0..100), []);
        assert_eq!(after(59..100), [10..20, 30..40, 50..59]);
    }

    #[test]
    fn dirty_extents_may_be_zeros() {
        let list = r#"[{"start":0,"length":8,"dirty":true,"zero":false},{"start":8,"length":8,"dirty":true,
            "zero":true},{"start":16,"length":8,"dirty":false,"zero":true},{"start":24,"length":8,"dirty":true}]"#;
        let all = parse(Context::Dirty, 32, list).unwrap();
        assert_eq!((&all.ranges[..], &all.zeros[..]), (&[0..16, 24..32][..], &[8..16][..]));
        // Ranges that were not parsed may have changed.
        let mut parser = Parser::new(Context::Dirty, 32);
        assert!(parser.push(br#"[{"start":0,"length":8,"dirty":false},"#).unwrap());
        assert_eq!(parser.give_up().ranges, [8..32]);
    }

    #[test]
    fn lists_that_cannot_be_are_refused() {
        let refused = |size, list: &str, what: &str| {
            let error = parse(Context::Zero, size, list).err().unwrap_or_else(|| panic!("{list} was taken"));
            assert!(error.kind() == Kind::Protocol && error.to_string().contains(what), "{error}");
        };
        let one = |start: &str, length: &str| format!(r#"{{"start":{start},"length":{length},"zero":true}}"#);
        let two = |a: String, b: String| format!("[{a},{b}]");
        refused(20, &two(one("0", "10"), one("5", "15")), "starts at 5 where the one before ends at 10");
        refused(20, &two(one("0", "10"), one("0", "20")), "starts at 0");
        refused(20, &two(one("0", "10"), one("11", "9")), "starts at 11");
        refused(20, &format!("[{}]", one("0", "19")), "ends at 19, and the image at 20");
        refused(20, &format!("[{}]", one("0", "0")), "length of 0");
        refused(20, &two(one("0", "1"), one("1", "18446744073709551615")), "length of 18446744073709551615");
        refused(20, &format!("[{}]", one("0", "-1")), "not an extent in JSON");
        refused(20, &format!("[{}]", one("0", "1e99")), "not an extent in JSON");
        refused(20, "[]", "ends at 0");
        refused(20, "<html>", "not a JSON list");
        refused(20, &format!("[{}]]", one("0", "20")), "not a JSON list");
        refused(20, r#"[{"start":0,"length":20}]"#, "whether it is zero");
        refused(20, &format!("[{{{}", " ".repeat(LONGEST_ENTRY)), "longer than the limit of 512 bytes");
        // A truncated list is requested again.
        for short in ["", "[", r#"[{"start":0"#, r#"[{"start":0,"length":20,"zero":true}"#] {
            assert_eq!(parse(Context::Zero, 20, short).unwrap_err().kind(), Kind::ShortReply, "{short}");
        }
    }

    #[test]
    fn a_list_without_an_end_has_one() {
        let mut parser = Parser::new(Context::Zero, u64::MAX);
        parser.push(b"[").unwrap();
        let mut at = 0_u64;
        let entries = loop {
            let entry = format!(r#"{{"start":{at},"length":1,"zero":{}}},"#, at.is_multiple_of(2));
            at += 1;
            if !parser.push(entry.as_bytes()).unwrap() {
                break at;
            }
        };
        assert_eq!(entries, MOST_ENTRIES as u64);
        let extents = parser.give_up();
        assert_eq!((extents.end, extents.ranges.len()), (None, MOST_ENTRIES / 2));
        assert_eq!(extents.window(entries..u64::MAX), self::extents(&[(entries..u64::MAX, false)]));
        // A list of spaces ends as well.
        let mut parser = Parser::new(Context::Zero, 1);
        let spaces = vec![b' '; 1 << 20];
        let error = (0..).find_map(|_| parser.push(&spaces).err()).unwrap();
        assert!(error.to_string().contains("longer than the limit of 128 MiB"), "{error}");
    }
}
