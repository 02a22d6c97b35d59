//! State in JSON files that several emulators may use at the same time.
//!
//! The file is authoritative: it is read again when it has changed, and is changed under a file lock. Memory
//! is only a cache. Time passes only on access: what has ended by then is settled before the state is
//! returned.

use super::clock::now;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// State that changes as time passes.
pub(super) trait Settle {
    /// What settling needs.
    type Context;

    /// Returns whether something has ended that the state does not show yet.
    fn is_due(&self, context: &Self::Context, now: u64) -> bool;

    /// Brings the state up to a time, in microseconds since the epoch.
    fn settle(&mut self, context: &Self::Context, now: u64) -> io::Result<()>;
}

/// A value in a file. It is the default until the file exists.
#[derive(Debug)]
pub(super) struct Store<T: Settle> {
    path: PathBuf,
    context: T::Context,
    known: Mutex<Option<(Arc<T>, Option<Stamp>)>>,
}

impl<T: Settle + Clone + Default + Serialize + for<'a> Deserialize<'a>> Store<T> {
    /// Opens a file, creating its directory if needed.
    pub(super) fn open(path: PathBuf, context: T::Context) -> io::Result<Self> {
        make_dir(path.parent().unwrap_or(Path::new(".")))?;
        Ok(Store { path, context, known: Mutex::default() })
    }

    pub(super) fn context(&self) -> &T::Context {
        &self.context
    }

    /// Returns the current state.
    pub(super) fn read(&self) -> io::Result<Arc<T>> {
        let (state, stamp) = self.load()?;
        if !state.is_due(&self.context, now()) {
            return Ok(state);
        }
        let mut settled = T::clone(&state);
        settled.settle(&self.context, now())?;
        let settled = Arc::new(settled);
        *self.known() = Some((Arc::clone(&settled), stamp));
        Ok(settled)
    }

    /// Changes the state. If the change is refused, nothing changes.
    pub(super) fn change<R, E: From<io::Error>>(
        &self,
        change: impl FnOnce(&mut T, u64) -> Result<R, E>,
    ) -> Result<R, E> {
        let _lock = lock(&self.path.with_extension("lock"))?;
        let mut state = T::clone(&*self.load()?.0);
        let now = now();
        state.settle(&self.context, now)?;
        let outcome = change(&mut state, now)?;
        state.settle(&self.context, now)?;
        let stamp = store(&self.path, &state)?;
        *self.known() = Some((Arc::new(state), Some(stamp)));
        Ok(outcome)
    }

    fn known(&self) -> MutexGuard<'_, Option<(Arc<T>, Option<Stamp>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self) -> io::Result<(Arc<T>, Option<Stamp>)> {
        let stamp = unless_missing(Stamp::now(&self.path))?;
        if let Some((state, known)) = &*self.known()
            && *known == stamp
        {
            return Ok((Arc::clone(state), stamp));
        }
        let loaded = unless_missing(load(&self.path))?;
        let (mut state, stamp) =
            loaded.map_or_else(|| (T::default(), None), |(state, stamp)| (state, Some(stamp)));
        state.settle(&self.context, now())?;
        let state = Arc::new(state);
        *self.known() = Some((Arc::clone(&state), stamp));
        Ok((state, stamp))
    }
}

fn unless_missing<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Identifies a version of a file: a replaced file has another inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64, i64, i64);

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Stamp(metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
    }

    /// Returns the current version, or an error of the kind `NotFound` if there is no file.
    pub(super) fn now(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Stamp::of(&metadata))
    }
}

/// Reads a JSON file and its version.
pub(super) fn load<T: for<'a> Deserialize<'a>>(path: &Path) -> io::Result<(T, Stamp)> {
    let mut file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let value = serde_json::from_str(&text)
        .map_err(|error| io::Error::new(ErrorKind::InvalidData, format!("{}: {error}", path.display())))?;
    Ok((value, stamp))
}

/// Replaces or creates a JSON file.
pub(super) fn store<T: Serialize>(path: &Path, value: &T) -> io::Result<Stamp> {
    store_with(path, |file| {
        file.write_all(&serde_json::to_vec_pretty(value)?)?;
        file.write_all(b"\n")
    })
}

/// Replaces or creates a file. The old one stays in place until the new one is complete.
pub(super) fn store_with(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<Stamp> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    write(file.as_file_mut())?;
    let file = file.persist(path).map_err(|error| error.error)?;
    Ok(Stamp::of(&file.metadata()?))
}

/// Creates a directory that only its owner can enter, if it does not exist.
pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Held while a file is read, changed and replaced. Other emulators over the same directory wait.
pub(super) struct Lock {
    _file: File,
}

/// Waits for the lock on a file.
pub(super) fn lock(path: &Path) -> io::Result<Lock> {
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(Lock { _file: file })
}
