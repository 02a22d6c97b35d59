//! Reads qcow2 images (QEMU, docs/interop/qcow2.rst): two levels of tables, compressed clusters, holes, and
//! backing files.
//!
//! Only the active state is read; internal snapshots are ignored.

mod header;

use super::decode::{Codec, Packed};
use super::open::Opener;
use super::part::{Part, shown};
use super::{Layout, Place, Run, Take};
use crate::error::Result;
use header::{Compression, Header, leads_away};
use std::ops::Range;

/// How much of an L2 table is read at a time, in bytes.
const SLICE: u64 = 8 << 10;

/// The offset bits of an entry (`L1 table entry`, `Standard Cluster Descriptor`).
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;

/// The subclusters of an extended entry (`Extended L2 Entries`).
const SUBCLUSTERS: u32 = 32;

/// An image whose header was read.
pub(super) struct Qcow2 {
    part: Part,
    /// The external data file, if there is one.
    data: Option<Part>,
    backing: Option<Box<dyn Layout>>,
    header: Header,
    l1: Vec<u64>,
    /// The ranges of the header and the tables in order, which no data cluster may overlap.
    tables: Vec<Range<u64>>,
}

/// The contents of an entry or a subcluster.
enum Cluster {
    Absent,
    Zero,
    /// Stored at this offset.
    Stored(u64),
    Compressed,
}

impl Qcow2 {
    pub(super) fn open(part: Part, opener: &mut Opener) -> Result<Self> {
        let header = Header::read(&part)?;
        let data = match &header.data_file {
            Some(name) if !opener.follows() => return Err(leads_away(&part, "its data", name)),
            Some(name) => Some(opener.data_file(&part, name)?),
            None => None,
        };
        let backing = match &header.backing {
            Some(backing) if !opener.follows() => {
                return Err(leads_away(&part, "its backing file", &backing.name));
            }
            Some(backing) => {
                let Some(format) = &backing.format else {
                    let why = format!("it lacks the format of its backing file {}", shown(&backing.name));
                    return Err(part
                        .refused(why)
                        .hint("set it with `qemu-img rebase -u -b FILE -F FORMAT IMAGE`"));
                };
                Some(opener.backing(&part, &backing.name, format)?)
            }
            None => None,
        };
        let (l1, tables) = tables(&part, &header)?;
        Ok(Self { part, data, backing, header, l1, tables })
    }

    /// Returns the length of an L2 entry in bytes.
    fn entry_len(&self) -> u64 {
        if self.header.extended { 16 } else { 8 }
    }

    /// Maps a range that this file lacks to the backing file or to zeros.
    fn behind<'a>(&'a self, range: Range<u64>, take: Take<'_, 'a>) -> Result<()> {
        let zero = |range: Range<u64>| Run { range, place: Place::Zero };
        match &self.backing {
            _ if range.is_empty() => Ok(()),
            Some(backing) if range.start < backing.size() => {
                let end = range.end.min(backing.size());
                backing.map(range.start..end, take)?;
                if end < range.end { take(zero(end..range.end)) } else { Ok(()) }
            }
            _ => take(zero(range)),
        }
    }

    /// Maps `window`, which has a single L2 table, at offset `table`.
    fn entries<'a>(&'a self, table: u64, window: Range<u64>, take: Take<'_, 'a>) -> Result<()> {
        let (bits, entry_len) = (self.header.cluster_bits, self.entry_len());
        let per_table = (1 << bits) / entry_len;
        let mut absent = window.start..window.start;
        let mut at = window.start;
        let mut bytes = Vec::new();
        while at < window.end {
            let first = (at >> bits) % per_table;
            let count = ((window.end - 1) >> bits) - (at >> bits) + 1;
            let count = count.min(SLICE / entry_len);
            bytes.resize(super::place(count * entry_len), 0);
            self.part.fill(table + first * entry_len, &mut bytes).map_err(|e| e.offset(at))?;
            for entry in bytes.chunks_exact(super::place(entry_len)) {
                let cluster = at >> bits << bits;
                let end = window.end.min(cluster + (1 << bits));
                self.pieces(entry, cluster, at..end, &mut |range, what| {
                    if let Cluster::Absent = what {
                        absent.end = range.end;
                        return Ok(());
                    }
                    self.behind(absent.clone(), take)?;
                    absent = range.end..range.end;
                    let place = match what {
                        Cluster::Absent | Cluster::Zero => Place::Zero,
                        Cluster::Stored(host) => self.stored(host, &range)?,
                        Cluster::Compressed => {
                            self.compressed(number(&entry[..8]), range.start - cluster, range.start)?
                        }
                    };
                    take(Run { range, place })
                })?;
                at = end;
            }
        }
        self.behind(absent, take)
    }

    /// Maps `range`, which lies in one cluster, by the cluster's entry.
    fn pieces(
        &self,
        entry: &[u8],
        cluster: u64,
        range: Range<u64>,
        take: &mut dyn FnMut(Range<u64>, Cluster) -> Result<()>,
    ) -> Result<()> {
        let wrong = |why: &str, entry: u64| {
            self.part.damaged(format_args!("{why} (its L2 entry is {entry:#018x})")).offset(range.start)
        };
        let (first, bitmap) = entry.split_at(8);
        let (first, bitmap) = (number(first), self.header.extended.then(|| number(bitmap)));
        if first & COMPRESSED != 0 {
            if bitmap.is_some_and(|bits| bits != 0) {
                return Err(wrong("a compressed cluster has subclusters", first));
            }
            return take(range, Cluster::Compressed);
        }
        let host = first & OFFSET;
        if !host.is_multiple_of(1 << self.header.cluster_bits) {
            return Err(wrong("a cluster has an invalid offset", first));
        }
        // In an external data file a cluster may be at offset 0, and only this bit shows that it exists.
        let there = host != 0 || (self.data.is_some() && first & COPIED != 0);
        let Some(bitmap) = bitmap else {
            let what = match (first & ZERO != 0, there) {
                (true, _) if self.header.version < 3 => {
                    return Err(wrong(
                        "a cluster is marked as zeros, which version 2 does not support",
                        first,
                    ));
                }
                (true, _) => Cluster::Zero,
                (false, true) => Cluster::Stored(host + (range.start - cluster)),
                (false, false) => Cluster::Absent,
            };
            return take(range, what);
        };
        let (stored, zero) = (bitmap & 0xffff_ffff, bitmap >> 32);
        if stored & zero != 0 {
            return Err(wrong("a subcluster is both data and zeros", first));
        }
        let part_bits = self.header.cluster_bits - SUBCLUSTERS.ilog2();
        let mut at = range.start;
        while at < range.end {
            let index = (at - cluster) >> part_bits;
            let end = range.end.min(cluster + ((index + 1) << part_bits));
            let what = match (stored >> index & 1 == 1, zero >> index & 1 == 1) {
                (true, _) if !there => return Err(wrong("a subcluster has no offset", first)),
                (true, _) => Cluster::Stored(host + (at - cluster)),
                (_, true) => Cluster::Zero,
                _ => Cluster::Absent,
            };
            take(at..end, what)?;
            at = end;
        }
        Ok(())
    }

    /// Returns the place of data at `host`.
    fn stored(&self, host: u64, range: &Range<u64>) -> Result<Place<'_>> {
        let len = range.end - range.start;
        let file = self.data.as_ref().unwrap_or(&self.part);
        if !file.has(host, len) {
            let why = format!("a cluster is at byte {host} of {file}, which has {} bytes", file.len());
            return Err(self.part.damaged(why).offset(range.start));
        }
        if self.data.is_none() {
            self.check_apart(host..host + len, range.start)?;
        }
        Ok(Place::Stored(file, host))
    }

    /// Returns the place of a compressed cluster by its entry (`Compressed Cluster Descriptor`). `skip` is
    /// the offset in the cluster.
    fn compressed(&self, entry: u64, skip: u64, at: u64) -> Result<Place<'_>> {
        let bits = self.header.cluster_bits;
        let offset_bits = 62 - (bits - 8);
        let host = entry & ((1 << offset_bits) - 1);
        let sectors = (entry & (COMPRESSED - 1)) >> offset_bits;
        // The last sector may be cut off by the end of the file.
        let len = ((sectors + 1) * 512 - host % 512).min(self.part.len().saturating_sub(host));
        if len == 0 {
            let why =
                format!("a compressed cluster is at byte {host}, but the file has {} bytes", self.part.len());
            return Err(self.part.damaged(why).offset(at));
        }
        if self.data.is_some() {
            return Err(self.part.damaged("an external data file has a compressed cluster").offset(at));
        }
        self.check_apart(host..host + len, at)?;
        let codec = match self.header.compression {
            Compression::Zlib => Codec::Deflate,
            Compression::Zstd => Codec::Zstd,
        };
        Ok(Place::Packed(Packed { part: &self.part, at: host, len, codec, size: 1 << bits, skip }))
    }

    /// Returns an error if a range of the file overlaps the header or a table.
    fn check_apart(&self, host: Range<u64>, at: u64) -> Result<()> {
        match overlaps(&self.tables, &host) {
            None => Ok(()),
            Some(table) => {
                let why =
                    format!("a cluster at byte {} overlaps the table at byte {}", host.start, table.start);
                Err(self.part.damaged(why).offset(at))
            }
        }
    }
}

/// Reads the L1 table. Also returns the ranges that contain no data.
fn tables(part: &Part, header: &Header) -> Result<(Vec<u64>, Vec<Range<u64>>)> {
    let cluster = 1_u64 << header.cluster_bits;
    let (at, count) = header.l1;
    let bytes = part.up_to(at, count * 8)?;
    let l1: Vec<u64> = bytes.chunks_exact(8).map(|entry| number(entry) & OFFSET).collect();
    let span = cluster * cluster / if header.extended { 16 } else { 8 };
    let place = |table: u64| l1.iter().position(|other| *other == table).unwrap_or_default() as u64 * span;
    let mut tables: Vec<Range<u64>> = l1.iter().filter(|at| **at != 0).map(|at| *at..at + cluster).collect();
    for table in &tables {
        if !table.start.is_multiple_of(cluster) || !part.has(table.start, cluster) {
            let why = format!("an L2 table is at the invalid offset {}", table.start);
            return Err(part.damaged(why).offset(place(table.start)));
        }
    }
    tables.push(0..cluster);
    tables.push(at..at + (count * 8).max(1));
    if header.refcounts.1 > 0 {
        tables.push(header.refcounts.0..header.refcounts.0.saturating_add(header.refcounts.1));
    }
    tables.sort_unstable_by_key(|range| range.start);
    if let Some(two) = tables.windows(2).find(|two| two[0].end > two[1].start) {
        let why = format!("its tables at bytes {} and {} overlap", two[0].start, two[1].start);
        return Err(part.damaged(why).offset(place(two[1].start)));
    }
    Ok((l1, tables))
}

/// Returns the first of some ordered ranges that overlaps `range`.
fn overlaps<'t>(ordered: &'t [Range<u64>], range: &Range<u64>) -> Option<&'t Range<u64>> {
    let candidate = ordered.get(ordered.partition_point(|table| table.end <= range.start))?;
    (candidate.start < range.end).then_some(candidate)
}

/// Returns a big-endian number of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Layout for Qcow2 {
    fn size(&self) -> u64 {
        self.header.size
    }

    fn map<'a>(&'a self, window: Range<u64>, take: Take<'_, 'a>) -> Result<()> {
        let span_bits =
            self.header.cluster_bits + ((1_u64 << self.header.cluster_bits) / self.entry_len()).ilog2();
        let mut at = window.start;
        while at < window.end {
            let index = at >> span_bits;
            // Adjacent L1 entries without a table are one range.
            let table = self.l1[super::place(index)];
            let mut last = index;
            while table == 0 && (last + 1) << span_bits < window.end && self.l1[super::place(last + 1)] == 0 {
                last += 1;
            }
            let end = window.end.min((last + 1) << span_bits);
            match table {
                0 => self.behind(at..end, take)?,
                table => self.entries(table, at..end, take)?,
            }
            at = end;
        }
        Ok(())
    }
}
