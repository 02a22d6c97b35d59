//! The journals of this machine, one file per transfer.

use super::replay::other_version;
use super::{Header, Replay, peek};
use crate::disk::PartRecord;
use crate::error::{Error, Kind, Result};
use std::fs::File;
use std::path::PathBuf;

/// The directory of journals.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

/// A resumable transfer.
#[derive(Debug)]
pub struct Entry {
    /// The id that `transfers show` and `transfers discard` take.
    pub id: String,
    /// The contents of its journal, or the reason why it cannot be read.
    pub replay: Result<Replay>,
    /// The version of its journal, if another version of diskferry wrote it.
    pub version: Option<u32>,
    /// Its journal.
    pub path: PathBuf,
    /// When it was last written to.
    pub modified: Option<std::time::SystemTime>,
}

/// A journal that no transfer uses while this exists.
#[derive(Debug)]
pub struct Held {
    _lock: Option<File>,
    path: PathBuf,
}

impl Held {
    /// Removes the journal.
    pub fn discard(self) -> Result<()> {
        std::fs::remove_file(&self.path)
            .map_err(|e| Error::io(format!("removing the journal {}", self.path.display()), e))
    }
}

impl Directory {
    /// Creates a handle. The directory itself is created with the first journal.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Returns the id of the transfer that a command describes. The same command finds its journal from any
    /// directory.
    ///
    /// Properties that may change between two runs (size, time, chunk size) are not part of the id. They are
    /// compared through the header, so that a change is reported instead of being taken for another transfer.
    pub fn id(header: &Header) -> String {
        let image = match &header.image {
            Some(crate::disk::Identity::File { path, .. } | crate::disk::Identity::Device { path, .. }) => {
                path.display().to_string()
            }
            Some(crate::disk::Identity::Image { path, member: None, .. }) => path.display().to_string(),
            // No path contains this byte.
            Some(crate::disk::Identity::Image { path, member: Some(member), .. }) => {
                format!("{}\0{member}", path.display())
            }
            // Streams are identified by the name of what is made from them.
            Some(crate::disk::Identity::Stream { .. }) => {
                format!("- {}", header.new_drive.as_ref().map_or("", |new| &new.name))
            }
            Some(crate::disk::Identity::Remote { account, object, .. }) => format!("{account} {object}"),
            None => String::new(),
        };
        let file = header.file.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
        let key = [&*header.action, &*header.remote, header.drive.as_deref().unwrap_or(""), &*image, &*file]
            .join("\0");
        crate::digest::hex(&blake3::hash(key.as_bytes()).as_bytes()[..6])
    }

    /// Returns the path of a journal and creates its directory.
    pub fn path(&self, id: &str) -> Result<PathBuf> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|e| Error::io(format!("cannot create the directory {}", self.0.display()), e))?;
        Ok(self.file(id))
    }

    fn file(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.journal"))
    }

    /// Returns all transfers, newest first.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io(format!("reading {}", self.0.display()), e)),
        };
        let mut all: Vec<Entry> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let id = path.file_name()?.to_str()?.strip_suffix(".journal")?.to_owned();
                let modified = std::fs::metadata(&path).and_then(|m| m.modified()).ok();
                let replay = peek(&path);
                let version = replay.as_ref().err().and_then(|_| other_version(&path));
                Some(Entry { id, replay, version, path, modified })
            })
            .collect();
        all.sort_by_key(|entry| std::cmp::Reverse(entry.modified));
        Ok(all)
    }

    /// Returns a transfer by its id or by a unique prefix of it.
    pub fn find(&self, id: &str) -> Result<Entry> {
        let mut found: Vec<Entry> = self.list()?.into_iter().filter(|e| e.id.starts_with(id)).collect();
        match (found.pop(), found.is_empty()) {
            (Some(entry), true) => Ok(entry),
            (Some(_), false) => Err(Error::usage(format!("more than one transfer begins with `{id}`"))
                .hint("`diskferry transfers list` lists them")),
            (None, _) => Err(Error::new(Kind::NotFound, format!("no interrupted transfer `{id}`"))
                .hint("`diskferry transfers list` lists them")),
        }
    }

    /// Returns the id of the transfer that `part` belongs to.
    pub fn owner(&self, part: PartRecord) -> Option<String> {
        let of = |entry: &Entry| entry.replay.as_ref().is_ok_and(|replay| replay.part == Some(part));
        self.list().ok()?.into_iter().find(of).map(|entry| entry.id)
    }

    /// Locks a journal, to be discarded.
    ///
    /// # Errors
    /// [`Kind::Locked`] if its transfer is running.
    pub fn hold(&self, id: &str) -> Result<Held> {
        let path = self.file(id);
        Ok(Held { _lock: super::open_locked(&path)?, path })
    }
}
