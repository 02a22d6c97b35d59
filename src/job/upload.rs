//! `upload`: an image into a drive, which is made if none is named.

use super::{Earlier, Far, Settings, announce, check_usable, count_resumed, summary, write_manifest};
use crate::chunk::Geometry;
use crate::encode::codec::Compression;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Plan, Summary};
use crate::journal::{DriveRecord, Header, Journal, NewDrive};
use crate::source::Source;
use crate::transfer::ledger::Ledger;
use crate::transfer::upload::Upload as Moving;
use crate::transfer::verify::{Verify, with_digests};
use crate::transfer::{Context, probe};
use crate::transport::Readable;
use crate::transport::drives::{DriveInfo, NewDrive as Create};
use std::path::Path;
use std::time::Instant;

/// What becomes of chunks of zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zeros {
    /// Skipped on a new drive that reads as zero, else written.
    #[default]
    Auto,
    /// Skipped, on the user's word.
    Skip,
    /// Written.
    Write,
}

impl Zeros {
    fn name(self) -> &'static str {
        match self {
            Zeros::Auto => "probe",
            Zeros::Skip => "skip",
            Zeros::Write => "write",
        }
    }
}

impl std::str::FromStr for Zeros {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Zeros::Auto),
            "skip" => Ok(Zeros::Skip),
            "write" => Ok(Zeros::Write),
            _ => Err(Error::usage(format!("zeros cannot be treated as {text:?}: auto, skip or write"))),
        }
    }
}

/// An image that is ready to be read.
#[derive(Debug)]
pub struct Image {
    /// Its bytes.
    pub source: Source,
    /// What a drive that is made of it is called.
    pub name: String,
    /// What it is called in a plan.
    pub from: String,
    /// What moving it is called: `upload` or `migrate`.
    pub action: &'static str,
}

impl Image {
    /// A file, a block device, or with `-` standard input, whose size has to be given.
    pub fn open(path: &Path, size: Option<u64>) -> Result<Self> {
        let name = if path.as_os_str() == "-" {
            "stdin".to_owned()
        } else {
            path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let source = Source::open(path, size)?;
        Ok(Self { source, name, from: path.display().to_string(), action: "upload" })
    }
}

/// An upload.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The drive; `None` makes one.
    pub drive: Option<String>,
    /// The name of a drive to be made; the image's, if none is given.
    pub name: Option<String>,
    /// The size of a drive to be made, and of a stream.
    pub size: Option<u64>,
    /// More keys of a drive to be made.
    pub keys: Vec<(String, String)>,
    /// How chunks are compressed.
    pub compression: Compression,
    /// What becomes of chunks of zeros.
    pub zeros: Zeros,
}

impl Upload {
    /// Runs the upload; `None` if only the plan was wanted.
    pub async fn run(
        self,
        image: Image,
        far: &Far,
        settings: &Settings,
        context: &Context,
    ) -> Result<Option<Summary>> {
        let start = Instant::now();
        settings.check()?;
        let geometry = Geometry::checked(image.source.size(), settings.chunk_size)?;
        let mut header = self.header(&image, far, settings)?;
        let earlier = Earlier::find(settings, &header, context)?;
        let mut ledger = earlier.ledger(geometry, settings.digest);
        let resumed = count_resumed(&ledger, context);
        if resumed > 0 && image.action == "migrate" && matches!(image.source, Source::Stream(_)) {
            let text = format!(
                "{} cannot be read from the middle: it is read again from its start, and what was written before is compared",
                image.from
            );
            (context.observer)(&Event::Warning(text));
        }

        let known = earlier.replay.as_ref().and_then(|r| r.drive.clone());
        let named = known.as_ref().map(|d| &d.drive).or(self.drive.as_ref());
        let info = match named {
            Some(drive) => Some(self.existing(drive, known.is_some(), &image.source, far, context).await?),
            None => None,
        };
        let zeros = match &known {
            Some(record) if self.zeros == Zeros::Auto => {
                if record.skip_zeros {
                    "skip"
                } else {
                    "write"
                }
            }
            None if self.zeros == Zeros::Auto && info.is_some() => "write",
            _ => self.zeros.name(),
        };
        announce(self.plan(&image, far, settings, context, &ledger, info.as_ref(), zeros), context);
        if settings.dry_run {
            return Ok(None);
        }

        let fresh = earlier.journal.is_none();
        if let Some(new) = header.new_drive.as_mut().filter(|_| fresh) {
            new.before = far.drives.like(&new.name).await?;
        }
        let mut journal = earlier.journal(header)?;
        let new_drive = journal.header().new_drive.clone();
        let drive = match (known, info) {
            (Some(known), _) => known,
            (None, Some(info)) => {
                let record =
                    DriveRecord { drive: info.drive, created: false, skip_zeros: self.zeros == Zeros::Skip };
                journal.set_drive(record.clone())?;
                record
            }
            (None, None) => {
                let made = make_drive(far, new_drive, &journal, fresh).await;
                let made = match made {
                    // Refused for good: nothing was made, so there is nothing to take up.
                    Err(error)
                        if !error.kind().is_retryable() && fresh && error.kind() != Kind::Interrupted =>
                    {
                        journal.remove()?;
                        return Err(error);
                    }
                    // What the server has made of it is not known; the next run asks.
                    Err(error) if error.kind().is_retryable() => {
                        return Err(error.with_kind(Kind::Incomplete).hint(
                            "run the same command again: it looks for the drive before it makes another",
                        ));
                    }
                    made => made?,
                };
                self.begin(made, far, &mut journal, context).await?
            }
        };
        let disk = far.drives.disk(&drive.drive);
        let again = match &image.source {
            Source::Remote(source) => Some(source.disk().clone()),
            Source::Mapped(_) | Source::Stream(_) => None,
        };
        let upload = Moving {
            disk: &disk,
            source: image.source,
            compression: self.compression,
            skip_zeros: match self.zeros {
                Zeros::Auto => drive.skip_zeros,
                Zeros::Skip => true,
                Zeros::Write => false,
            },
            whole: settings.sha256,
        };
        let done = upload.run(&journal, &mut ledger, context).await?;
        let verified = verify(&disk, &ledger, settings, &journal, context).await?;
        if let Some(source) = again {
            // Both ends are compared with what has passed, and so with each other: the source may have changed meanwhile.
            verify(&source, &ledger, settings, &journal, context).await?;
        }
        write_manifest(settings, &ledger, done.sha256.clone())?;
        journal.remove()?;
        Ok(Some(Summary {
            chunks_sent: done.sent,
            chunks_zero: done.zero,
            chunks_resumed: resumed,
            chunks_verified: verified,
            ..summary(&drive.drive, &ledger, done.sha256.as_deref(), context, start)
        }))
    }

    fn header(&self, image: &Image, far: &Far, settings: &Settings) -> Result<Header> {
        let source = &image.source;
        let new_drive = if self.drive.is_some() {
            None
        } else {
            let size = self.size.unwrap_or(source.size());
            if size < source.size() {
                return Err(too_small("the drive to be made", size, source.size()));
            }
            let (name, keys) = (self.drive_name(image), self.keys.clone());
            Some(NewDrive { name, size, keys, before: Vec::new() })
        };
        Ok(Header {
            action: image.action.into(),
            transfer: uuid::Uuid::new_v4().to_string(),
            remote: far.remote.clone(),
            account: far.account.clone(),
            drive: self.drive.clone(),
            image: Some(source.identity().clone()),
            file: None,
            size: source.size(),
            chunk_size: settings.chunk_size,
            digest: settings.digest.name().into(),
            new_drive,
            command: settings.command.clone(),
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
        source: &Source,
        far: &Far,
        context: &Context,
    ) -> Result<DriveInfo> {
        let info = far.drives.info(drive).await.map_err(|error| {
            if from_journal && error.kind() == Kind::NotFound {
                error
                    .context("the drive of the earlier run is gone")
                    .hint("start over, with a new drive, with --restart")
            } else {
                error
            }
        })?;
        if info.size < source.size() {
            return Err(too_small(&format!("drive {drive}"), info.size, source.size()));
        }
        check_usable(&info, context)?;
        Ok(info)
    }

    /// Looks at a new drive and notes it.
    async fn begin(
        &self,
        info: DriveInfo,
        far: &Far,
        journal: &mut Journal,
        context: &Context,
    ) -> Result<DriveRecord> {
        let disk = far.drives.disk(&info.drive);
        let skip_zeros = match self.zeros {
            Zeros::Auto => {
                probe::reads_as_zero(&disk, info.size, &journal.header().transfer, context).await?
            }
            Zeros::Skip => true,
            Zeros::Write => false,
        };
        let record = DriveRecord { drive: info.drive, created: true, skip_zeros };
        journal.set_drive(record.clone())?;
        Ok(record)
    }

    #[expect(clippy::too_many_arguments, reason = "a plan is made of everything that is known")]
    fn plan(
        &self,
        image: &Image,
        far: &Far,
        settings: &Settings,
        context: &Context,
        ledger: &Ledger,
        info: Option<&DriveInfo>,
        zeros: &str,
    ) -> Plan {
        let drive = info.map(|i| i.drive.clone());
        Plan {
            action: image.action,
            from: image.from.clone(),
            to: match &drive {
                Some(drive) => format!("{}:{drive}", far.remote),
                None => format!("{}: (a new drive, {:?})", far.remote, self.drive_name(image)),
            },
            drive,
            size: image.source.size(),
            chunk_size: settings.chunk_size,
            chunks_total: ledger.geometry().chunks(),
            chunks_resumed: ledger.settled(),
            concurrency: context.concurrency,
            compress: match self.compression {
                Compression::None => "none".into(),
                _ if !far.drives.capabilities().gzip => "none".into(),
                Compression::Auto => "auto".into(),
                Compression::Level(level) => level.to_string(),
            },
            zeros: zeros.into(),
            verify: settings.verify.name().into(),
            dry_run: settings.dry_run,
        }
    }
}

/// Makes the drive, or finds the one that an earlier run of this transfer has made without having come to note it.
async fn make_drive(far: &Far, new: Option<NewDrive>, journal: &Journal, fresh: bool) -> Result<DriveInfo> {
    let new = new.ok_or_else(|| Error::usage("there is neither a drive nor a name for one"))?;
    let transfer = &journal.header().transfer;
    let create = Create { name: &new.name, size: new.size, keys: &new.keys, transfer, before: &new.before };
    if !fresh && let Some(found) = far.drives.find_made(&create).await? {
        return Ok(found);
    }
    far.drives.create(&create).await
}

/// Reads back what was asked for. A chunk that differs is taken back, so that the same command sends it again.
async fn verify<D: Readable>(
    disk: &D,
    ledger: &Ledger,
    settings: &Settings,
    journal: &Journal,
    context: &Context,
) -> Result<u64> {
    if settings.verify == Verify::None {
        return Ok(0);
    }
    let chosen = settings.verify.choose(ledger.geometry().chunks(), &journal.header().transfer);
    let compared = with_digests(disk, ledger, &chosen, context).await?;
    for index in &compared.differ {
        journal.revoke(*index)?;
    }
    let chunks = compared.chunks;
    match compared.into_error(ledger.geometry(), &disk.name()) {
        None => Ok(chunks),
        Some(error) => {
            if let Some(record) = journal.drive() {
                // Chunks of zeros that were skipped leave no record to take back; from now on they are written.
                journal.note_drive(&DriveRecord { skip_zeros: false, ..record.clone() })?;
            }
            Err(error.hint("run the same command again to send these chunks anew"))
        }
    }
}

fn too_small(what: &str, size: u64, image: u64) -> Error {
    Error::new(Kind::TooSmall, format!("{what} has {size} bytes and the image {image}: it does not fit"))
        .hint("name a larger drive, or leave the drive out to have one made")
}
