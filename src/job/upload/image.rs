//! What an upload reads, and how it treats zeros.

use super::Origin;
use crate::error::{Error, Result};
use crate::journal::DriveRecord;
use crate::source::Source;
use crate::source::format::{self, SourceFormat};
use crate::stop::Stop;
use std::path::Path;

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
            (Zeros::Write, _) => "write",
            (Zeros::Auto, Some(record)) if record.skip_zeros => "skip",
            (Zeros::Auto, Some(_)) => "write",
            (Zeros::Auto, None) if exists => "write",
            (Zeros::Auto, None) => "probe",
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
    pub source: Source,
    /// What a drive that is made of it is called.
    pub name: String,
    /// What it is called in a plan.
    pub from: String,
    /// What moving it is called: `upload` or `migrate`.
    pub action: &'static str,
    /// The drive that it is, if it is one.
    pub origin: Option<Origin>,
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
        let mut source = Source::open(path, size)?;
        if format == SourceFormat::Auto {
            let head;
            (source, head) = stop.unless_asked(source.head()).await?;
            format::check(&head, path)?;
        }
        Ok(Self { source, name, from: path.display().to_string(), action: "upload", origin: None })
    }
}
