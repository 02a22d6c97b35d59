//! `upload`: an image into a drive, which is made if none is named.
//!
//! A job goes through five phases. The plan asks and writes nothing. The claim takes the journal and the destination's
//! lock, proves what an earlier run did, and makes the drive. The transfer moves what is missing. The verification reads
//! back. The commit, which the caller asks for once the result is told, removes the journal.

mod claim;
mod delta;
mod image;
mod make;
mod plan;
mod prove;
mod verification;
mod zeros;

pub use image::{Image, ImageBytes, Zeros};

use super::contents::{self, HeldChunks};
use super::resumable::{Resumable, start_over};
use super::{Done, Far, OnChange, Settings, check_unchanged, summary, write_manifest};
use crate::chunk::AckedChunk;
use crate::disk::ReadAt;
use crate::disk::store::{Facts, Writable};
use crate::engine::copy::{Copied, Copy, Held};
use crate::engine::encode::codec::Compression;
use crate::engine::ledger::Ledger;
use crate::engine::pipeline::Source;
use crate::engine::resume::Proof;
use crate::engine::syncing;
use crate::engine::{Context, Route};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Summary};
use crate::journal::{Claim, Destination, DriveRecord, Header, Journal, Seen};
use delta::Basis;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zeros::Skipping;

/// How long the drive may take to say what it counts when a run ends early.
const SETTLING: Duration = Duration::from_secs(1);

/// The same where the run has ended well, and only a later delta would miss it.
const NOTING: Duration = Duration::from_secs(10);

/// An upload.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The drive; `None` makes one.
    pub drive: Option<String>,
    /// The name of a drive to be made; the image's, if none is given.
    pub name: Option<String>,
    /// The size in bytes of a drive to be made, and of a stream.
    pub size: Option<u64>,
    /// More keys of a drive to be made.
    pub keys: Vec<(String, String)>,
    /// How chunks are compressed.
    pub compression: Compression,
    /// How chunks of zeros are written.
    pub zeros: Zeros,
    /// Whether only what differs is sent.
    pub delta: Delta,
}

/// Whether only what differs from what a drive holds is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Delta {
    /// Everything is sent.
    #[default]
    Off,
    /// What differs from the drive that is named.
    Drive,
    /// What differs from this drive, of which the far end makes the new one as a copy first.
    Base(String),
}

/// What the plan has found out.
struct Planned {
    found: Resumable,
    header: Header,
    ledger: Ledger,
    acked: Vec<AckedChunk>,
    facts: Option<Facts>,
    claim: Option<Claim>,
    proof: Proof,
    basis: Option<Basis>,
}

/// A transfer that may write: the journal and the destination are its own.
struct Claimed {
    journal: Journal,
    /// Held until the transfer ends, or the drive could be written to by another run.
    claim: Claim,
    /// Of the destination, in which this run writes.
    generation: String,
    drive: DriveRecord,
    disk: Writable,
    ledger: Ledger,
    skipping: Skipping,
    /// What the drive is known to hold, of a delta.
    held: Option<Arc<HeldChunks>>,
    resumed: u64,
}

impl Upload {
    /// Runs the upload; `None` if only the plan was wanted.
    ///
    /// # Errors
    /// [`Kind::Changed`] if the image is not what an interrupted run read, unless [`OnChange::Restart`] is set.
    pub async fn run(
        self,
        image: Image,
        far: &Far,
        settings: &Settings,
        context: &Context,
    ) -> Result<Option<Done<Summary>>> {
        settings.check()?;
        let mut image = Some(image);
        match self.attempt(&mut image, far, settings, context).await {
            Err(error) => {
                let settings = start_over(error, settings, context)?;
                self.attempt(&mut image, far, &settings, context).await
            }
            ended => ended,
        }
    }

    /// Runs the upload once. Of a stream, `image` is gone once it is being read.
    async fn attempt(
        &self,
        to_read: &mut Option<Image>,
        far: &Far,
        settings: &Settings,
        context: &Context,
    ) -> Result<Option<Done<Summary>>> {
        let start = Instant::now();
        let image = to_read.as_ref().ok_or_else(read_twice)?;
        let elsewhere = image.bytes.disk().is_some_and(|disk| disk.local().is_none());
        let context = &context.on(match self.compression {
            _ if elsewhere => Route::Between,
            Compression::None => Route::Plain,
            Compression::Auto | Compression::Level(_) => Route::Encoded,
        });
        // Boxed, phase by phase: together their state would be kept on the stack.
        let planned = Box::pin(self.plan(image, far, settings, context)).await?;
        if settings.dry_run {
            return Ok(None);
        }
        let claiming = self.claim(planned, image, far, settings, context);
        let mut claimed = Box::pin(claiming).await?;
        let original = image.bytes.disk().cloned();
        let is_stream = original.is_none();
        let again = image.clone_disk();
        let source = std::mem::replace(to_read, again).ok_or_else(read_twice)?.bytes.start()?;
        let transfer = self.transfer(source, original.as_ref(), far, settings, &mut claimed, context);
        let ended = Box::pin(transfer).await;
        let (done, verified) = match ended {
            Ok(done) => done,
            // A stream cannot be read again in this run, so the next one starts over.
            Err(error)
                if error.kind() == Kind::Changed && is_stream && settings.on_change == OnChange::Restart =>
            {
                let left = Event::Leftover { remote: far.remote.clone(), disk: claimed.drive.drive.clone() };
                if claimed.drive.created {
                    (context.observer)(&left);
                }
                claimed.journal.remove()?;
                return Err(error
                    .with_kind(Kind::Incomplete)
                    .hint("run the same command again: it starts over"));
            }
            Err(error) => {
                settle(&claimed).await;
                return Err(incomplete_disk(error, &claimed, far));
            }
        };
        if settings.keeps_journal {
            settle(&claimed).await;
        }
        note_contents(&claimed, far, settings, context).await;
        write_manifest(settings, &claimed.ledger, done.sha256.clone())?;
        let summary = Summary {
            chunks_sent: done.sent,
            chunks_unchanged: done.unchanged,
            chunks_zero: done.zero,
            chunks_resumed: claimed.resumed,
            chunks_verified: verified,
            ..summary(&claimed.drive.drive, &claimed.ledger, done.sha256.as_deref(), context, start)
        };
        Ok(Some(Done::new(summary, Some(claimed.journal), Some(claimed.claim))))
    }

    /// Moves what is missing and reads back what was asked for; returns how many chunks that were.
    async fn transfer(
        &self,
        source: Source,
        original: Option<&Arc<dyn ReadAt>>,
        far: &Far,
        settings: &Settings,
        claimed: &mut Claimed,
        context: &Context,
    ) -> Result<(Copied, u64)> {
        let Claimed { journal, disk, ledger, skipping, held, .. } = claimed;
        let schedule = if disk.to.info().volatile { syncing::VOLATILE } else { syncing::UPLOAD };
        let copy = Copy {
            from: source,
            to: Arc::clone(&disk.to),
            kept: None,
            held: held.take().map(|held| held as Arc<dyn Held>),
            there: (self.zeros != Zeros::Write).then(|| Arc::clone(&disk.back)),
            compression: self.compression,
            skip_holes: skipping.holes,
            skip_zeros: skipping.zeros,
            sha256: settings.sha256,
        };
        let mut done = copy.run(journal, schedule, ledger, context).await?;
        zeros::prove(skipping, &mut done, disk, ledger, journal, schedule, context).await?;
        let comparison =
            verification::Comparison { original, asked: settings.verify, zeros_written: skipping.nothing() };
        let verified = comparison.run(far, &disk.back, ledger, journal, context).await?;
        if let Some(original) = original {
            check_unchanged(&**original, context).await?;
        }
        self.check_mark(far, claimed).await?;
        Ok((done, verified))
    }

    /// Fails if another run has written its mark on the drive meanwhile.
    async fn check_mark(&self, far: &Far, claimed: &mut Claimed) -> Result<()> {
        if !far.store.info().marks {
            return Ok(());
        }
        let now = far.store.facts(&claimed.drive.drive).await?;
        if now.mark.as_deref() == Some(claimed.journal.header().transfer.as_str()) {
            return Ok(());
        }
        let keep_zeros = claimed.skipping.nothing();
        claimed.journal.distrust(&verification::chunks_but(&[], &claimed.ledger, keep_zeros))?;
        Err(Error::new(
            Kind::Incomplete,
            format!("another transfer wrote to {} at the same time", far.called(&claimed.drive.drive)),
        )
        .hint("once the other has ended, run the same command again: it compares everything"))
    }
}

/// Names the disk that is left incomplete where the image is what failed: running the same command again does not help.
fn incomplete_disk(error: Error, claimed: &Claimed, far: &Far) -> Error {
    if error.kind() != Kind::Source {
        return error;
    }
    let disk = format!("{}:{}", far.remote, claimed.drive.drive);
    let hint = error.hint_text().map(|hint| format!("{hint}; ")).unwrap_or_default();
    let noun = far.store.info().noun;
    let hint = if claimed.drive.created && far.store.info().destroys {
        format!("{hint}`diskferry {noun} destroy {disk}` destroys the incomplete {noun}")
    } else {
        hint.trim_end_matches("; ").to_owned()
    };
    let error = error.context(format_args!("{noun} {disk} is incomplete"));
    if hint.is_empty() { error } else { error.hint(hint) }
}

/// The error for an attempt to read a stream from its start again.
fn read_twice() -> Error {
    Error::new(Kind::Changed, "the stream changed since the interrupted run, and cannot be read again")
}

/// Notes what the drive holds, for a later delta.
async fn note_contents(claimed: &Claimed, far: &Far, settings: &Settings, context: &Context) {
    let to = &claimed.disk.to;
    let asking = context.retry.run("asking what the drive counts", None, async || to.evidence().await);
    // Without it a later delta reads the drive back.
    let evidence = tokio::time::timeout(NOTING, asking).await.ok().and_then(Result::ok).unwrap_or_default();
    let store = far.store.info();
    let seen = Seen {
        generation: Some(claimed.generation.clone()),
        mark: store.marks.then(|| claimed.journal.header().transfer.clone()),
        evidence,
        changing: None,
    };
    let destination = Destination::disk(&far.account, &claimed.drive.drive, store.noun);
    contents::note(&destination, seen, &claimed.ledger, false, settings, context);
}

/// Notes what the drive counts, for the next run, as far as it says so quickly.
async fn settle(claimed: &Claimed) {
    let asked = tokio::time::timeout(SETTLING, claimed.disk.to.evidence()).await;
    // Without it the next run compares everything, where the far end tells of writes.
    if let Ok(Ok(evidence)) = asked {
        let _ = claimed.journal.settle(evidence);
    }
}
