//! `upload`: an image into a drive, which is made if none is named.
//!
//! A job goes through five phases. The plan asks and writes nothing. The claim takes the journal and the destination's
//! lock, proves what an earlier run did, and makes the drive. The transfer moves what is missing. The verification reads
//! back. The commit, which the caller asks for once the result is told, removes the journal.

mod drive;
mod image;
mod prove;
mod verification;

pub use image::{Image, ImageBytes, Zeros};

use super::resumable::{Resumable, changed_since, count_resumed, still_settled, tell_lost};
use super::{Done, Far, Settings, announce, check_unchanged, check_usable, summary, write_manifest};
use crate::chunk::{AckedChunk, Geometry};
use crate::disk::elastic::ElasticDisk;
use crate::disk::elastic::drives::DriveInfo;
use crate::disk::{DiskInfo, Evidence, ReadAt, WriteAt};
use crate::engine::copy::{Copied, Copy};
use crate::engine::encode::codec::Compression;
use crate::engine::ledger::Ledger;
use crate::engine::pipeline::Source;
use crate::engine::resume::{Coverage, Proof, Resume};
use crate::engine::syncing;
use crate::engine::{Context, Route};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Plan, Summary};
use crate::journal::{Claim, Destination, DriveRecord, Header, Journal, NewDrive};
use crate::provider::catalogue::secret;
use drive::Blank;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the drive may take to say what it counts when a run ends early.
const SETTLING: Duration = Duration::from_secs(1);

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
}

/// What the plan has found out.
struct Planned {
    found: Resumable,
    header: Header,
    ledger: Ledger,
    acked: Vec<AckedChunk>,
    info: Option<DriveInfo>,
    claim: Option<Claim>,
    proof: Proof,
}

/// A transfer that may write: the journal and the destination are its own.
struct Claimed {
    journal: Journal,
    /// Held until the transfer ends, or the drive could be written to by another run.
    claim: Claim,
    drive: DriveRecord,
    disk: ElasticDisk,
    ledger: Ledger,
    /// Whether chunks of zeros need not be written: those that are known to be holes, and those found by reading.
    skip_holes: bool,
    skip_zeros: bool,
    resumed: u64,
}

impl Upload {
    /// Runs the upload; `None` if only the plan was wanted.
    pub async fn run(
        self,
        image: Image,
        far: &Far,
        settings: &Settings,
        context: &Context,
    ) -> Result<Option<Done<Summary>>> {
        let start = Instant::now();
        settings.check()?;
        let elsewhere = image.bytes.disk().is_some_and(|disk| disk.local().is_none());
        let context = &context.on(match self.compression {
            _ if elsewhere => Route::Between,
            Compression::None => Route::Plain,
            Compression::Auto | Compression::Level(_) => Route::Encoded,
        });
        // Boxed, phase by phase: together their state would be kept on the stack.
        let planned = Box::pin(self.plan(&image, far, settings, context)).await?;
        if settings.dry_run {
            return Ok(None);
        }
        let claiming = self.claim(planned, &image, far, settings, context);
        let mut claimed = Box::pin(claiming).await?;
        let original = image.bytes.disk().cloned();
        let source = image.bytes.start()?;
        let transfer = self.transfer(source, original.as_ref(), far, settings, &mut claimed, context);
        let ended = Box::pin(transfer).await;
        let (done, verified) = match ended {
            Ok(done) => done,
            Err(error) => {
                settle(&claimed, far).await;
                return Err(error);
            }
        };
        write_manifest(settings, &claimed.ledger, done.sha256.clone())?;
        let summary = Summary {
            chunks_sent: done.sent,
            chunks_zero: done.zero,
            chunks_resumed: claimed.resumed,
            chunks_verified: verified,
            ..summary(&claimed.drive.drive, &claimed.ledger, done.sha256.as_deref(), context, start)
        };
        Ok(Some(Done::new(summary, Some(claimed.journal), Some(claimed.claim))))
    }

    /// Asks what there is, and tells the plan.
    async fn plan(
        &self,
        image: &Image,
        far: &Far,
        settings: &Settings,
        context: &Context,
    ) -> Result<Planned> {
        let geometry = Geometry::checked(image.bytes.size(), settings.chunk_size)?;
        let header = self.header(image, far, settings)?;
        let found = Resumable::find(settings, &header, context)?;
        let ledger = found.ledger(geometry, settings.digest);
        let acked = found.acked(&ledger);
        let known = found.drive().map(|record| record.drive.clone());
        let info = match known.as_ref().or(self.drive.as_ref()) {
            Some(drive) => {
                Some(self.existing(drive, known.is_some(), image.bytes.info(), far, context).await?)
            }
            None => None,
        };
        let claim = match &info {
            Some(info) if !settings.dry_run => {
                let destination = Destination::drive(&far.account, &info.drive);
                Some(settings.destinations.claim(&destination)?)
            }
            _ => None,
        };
        let marks = far.drives.capabilities().marks;
        let proof = Proof::decide(
            settings.resume,
            [
                found.difference_found(),
                found.written_here(claim.as_ref()),
                info.as_ref().and_then(|info| found.written_elsewhere(info, marks)),
                prove::unreadable_at_places(&image.bytes),
            ],
        );
        announce(
            self.describe(image, far, settings, context, &ledger, &found, info.as_ref(), &proof),
            context,
        );
        if !acked.is_empty() && image.action == "migrate" && image.bytes.disk().is_none() {
            let text = format!(
                "{} cannot be read from the middle: it is read again from its start, and what was written before is compared",
                image.from
            );
            (context.observer)(&Event::Warning(text));
        }
        Ok(Planned { found, header, ledger, acked, info, claim, proof })
    }

    /// Takes the journal and the drive, and proves what an earlier run did.
    async fn claim(
        &self,
        planned: Planned,
        image: &Image,
        far: &Far,
        settings: &Settings,
        context: &Context,
    ) -> Result<Claimed> {
        let Planned { found, mut header, mut ledger, acked, info, claim, proof } = planned;
        let is_resumed = found.is_resumed();
        if let Some(new) = header.new_drive.as_mut().filter(|_| !is_resumed) {
            new.before = far.drives.like(&new.name).await?;
        }
        let evidence = image.bytes.info().evidence.clone();
        if let Some(how) = found.source_changed(&evidence) {
            return Err(changed_since(&image.from, &how));
        }
        let known = found.drive().cloned();
        let replay = found.replay.as_ref();
        let untouched = replay.is_none_or(|replay| replay.generation.is_none());
        let mut journal = found.journal(header)?;
        if !is_resumed {
            journal.set_source(evidence)?;
        }
        let (drive, info, mut claim) = match (known, info, claim) {
            (Some(known), Some(info), Some(claim)) => (known, info, claim),
            (None, Some(info), Some(claim)) => {
                let skip_zeros = self.zeros == Zeros::Skip;
                (DriveRecord { drive: info.drive.clone(), created: false, skip_zeros }, info, claim)
            }
            _ => {
                let (made, kept, claim) =
                    drive::make(journal, is_resumed, &self.keys, &settings.destinations, far).await?;
                journal = kept;
                (DriveRecord { drive: made.drive.clone(), created: true, skip_zeros: false }, made, claim)
            }
        };
        let disk = far.drives.disk(&info);
        if journal.drive().is_none() {
            journal.set_drive(drive.clone())?;
        }
        if !acked.is_empty() {
            let there: Arc<dyn ReadAt> = Arc::new(disk.clone());
            prove::earlier_run(&proof, &acked, &mut ledger, image.bytes.disk(), &there, context).await?;
            let kept = still_settled(&acked, &ledger);
            if kept.len() < acked.len() {
                tell_lost(acked.len() - kept.len(), "on the drive", context);
                journal.write_zeros(&kept)?;
            }
        }
        let resumed = count_resumed(&ledger, context);
        let drive = journal.drive().cloned().unwrap_or(drive);
        let doubted = proof.extent == Coverage::All && settings.resume != Resume::Full;
        let blank = Blank { drive: &drive, untouched, doubted };
        let (skip_holes, skip_zeros) =
            self.zeros_to_skip(blank, image.bytes.disk(), &disk, &ledger, &mut journal, context).await?;
        // From here on the drive is written to: whoever comes later has to know.
        journal.claim(claim.raise()?)?;
        far.drives.mark(&drive.drive, &journal.header().transfer).await?;
        Ok(Claimed { journal, claim, drive, disk, ledger, skip_holes, skip_zeros, resumed })
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
        let to: Arc<dyn WriteAt> = Arc::new(claimed.disk.clone());
        let copy = Copy {
            from: source,
            to,
            kept: None,
            compression: self.compression,
            skip_holes: claimed.skip_holes,
            skip_zeros: claimed.skip_zeros,
            whole: settings.sha256,
        };
        let done = copy.run(&claimed.journal, syncing::UPLOAD, &mut claimed.ledger, context).await?;
        let comparison = verification::Comparison {
            original,
            asked: settings.verify,
            zeros_written: !claimed.skip_holes && !claimed.skip_zeros,
        };
        let there: Arc<dyn ReadAt> = Arc::new(claimed.disk.clone());
        let verified = comparison.run(&there, &mut claimed.ledger, &mut claimed.journal, context).await?;
        if let Some(original) = original {
            check_unchanged(&**original, context).await?;
        }
        self.check_mark(far, claimed).await?;
        Ok((done, verified))
    }

    /// Fails if another run has written its mark on the drive meanwhile.
    async fn check_mark(&self, far: &Far, claimed: &mut Claimed) -> Result<()> {
        if !far.drives.capabilities().marks {
            return Ok(());
        }
        let now = far.drives.info(&claimed.drive.drive).await?;
        if now.mark() == Some(claimed.journal.header().transfer.as_str()) {
            return Ok(());
        }
        let keep_zeros = !claimed.skip_holes && !claimed.skip_zeros;
        claimed.journal.distrust(&verification::chunks_but(&[], &claimed.ledger, keep_zeros))?;
        Err(Error::new(
            Kind::Incomplete,
            format!("another transfer wrote to drive {} at the same time", claimed.drive.drive),
        )
        .hint("once the other has ended, run the same command again: it compares everything"))
    }

    fn header(&self, image: &Image, far: &Far, settings: &Settings) -> Result<Header> {
        let source = image.bytes.info();
        let new_drive = if self.drive.is_some() {
            None
        } else {
            let size = self.size.unwrap_or(source.size);
            if size < source.size {
                return Err(too_small("the drive to be made", size, source.size));
            }
            let (name, keys) = (self.drive_name(image), secret::kept(&self.keys));
            Some(NewDrive { name, size, keys, before: Vec::new() })
        };
        Ok(Header {
            action: image.action.into(),
            transfer: uuid::Uuid::new_v4().to_string(),
            remote: far.remote.clone(),
            account: far.account.clone(),
            drive: self.drive.clone(),
            image: image.bytes.identity().cloned(),
            file: None,
            size: source.size,
            chunk_size: settings.chunk_size,
            digest: settings.digest.name().into(),
            new_drive,
            command: settings.command.clone(),
            compare_all: false,
        })
    }

    /// The name of a drive to be made: what was asked for, else the image's own.
    fn drive_name(&self, image: &Image) -> String {
        let given = self.name.as_ref().unwrap_or(&image.name);
        // The text format has one value a line.
        given.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Asks for a drive that is to be there, and refuses one that will not do.
    async fn existing(
        &self,
        drive: &str,
        from_journal: bool,
        image: &DiskInfo,
        far: &Far,
        context: &Context,
    ) -> Result<DriveInfo> {
        let info = far.drives.info(drive).await.map_err(|error| {
            if from_journal && error.kind() == Kind::NotFound {
                error
                    .context("the drive of the earlier run is gone")
                    .hint("start over, with a new drive, with `--restart`")
            } else {
                error
            }
        })?;
        if info.size < image.size {
            return Err(too_small(&format!("drive {drive}"), info.size, image.size));
        }
        check_usable(&info, context)?;
        Ok(info)
    }

    #[expect(clippy::too_many_arguments, reason = "a plan is made of everything that is known")]
    fn describe(
        &self,
        image: &Image,
        far: &Far,
        settings: &Settings,
        context: &Context,
        ledger: &Ledger,
        found: &Resumable,
        info: Option<&DriveInfo>,
        proof: &Proof,
    ) -> Plan {
        let drive = info.map(|i| i.drive.clone());
        Plan {
            action: image.action,
            from: image.from.clone(),
            format: image.format.clone(),
            to: match &drive {
                Some(drive) => format!("{}:{drive}", far.remote),
                None => format!("{}: (a new drive, {:?})", far.remote, self.drive_name(image)),
            },
            size: image.bytes.size(),
            chunk_size: settings.chunk_size,
            chunks_total: ledger.geometry().chunks(),
            chunks_resumed: ledger.settled(),
            concurrency: context.most_in_flight(),
            compress: match self.compression {
                Compression::None => "none".into(),
                _ if !far.drives.capabilities().gzip => "none".into(),
                Compression::Auto => "auto".into(),
                Compression::Level(level) => level.to_string(),
            },
            zeros: self.zeros.planned(found.drive(), info.is_some()).into(),
            verify: settings.verify.name().into(),
            resume: proof.extent.name().into(),
            resume_why: if ledger.settled() > 0 { proof.why.clone() } else { String::new() },
            dry_run: settings.dry_run,
            drive,
        }
    }
}

/// Notes what the drive counts, for the next run, as far as it says so quickly.
async fn settle(claimed: &Claimed, far: &Far) {
    let asked = tokio::time::timeout(SETTLING, far.drives.info_once(&claimed.drive.drive)).await;
    let evidence: Evidence = match asked {
        Ok(Ok(info)) => info.evidence(),
        // Without it the next run compares everything, where drives count.
        Ok(Err(_)) | Err(_) => return,
    };
    let _ = claimed.journal.settle(evidence);
}

fn too_small(what: &str, size: u64, image: u64) -> Error {
    Error::new(Kind::TooSmall, format!("{what} has {size} bytes and the image {image}: it does not fit"))
        .hint("name a larger drive, or leave the drive out to have one made")
}
