//! Runs complete jobs, from a command's options to its result.
//!
//! A job opens the source and the destination, finds or starts the journal, announces its plan, moves the
//! chunks, compares them if that was asked for, and sums up. It accesses drives through a [`Store`] and
//! reports through the [`Context`].

pub mod appliance;
pub mod backup;
mod contents;
pub mod download;
pub mod migrate;
pub mod restore;
mod resumable;
pub mod set;
pub mod upload;
pub mod verify;
mod vhd;

use crate::digest::Algorithm;
use crate::disk::store::{Facts, Store};
use crate::disk::{LocalRead, ReadAt};
use crate::engine::compare::Amount;
use crate::engine::ledger::Ledger;
use crate::engine::resume::Resume;
use crate::engine::{Context, InUse};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Plan, Summary};
use crate::journal::{Claim, ContentsDirectory, Destinations, Directory, Journal};
use crate::manifest::Manifest;
use set::SetDirectory;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// A remote, as the source or destination of a job.
#[derive(Clone)]
pub struct RemoteStore {
    /// The remote's name.
    pub remote: String,
    /// The remote's address and user, or `local`.
    pub account: String,
    /// The disks of the remote.
    pub store: Arc<dyn Store>,
}

impl RemoteStore {
    /// Returns the name of a disk in messages.
    fn called(&self, disk: &str) -> String {
        format!("{} {disk}", self.store.info().noun)
    }
}

/// The settings that all jobs share.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[derive(Clone, Debug)]
pub struct Settings {
    /// The chunk size in bytes; the default is [`DEFAULT_CHUNK_SIZE`].
    pub chunk_size: u64,
    /// The algorithm of chunk digests.
    pub digest: Algorithm,
    /// Whether to compute the SHA-256 of the whole image.
    pub sha256: bool,
    /// How much of the image to read back and compare.
    pub verify: Amount,
    /// Whether to ignore the journal of an earlier run.
    pub restart: bool,
    /// What to do if the image changed since an interrupted run.
    pub on_change: OnChange,
    /// How thoroughly to check what an earlier run wrote.
    pub resume: Resume,
    /// Whether to stop after the plan.
    pub dry_run: bool,
    /// Whether to keep the journal after the transfer. A set keeps the journals of its members until all
    /// members are done.
    pub keeps_journal: bool,
    /// Where to write a manifest, if anywhere.
    pub manifest: Option<PathBuf>,
    /// The directory of journals.
    pub journals: Directory,
    /// The directory that records which runs on this machine write to which destination.
    pub destinations: Destinations,
    /// The directory of records of what disks hold, as the last transfers left them.
    pub contents: ContentsDirectory,
    /// The directory of notes on unfinished sets.
    pub sets: SetDirectory,
    /// The command in shell syntax, as `transfers` shows it.
    pub command: String,
    /// The directory to which relative paths in `command` refer.
    pub directory: PathBuf,
}

/// What to do if the image changed since an interrupted run, so that the chunks sent by that run are of no
/// use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnChange {
    /// Fail.
    #[default]
    Refuse,
    /// Start over.
    Restart,
}

impl std::str::FromStr for OnChange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "refuse" => Ok(OnChange::Refuse),
            "restart" => Ok(OnChange::Restart),
            _ => Err(Error::usage(format!("expected `refuse` or `restart`, got `{text}`"))),
        }
    }
}

/// The default chunk size: 4 MiB.
///
/// This is the most that Crosspeer and CloudSigma let one read request (Crosspeer API, "Read binary data from
/// a drive": "SIZE may not exceed 4MB"), and what the vendors' own tools use.
pub const DEFAULT_CHUNK_SIZE: u64 = 4 << 20;

/// The smallest chunk size in bytes. Below it, a request costs more than the bytes in it.
pub const MIN_CHUNK_SIZE: u64 = 4 << 10;

/// The largest chunk size in bytes. A few chunks of this size fill the memory budget.
pub const MAX_CHUNK_SIZE: u64 = 64 << 20;

impl Settings {
    /// Creates settings with the defaults of the command line, and with their state in `state`, a directory
    /// that belongs to one user.
    pub fn new(state: &Path) -> Self {
        Self {
            chunk_size: DEFAULT_CHUNK_SIZE,
            digest: Algorithm::default(),
            sha256: false,
            verify: Amount::default(),
            restart: false,
            on_change: OnChange::default(),
            resume: Resume::default(),
            dry_run: false,
            keeps_journal: false,
            manifest: None,
            journals: Directory::new(state.join("transfers")),
            destinations: Destinations::new(state.join("destinations")),
            contents: ContentsDirectory::new(state.join("contents")),
            sets: SetDirectory::new(state.join("sets")),
            command: String::new(),
            directory: PathBuf::new(),
        }
    }

    /// Returns the command that starts over, in backticks.
    fn restarting(&self) -> String {
        match &*self.command {
            "" => "`--restart`".to_owned(),
            command => format!("`{command} --restart`"),
        }
    }

    /// Refuses settings that are known to be invalid before the job starts.
    pub fn check(&self) -> Result<()> {
        if !(MIN_CHUNK_SIZE..=MAX_CHUNK_SIZE).contains(&self.chunk_size) {
            return Err(Error::usage(format!("a chunk size of {} bytes is out of range", self.chunk_size))
                .hint("choose one from 4k to 64M"));
        }
        if let Some(manifest) = &self.manifest {
            let dir = manifest.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !dir.is_dir() {
                return Err(Error::new(
                    Kind::Io,
                    format!("cannot write the manifest {}: no such directory", manifest.display()),
                ));
            }
        }
        Ok(())
    }
}

/// A completed transfer.
///
/// Its journal still exists: if the result cannot be reported, the next run can report it.
#[must_use = "the journal goes with `commit`"]
pub struct Done<T> {
    /// The result of the transfer.
    pub result: T,
    journal: Option<Journal>,
    /// The lock on the destination.
    claim: Option<Claim>,
}

impl<T> Done<T> {
    fn new(result: T, journal: Option<Journal>, claim: Option<Claim>) -> Self {
        Self { result, journal, claim }
    }

    /// Ends the transfer without removing the journal, and returns the journal's path. Members of a set use
    /// this: their results may be checked again until the whole set is done.
    pub fn keep(self) -> Option<PathBuf> {
        self.journal.map(|journal| journal.path().to_owned())
    }

    /// Releases the lock on the destination before the journal is removed, for a later step that needs the
    /// lock.
    pub fn release(&mut self) {
        self.claim = None;
    }

    /// Removes the journal. Call this once the result has been reported.
    pub fn commit(self) -> Result<()> {
        let removed = self.journal.map_or(Ok(()), Journal::remove);
        drop(self.claim);
        removed
    }
}

/// How long to wait for a lock that another run holds.
///
/// A stopped run takes up to three seconds to settle what is in flight, and a killed run takes a moment to
/// exit. With this wait, a person, a service manager or a scheduler can start the same command again at once
/// without being refused.
const STILL_ENDING: Duration = Duration::from_secs(5);

/// Calls `take` until the lock that it takes is free, for at most [`STILL_ENDING`].
///
/// # Errors
/// [`Kind::Locked`] if the other run still holds the lock then.
pub async fn once_free<T>(context: &Context, mut take: impl FnMut() -> Result<T>) -> Result<T> {
    let until = tokio::time::Instant::now() + STILL_ENDING;
    let mut said = false;
    loop {
        match take() {
            Err(error) if error.kind() == Kind::Locked && tokio::time::Instant::now() < until => {
                if !std::mem::replace(&mut said, true) {
                    (context.observer)(&Event::Note(format!("{error}; waiting for it to end")));
                }
            }
            taken => return taken,
        }
        let pause = async {
            tokio::time::sleep(LOOK_AGAIN).await;
            Ok(())
        };
        context.stop.unless_asked(pause).await?;
    }
}

/// The pause between two attempts to take a lock.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How a transfer accesses a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

/// Returns the properties of a disk that is about to be read or written.
///
/// # Errors
/// [`Kind::Busy`] if it cannot be used now, [`Kind::InUse`] if it is in use and that is refused.
async fn usable(disk: &str, access: Access, far: &RemoteStore, context: &Context) -> Result<Facts> {
    let facts = far.store.facts(disk).await?;
    let what = far.called(&facts.disk);
    if let Some(why) = &facts.busy {
        return Err(Error::new(Kind::Busy, format!("{what} is busy: {why}"))
            .hint("run the same command again once that is over"));
    }
    let Some(users) = &facts.in_use else { return Ok(facts) };
    let release = match users.servers() {
        [] => format!("release the {}", far.store.info().noun),
        servers => {
            let stops: Vec<String> = servers
                .iter()
                .map(|server| format!("`diskferry server stop {}:{server}`", far.remote))
                .collect();
            format!("stop the server with {}", stops.join(" and "))
        }
    };
    check_in_use(&what, &users.to_string(), access, &release, context)?;
    Ok(facts)
}

/// Refuses an image on a device that this machine uses, or warns about it, as the user chose.
fn check_device(disk: Option<&Arc<dyn ReadAt>>, context: &Context) -> Result<()> {
    let Some(disk) = disk else { return Ok(()) };
    match disk.local().and_then(LocalRead::users) {
        Some(users) => {
            let release = "unmount it, or transfer a snapshot of it";
            check_in_use(&disk.info().name, &users, Access::Read, release, context)
        }
        None => Ok(()),
    }
}

/// Refuses a disk that is in use, or warns about it, as the user chose. `release` says how to free the disk.
fn check_in_use(what: &str, users: &str, access: Access, release: &str, context: &Context) -> Result<()> {
    let default = match access {
        Access::Read => InUse::Warn,
        Access::Write => InUse::Refuse,
    };
    let (risk, go_on) = match access {
        Access::Read => ("the copy may be half old", "copies it while it is in use"),
        Access::Write => ("what is written may be overwritten", "writes to it while it is in use"),
    };
    match context.in_use.unwrap_or(default) {
        InUse::Refuse => {
            return Err(Error::new(Kind::InUse, format!("{what} is in use by {users}: {risk}"))
                .hint(format!("{release}; or `--if-in-use warn` {go_on}")));
        }
        InUse::Warn => (context.observer)(&Event::InUse(format!("{what} is in use by {users}: {risk}"))),
        InUse::Ignore => {}
    }
    Ok(())
}

/// Fails if a disk reports that it changed since it was opened.
async fn check_unchanged(disk: &dyn ReadAt, context: &Context) -> Result<()> {
    if let Some(local) = disk.local() {
        return local.check_unchanged();
    }
    let what = format!("asking for {}", disk.info().name);
    let changed = context.retry.run(&what, None, async || disk.changed().await).await?;
    changed.map_or(Ok(()), Err)
}

/// Returns the digest for the summary and its kind: that of the whole image or that over all chunk digests.
fn digest_of(ledger: &Ledger, sha256: Option<&str>) -> (String, String) {
    match sha256 {
        Some(hex) => (hex.to_owned(), "sha256".to_owned()),
        None => (ledger.digest().to_string(), format!("{}-chunks", ledger.algorithm())),
    }
}

/// Writes the manifest, if the settings ask for one.
fn write_manifest(settings: &Settings, ledger: &Ledger, sha256: Option<String>) -> Result<()> {
    match &settings.manifest {
        Some(path) => Manifest::new(ledger.geometry(), settings.digest, ledger, sha256).write(path),
        None => Ok(()),
    }
}

/// Returns the summary fields that are the same for every job.
fn summary(drive: &str, ledger: &Ledger, sha256: Option<&str>, context: &Context, start: Instant) -> Summary {
    let meters = &context.meters;
    let elapsed = start.elapsed();
    let (digest, digest_kind) = digest_of(ledger, sha256);
    Summary {
        drive: drive.to_owned(),
        size: ledger.geometry().image_size(),
        chunk_size: ledger.geometry().chunk_size(),
        chunks_total: ledger.geometry().chunks(),
        bytes_wire: meters.wire.load(Relaxed),
        retries: meters.retries.load(Relaxed),
        elapsed_s: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        digest,
        digest_kind,
        limited_by: meters.limited_by(elapsed),
        ..Summary::default()
    }
}

/// Announces the plan to the observer.
fn announce(plan: Plan, context: &Context) {
    (context.observer)(&Event::Plan(Box::new(plan)));
}
