//! Copies an image from one disk to another: upload, download, migration, standard output.

use super::copy_work::{CopyWork, Step};
use super::encode::codec::Compression;
use super::ledger::{Bits, Ledger};
use super::pipeline::{Item, Origin, Source, Written};
use super::syncing::{Schedule, Syncing, flush};
use super::tap::Tap;
use super::{Context, plan};
use crate::chunk::{AckedChunk, DigestedChunk, Geometry};
use crate::digest::Digest;
use crate::disk::{LocalRead, ReadAt, WriteAt};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Stage};
use crate::journal::Journal;
use crate::record::ChunkOutcome;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A copy that is ready to run.
pub struct Copy {
    /// The source.
    pub from: Source,
    /// The destination.
    pub to: Arc<dyn WriteAt>,
    /// Where chunks that an earlier run moved can be read, if that is nearer than the source.
    pub kept: Option<Arc<dyn ReadAt>>,
    /// The destination, opened for reading. Zeros are not written where its extents say that it reads as
    /// zero.
    pub there: Option<Arc<dyn ReadAt>>,
    /// Knowledge of the destination's contents. Chunks that it already holds are not written.
    pub held: Option<Arc<dyn Held>>,
    /// How to compress chunks, if the destination takes gzip.
    pub compression: Compression,
    /// Whether the destination is known to read as zero in the holes of the source.
    pub skip_holes: bool,
    /// Whether the destination is known to read as zero wherever nothing was written.
    pub skip_zeros: bool,
    /// Whether to compute the SHA-256 of the whole image.
    pub sha256: bool,
}

/// Knowledge of the chunks that a destination holds, by digests of the transfer's algorithm.
pub trait Held: Send + Sync {
    /// Returns whether the destination holds the chunk with this digest at this index. Called by the workers
    /// for each chunk.
    fn holds(&self, index: u64, digest: &Digest) -> bool;
}

/// The result of a copy.
#[derive(Debug, Default)]
pub struct Copied {
    /// Chunks written.
    pub sent: u64,
    /// Chunks of zeros that needed no write.
    pub zero: u64,
    /// The chunks among `zero` for which the destination is assumed to read as zero.
    pub skipped: Bits,
    /// Chunks that the destination was known to hold.
    pub unchanged: u64,
    /// The SHA-256 of the whole image, if it was asked for.
    pub sha256: Option<String>,
}

impl Copied {
    pub(super) fn count(&mut self, hole: bool) {
        if hole {
            self.zero += 1;
        } else {
            self.sent += 1;
        }
    }
}

impl Copy {
    /// Runs until every chunk in `ledger` is settled or the copy fails. The journal is synced in either case.
    pub async fn run(
        self,
        journal: &Journal,
        schedule: Schedule,
        ledger: &mut Ledger,
        context: &Context,
    ) -> Result<Copied> {
        let (to, marked) = (Arc::clone(&self.to), journal.syncer(schedule.marks));
        let syncing = Syncing::start(to, marked, schedule, context.retry.clone());
        let note = |chunk: &AckedChunk| {
            journal.acknowledge(chunk)?;
            if syncing.has_failed() {
                return Err(Error::new(Kind::Io, "cannot sync the written data or the journal"));
            }
            Ok(())
        };
        let source = self.source();
        let moved = self.transfer(ledger, note, context).await;
        let flushed = syncing.finish(&context.stop).await;
        let copied = match moved {
            // If syncing failed, that is the cause of the errors after it.
            Err(error) if error.kind() == Kind::Io => Err(flushed.err().unwrap_or(error)),
            Err(error) => Err(error),
            Ok(copied) => flushed.map(|()| copied),
        };
        let Some(source) = source else { return copied };
        if let Some(local) = source.local() {
            // If the image changed, that explains every other failure.
            local.check_unchanged()?;
            let copied = copied?;
            return match context.stop.unless_asked(source.changed()).await? {
                Some(changed) => Err(changed),
                None => Ok(copied),
            };
        }
        copied
    }

    /// Runs the copy without a journal, for copies that cannot be resumed.
    pub async fn run_once(self, ledger: &mut Ledger, context: &Context) -> Result<Copied> {
        let to = Arc::clone(&self.to);
        let copied = self.transfer(ledger, |_| Ok(()), context).await?;
        context.stop.unless_asked(to.flush()).await?;
        Ok(copied)
    }

    fn source(&self) -> Option<Arc<dyn ReadAt>> {
        match &self.from {
            Source::At(disk) => Some(Arc::clone(disk)),
            Source::Stream(_) => None,
        }
    }

    async fn transfer(
        self,
        ledger: &mut Ledger,
        mut note: impl FnMut(&AckedChunk) -> Result<()>,
        context: &Context,
    ) -> Result<Copied> {
        (context.observer)(&Event::Stage(Stage::Transfer));
        let geometry = ledger.geometry();
        let mut done = Copied { skipped: Bits::new(geometry.chunks()), ..Copied::default() };
        let source = self.source();
        let holes = match &source {
            Some(disk) => plan::holes(&**disk, geometry, context).await?,
            None => Bits::new(0),
        };
        if let Some(why) = source.as_deref().and_then(ReadAt::local).and_then(LocalRead::unwatched) {
            (context.observer)(&Event::Note(why));
        }
        // A chunk that is known to be zero at both ends needs no work. Otherwise the copy has to establish
        // that it needs none.
        let blank = match &self.there {
            Some(there) if ledger.missing().next().is_some() => {
                if self.to.info().volatile {
                    // What reads as zero now may be data that an earlier run wrote and did not flush.
                    context.stop.unless_asked(flush(&*self.to, &context.retry)).await?;
                }
                plan::holes(&**there, geometry, context).await?
            }
            _ => Bits::new(0),
        };
        let known = Arc::new(blank);
        let is_here = self.to.local().is_some();
        done.zero = plan::settle(&holes, Some(&known), ledger, context).await?.count();
        if self.skip_holes {
            done.skipped = plan::settle(&holes, None, ledger, context).await?;
            done.zero += done.skipped.count();
        }
        let settled = Arc::new(ledger.settled_bits());
        // A source that is identified by its bytes alone is read again and compared.
        let reread = source.as_ref().is_none_or(|disk| !disk.info().stable);
        let tap = self.sha256.then(Arc::<Tap>::default);
        let items = items(geometry, &settled, holes, self.sha256 || reread, self.kept.is_some());
        let work_fns = CopyWork {
            to: self.to,
            compression: self.compression,
            settled: &settled,
            blank: known,
            held: self.held,
            skip_holes: self.skip_holes,
            skip_zeros: self.skip_zeros,
        };
        let pipeline =
            work_fns.pipeline(self.from, self.kept, ledger.algorithm(), geometry, tap.clone(), context)?;
        let failures = pipeline
            .run(items, context, |step, written| {
                settle_step(step, written, is_here, ledger, &mut done, &mut note, context)
            })
            .await?;
        let (missing, total) = (ledger.missing().count() as u64, geometry.chunks());
        if let Some(error) = failures.into_error(missing, total) {
            return Err(error);
        }
        if missing > 0 {
            return Err(Error::new(Kind::Incomplete, format!("{missing} of {total} chunks not transferred")));
        }
        (context.observer)(&Event::Stage(Stage::Finish));
        if let Some(tap) = tap {
            done.sha256 = Some(finish(&tap, total)?);
        }
        Ok(done)
    }
}

/// Returns the SHA-256 of an image after all of its chunks passed the tap.
pub(super) fn finish(tap: &Tap, chunks: u64) -> Result<String> {
    tap.finish(chunks).ok_or_else(|| {
        Error::new(Kind::Io, "the digest of the image is not complete; this is a bug in diskferry")
    })
}

/// Returns the chunks to read, in order: those that are not settled, or all of them.
fn items(
    geometry: Geometry,
    settled: &Arc<Bits>,
    holes: Bits,
    all: bool,
    kept: bool,
) -> impl Iterator<Item = Item> + use<> {
    let settled = Arc::clone(settled);
    (0..geometry.chunks()).filter_map(move |index| {
        let again = settled.get(index);
        let from = match (holes.get(index), again && kept) {
            (true, _) => Origin::Hole,
            (false, true) => Origin::Kept,
            (false, false) => Origin::Source,
        };
        (all || !again).then_some(Item { index, from })
    })
}

/// Settles a chunk after its step.
///
/// `is_here` tells whether the destination is a local disk. The chunk then counts as fetched even if nothing
/// was written.
fn settle_step(
    step: Step,
    written: Option<Written>,
    is_here: bool,
    ledger: &mut Ledger,
    done: &mut Copied,
    note: &mut impl FnMut(&AckedChunk) -> Result<()>,
    context: &Context,
) -> Result<()> {
    if let Step::Reread(chunk, from) = step {
        return same_as_before(chunk, from, ledger);
    }
    let (skipped, unchanged) = (matches!(step, Step::Skipped(_)), matches!(step, Step::Unchanged(_)));
    let fetched = is_here && matches!(step, Step::Blank(_) | Step::Unchanged(_));
    let noted = fetched || matches!(step, Step::Wrote(..) | Step::Sent(_));
    let (chunk, hole) = arrived(step, written)?;
    if skipped {
        done.skipped.set(chunk.index, true);
    }
    if noted {
        note(&chunk)?;
    }
    ledger.settle(&chunk);
    context.meters.image.fetch_add(chunk.len, Relaxed);
    if unchanged {
        done.unchanged += 1;
    } else {
        done.count(hole);
    }
    context.note(
        chunk.index,
        match (unchanged, hole) {
            (true, _) => ChunkOutcome::Unchanged,
            (false, true) => ChunkOutcome::Zero,
            (false, false) => ChunkOutcome::Sent,
        },
    );
    Ok(())
}

/// Returns the acknowledged chunk and whether it was written as a hole.
pub(super) fn arrived(step: Step, written: Option<Written>) -> Result<(AckedChunk, bool)> {
    match (step, written) {
        (Step::Reread(chunk, _), _) => Ok((chunk.known(), false)),
        (Step::Unchanged(chunk), _) => Ok((chunk, false)),
        (Step::Skipped(chunk) | Step::Blank(chunk), _) => Ok((chunk, true)),
        (Step::Wrote(chunk, hole), _) => Ok((chunk, hole)),
        (Step::Sent(chunk), Some(written)) => Ok((chunk.acknowledged(written.receipt), written.as_hole)),
        (Step::Sent(_), None) => {
            Err(Error::new(Kind::Io, "a chunk was not written; this is a bug in diskferry"))
        }
    }
}

/// Checks that a chunk reads the same as when an earlier run moved it.
fn same_as_before(chunk: DigestedChunk, from: Origin, ledger: &Ledger) -> Result<()> {
    if ledger.get(chunk.index) == Some(chunk.digest) {
        return Ok(());
    }
    let offset = ledger.geometry().offset(chunk.index);
    Err(if from == Origin::Kept {
        Error::new(Kind::Io, "the file no longer holds what was written to it").offset(offset)
    } else {
        Error::new(Kind::Changed, "the image changed since the interrupted run: it reads differently")
            .offset(offset)
    })
}
