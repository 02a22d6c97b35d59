//! A [`PartFile`] that becomes a qcow2.
//!
//! Each image cluster gets the next free place in the file when it is first written, and its L2 entry records
//! the place. So the file itself tells where each chunk is, in whatever order chunks arrive, and the journal
//! needs no more than for a raw file: a chunk is there if the bytes at its offset have its digest. Clusters
//! of zeros get no place. All other metadata is derived from the L2 tables and written at the end ([`seal`]);
//! until then the file has no header.
//!
//! Data is written before its entry, so a killed run leaves entries that are valid or were never written.
//! After a crash of the machine any entry may be wrong or missing. The next run removes entries that are
//! invalid ([`Qcow2Part::recover`]) and digests the data of the others again.

mod entry;
mod layout;
mod seal;
mod squeeze;
#[cfg(test)]
mod tests;

use super::PartFile;
use crate::disk::zero::is_zero;
use crate::error::{Error, Kind, Result};
use crate::stop::{Stop, stopped};
use entry::Entry;
use layout::{CLUSTER, ENTRY, Layout};
use seal::damaged;
use squeeze::{LEN, Squeezer, unsqueeze};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An image that is written to a qcow2.
pub(super) struct Qcow2Part {
    part: PartFile,
    layout: Layout,
    /// The compression level of clusters, if they are compressed.
    level: Option<u32>,
    room: Mutex<Room>,
    squeezers: Mutex<Vec<Squeezer>>,
}

/// The free space in the file.
#[derive(Debug)]
struct Room {
    /// The end of the used clusters; everything from here on is free.
    next: u64,
    /// The rest of the last cluster that holds compressed clusters.
    rest: Range<u64>,
}

impl Qcow2Part {
    /// Creates the writer for an image of `size` bytes. A file of an earlier run is not touched until it is
    /// [recovered](Self::recover).
    pub(super) fn new(part: PartFile, size: u64, level: Option<u32>) -> Result<Self> {
        let layout = Layout::of(size)?;
        let room = Mutex::new(Room { next: layout.data, rest: 0..0 });
        Ok(Self { part, layout, level, room, squeezers: Mutex::default() })
    }

    /// Returns whether writes compress.
    pub(super) fn compresses(&self) -> bool {
        self.level.is_some()
    }

    /// Returns whether the file is long enough to have all its tables.
    pub(super) fn has_tables(&self) -> Result<bool> {
        Ok(self.part.size()? >= self.layout.data)
    }

    /// Sets the length of a new file to the end of its tables.
    pub(super) fn begin(&self) -> Result<()> {
        self.part.set_len(self.layout.data)
    }

    /// Prepares the file of an earlier run for writing: removes invalid entries and cuts off everything after
    /// the last referenced cluster.
    pub(super) fn recover(&self, stop: &Stop) -> Result<()> {
        let Layout { data, end, .. } = self.layout;
        let len = self.part.size()?;
        if len < data {
            self.part.set_len(data)?;
        }
        // Left by an earlier attempt to complete the file.
        self.part.punch(0..CLUSTER)?;
        let within = data..len.next_multiple_of(CLUSTER).min(end);
        let mut used = data;
        let mut table = vec![0; LEN];
        for number in 0..self.layout.tables() {
            if stop.is_asked() {
                return Err(stopped());
            }
            let place = self.layout.l2 + number * CLUSTER;
            self.part.read_over(place, &mut table)?;
            if is_zero(&table) {
                continue;
            }
            for (at, bytes) in table.as_chunks::<8>().0.iter().enumerate() {
                match Entry::parse(u64::from_be_bytes(*bytes), &within) {
                    Some(entry) => used = used.max(entry.range().end),
                    None => self.part.put(place + at as u64 * ENTRY, &[0; 8])?,
                }
            }
        }
        let next = used.next_multiple_of(CLUSTER);
        if len > next {
            self.part.set_len(next)?;
        }
        *self.room() = Room { next, rest: 0..0 };
        Ok(())
    }

    /// Completes the qcow2.
    pub(super) fn seal(&self, stop: &Stop) -> Result<()> {
        let end = self.room().next;
        seal::seal(&self.part, &self.layout, end, stop)
    }

    /// Writes bytes of the image.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.parts(&(offset..offset + bytes.len() as u64), |clusters, range| {
            let at = |place: u64| usize::try_from(place - offset).unwrap_or(usize::MAX);
            let bytes = &bytes[at(range.start)..at(range.end)];
            match clusters {
                Clusters::Whole(first) => self.write_whole(first, bytes),
                Clusters::Part(number) => self.write_part(number, range.start % CLUSTER, bytes),
            }
        })
    }

    /// Makes a range of the image read as zero.
    pub(super) fn zero(&self, range: &Range<u64>) -> Result<()> {
        self.parts(range, |clusters, range| match clusters {
            Clusters::Whole(first) => self.zero_whole(first, (range.end - range.start).div_ceil(CLUSTER)),
            Clusters::Part(number) => {
                let mut room = self.room();
                let Some(place) = self.place(&mut room, number, false)? else { return Ok(()) };
                let start = place + range.start % CLUSTER;
                self.part.zero(start..start + (range.end - range.start))
            }
        })
    }

    /// Reads bytes of the image, replacing the contents of `into`.
    pub(super) fn read_into(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()> {
        if offset.checked_add(len).is_none_or(|end| end > self.layout.image) {
            return Err(Error::new(Kind::Io, "the requested range is outside the image").offset(offset));
        }
        into.clear();
        into.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
        if len == 0 {
            return Ok(());
        }
        let first = offset / CLUSTER;
        let entries = self.entries(first, (offset + len).div_ceil(CLUSTER) - first)?;
        let mut left = &mut into[..];
        let mut skip = offset % CLUSTER;
        let mut rest = &entries[..];
        while let [entry, ..] = rest {
            let follow = |(n, next): &(usize, &Entry)| match entry {
                Entry::Plain(place) => **next == Entry::Plain(place + *n as u64 * CLUSTER),
                Entry::Hole => **next == Entry::Hole,
                Entry::Packed { .. } => *n == 0,
            };
            let same = rest.iter().enumerate().take_while(follow).count();
            let bytes = (same * LEN).saturating_sub(usize::try_from(skip).unwrap_or(LEN)).min(left.len());
            let (now, later) = left.split_at_mut(bytes);
            match entry {
                Entry::Hole => {}
                Entry::Plain(place) => self.part.read_over(place + skip, now)?,
                Entry::Packed { start, end } => self.read_packed(*start..*end, skip, now)?,
            }
            (left, rest, skip) = (later, &rest[same..], 0);
        }
        Ok(())
    }

    fn read_packed(&self, place: Range<u64>, skip: u64, into: &mut [u8]) -> Result<()> {
        let mut packed = vec![0; usize::try_from(place.end - place.start).unwrap_or(0)];
        self.part.read_over(place.start, &mut packed)?;
        let mut cluster = vec![0; LEN];
        unsqueeze(&packed, &mut cluster)?;
        let skip = usize::try_from(skip).unwrap_or(LEN);
        into.copy_from_slice(&cluster[skip..skip + into.len()]);
        Ok(())
    }

    /// Splits a range of the image into parts of clusters that other chunks share, and runs of complete
    /// clusters. The last cluster ends with the image.
    fn parts(
        &self,
        range: &Range<u64>,
        mut each: impl FnMut(Clusters, Range<u64>) -> Result<()>,
    ) -> Result<()> {
        if range.end > self.layout.image || range.start > range.end {
            return Err(Error::new(Kind::Io, "the requested range is outside the image").offset(range.start));
        }
        let mut at = range.start;
        if !at.is_multiple_of(CLUSTER) {
            let end = at.next_multiple_of(CLUSTER).min(range.end);
            each(Clusters::Part(at / CLUSTER), at..end)?;
            at = end;
        }
        let end = if range.end == self.layout.image { range.end } else { range.end / CLUSTER * CLUSTER };
        if at < end {
            each(Clusters::Whole(at / CLUSTER), at..end)?;
            at = end;
        }
        if at < range.end { each(Clusters::Part(at / CLUSTER), at..range.end) } else { Ok(()) }
    }

    /// Writes a part of a cluster. Writers to other parts of it are locked out.
    fn write_part(&self, number: u64, skip: u64, bytes: &[u8]) -> Result<()> {
        let mut room = self.room();
        match self.place(&mut room, number, !is_zero(bytes))? {
            Some(place) => self.part.write(place + skip, bytes).map(drop),
            None => Ok(()),
        }
    }

    /// Returns the place of a cluster that is to be written in part. A compressed cluster is decompressed; a
    /// hole gets a place only if `needed`.
    fn place(&self, room: &mut Room, number: u64, needed: bool) -> Result<Option<u64>> {
        let entry = self.entries(number, 1)?.into_iter().next().ok_or_else(|| damaged(&self.part))?;
        match entry {
            Entry::Plain(place) => return Ok(Some(place)),
            Entry::Hole if !needed => return Ok(None),
            Entry::Hole | Entry::Packed { .. } => {}
        }
        let place = self.take(room, 1)?;
        if let Entry::Packed { start, end } = entry {
            let mut cluster = vec![0; LEN];
            self.read_packed(start..end, 0, &mut cluster)?;
            self.part.write(place, &cluster)?;
        }
        self.put_entries(number, &[Entry::Plain(place)])?;
        Ok(Some(place))
    }

    /// Writes complete clusters from `first` on. The last one may end with the image.
    fn write_whole(&self, first: u64, bytes: &[u8]) -> Result<()> {
        let clusters: Vec<&[u8]> = bytes.chunks(LEN).collect();
        let mut entries = self.entries(first, clusters.len() as u64)?;
        let mut changed = false;
        let mut squeezer = self.level.map(|level| self.squeezer(level));
        let mut at = 0;
        while at < clusters.len() {
            let (now, old) = (clusters[at], entries[at]);
            let zero = is_zero(now);
            if let Entry::Plain(place) = old {
                // The cluster has a place already, and keeps it even for zeros.
                self.part.write(place, now)?;
                at += 1;
                continue;
            }
            if zero {
                changed |= old != Entry::Hole;
                entries[at] = Entry::Hole;
                at += 1;
                continue;
            }
            changed = true;
            let packed = match &mut squeezer {
                Some(squeezer) => squeezer.squeeze(now)?,
                None => None,
            };
            if let Some(packed) = packed {
                entries[at] = self.put_packed(old, packed)?;
                at += 1;
                continue;
            }
            // Adjacent clusters that need a place get adjacent places.
            let needs = |at: &usize| !matches!(entries[*at], Entry::Plain(_)) && !is_zero(clusters[*at]);
            let last = if squeezer.is_some() { at + 1 } else { clusters.len() };
            let count = 1 + (at + 1..last).take_while(needs).count();
            let place = self.take(&mut self.room(), count as u64)?;
            let end = (at + count) * LEN;
            self.part.write(place, &bytes[at * LEN..end.min(bytes.len())])?;
            for (n, entry) in entries[at..at + count].iter_mut().enumerate() {
                *entry = Entry::Plain(place + n as u64 * CLUSTER);
            }
            at += count;
        }
        if let Some(squeezer) = squeezer {
            self.squeezers.lock().unwrap_or_else(PoisonError::into_inner).push(squeezer);
        }
        if changed { self.put_entries(first, &entries) } else { Ok(()) }
    }

    /// Places a compressed cluster. An unchanged one keeps its place; a different one never reuses the old
    /// place, because the entry does not tell its exact length and the next cluster begins right behind it.
    fn put_packed(&self, old: Entry, packed: &[u8]) -> Result<Entry> {
        let len = packed.len() as u64;
        if let Entry::Packed { start, .. } = old
            && Entry::packed(start, len) == old
        {
            let mut there = vec![0; packed.len()];
            self.part.read_over(start, &mut there)?;
            if there == packed {
                self.part.put(start, packed)?;
                return Ok(old);
            }
        }
        let mut room = self.room();
        if room.rest.end != room.next && len > room.rest.end - room.rest.start {
            // What follows the current rest belongs to another cluster.
            room.rest = room.next..room.next;
        }
        let start = room.rest.start;
        let more = (start + len).saturating_sub(room.rest.end).div_ceil(CLUSTER);
        if more > 0 {
            self.take(&mut room, more)?;
        }
        room.rest = start + len..(start + len).next_multiple_of(CLUSTER);
        drop(room);
        self.part.put(start, packed)?;
        Ok(Entry::packed(start, len))
    }

    /// Makes clusters read as zero. Clusters with a place keep it as a hole.
    fn zero_whole(&self, first: u64, count: u64) -> Result<()> {
        let mut entries = self.entries(first, count)?;
        let mut changed = false;
        for entry in &mut entries {
            match entry {
                Entry::Hole => {}
                Entry::Plain(place) => self.part.zero(*place..*place + CLUSTER)?,
                Entry::Packed { .. } => {
                    *entry = Entry::Hole;
                    changed = true;
                }
            }
        }
        if changed { self.put_entries(first, &entries) } else { Ok(()) }
    }

    /// Allocates the next free clusters of the file.
    fn take(&self, room: &mut Room, clusters: u64) -> Result<u64> {
        let place = room.next;
        let next = place + clusters * CLUSTER;
        if next > self.layout.end {
            let what =
                format!("{} has no space left after too many interrupted runs", self.part.path().display());
            return Err(Error::new(Kind::Io, what).hint("start over with `--restart`"));
        }
        room.next = next;
        Ok(place)
    }

    /// Reads the L2 entries of clusters.
    fn entries(&self, first: u64, count: u64) -> Result<Vec<Entry>> {
        let mut bytes = vec![0; usize::try_from(count * ENTRY).unwrap_or(0)];
        self.part.read_over(self.layout.l2 + first * ENTRY, &mut bytes)?;
        let within = self.layout.data..self.layout.end;
        let parsed = bytes.as_chunks::<8>().0.iter();
        let parsed = parsed.map(|bytes| Entry::parse(u64::from_be_bytes(*bytes), &within));
        parsed.collect::<Option<_>>().ok_or_else(|| damaged(&self.part))
    }

    fn put_entries(&self, first: u64, entries: &[Entry]) -> Result<()> {
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.bits().to_be_bytes()).collect();
        self.part.put(self.layout.l2 + first * ENTRY, &bytes)
    }

    fn squeezer(&self, level: u32) -> Squeezer {
        let kept = self.squeezers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| Squeezer::new(level))
    }

    fn room(&self) -> MutexGuard<'_, Room> {
        // Space that was allocated and not used is wasted, but harmless.
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Qcow2Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Qcow2Part")
            .field("part", &self.part)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

/// Clusters of an image, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clusters {
    /// As many complete clusters as the range covers, from this one on.
    Whole(u64),
    /// A part of one cluster.
    Part(u64),
}
