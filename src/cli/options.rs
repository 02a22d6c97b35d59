//! The options of every transfer.

use super::writing::ResumeOptions;
use crate::config::{self, Dirs};
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
use std::path::PathBuf;
use std::time::Duration;

/// The options of every transfer.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Transfer options")]
pub struct TransferOptions {
    /// Bytes moved by one request, 4k to 64M
    #[arg(long, value_name = "SIZE", default_value = "4M", value_parser = size)]
    pub chunk_size: u64,
    /// Requests in flight at a time, or auto
    #[arg(long, value_name = "auto|N", default_value = "auto", value_parser = concurrency)]
    pub concurrency: Concurrency,
    /// The most bytes a second over all connections, each way: 10M, or UP:DOWN as in 10M:1M, either of them left out for none
    #[arg(long, value_name = "RATE|UP:DOWN", value_parser = rates)]
    pub bwlimit: Option<Rates>,
    /// How much of an earlier run's work is proved again: a sample where nothing speaks against it (auto), nothing
    /// (trust), or everything (full)
    #[arg(long, value_name = "auto|trust|full", default_value = "auto", value_parser = parse::<Resume>)]
    pub resume: Resume,
    /// How much is read back and compared: none, sample (a hundredth and at least 8 chunks) or full
    #[arg(long, value_name = "none|sample|full", value_parser = parse::<Amount>)]
    pub verify: Option<Amount>,
    /// What to do about a drive that a server uses, or a device that is mounted for writing, whose bytes may be half old. By
    /// default writing to one and backing one up are refused, and reading one is warned of
    #[arg(long, value_name = "refuse|warn|ignore", value_parser = parse::<InUse>)]
    pub if_in_use: Option<InUse>,
    /// Show the plan and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write a page about the transfer to FILE when it ends, however it ends: rates, a map of the image, what failed
    #[arg(long, value_name = "FILE.html", conflicts_with = "dry_run")]
    pub report: Option<PathBuf>,
    /// Write the chunk digests to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// The digest of chunks: blake3 or sha256
    #[arg(long, value_name = "NAME", default_value = "blake3", value_parser = parse::<Algorithm>)]
    pub digest: Algorithm,
    /// Also compute the SHA-256 of the whole image, the same as sha256sum
    #[arg(long)]
    pub sha256: bool,
    /// How often a failed request is repeated
    #[arg(long, value_name = "N", default_value_t = crate::transport::retry::DEFAULT_RETRIES)]
    pub retries: u32,
    /// How long nothing may move on a connection before it is given up, as in 30s
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = timeout)]
    pub timeout: Duration,
}

/// Bytes a second, up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates(pub Option<u64>, pub Option<u64>);

/// Requests in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency(pub Option<usize>);

impl TransferOptions {
    /// What a job needs to know of them.
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

/// A value of a type that reads itself from text.
pub fn parse<T: std::str::FromStr<Err = Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(plain)
}

/// What a drive can hold: a format of the image there.
pub fn target_format(text: &str) -> Result<TargetFormat, String> {
    match text.parse() {
        Ok(format @ (TargetFormat::Raw | TargetFormat::Vhd)) => Ok(format),
        _ => Err(format!("expected raw or vhd, got `{text}`")),
    }
}

/// A size in bytes with an optional k, M, G or T.
pub fn size(text: &str) -> Result<u64, String> {
    config::value::parse_size(text).map_err(plain)
}

fn rate(text: &str) -> Result<u64, String> {
    match size(text)? {
        0 => Err("a limit of 0 would move nothing; leave the option out for no limit".to_owned()),
        rate => Ok(rate),
    }
}

fn rates(text: &str) -> Result<Rates, String> {
    let side = |text: &str| if text.is_empty() { Ok(None) } else { rate(text).map(Some) };
    match text.split_once(':') {
        None => rate(text).map(|both| Rates(Some(both), Some(both))),
        Some(("", "")) => Err("neither way has a limit: leave the option out".to_owned()),
        Some((up, down)) => Ok(Rates(side(up)?, side(down)?)),
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    match config::value::parse_duration(text).map_err(plain)? {
        Duration::ZERO => Err("a timeout of 0 would give up at once".to_owned()),
        timeout => Ok(timeout),
    }
}

fn concurrency(text: &str) -> Result<Concurrency, String> {
    match (text, text.parse::<usize>()) {
        ("auto", _) => Ok(Concurrency(None)),
        (_, Ok(n)) if (1..=crate::engine::MAX_CONCURRENCY).contains(&n) => Ok(Concurrency(Some(n))),
        _ => Err(format!("auto or a number from 1 to {} is meant", crate::engine::MAX_CONCURRENCY)),
    }
}

/// A `KEY=VALUE` pair.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, _)) if key.is_empty() || key.contains(char::is_whitespace) => {
            Err(format!("{key:?} cannot be a key"))
        }
        Some((_, value)) if value.contains('\n') => Err("a value has one line".to_owned()),
        Some((key, GIVE_AGAIN)) => {
            Err(format!("the value of {key} was hidden in the command that was shown: give it again"))
        }
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err("KEY=VALUE is meant".to_owned()),
    }
}

// Clap frames the message itself; a hint of ours would stand in the middle of it.
#[expect(clippy::needless_pass_by_value, reason = "it stands where an error is mapped")]
fn plain(error: Error) -> String {
    error.to_string()
}
