//! The options of every transfer.

use super::writing::ResumeOptions;
use crate::config::{self, Dirs, Target};
use crate::digest::Algorithm;
use crate::disk::format::TargetFormat;
use crate::engine::InUse;
use crate::engine::compare::Amount;
use crate::engine::resume::Resume;
use crate::error::{Error, Result};
use crate::job::set::SetDirectory;
use crate::job::{DEFAULT_CHUNK_SIZE, Settings};
use crate::journal::{ContentsDirectory, Destinations, Directory};
use crate::provider::catalogue::secret::GIVE_AGAIN;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use std::path::PathBuf;
use std::time::Duration;

/// The options of every transfer.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Transfer options")]
pub struct TransferOptions {
    /// Read back and compare: nothing, a hundredth and at least 8 chunks, or all
    #[arg(long, value_name = "none|sample|full", value_parser = parse::<Amount>)]
    pub verify: Option<Amount>,
    /// Show the plan and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The most bytes a second over all connections
    ///
    /// One rate for each way, as in `10M`, or UP:DOWN, as in `10M:1M`.
    #[arg(long, value_name = "RATE|UP:DOWN", value_parser = rates)]
    pub bwlimit: Option<Rates>,
    /// Requests in flight at a time
    #[arg(long, value_name = "auto|N", default_value = "auto", value_parser = concurrency)]
    pub concurrency: Concurrency,
    /// Bytes moved by one request, from 4k to 64M
    #[arg(long, value_name = "SIZE", default_value = "4M", value_parser = size)]
    pub chunk_size: u64,
    /// Prove an earlier run's work again: a sample, nothing, or everything
    ///
    /// `auto` compares everything where something speaks against the sample.
    #[arg(long, value_name = "auto|trust|full", default_value = "auto", value_parser = parse::<Resume>)]
    pub resume: Resume,
    /// What to do about a drive or device in use, whose bytes may be half old
    ///
    /// By default backing one up and writing to one are refused, and reading one warns.
    #[arg(long, value_name = "refuse|warn|ignore", value_parser = parse::<InUse>)]
    pub if_in_use: Option<InUse>,
    /// Write a page about the transfer, however it ends
    #[arg(long, value_name = "FILE.html", conflicts_with = "dry_run")]
    pub report: Option<PathBuf>,
    /// Write the chunk digests to FILE, as JSON
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub manifest: Option<PathBuf>,
    /// The digest of chunks
    #[arg(long, value_name = "blake3|sha256", default_value = "blake3", value_parser = parse::<Algorithm>)]
    pub digest: Algorithm,
    /// Compute the SHA-256 of the whole image too
    #[arg(long)]
    pub sha256: bool,
    /// How often to repeat a failed request
    #[arg(long, value_name = "N", default_value_t = crate::transport::retry::DEFAULT_RETRIES)]
    pub retries: u32,
    /// Give a connection up after so long without progress
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
}

/// Limits in bytes a second, up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates(pub Option<u64>, pub Option<u64>);

/// The number of requests in flight; `None` for as many as pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency(pub Option<usize>);

impl TransferOptions {
    /// Returns the settings of a job.
    pub fn settings(&self, resume: ResumeOptions, dirs: &Dirs) -> Settings {
        Settings {
            chunk_size: self.chunk_size,
            digest: self.digest,
            sha256: self.sha256,
            verify: self.verify.unwrap_or_default(),
            restart: resume.restart,
            on_change: resume.on_change,
            dry_run: self.dry_run,
            keeps_journal: false,
            manifest: self.manifest.clone(),
            resume: self.resume,
            journals: Directory::new(dirs.transfers()),
            destinations: Destinations::new(dirs.destinations()),
            contents: ContentsDirectory::new(dirs.contents()),
            sets: SetDirectory::new(dirs.sets()),
            command: super::signals::command_line(),
            directory: std::env::current_dir().unwrap_or_default(),
        }
    }
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self {
            chunk_size: DEFAULT_CHUNK_SIZE,
            concurrency: Concurrency(None),
            bwlimit: None,
            verify: None,
            if_in_use: None,
            resume: Resume::default(),
            dry_run: false,
            report: None,
            manifest: None,
            digest: Algorithm::default(),
            sha256: false,
            retries: crate::transport::retry::DEFAULT_RETRIES,
            timeout: crate::transport::client::DEFAULT_IDLE,
        }
    }
}

/// Parses a value of a type that reads itself from text.
pub fn parse<T: std::str::FromStr<Err = Error>>(text: &str) -> Result<T> {
    text.parse()
}

/// Parses what a drive can hold: a format of the image there.
pub fn target_format(text: &str) -> Result<TargetFormat> {
    match text.parse() {
        Ok(format @ (TargetFormat::Raw | TargetFormat::Vhd)) => Ok(format),
        _ => Err(Error::usage(format!("expected raw or vhd, got `{text}`"))
            .hint("a drive holds raw bytes, or a fixed VHD")),
    }
}

/// Parses a size in bytes with an optional unit.
pub fn size(text: &str) -> Result<u64> {
    config::value::parse_size(text)
}

/// Parses an image: a file, a block device, or `-`. The name of a remote is refused, unless a file has it.
pub fn image() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|word| {
        let path = PathBuf::from(word);
        match path.to_str() {
            Some(text) if Target::is_target(text) && !path.exists() => {
                Err(Error::usage(format!("expected an image, got the remote `{text}`"))
                    .hint("the image comes first, as in `diskferry upload disk.img oh:`"))
            }
            _ => Ok(path),
        }
    })
}

/// Parses a duration that is not zero.
pub fn duration(text: &str) -> Result<Duration> {
    match config::value::parse_duration(text)? {
        Duration::ZERO => Err(Error::usage("a duration of 0 would end before anything can happen")
            .hint("write a longer one, as in `30s`")),
        duration => Ok(duration),
    }
}

/// Parses a `KEY=VALUE` pair.
pub fn pair(text: &str) -> Result<(String, String)> {
    let form = "the form is KEY=VALUE, as in `tags=web`";
    match text.split_once('=') {
        Some((key, _)) if key.is_empty() || key.contains(char::is_whitespace) => {
            Err(Error::usage(format!("`{key}` cannot be a key")).hint(form))
        }
        Some((key, value)) if value.contains('\n') => {
            Err(Error::usage(format!("the value of `{key}` has more than one line")).hint(form))
        }
        Some((key, GIVE_AGAIN)) => {
            Err(Error::usage(format!("the value of `{key}` was hidden in the command that was shown"))
                .hint("give it again: a command that is shown has no secrets"))
        }
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(Error::usage(format!("expected KEY=VALUE, got `{text}`")).hint(form)),
    }
}

fn rate(text: &str) -> Result<u64> {
    match size(text)? {
        0 => Err(Error::usage("a limit of 0 bytes a second would move nothing")
            .hint("leave `--bwlimit` out for no limit")),
        rate => Ok(rate),
    }
}

fn rates(text: &str) -> Result<Rates> {
    let side = |text: &str| if text.is_empty() { Ok(None) } else { rate(text).map(Some) };
    match text.split_once(':') {
        None => rate(text).map(|both| Rates(Some(both), Some(both))),
        Some(("", "")) => Err(Error::usage("no limit is given, neither up nor down")
            .hint("write UP:DOWN, as in `--bwlimit 10M:1M`, or leave one side out")),
        Some((up, down)) => Ok(Rates(side(up)?, side(down)?)),
    }
}

fn concurrency(text: &str) -> Result<Concurrency> {
    const MOST: usize = crate::engine::MAX_CONCURRENCY;
    match (text, text.parse::<usize>()) {
        ("auto", _) => Ok(Concurrency(None)),
        (_, Ok(n)) if (1..=MOST).contains(&n) => Ok(Concurrency(Some(n))),
        _ => Err(Error::usage(format!("expected `auto` or a number from 1 to {MOST}, got `{text}`"))
            .hint("`--concurrency auto` finds out how many requests pay")),
    }
}
