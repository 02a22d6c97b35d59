//! What disks of far ends hold, as far as this machine knows: keeping the records, and deciding which may be built on.
//!
//! A record is a claim of the transfer that ended last. It is trusted if nobody on this machine has written to the disk since (the
//! generation of the destination), nobody elsewhere has (what the disk counts and carries), and a sample of chunks is there.
//! Any doubt, and the disk is read back.

use super::Settings;
use crate::chunk::{AckedChunk, Geometry};
use crate::digest::{Algorithm, Digest, ZeroDigests};
use crate::disk::store::Facts;
use crate::disk::{Evidence, ReadAt};
use crate::engine::compare::digests;
use crate::engine::copy::Held;
use crate::engine::ledger::Ledger;
use crate::engine::resume::{Resume, choose_chunks, choose_places, differing_chunks, differing_places, peek};
use crate::engine::{Context, plan};
use crate::error::Result;
use crate::event::Event;
use crate::journal::{Contents, Destination, Seen};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The most chunks of which a record is kept: those of 1 TiB at the default chunk size. While it is written it takes some 100
/// bytes of memory for each.
const MOST_CHUNKS: u64 = 1 << 18;

/// The fewest small places that make a sample; where fewer can be compared, whole chunks are.
const FEWEST_PLACES: usize = 4;

/// How it is known what a disk holds, and why so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trust {
    /// Whether the record is trusted.
    pub(super) trusted: bool,
    /// The reason, in words.
    pub(super) why: String,
}

impl Trust {
    /// Decides. `unusable`: why nothing can be built on the record, whatever the user says; `doubt`: why it may be wrong.
    pub(super) fn decide(asked: Resume, unusable: Option<String>, doubt: Option<String>) -> Self {
        let (trusted, why) = match (unusable, asked, doubt) {
            (Some(why), ..) | (None, Resume::Auto, Some(why)) => (false, why),
            (None, Resume::Full, _) => (false, "asked for".to_owned()),
            (None, Resume::Trust, _) => (true, "asked for".to_owned()),
            (None, Resume::Auto, None) => (true, "no change since then was found".to_owned()),
        };
        Self { trusted, why }
    }

    /// Decides whether a record is trusted of a disk that is now as `facts` and `generation` say, for a transfer of that
    /// geometry and algorithm. `marks`: whether each run leaves its mark on the disk.
    pub(super) fn of(
        record: Option<&Contents>,
        generation: Option<&str>,
        (facts, marks): (&Facts, bool),
        wanted: (Geometry, Algorithm),
        asked: Resume,
    ) -> Self {
        let changing = record.and_then(|record| record.seen.changing.as_ref());
        let unusable = unusable(record, generation, wanted)
            .or_else(|| changing.map(|_| "a transfer that wrote to it has not ended".to_owned()));
        Self::decide(asked, unusable, record.and_then(|record| written_since(record, facts, marks)))
    }

    /// Returns the name in plans.
    pub(super) fn name(&self) -> &'static str {
        if self.trusted { "trusted" } else { "read back" }
    }

    /// Says it to the user.
    pub(super) fn tell(&self, disk: &str, context: &Context) {
        let how = if self.trusted { "are known from the last transfer" } else { "are read back" };
        (context.observer)(&Event::Note(format!("the contents of {disk} {how}: {}", self.why)));
    }
}

/// The reason why nothing can be built on a record.
pub(super) fn unusable(
    record: Option<&Contents>,
    generation: Option<&str>,
    (geometry, algorithm): (Geometry, Algorithm),
) -> Option<String> {
    let Some(record) = record else {
        return Some("no transfer on this machine has noted what it holds".to_owned());
    };
    let was = record.geometry().chunk_size();
    if record.seen.generation.as_deref() != generation {
        Some("another run on this machine has written to it since".to_owned())
    } else if was != geometry.chunk_size() {
        Some(format!("the last transfer had chunks of {was} bytes"))
    } else if record.digests(algorithm).iter().all(Option::is_none) {
        Some(format!("the last transfer noted no {algorithm} digests"))
    } else {
        None
    }
}

/// The reason to doubt that nobody elsewhere has written to a disk since the record was made.
fn written_since(record: &Contents, now: &Facts, marks: bool) -> Option<String> {
    let (then, now_writes) = (&record.seen.evidence, (&now.evidence.writes, &now.evidence.tag));
    if marks && record.seen.mark != now.mark {
        Some("it carries the mark of another transfer".to_owned())
    } else if !tells_writes(&now.evidence) {
        Some("the far end does not tell whether it was written to".to_owned())
    } else if (&then.writes, &then.tag) != now_writes {
        Some("it was written to since the last transfer".to_owned())
    } else {
        None
    }
}

/// Whether the far end tells of writes at all.
pub(super) fn tells_writes(evidence: &Evidence) -> bool {
    evidence.writes.is_some() || evidence.tag.is_some()
}

/// The chunks that a record knows, as far as they are cut like those of a transfer.
pub(super) fn known(record: &Contents, geometry: Geometry, algorithm: Algorithm) -> Ledger {
    let (mut held, zeros) = (Ledger::new(geometry, algorithm), ZeroDigests::new(algorithm));
    for (index, digest) in (0..geometry.chunks()).zip(record.digests(algorithm)) {
        let len = geometry.len(index);
        if let Some(digest) = *digest
            && record.geometry().len(index) == len
        {
            held.settle(&AckedChunk { index, len, digest, zero: digest == zeros.of(len) });
        }
    }
    held
}

/// Whether a sample of the chunks that `held` has, and `settled` has not, is on a disk.
///
/// Small places are compared with `source` in chunks that it has, too: that costs hardly anything of the line, and finds what was
/// written by whole chunks. Where there are too few of them, whole chunks are read.
pub(super) async fn sample_holds(
    held: &Ledger,
    settled: &Ledger,
    source: Option<&Arc<dyn ReadAt>>,
    disk: &Arc<dyn ReadAt>,
    context: &Context,
) -> Result<bool> {
    let chosen = choose(held, settled);
    if let Some(source) = source {
        let differ = differing_chunks(source, held, &chosen, context).await?;
        let same: Vec<u64> = chosen.iter().copied().filter(|index| !differ.contains(index)).collect();
        if same.len() >= FEWEST_PLACES.min(chosen.len()) {
            return Ok(places_differ(held, &same, source, disk, context).await?.is_empty());
        }
    }
    Ok(differing_chunks(disk, held, &chosen, context).await?.is_empty())
}

/// The chunks of `same` of which a small place differs on two disks.
pub(super) async fn places_differ(
    held: &Ledger,
    same: &[u64],
    here: &Arc<dyn ReadAt>,
    there: &Arc<dyn ReadAt>,
    context: &Context,
) -> Result<Vec<u64>> {
    let seed = uuid::Uuid::new_v4().to_string();
    let places = choose_places(held.geometry(), same, &seed, |offset, len| peek(&**here, offset, len));
    differing_places(&places, &**here, &**there, context).await
}

/// The chunks of a sample: the first, the last few and some at random, of those that hold something if there are any.
pub(super) fn choose(held: &Ledger, settled: &Ledger) -> Vec<u64> {
    let candidates: Vec<AckedChunk> = (0..held.geometry().chunks())
        .filter(|index| !settled.is_settled(*index))
        .filter_map(|index| held.chunk(index))
        .collect();
    let some: Vec<AckedChunk> = candidates.iter().filter(|chunk| !chunk.zero).copied().collect();
    let from = if some.is_empty() { &candidates } else { &some };
    choose_chunks(from, &uuid::Uuid::new_v4().to_string())
}

/// Reads what a disk holds, of the chunks that `settled` has not, into `held`. What the disk itself says to be zero is not
/// read.
pub(super) async fn read_back(
    disk: &Arc<dyn ReadAt>,
    held: &mut Ledger,
    settled: &Ledger,
    context: &Context,
) -> Result<()> {
    let geometry = held.geometry();
    let holes = plan::holes(&**disk, geometry, context).await?;
    let zeros = ZeroDigests::new(held.algorithm());
    let mut unknown = Vec::new();
    for index in (0..geometry.chunks()).filter(|index| !settled.is_settled(*index)) {
        let len = geometry.len(index);
        if holes.get(index) {
            held.settle(&AckedChunk { index, len, digest: zeros.of(len), zero: true });
        } else {
            unknown.push(index);
        }
    }
    let read = if unknown.is_empty() { Ok(()) } else { digests(disk, held, &unknown, context).await };
    // It is a preparation, and no verification.
    context.meters.verified.store(0, Relaxed);
    read
}

/// Keeps a record of what a disk holds by `ledger`. One that cannot be written costs time in a later transfer, so it is a
/// warning.
///
/// `trusted`: whether what an earlier record says of other chunks, and by the other algorithm, still holds.
pub(super) fn note(
    destination: &Destination,
    seen: Seen,
    ledger: &Ledger,
    trusted: bool,
    settings: &Settings,
    context: &Context,
) {
    let geometry = ledger.geometry();
    if geometry.chunks() > MOST_CHUNKS || geometry.is_empty() {
        settings.contents.forget(destination);
        return;
    }
    let old = settings.contents.load(destination).filter(|old| old.geometry() == geometry);
    let record = updated(old, seen, ledger, trusted);
    if let Err(error) = settings.contents.store(destination, &record) {
        let text = format!("cannot note what the drive holds, so that a later `--delta` reads it: {error}");
        (context.observer)(&Event::Warning(text));
    }
}

fn updated(old: Option<Contents>, seen: Seen, ledger: &Ledger, trusted: bool) -> Contents {
    let algorithm = ledger.algorithm();
    let mut record = old.unwrap_or_else(|| Contents::new(ledger.geometry(), Seen::default()));
    record.seen = seen;
    for index in 0..ledger.geometry().chunks() {
        let digest = ledger.get(index);
        let was =
            usize::try_from(index).ok().and_then(|at| record.digests(algorithm).get(at).copied().flatten());
        // The digest of the other algorithm is of this chunk only if both are of one moment.
        if !trusted && (was.is_none() || digest.is_none()) {
            record.forget(index);
        }
        if let Some(digest) = digest {
            record.learn(index, algorithm, digest);
        }
    }
    record
}

/// What a destination is known to hold, for the engine.
pub(super) struct HeldChunks(Ledger);

impl HeldChunks {
    /// The chunks of a ledger.
    pub(super) fn new(held: Ledger) -> Arc<Self> {
        Arc::new(Self(held))
    }
}

impl Held for HeldChunks {
    fn holds(&self, index: u64, digest: &Digest) -> bool {
        self.0.get(index).as_ref() == Some(digest)
    }
}

/// The chunks that two ledgers have with the same digest, in order.
pub(super) fn common(one: &Ledger, other: &Ledger) -> Vec<u64> {
    let same = |index: &u64| one.get(*index).is_some_and(|digest| other.get(*index) == Some(digest));
    (0..one.geometry().chunks()).filter(same).collect()
}

#[cfg(test)]
mod tests;
