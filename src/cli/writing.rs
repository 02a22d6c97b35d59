//! The options that several of the transfer commands share: resuming, and writing to a drive.

use super::options::{pair, parse, size};
use crate::engine::encode::codec::Compression;
use crate::error::{Error, Result};
use crate::job::OnChange;
use crate::job::upload::{Delta, Upload, Zeros};
use clap::Args;

/// Whether an interrupted run is resumed.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct ResumeOptions {
    /// Start over, ignoring what an interrupted run did
    #[arg(long)]
    pub restart: bool,
    /// What to do if the source changed since the interrupted run
    #[arg(long, value_name = "refuse|restart", default_value = "refuse", value_parser = parse::<OnChange>)]
    pub on_change: OnChange,
}

/// How a drive is written.
#[derive(Clone, Debug, Args)]
pub struct WriteOptions {
    /// How to compress chunks: auto, none, or a level from 1 (fast) to 12 (small)
    #[arg(long, value_name = "auto|none|1..12", default_value = "auto", value_parser = parse::<Compression>)]
    pub compress: Compression,
    /// How to write chunks of zeros: skip them where a new drive reads as zero (auto), always skip, or always write
    #[arg(long, value_name = "auto|skip|write", default_value = "auto", value_parser = parse::<Zeros>)]
    pub zeros: Zeros,
    /// Destroy without asking the drive that starting over leaves unused
    #[arg(long)]
    pub yes: bool,
}

/// What a new drive is made with.
#[derive(Clone, Debug, Args)]
pub struct NewDriveOptions {
    /// Name of the new drive [default: that of the source]
    #[arg(long)]
    pub name: Option<String>,
    /// Size of the new drive, and of standard input
    #[arg(long, value_parser = size)]
    pub size: Option<u64>,
    /// Another key of the new drive, such as tags; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    pub keys: Vec<(String, String)>,
}

impl NewDriveOptions {
    /// Refuses options that have no meaning for a drive that exists.
    pub fn refuse_for_existing(&self) -> Result<()> {
        let option = match self {
            Self { name: Some(_), .. } => "--name",
            Self { keys, .. } if !keys.is_empty() => "--set",
            _ => return Ok(()),
        };
        Err(Error::usage(format!("`{option}` is for a new drive, and an existing one is named"))
            .hint("leave the drive out to have one made: `REMOTE:`"))
    }

    /// The upload to `drive`, or to a new drive.
    pub fn upload(&self, drive: Option<String>, write: &WriteOptions, delta: Delta) -> Upload {
        Upload {
            drive,
            name: self.name.clone(),
            size: self.size,
            keys: self.keys.clone(),
            compression: write.compress,
            zeros: write.zeros,
            delta,
        }
    }
}
