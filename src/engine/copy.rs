//! An image from one disk to another: upload, download, migration, standard output.

use super::encode::codec::Compression;
use super::hands::{CopyHands, Step};
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
use crate::record::Fate;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A copy that is about to run.
pub struct Copy {
    /// Where from.
    pub from: Source,
    /// Where to.
    pub to: Arc<dyn WriteAt>,
    /// Where the chunks can be read that an earlier run has moved, if that is nearer than the source.
    pub kept: Option<Arc<dyn ReadAt>>,
    /// The destination as it can be read: where it says itself that it reads as zero, zeros are not written.
    pub there: Option<Arc<dyn ReadAt>>,
    /// What is known of the chunks that the destination holds: those that it holds already are not written.
    pub held: Option<Arc<dyn Held>>,
    /// How chunks are compressed, as far as the destination takes gzip.
    pub compression: Compression,
    /// Whether the destination is known to read as zero in the holes of the source.
    pub skip_holes: bool,
    /// Whether it is known to read as zero wherever nothing was written.
    pub skip_zeros: bool,
    /// Whether the SHA-256 of the whole image is wanted.
    pub whole: bool,
}

/// What a destination is known to hold, by the digests of the transfer's algorithm.
pub trait Held: Send + Sync {
    /// Whether the chunk of this place and digest is there. Asked by the workers for each chunk.
    fn holds(&self, index: u64, digest: &Digest) -> bool;
}

/// What a copy has done.
#[derive(Debug, Default)]
pub struct Copied {
    /// Chunks written.
    pub sent: u64,
    /// Chunks of zeros that nothing was moved for.
    pub zero: u64,
    /// Of these, the ones at whose place the destination is taken to read as zero.
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
    /// Runs until every chunk is settled in `ledger`, or as far as it comes. In any case the journal is synced.
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
                return Err(Error::new(Kind::Io, "what was written, or the journal, cannot be synced"));
            }
            Ok(())
        };
        let source = self.source();
        let moved = self.transfer(ledger, note, context).await;
        let flushed = syncing.finish(&context.stop).await;
        let copied = match moved {
            // A sync that failed is the cause of what failed after it.
            Err(error) if error.kind() == Kind::Io => Err(flushed.err().unwrap_or(error)),
            Err(error) => Err(error),
            Ok(copied) => flushed.map(|()| copied),
        };
        let Some(source) = source else { return copied };
        if let Some(local) = source.local() {
            // A changed image explains every other failure.
            local.glance()?;
            let copied = copied?;
            return match context.stop.unless_asked(source.changed()).await? {
                Some(changed) => Err(changed),
                None => Ok(copied),
            };
        }
        copied
    }

    /// The same without a journal: for what cannot be gone on with.
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
        if let Some(why) = source.as_deref().and_then(ReadAt::local).and_then(LocalRead::blind) {
            (context.observer)(&Event::Note(why));
        }
        // A chunk that is known to be zeros at both ends needs nothing; elsewhere it has to be proved that nothing is needed.
        let blank = match &self.there {
            Some(there) if ledger.missing().next().is_some() => {
                if self.to.info().volatile {
                    // What reads as zero now may be what an earlier run wrote and nobody flushed.
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
        // What nothing but its bytes tells from another image is read again, and compared.
        let reread = source.as_ref().is_none_or(|disk| !disk.info().stable);
        let tap = self.whole.then(Arc::<Tap>::default);
        let items = items(geometry, &settled, holes, self.whole || reread, self.kept.is_some());
        let hands = CopyHands {
            to: self.to,
            compression: self.compression,
            settled: &settled,
            blank: known,
            held: self.held,
            skip_holes: self.skip_holes,
            skip_zeros: self.skip_zeros,
        };
        let pipeline =
            hands.pipeline(self.from, self.kept, ledger.algorithm(), geometry, tap.clone(), context)?;
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
            return Err(Error::new(Kind::Incomplete, format!("{missing} of {total} chunks are left")));
        }
        (context.observer)(&Event::Stage(Stage::Finish));
        if let Some(tap) = tap {
            done.sha256 = Some(finish(&tap, total)?);
        }
        Ok(done)
    }
}

/// The digest of an image all of whose chunks went by.
pub(super) fn finish(tap: &Tap, chunks: u64) -> Result<String> {
    tap.finish(chunks).ok_or_else(|| {
        Error::new(Kind::Io, "the digest of the image is not complete; this is a bug in diskferry")
    })
}

/// The chunks to be read, in order: those that are not settled, or all.
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

/// Notes what has become of a chunk. `is_here`: whether the destination is a disk of this machine, so that the chunk was fetched
/// and need not be fetched again, though nothing was written.
fn settle_step(
    step: Step,
    written: Option<Written>,
    is_here: bool,
    ledger: &mut Ledger,
    done: &mut Copied,
    note: &mut impl FnMut(&AckedChunk) -> Result<()>,
    context: &Context,
) -> Result<()> {
    if let Step::Again(chunk, from) = step {
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
            (true, _) => Fate::Unchanged,
            (false, true) => Fate::Zero,
            (false, false) => Fate::Sent,
        },
    );
    Ok(())
}

/// The chunk, once its bytes are known to be at the destination, and whether as a hole.
pub(super) fn arrived(step: Step, written: Option<Written>) -> Result<(AckedChunk, bool)> {
    match (step, written) {
        (Step::Again(chunk, _), _) => Ok((chunk.known(), false)),
        (Step::Unchanged(chunk), _) => Ok((chunk, false)),
        (Step::Skipped(chunk) | Step::Blank(chunk), _) => Ok((chunk, true)),
        (Step::Wrote(chunk, hole), _) => Ok((chunk, hole)),
        (Step::Sent(chunk), Some(written)) => Ok((chunk.acknowledged(written.receipt), written.as_hole)),
        (Step::Sent(_), None) => {
            Err(Error::new(Kind::Io, "a chunk was not written; this is a bug in diskferry"))
        }
    }
}

/// What was moved before must be what is read now.
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
