//! Uploads an image to an existing drive or to a new one.
//!
//! A job has five phases. The plan reads state and writes nothing. The claim takes the journal and the lock
//! on the destination, checks what an earlier run did, and creates the drive. The transfer moves the missing
//! chunks. The verification reads back. The commit removes the journal; the caller asks for it once the
//! result is reported.

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
use super::{Done, OnChange, RemoteStore, Settings, check_unchanged, summary, write_manifest};
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

/// How long to wait for the drive's write counters when a run ends early.
const SETTLING: Duration = Duration::from_secs(1);

/// How long to wait for the drive's write counters after a successful run, where only a later delta needs
/// them.
const NOTING: Duration = Duration::from_secs(10);

/// An upload of an image to a drive.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The destination drive, or `None` to create one.
    pub drive: Option<String>,
    /// The name of a new drive. The default is the name of the image.
    pub name: Option<String>,
    /// The size in bytes of a new drive, and of a stream.
    pub size: Option<u64>,
    /// Further properties of a new drive, as keys and values.
    pub keys: Vec<(String, String)>,
    /// How to compress chunks.
    pub compression: Compression,
    /// How to write chunks of zeros.
    pub zeros: Zeros,
    /// Whether to send only the chunks that differ from the drive's contents.
    pub delta: Delta,
}

/// What to compare the image with, to send only the chunks that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Delta {
    /// Compare with nothing: send every chunk.
    #[default]
    Off,
    /// Compare with the destination drive.
    Drive,
    /// Compare with this drive. The remote first creates the new drive as a copy of it.
    Base(String),
}

/// The state after the plan.
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

/// The state after the claim: this run owns the journal and the destination.
struct Claimed {
    journal: Journal,
    /// The lock on the destination. It is held until the transfer ends; otherwise another run could write to
    /// the drive.
    claim: Claim,
    /// The generation of the destination in which this run writes.
    generation: String,
    drive: DriveRecord,
    disk: Writable,
    ledger: Ledger,
    skipping: Skipping,
    /// What the drive is known to hold. Only a delta has it.
    held: Option<Arc<HeldChunks>>,
    resumed: u64,
}

impl Upload {
    /// Runs the upload. Returns `None` for a dry run, which only announces the plan.
    ///
    /// # Errors
    /// [`Kind::Changed`] if the image is not what an interrupted run read, unless [`OnChange::Restart`] is
    /// set.
    pub async fn run(
        self,
        image: Image,
        far: &RemoteStore,
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

    /// Runs the upload once. If the image is a stream, `to_read` is `None` as soon as it is being read.
    async fn attempt(
        &self,
        to_read: &mut Option<Image>,
        far: &RemoteStore,
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
        // Each phase is boxed: together, their states would take too much of the stack.
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
            // A stream cannot be read again in this run, so the next run starts over.
            Err(error)
                if error.kind() == Kind::Changed && is_stream && settings.on_change == OnChange::Restart =>
            {
                if claimed.drive.created {
                    (context.observer)(&Event::Leftover {
                        remote: far.remote.clone(),
                        disk: claimed.drive.drive.clone(),
                        transfer: claimed.journal.header().transfer.clone(),
                        generation: Some(claimed.generation.clone()),
                        may_succeed: false,
                    });
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

    /// Moves the missing chunks and reads back what the settings ask for. Also returns the number of verified
    /// chunks.
    async fn transfer(
        &self,
        source: Source,
        original: Option<&Arc<dyn ReadAt>>,
        far: &RemoteStore,
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

    /// Fails if another run has marked the drive in the meantime.
    async fn check_mark(&self, far: &RemoteStore, claimed: &mut Claimed) -> Result<()> {
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

/// Names the incomplete disk if the image caused the failure: running the same command again does not help
/// then.
fn incomplete_disk(error: Error, claimed: &Claimed, far: &RemoteStore) -> Error {
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

/// Returns the error for a second attempt to read a stream from its start.
fn read_twice() -> Error {
    Error::new(Kind::Changed, "the stream changed since the interrupted run, and cannot be read again")
}

/// Records what the drive holds, for a later delta.
async fn note_contents(claimed: &Claimed, far: &RemoteStore, settings: &Settings, context: &Context) {
    let to = &claimed.disk.to;
    let asking = context.retry.run("asking what the drive counts", None, async || to.evidence().await);
    // Without the evidence, a later delta reads the drive back.
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

/// Records the drive's evidence of writes for the next run, if the drive reports it within [`SETTLING`].
async fn settle(claimed: &Claimed) {
    let asked = tokio::time::timeout(SETTLING, claimed.disk.to.evidence()).await;
    // Without the evidence, the next run compares everything if the remote reports writes.
    if let Ok(Ok(evidence)) = asked {
        let _ = claimed.journal.settle(evidence);
    }
}
