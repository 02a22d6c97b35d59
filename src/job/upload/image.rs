//! What an upload reads, and how it treats zeros.

use crate::disk::format::{self, Container, Format, SourceFormat, TargetFormat};
use crate::disk::image::{OpenContext, OpenOptions, Opened, open};
use crate::disk::stream::Stream;
use crate::disk::stream::unpack::Packing;
use crate::disk::{DiskInfo, Identity, ReadAt};
use crate::engine::Context;
use crate::engine::pipeline::Source;
use crate::error::{Error, Kind, Result};
use crate::job::vhd;
use crate::journal::DriveRecord;
use std::path::Path;
use std::sync::Arc;

/// How chunks of zeros are written.
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
    /// Returns what is planned, in a word. `known`: the drive by an earlier run's journal; `exists`: whether there is
    /// a drive.
    pub(super) fn planned(self, known: Option<&DriveRecord>, exists: bool) -> &'static str {
        match (self, known) {
            (Zeros::Skip, _) => "skip",
            (Zeros::Auto, Some(record)) if record.skip_zeros => "skip",
            (Zeros::Auto, None) if !exists => "probe",
            (Zeros::Write | Zeros::Auto, _) => "write",
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
            _ => Err(Error::usage(format!("expected `auto`, `skip` or `write`, got `{text}`"))
                .hint("`--zeros auto` leaves zeros out where the drive reads as zero anyway")),
        }
    }
}

/// An image that is ready to be read.
pub struct Image {
    /// Its bytes.
    pub bytes: ImageBytes,
    /// What a drive that is made of it is called.
    pub name: String,
    /// What it is called in a plan.
    pub from: String,
    /// What moving it is called: `upload` or `migrate`.
    pub action: &'static str,
    /// What it is read as: `raw`, `qcow2 in xz`.
    pub format: String,
    /// What it is written as.
    pub target: TargetFormat,
}

/// Where the bytes of an image are.
pub enum ImageBytes {
    /// On a disk that can be read at any place.
    Disk(Arc<dyn ReadAt>),
    /// In a stream.
    Stream(Box<Stream>),
}

impl ImageBytes {
    /// What they are.
    pub(super) fn info(&self) -> &DiskInfo {
        match self {
            ImageBytes::Disk(disk) => disk.info(),
            ImageBytes::Stream(stream) => stream.info(),
        }
    }

    /// The size in bytes; not 0.
    pub(super) fn size(&self) -> u64 {
        self.info().size
    }

    /// What tells this image from another.
    pub(super) fn identity(&self) -> Option<&Identity> {
        self.info().identity.as_ref()
    }

    /// The disk that can be read again; a stream cannot.
    pub(in crate::job) fn disk(&self) -> Option<&Arc<dyn ReadAt>> {
        match self {
            ImageBytes::Disk(disk) => Some(disk),
            ImageBytes::Stream(_) => None,
        }
    }

    /// Begins to read.
    pub(super) fn start(self) -> Result<Source> {
        Ok(match self {
            ImageBytes::Disk(disk) => Source::At(disk),
            ImageBytes::Stream(stream) => Source::Stream(Box::new(stream.start()?)),
        })
    }
}

impl Image {
    /// A file, a block device, or with `-` standard input, whose size has to be given. Its format is told by its bytes, or
    /// by `options`. What it holds may have to be unpacked first: that is done on a thread of its own, which ends when the
    /// stop is asked for.
    pub async fn open(path: &Path, options: OpenOptions, context: &Context) -> Result<Self> {
        let asked = OpenContext { observer: context.observer.clone(), stop: context.stop.clone() };
        let from = path.to_owned();
        let is_stdin = path.as_os_str() == "-";
        let opening = tokio::task::spawn_blocking(move || {
            if is_stdin { stdin(&options) } else { open(&from, &options, &asked) }
        });
        let opened = context.stop.unless_asked(async {
            opening
                .await
                .unwrap_or_else(|_| Err(Error::new(Kind::Io, "the thread that opens the image has died")))
        });
        let (opened, format) = opened.await?;
        let bytes = match opened {
            Opened::Disk(disk) => ImageBytes::Disk(disk),
            Opened::Stream(stream) => ImageBytes::Stream(stream),
        };
        let name = if is_stdin {
            "stdin".to_owned()
        } else {
            path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let (from, target) = (path.display().to_string(), TargetFormat::Raw);
        Ok(Self { bytes, name, from, action: "upload", format, target })
    }

    /// The same image a second time; `None` if it is a stream.
    pub(super) fn clone_disk(&self) -> Option<Self> {
        Some(Self {
            bytes: ImageBytes::Disk(Arc::clone(self.bytes.disk()?)),
            name: self.name.clone(),
            from: self.from.clone(),
            action: self.action,
            format: self.format.clone(),
            target: self.target,
        })
    }

    /// The same image, to be written as `target`.
    ///
    /// # Errors
    /// If no drive can hold an image of that format.
    pub fn written_as(self, target: TargetFormat) -> Result<Self> {
        let bytes = match target {
            TargetFormat::Raw => return Ok(self),
            TargetFormat::Qcow2 => {
                return Err(Error::usage("an image cannot be uploaded as qcow2").hint(
                    "leave out `--target-format`, or use `--target-format vhd` where VHDs are booted",
                ));
            }
            TargetFormat::Vhd => match self.bytes {
                ImageBytes::Disk(disk) => {
                    let identity = disk.info().identity.clone();
                    ImageBytes::Disk(vhd::with_footer(disk, identity.as_ref())?)
                }
                ImageBytes::Stream(stream) => {
                    let (id, made) = vhd::stamp(stream.info().identity.as_ref())?;
                    ImageBytes::Stream(Box::new(stream.with_footer(id, made)?))
                }
            },
        };
        Ok(Self { bytes, target, ..self })
    }
}

/// Standard input, unpacked on the way where it is packed. Waits for whoever writes to it.
fn stdin(options: &OpenOptions) -> Result<(Opened, String)> {
    let size = options.size.or(options.size_at_most).ok_or_else(|| {
        Error::usage("the size of standard input is unknown")
            .hint("give its size with `--size 10G`, or the most that it may be with `--size-at-most 10G`")
    })?;
    let (stream, head) = Stream::stdin(size)?.head(format::HEAD)?;
    let may_end = options.size.is_none();
    let opened = |stream: Stream, reading: String| {
        let stream = if may_end { stream.padded() } else { stream };
        (Opened::Stream(Box::new(stream)), reading)
    };
    let seen = match options.format {
        SourceFormat::Exactly(Format::Raw) => None,
        SourceFormat::Exactly(format) => return Err(format::not_in_order(format)),
        SourceFormat::Auto => format::container_of(&head),
    };
    let member = options.member.is_some();
    match seen {
        None if member => Err(Error::usage("`--member` is for archives, and standard input is none")),
        None => Ok(opened(stream, "raw".to_owned())),
        Some(Container::Image(format)) => Err(format::not_in_order(format)),
        Some(Container::Unread(what)) => Err(format::unread(what, "standard input")),
        Some(Container::Packed(packing)) if member && packing == Packing::Tar => Err(Error::usage(
            "`--member` is for archives in files: the first image of standard input is taken",
        )),
        Some(Container::Packed(packing)) => Ok(opened(stream.unpacked()?, format!("raw in {packing}"))),
    }
}
