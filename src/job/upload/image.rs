//! What an upload reads, and how it treats zeros.

use crate::disk::file::FileDisk;
use crate::disk::format::{self, SourceFormat};
use crate::disk::stream::Stream;
use crate::disk::{DiskInfo, Identity, ReadAt};
use crate::engine::pipeline::Source;
use crate::error::{Error, Kind, Result};
use crate::journal::DriveRecord;
use crate::stop::Stop;
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
            _ => Err(Error::usage(format!("zeros cannot be treated as {text:?}: auto, skip or write"))),
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
}

/// Where the bytes of an image are.
pub enum ImageBytes {
    /// On a disk that can be read at any place.
    Disk(Arc<dyn ReadAt>),
    /// In a stream.
    Stream(Box<Stream>),
}

impl ImageBytes {
    /// A file, a block device, or with `-` standard input, whose `size` must then be given. An empty image is refused.
    fn open(path: &Path, size: Option<u64>) -> Result<Self> {
        if path.as_os_str() == "-" {
            let size = size.ok_or_else(|| {
                Error::usage("the size of standard input is not known")
                    .hint("say how many bytes will come with --size, as in --size 10G")
            })?;
            return Ok(ImageBytes::Stream(Box::new(Stream::stdin(size)?)));
        }
        Ok(ImageBytes::Disk(Arc::new(FileDisk::open(path)?)))
    }

    /// Reads the first bytes, [`format::HEAD`] of them if there are so many, and leaves them where they are.
    ///
    /// Of a stream this waits for whoever writes to it, on a thread of its own.
    async fn head(self) -> Result<(Self, Vec<u8>)> {
        let reading = tokio::task::spawn_blocking(move || match self {
            ImageBytes::Disk(disk) => {
                let mut head = Vec::new();
                if let Some(local) = disk.local() {
                    local.read_into(0, disk.info().size.min(format::HEAD as u64), &mut head)?;
                }
                Ok((ImageBytes::Disk(disk), head))
            }
            ImageBytes::Stream(stream) => {
                let (stream, head) = stream.head(format::HEAD)?;
                Ok((ImageBytes::Stream(Box::new(stream)), head))
            }
        });
        reading.await.unwrap_or_else(|_| Err(Error::new(Kind::Io, "reading the image failed")))
    }

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
    pub(super) fn disk(&self) -> Option<&Arc<dyn ReadAt>> {
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
    /// A file, a block device, or with `-` standard input, whose size has to be given. One that is no raw image by its
    /// first bytes is refused, unless `format` says that it is meant as it is.
    pub async fn open(path: &Path, size: Option<u64>, format: SourceFormat, stop: &Stop) -> Result<Self> {
        let name = if path.as_os_str() == "-" {
            "stdin".to_owned()
        } else {
            path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let mut bytes = ImageBytes::open(path, size)?;
        if format == SourceFormat::Auto {
            let head;
            (bytes, head) = stop.unless_asked(bytes.head()).await?;
            format::check(&head, path)?;
        }
        Ok(Self { bytes, name, from: path.display().to_string(), action: "upload" })
    }
}
