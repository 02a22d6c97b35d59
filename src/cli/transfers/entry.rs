//! What is known of an interrupted transfer.

use crate::chunk::Geometry;
use crate::cli::signals::quoted;
use crate::cli::words::recorded;
use crate::digest::Algorithm;
use crate::disk::file::PartFile;
use crate::disk::{Identity, PartRecord};
use crate::engine::ledger::Ledger;
use crate::error::Error;
use crate::job::set::SetDirectory;
use crate::journal::directory::Entry;
use crate::journal::{Header, Replay};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// What there is to know beside the journals.
#[derive(Default)]
pub(super) struct Known {
    /// The journals of members that are done, of sets that are not.
    of_sets: BTreeSet<PathBuf>,
}

/// An interrupted transfer.
pub(super) struct Transfer<'e> {
    pub(super) entry: &'e Entry,
    /// How far it has come, or why its journal cannot be read.
    pub(super) progress: Result<Progress<'e>, &'e Error>,
    is_kept: bool,
}

/// How far a transfer has come.
pub(super) struct Progress<'e> {
    replay: &'e Replay,
    ledger: Ledger,
}

impl Known {
    pub(super) fn new(sets: &SetDirectory) -> Self {
        Self { of_sets: sets.journals() }
    }

    pub(super) fn transfer<'e>(&self, entry: &'e Entry) -> Transfer<'e> {
        let is_kept = self.of_sets.contains(&entry.path);
        Transfer { entry, progress: entry.replay.as_ref().map(Progress::new), is_kept }
    }
}

impl Transfer<'_> {
    /// The state, in a word or two.
    pub(super) fn state(&self) -> String {
        match (&self.progress, self.entry.version) {
            (Ok(_), _) if self.is_kept => "done, set unfinished".to_owned(),
            (Ok(progress), _) => format!("{}%", progress.percent()),
            (Err(_), Some(version)) => format!("version {version}"),
            (Err(_), None) => "unreadable".to_owned(),
        }
    }
}

impl<'e> Progress<'e> {
    fn new(replay: &'e Replay) -> Self {
        let header = &replay.header;
        let geometry = Geometry::new(header.size, header.chunk_size);
        let mut ledger = Ledger::new(geometry, header.digest.parse().unwrap_or(Algorithm::Blake3));
        ledger.fill(&replay.acked);
        Self { replay, ledger }
    }

    pub(super) fn header(&self) -> &Header {
        &self.replay.header
    }

    /// How many chunks are done, and how many there are.
    pub(super) fn chunks(&self) -> (u64, u64) {
        (self.ledger.settled(), self.ledger.geometry().chunks())
    }

    fn percent(&self) -> u64 {
        self.ledger.settled_bytes() * 100 / self.header().size.max(1)
    }

    pub(super) fn drive(&self) -> Option<String> {
        let made = self.replay.drive.as_ref().map(|record| &record.drive);
        made.or(self.header().drive.as_ref()).cloned()
    }

    /// The temporary file of a download, and what it is known by.
    pub(super) fn part(&self) -> Option<(PathBuf, PartRecord)> {
        let path = PartFile::path_of(self.header().file.as_deref()?);
        let record = self.replay.part?;
        path.exists().then_some((path, record))
    }

    pub(super) fn reads_stdin(&self) -> bool {
        matches!(self.header().image, Some(Identity::Stream { .. }))
    }

    /// The command as it was given, without secrets.
    pub(super) fn command(&self) -> String {
        recorded(&self.header().command)
    }

    /// A command that resumes the transfer from any directory.
    pub(super) fn resume(&self) -> String {
        let (command, directory) = (self.command(), &self.header().directory);
        match directory.to_str() {
            Some(directory) if !directory.is_empty() => format!("(cd {} && {command})", quoted(directory)),
            _ => command,
        }
    }

    /// Both ends, in words.
    pub(super) fn ends(&self) -> (String, String) {
        let header = self.header();
        let remote = format!("{}:{}", header.remote, self.drive().unwrap_or_default());
        let file = header.file.as_ref().map(|file| file.display().to_string());
        match (&header.image, file) {
            (
                Some(
                    Identity::File { path, .. }
                    | Identity::Device { path, .. }
                    | Identity::Image { path, .. },
                ),
                _,
            ) => (path.display().to_string(), remote),
            (Some(Identity::Stream { .. }), _) => ("-".to_owned(), remote),
            (Some(Identity::Remote { object, .. }), file) => (object.clone(), file.unwrap_or(remote)),
            (None, file) => (remote, file.unwrap_or_default()),
        }
    }
}

/// How long ago, in the largest unit that fits.
pub(super) fn age(then: Option<SystemTime>) -> String {
    let ago = then.and_then(|then| then.elapsed().ok()).unwrap_or(Duration::ZERO).as_secs();
    let (n, unit) = match ago {
        0..60 => (ago, "s"),
        60..3600 => (ago / 60, "m"),
        3600..86_400 => (ago / 3600, "h"),
        _ => (ago / 86_400, "d"),
    };
    format!("{n}{unit} ago")
}
