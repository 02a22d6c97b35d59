//! Which members of a set are done, until all are.
//!
//! A member that is done keeps its journal: when the same command runs again, that says what was moved and is proved like any
//! other, so that nothing is moved twice and nothing is believed. The notes name these journals, and once the whole set is done
//! they are removed with it. A line that is torn is as good as none: the member's journal is then found by its own name.

use crate::error::{Error, Kind, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The most that is read of a set's notes: a hundred thousand members.
const LONGEST: u64 = 32 << 20;

/// Where the notes of sets are kept.
#[derive(Clone, Debug)]
pub struct SetDirectory(PathBuf);

/// The notes of one set. Nobody else runs the same set on this machine while this exists.
#[derive(Debug)]
pub struct SetNotes {
    path: PathBuf,
    file: File,
    /// The journals of members that are done, by the members' keys.
    done: BTreeMap<String, PathBuf>,
}

impl SetDirectory {
    /// A directory; it is made when the first set is.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Opens the notes of the set that `words` tell from every other: the action, what was selected, where it goes, the shard.
    ///
    /// # Errors
    /// [`Kind::Locked`] if another process runs the same set.
    pub fn open(&self, words: &[String]) -> Result<SetNotes> {
        let what = |e| Error::io(format!("opening the notes of the set in {}", self.0.display()), e);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(what)?;
        let path = self.path(words);
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(&path).map_err(what)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Error::new(Kind::Locked, "another diskferry is running the same set")
                    .hint("wait for it to end, or stop it, then run this command again"));
            }
            Err(std::fs::TryLockError::Error(e)) => return Err(what(e)),
        }
        let mut text = Vec::new();
        (&mut file).take(LONGEST).read_to_end(&mut text).map_err(what)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        if !text.is_empty() && !text.ends_with('\n') {
            // What is noted next has a line of its own.
            file.write_all(b"\n").map_err(what)?;
        }
        let done = text.lines().filter_map(read_line).collect();
        Ok(SetNotes { path, file, done })
    }

    /// How many members of a set an earlier run has noted as done; nothing is made or locked.
    pub fn peek(&self, words: &[String]) -> usize {
        read_notes(&self.path(words)).len()
    }

    /// The journals of members that are done, of all sets that are not.
    pub fn journals(&self) -> BTreeSet<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.0) else { return BTreeSet::new() };
        let notes = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let notes = notes.filter(|path| path.extension().is_some_and(|ending| ending == "set"));
        notes.flat_map(|path| read_notes(&path)).map(|(_, journal)| journal).collect()
    }

    fn path(&self, words: &[String]) -> PathBuf {
        let hash = blake3::hash(words.join("\0").as_bytes());
        self.0.join(format!("{}.set", crate::digest::hex(&hash.as_bytes()[..8])))
    }
}

impl SetNotes {
    /// Whether an earlier run has noted the member of this key as done.
    pub fn has(&self, key: &str) -> bool {
        self.done.contains_key(key)
    }

    /// Notes that a member is done; `journal` is what says of what it consists.
    pub fn note(&mut self, key: &str, journal: &Path) -> Result<()> {
        let line = line_of(key, journal);
        let what = |e| Error::io(format!("writing {}", self.path.display()), e);
        self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()).map_err(what)?;
        self.done.insert(key.to_owned(), journal.to_owned());
        Ok(())
    }

    /// The whole set is done: removes the members' journals, and then the notes.
    pub fn remove(self) -> Result<()> {
        for journal in self.done.values() {
            match std::fs::remove_file(journal) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io(format!("removing {}", journal.display()), e));
                }
                _ => {}
            }
        }
        std::fs::remove_file(&self.path)
            .map_err(|e| Error::io(format!("removing {}", self.path.display()), e))
    }

    /// Nothing was done: leaves no file behind that has nothing in it.
    pub fn leave(self) {
        if self.done.is_empty() {
            // One that stays costs nothing but its name.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// A checksum, the member's key and the journal, as JSON strings.
fn line_of(key: &str, journal: &Path) -> String {
    let body = serde_json::json!([key, journal]).to_string();
    format!("{} {body}\n", checksum(&body))
}

/// The notes in a file, as far as they can be read.
fn read_notes(path: &Path) -> BTreeMap<String, PathBuf> {
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut text));
    if read.is_err() {
        return BTreeMap::new();
    }
    String::from_utf8_lossy(&text).lines().filter_map(read_line).collect()
}

fn read_line(line: &str) -> Option<(String, PathBuf)> {
    let (sum, body) = line.split_once(' ')?;
    if sum != checksum(body) {
        return None;
    }
    let (key, journal): (String, PathBuf) = serde_json::from_str(body).ok()?;
    // A line of the notes removes nothing but a journal.
    (journal.extension()? == "journal").then_some((key, journal))
}

fn checksum(body: &str) -> String {
    crate::digest::hex(&blake3::hash(body.as_bytes()).as_bytes()[..8])
}
