//! Keeps records of what remote disks hold, and decides which records can be trusted.
//!
//! A record is a claim of the transfer that ended last. It is trusted if no other run on this machine has
//! written to the disk since (by the generation of the destination), nobody elsewhere has (by the disk's
//! evidence and mark), and a sample of chunks matches. If there is any doubt, the disk is read back.

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

/// The most chunks for which a record is kept: those of 1 TiB at the default chunk size. Writing a record
/// takes about 100 bytes of memory for each chunk.
const MOST_CHUNKS: u64 = 1 << 18;

/// The fewest small places that make a sample. If fewer can be compared, whole chunks are.
const FEWEST_PLACES: usize = 4;

/// Whether a record of a disk's contents is trusted, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trust {
    /// Whether the record is trusted.
    pub(super) trusted: bool,
    /// The reason, as shown to the user.
    pub(super) why: String,
}

impl Trust {
    /// Decides by the user's choice. `unusable` is the reason why nothing can be built on the record,
    /// whatever the user chose. `doubt` is the reason why it may be wrong.
    pub(super) fn decide(asked: Resume, unusable: Option<String>, doubt: Option<String>) -> Self {
        let (trusted, why) = match (unusable, asked, doubt) {
            (Some(why), ..) | (None, Resume::Auto, Some(why)) => (false, why),
            (None, Resume::Full, _) => (false, "asked for".to_owned()),
            (None, Resume::Trust, _) => (true, "asked for".to_owned()),
            (None, Resume::Auto, None) => (true, "no change since then was found".to_owned()),
        };
        Self { trusted, why }
    }

    /// Decides whether to trust the record of a disk, for a transfer with the geometry and algorithm in
    /// `wanted`. `facts` and `generation` are the present state of the disk. `marks` says whether each run
    /// marks the disk.
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

    /// Returns the name shown in plans.
    pub(super) fn name(&self) -> &'static str {
        if self.trusted { "trusted" } else { "read back" }
    }

    /// Reports the decision to the user.
    pub(super) fn tell(&self, disk: &str, context: &Context) {
        let how = if self.trusted { "are known from the last transfer" } else { "are read back" };
        (context.observer)(&Event::Note(format!("the contents of {disk} {how}: {}", self.why)));
    }
}

/// Returns the reason why nothing can be built on a record.
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

/// Returns the reason to doubt that the disk is unchanged elsewhere since the record was made.
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

/// Returns whether the remote reports writes at all.
pub(super) fn tells_writes(evidence: &Evidence) -> bool {
    evidence.writes.is_some() || evidence.tag.is_some()
}

/// Returns the chunks that a record knows, if they are as long as those of the transfer.
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

/// Returns whether a disk holds a sample of the chunks that are in `held` and not in `settled`.
///
/// In chunks that `source` has, too, small places are compared with it. This needs little bandwidth and finds
/// changes that were written in whole chunks. If there are too few such places, whole chunks are read.
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

/// Returns the chunks of `same` in which a small place differs between two disks.
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

/// Chooses the chunks of a sample: the first, the last few and some at random. Chunks with data are preferred
/// to chunks of zeros.
pub(super) fn choose(held: &Ledger, settled: &Ledger) -> Vec<u64> {
    let candidates: Vec<AckedChunk> = (0..held.geometry().chunks())
        .filter(|index| !settled.is_settled(*index))
        .filter_map(|index| held.chunk(index))
        .collect();
    let some: Vec<AckedChunk> = candidates.iter().filter(|chunk| !chunk.zero).copied().collect();
    let from = if some.is_empty() { &candidates } else { &some };
    choose_chunks(from, &uuid::Uuid::new_v4().to_string())
}

/// Reads the chunks of a disk that are not in `settled` into `held`. Extents that the disk reports as zero
/// are not read.
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
    // This is a preparation, not a verification.
    context.meters.verified.store(0, Relaxed);
    read
}

/// Records what a disk holds by `ledger`. A failure only causes a warning, because it only makes a later
/// transfer slower.
///
/// `trusted` says whether the earlier record still holds for other chunks and for the other algorithm.
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
        // The digest by the other algorithm is of the same bytes only if both were taken at the same time.
        if !trusted && (was.is_none() || digest.is_none()) {
            record.forget(index);
        }
        if let Some(digest) = digest {
            record.learn(index, algorithm, digest);
        }
    }
    record
}

/// The known contents of a destination, for the engine.
pub(super) struct HeldChunks(Ledger);

impl HeldChunks {
    /// Wraps the chunks of a ledger.
    pub(super) fn new(held: Ledger) -> Arc<Self> {
        Arc::new(Self(held))
    }
}

impl Held for HeldChunks {
    fn holds(&self, index: u64, digest: &Digest) -> bool {
        self.0.get(index).as_ref() == Some(digest)
    }
}

/// Returns the indices of the chunks that have the same digest in two ledgers, in order.
pub(super) fn common(one: &Ledger, other: &Ledger) -> Vec<u64> {
    let same = |index: &u64| one.get(*index).is_some_and(|digest| other.get(*index) == Some(digest));
    (0..one.geometry().chunks()).filter(same).collect()
}

#[cfg(test)]
mod tests;
