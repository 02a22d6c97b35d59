//! Records which members of a set are done, until all are.
//!
//! A member that is done keeps its journal. When the same command runs again, the journal says what was moved
//! and is checked like any other, so nothing is moved twice and nothing is taken on trust. The notes name
//! these journals, and once the whole set is done, the journals are removed with the notes. A torn line
//! counts as missing: the member's journal is then found by its own name.

use crate::error::{Error, Kind, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The most bytes of a set's notes that are read: enough for a hundred thousand members.
const LONGEST: u64 = 32 << 20;

/// The directory of sets' notes.
#[derive(Clone, Debug)]
pub struct SetDirectory(PathBuf);

/// The notes of one set. While this value exists, no other process on this machine runs the same set.
#[derive(Debug)]
pub struct SetNotes {
    path: PathBuf,
    file: File,
    /// The journals of members that are done, by key.
    done: BTreeMap<String, PathBuf>,
}

impl SetDirectory {
    /// Creates a handle. The directory itself is created with the first set.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Opens the notes of a set. `words` identify the set: the action, the selection, the destination and the
    /// shard.
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
            // The next note starts on a line of its own.
            file.write_all(b"\n").map_err(what)?;
        }
        let done = text.lines().filter_map(read_line).collect();
        Ok(SetNotes { path, file, done })
    }

    /// Returns how many members an earlier run recorded as done. Creates and locks nothing.
    pub fn peek(&self, words: &[String]) -> usize {
        read_notes(&self.path(words)).len()
    }

    /// Returns the journals of members that are done, of all sets that are not.
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
    /// Returns whether an earlier run recorded the member with this key as done.
    pub fn has(&self, key: &str) -> bool {
        self.done.contains_key(key)
    }

    /// Records that a member is done. `journal` lists its chunks.
    pub fn note(&mut self, key: &str, journal: &Path) -> Result<()> {
        let line = line_of(key, journal);
        let what = |e| Error::io(format!("writing {}", self.path.display()), e);
        self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data()).map_err(what)?;
        self.done.insert(key.to_owned(), journal.to_owned());
        Ok(())
    }

    /// Removes the members' journals, and then the notes. Call this once the whole set is done.
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

    /// Removes the notes if they are empty.
    pub fn leave(self) {
        if self.done.is_empty() {
            // An empty file that remains is harmless.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Returns a line of notes: a checksum, then the member's key and the journal as a JSON array.
fn line_of(key: &str, journal: &Path) -> String {
    let body = serde_json::json!([key, journal]).to_string();
    format!("{} {body}\n", checksum(&body))
}

/// Returns the notes in a file, without the lines that cannot be read.
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
    // A line must not make [`SetNotes::remove`] delete anything but a journal.
    (journal.extension()? == "journal").then_some((key, journal))
}

fn checksum(body: &str) -> String {
    crate::digest::hex(&blake3::hash(body.as_bytes()).as_bytes()[..8])
}
