//! The server's list of extents, read as it comes, and what is kept of it.
//!
//! The server gives one list for the whole image and has no windows (ovirt-imageio, docs/images.md,
//! "EXTENTS"), so the list is as long as the image is fragmented. It is parsed entry by entry; only the
//! ranges that matter are kept.

use crate::disk::Extent;
use crate::error::{Error, Kind, Result};
use serde::Deserialize;
use std::ops::Range;

/// The most entries that are looked at. What is behind them counts as data, or as changed: that is never
/// wrong, only slower. The ranges that are kept of so many take 8 MiB.
pub(super) const MOST_ENTRIES: usize = 1 << 20;

/// The longest list: the most entries, each longer than the server writes them for an image of many TiB.
const LONGEST_LIST: u64 = 128 << 20;

/// The longest entry. The server's have four fields and below 100 bytes.
const LONGEST_ENTRY: usize = 512;

/// An entry of the list (docs/images.md, "Zero extent" and "Dirty extent").
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Entry {
    start: u64,
    length: u64,
    zero: Option<bool>,
    dirty: Option<bool>,
}

/// What a list is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Context {
    /// Which ranges read as zero.
    Zero,
    /// Which ranges changed since the checkpoint of an incremental backup.
    Dirty,
}

impl Context {
    /// Its name in the request.
    pub(super) fn name(self) -> &'static str {
        match self {
            Context::Zero => "zero",
            Context::Dirty => "dirty",
        }
    }
}

/// What a list says of an image.
#[derive(Debug, Default)]
pub(super) struct Extents {
    /// The ranges that read as zero, or that are dirty: in order, none touching the next.
    pub(super) ranges: Vec<Range<u64>>,
    /// Of a list of dirty ranges, those of them that read as zero.
    pub(super) zeros: Vec<Range<u64>>,
    /// Where the image ends by the list; unknown where only its start was looked at.
    pub(super) end: Option<u64>,
}

impl Extents {
    /// What is known of `window`: extents that follow each other and cover it.
    pub(super) fn window(&self, window: Range<u64>) -> Vec<Extent> {
        let first = self.ranges.partition_point(|zeros| zeros.end <= window.start);
        let (mut extents, mut at) = (Vec::new(), window.start);
        for zeros in self.ranges[first..].iter().take_while(|zeros| zeros.start < window.end) {
            let (start, end) = (zeros.start.max(window.start), zeros.end.min(window.end));
            if at < start {
                extents.push(Extent { range: at..start, zero: false });
            }
            // Of a window of no bytes there is nothing to say.
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

    /// Takes a range out of those that read as zero.
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

/// Where in the list the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    FirstEntry,
    InEntry,
    AfterEntry,
    NextEntry,
    End,
}

/// Reads a list piece by piece.
pub(super) struct Parser {
    context: Context,
    /// The image's size: the list covers it, and what it says of what is behind is left out.
    size: u64,
    place: Place,
    entry: Vec<u8>,
    entries: usize,
    bytes: u64,
    at: u64,
    extents: Extents,
}

impl Parser {
    /// For the list of an image of `size` bytes.
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

    /// Takes the next bytes. Says whether more of them are wanted.
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
                _ => return Err(self.bad("it is no JSON list of extents")),
            };
        }
        Ok(true)
    }

    fn take_entry(&mut self) -> Result<()> {
        let entry: Entry = serde_json::from_slice(&self.entry)
            .map_err(|e| self.bad("an entry is no extent in JSON").source(e))?;
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
                // Left out by a server before 2.2, whose extents all count as data.
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

    /// What the list says, all of which has come.
    pub(super) fn finish(mut self) -> Result<Extents> {
        if self.place != Place::End {
            return Err(Error::new(Kind::ShortReply, "the list of extents ends early"));
        }
        if self.at < self.size {
            let (at, size) = (self.at, self.size);
            return Err(self.bad(&format!("it ends at {at}, and the image at {size}")));
        }
        self.extents.end = Some(self.at);
        Ok(self.extents)
    }

    /// What its start says, as far as was looked.
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
            format!("the server's list of {name} extents cannot be used: {what} (after {entries} extents)"),
        )
    }
}

/// Appends a range, to the last one if it follows it.
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

    /// Byte by byte, as the worst of connections would have it.
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
        // What it says of more than the image is left out.
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
        // What was not looked at may have changed.
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
        refused(20, &format!("[{}]", one("0", "-1")), "no extent in JSON");
        refused(20, &format!("[{}]", one("0", "1e99")), "no extent in JSON");
        refused(20, "[]", "ends at 0");
        refused(20, "<html>", "no JSON list");
        refused(20, &format!("[{}]]", one("0", "20")), "no JSON list");
        refused(20, r#"[{"start":0,"length":20}]"#, "whether it is zero");
        refused(20, &format!("[{{{}", " ".repeat(LONGEST_ENTRY)), "longer than the limit of 512 bytes");
        // What breaks off is asked for again.
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
        // Nor does one of spaces go on for ever.
        let mut parser = Parser::new(Context::Zero, 1);
        let spaces = vec![b' '; 1 << 20];
        let error = (0..).find_map(|_| parser.push(&spaces).err()).unwrap();
        assert!(error.to_string().contains("longer than the limit of 128 MiB"), "{error}");
    }
}
