//! Completes a qcow2 once all clusters are in it: the L1 and refcount tables, the refcounts, the header.
//!
//! All of it is derived from the L2 tables and written anew, however far an earlier attempt got. The header
//! is written last, so that an incomplete file is never taken for an image.

use super::entry::{COPIED, Entry};
use super::layout::{CLUSTER, ENTRY, Layout, REFCOUNT};
use super::squeeze::LEN;
use crate::disk::file::PartFile;
use crate::disk::zero::is_zero;
use crate::error::{Error, Kind, Result};
use crate::stop::{Stop, stopped};
use std::ops::Range;

/// Completes a file whose clusters end at `end`.
pub(super) fn seal(part: &PartFile, layout: &Layout, end: u64, stop: &Stop) -> Result<()> {
    part.set_len(end)?;
    part.punch(layout.table..layout.l2)?;
    let mut counts = Refcounts { part, layout, block: None };
    let used = (end / CLUSTER).div_ceil(CLUSTER / REFCOUNT);
    let cluster = |place: u64| place / CLUSTER;
    counts.first(0..1)?;
    counts.first(cluster(layout.table)..cluster(layout.refcounts))?;
    counts.first(cluster(layout.refcounts)..cluster(layout.refcounts) + used)?;
    counts.first(cluster(layout.l1)..cluster(layout.l2))?;
    let mut table = vec![0; LEN];
    for number in 0..layout.tables() {
        if stop.is_asked() {
            return Err(stopped());
        }
        let place = layout.l2 + number * CLUSTER;
        part.read_over(place, &mut table)?;
        if is_zero(&table) {
            continue;
        }
        part.put(layout.l1 + number * ENTRY, &(place | COPIED).to_be_bytes())?;
        counts.first(cluster(place)..cluster(place) + 1)?;
        count_table(&table, &(layout.data..end), &mut counts)?;
    }
    counts.store()?;
    let blocks: Vec<u8> =
        (0..used).flat_map(|number| (layout.refcounts + number * CLUSTER).to_be_bytes()).collect();
    part.put(layout.table, &blocks)?;
    part.put(0, &layout.header())
}

/// Counts the clusters that the entries of an L2 table reference.
fn count_table(table: &[u8], within: &Range<u64>, counts: &mut Refcounts<'_>) -> Result<()> {
    // Adjacent clusters are counted together.
    let mut run = 0..0;
    for bytes in table.as_chunks::<8>().0 {
        match Entry::parse(u64::from_be_bytes(*bytes), within).ok_or_else(|| damaged(counts.part))? {
            Entry::Hole => {}
            entry @ Entry::Plain(_) => {
                let next = entry.clusters();
                if next.start == run.end {
                    run.end = next.end;
                } else {
                    counts.first(std::mem::replace(&mut run, next))?;
                }
            }
            // Compressed clusters may share a cluster of the file.
            entry @ Entry::Packed { .. } => counts.one_more(entry.clusters())?,
        }
    }
    counts.first(run)
}

/// Returns the error for a file whose tables contain something that was never written.
pub(super) fn damaged(part: &PartFile) -> Error {
    let what = format!("{} is damaged: its tables contradict each other", part.path().display());
    Error::new(Kind::Io, what).hint("start over with `--restart`")
}

/// The refcounts, with one block of them in memory.
struct Refcounts<'a> {
    part: &'a PartFile,
    layout: &'a Layout,
    block: Option<(u64, Vec<u8>)>,
}

impl Refcounts<'_> {
    /// Counts clusters of the file that must have no other reference.
    fn first(&mut self, clusters: Range<u64>) -> Result<()> {
        self.raise(clusters, 0)
    }

    /// Counts clusters of the file that may have other references.
    fn one_more(&mut self, clusters: Range<u64>) -> Result<()> {
        self.raise(clusters, u16::MAX - 1)
    }

    fn raise(&mut self, clusters: Range<u64>, most: u16) -> Result<()> {
        for cluster in clusters {
            let (part, at) = (self.part, cluster % (CLUSTER / REFCOUNT) * REFCOUNT);
            let block = self.load(cluster / (CLUSTER / REFCOUNT))?;
            let at = usize::try_from(at).unwrap_or(LEN);
            let count = u16::from_be_bytes([block[at], block[at + 1]]);
            if count > most {
                return Err(damaged(part));
            }
            block[at..at + 2].copy_from_slice(&(count + 1).to_be_bytes());
        }
        Ok(())
    }

    fn load(&mut self, number: u64) -> Result<&mut Vec<u8>> {
        if self.block.as_ref().is_none_or(|(loaded, _)| *loaded != number) {
            self.store()?;
            let mut bytes = vec![0; LEN];
            self.part.read_over(self.layout.refcounts + number * CLUSTER, &mut bytes)?;
            self.block = Some((number, bytes));
        }
        self.block.as_mut().map(|(_, bytes)| bytes).ok_or_else(|| damaged(self.part))
    }

    fn store(&mut self) -> Result<()> {
        match self.block.take() {
            Some((number, bytes)) => self.part.put(self.layout.refcounts + number * CLUSTER, &bytes),
            None => Ok(()),
        }
    }
}
