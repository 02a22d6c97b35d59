//! The image that an upload reads, and the options for writing zeros.

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

/// How to write chunks of zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zeros {
    /// Skip them on a new drive that reads as zero, otherwise write them.
    #[default]
    Auto,
    /// Skip them: the user vouches that the drive reads as zero.
    Skip,
    /// Write them like all others.
    Write,
}

impl Zeros {
    /// Returns the word for the plan. `known` is the drive in an earlier run's journal, and `exists` says
    /// whether there is a drive.
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
    /// The bytes of the image.
    pub bytes: ImageBytes,
    /// The name for a new drive with this image.
    pub name: String,
    /// The name of the image in plans.
    pub from: String,
    /// The name of the action: `upload`, `migrate` or `restore`.
    pub action: &'static str,
    /// The format that it is read as, such as `raw` or `qcow2 in xz`.
    pub format: String,
    /// The format that it is written as.
    pub target: TargetFormat,
}

/// The bytes of an image.
pub enum ImageBytes {
    /// A disk that can be read at any offset.
    Disk(Arc<dyn ReadAt>),
    /// A stream, which can only be read in order, once.
    Stream(Box<Stream>),
}

impl ImageBytes {
    /// Returns the properties of the disk or stream.
    pub(super) fn info(&self) -> &DiskInfo {
        match self {
            ImageBytes::Disk(disk) => disk.info(),
            ImageBytes::Stream(stream) => stream.info(),
        }
    }

    /// Returns the size in bytes; never 0.
    pub(super) fn size(&self) -> u64 {
        self.info().size
    }

    /// Returns the identity that distinguishes this image from others.
    pub(super) fn identity(&self) -> Option<&Identity> {
        self.info().identity.as_ref()
    }

    /// Returns the disk, or `None` for a stream, which cannot be read again.
    pub(in crate::job) fn disk(&self) -> Option<&Arc<dyn ReadAt>> {
        match self {
            ImageBytes::Disk(disk) => Some(disk),
            ImageBytes::Stream(_) => None,
        }
    }

    /// Starts reading.
    pub(super) fn start(self) -> Result<Source> {
        Ok(match self {
            ImageBytes::Disk(disk) => Source::At(disk),
            ImageBytes::Stream(stream) => Source::Stream(Box::new(stream.start()?)),
        })
    }
}

impl Image {
    /// Opens a file, a block device, or standard input (`-`), whose size must be given.
    ///
    /// The format is detected from the first bytes unless `options` gives it. Compressed contents may have to
    /// be unpacked first. This happens on a separate thread, which ends when a stop is requested.
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

    /// Returns a second handle to the image, or `None` for a stream.
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

    /// Returns the image, to be written as `target`.
    ///
    /// # Errors
    /// Fails if no drive can hold an image of that format.
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

/// Opens standard input and unpacks it on the way if it is packed. Blocks until the writer has sent the first
/// bytes.
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
