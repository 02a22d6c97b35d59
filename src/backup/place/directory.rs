//! A store in a directory.
//!
//! A file is written under a temporary name, synced, and renamed, so that it is complete under its final name
//! even after a power failure. A power failure can only lose the name, until the file system is synced. Files
//! are readable by their owner only, since their contents may be secret.

use super::super::place::{Entry, Meta, OWN, Page, Place, Top};
use crate::disk::Attempt;
use crate::disk::file::on_a_thread;
use crate::error::{Error, Kind, Result};
use bytes::Bytes;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

/// The directory of incomplete files.
const NEW: &str = "new/";

/// The number of entries per page of a listing; the files of one directory may exceed it.
const PAGE: usize = 4096;

/// A directory that can hold a store. Clones share it, and its lock if it has one.
#[derive(Clone, Debug)]
pub struct Directory {
    inner: Arc<Inner>,
    /// An operation that began under a lock holds it until it ends, even if nobody waits for it any more.
    #[expect(dead_code, reason = "it is held")]
    lock: Option<Arc<DirectoryLock>>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    name: String,
    root: File,
    /// Distinguishes the files that this process is writing.
    next: AtomicU64,
    /// Distinguishes this process from others that write here.
    id: uuid::Uuid,
}

impl Directory {
    /// Opens an existing directory.
    pub fn open(path: &Path) -> Result<Self> {
        let what = |e: std::io::Error| {
            let kind = if e.kind() == ErrorKind::NotFound { Kind::NotFound } else { Kind::Io };
            Error::new(kind, format!("cannot open the store {}", path.display())).source(e)
        };
        let root = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::DIRECTORY.bits().cast_signed())
            .open(path)
            .map_err(what)?;
        let path = path.canonicalize().map_err(what)?;
        let name = path.display().to_string();
        let inner = Inner { path, name, root, next: AtomicU64::new(0), id: uuid::Uuid::new_v4() };
        Ok(Self { inner: Arc::new(inner), lock: None })
    }

    /// Opens a directory, creating it if it is missing.
    pub fn create(path: &Path) -> Result<Self> {
        make_directories(path)?;
        let this = Self::open(path)?;
        make_directories(&this.path(&format!("{OWN}{NEW}")))?;
        Ok(this)
    }

    /// Returns the absolute path of the store.
    pub fn root(&self) -> &Path {
        &self.inner.path
    }

    /// Returns the path of an object.
    pub fn path(&self, key: &str) -> PathBuf {
        self.inner.path.join(key)
    }

    /// Returns whether an object exists. May block on the disk.
    pub fn has(&self, key: &str) -> bool {
        self.path(key).is_file()
    }

    /// Removes incomplete files. The caller must know that nobody is writing.
    pub fn sweep_unfinished(&self) -> Result<u64> {
        let Ok(entries) = std::fs::read_dir(self.path(&format!("{OWN}{NEW}"))) else { return Ok(0) };
        let mut removed = 0;
        for entry in entries.map_while(std::io::Result::ok) {
            remove(&entry.path())?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Removes the directory of an object if it is empty. The caller must know that nobody is writing.
    pub fn sweep_directory_of(&self, key: &str) {
        if let Some((directory, _)) = key.rsplit_once('/') {
            // A directory that is not empty is kept.
            let _ = std::fs::remove_dir(self.path(directory));
        }
    }

    /// Writes a file under a temporary name and syncs it.
    fn write_unnamed(&self, bytes: &[u8]) -> Result<Unnamed> {
        let number = self.inner.next.fetch_add(1, Relaxed);
        let path = self.path(&format!("{OWN}{NEW}{}-{number}", self.inner.id.simple()));
        let what = |e| Error::io(format!("writing {}", path.display()), e);
        let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = match open() {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                make_directories(&self.path(&format!("{OWN}{NEW}")))?;
                open()
            }
            opened => opened,
        };
        let mut file = file.map_err(what)?;
        let unnamed = Unnamed(path.clone());
        file.write_all(bytes).and_then(|()| file.sync_data()).map_err(what)?;
        Ok(unnamed)
    }

    fn put_now(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let (unnamed, path) = (self.write_unnamed(bytes)?, self.path(key));
        let rename = || std::fs::rename(&unnamed.0, &path);
        let renamed = match rename() {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                make_parent(&path)?;
                rename()
            }
            renamed => renamed,
        };
        renamed.map_err(|e| Error::io(format!("writing {}", path.display()), e))
    }

    fn create_now(&self, key: &str, bytes: &[u8]) -> Result<bool> {
        let (unnamed, path) = (self.write_unnamed(bytes)?, self.path(key));
        make_parent(&path)?;
        // A link never replaces a file.
        match std::fs::hard_link(&unnamed.0, &path) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(false),
            // Not every file system has links.
            Err(_) => {
                let exclusive = rustix::fs::RenameFlags::NOREPLACE;
                match rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    &unnamed.0,
                    rustix::fs::CWD,
                    &path,
                    exclusive,
                ) {
                    Ok(()) => {}
                    Err(rustix::io::Errno::EXIST) => return Ok(false),
                    Err(e) => return Err(Error::io(format!("writing {}", path.display()), e.into())),
                }
            }
        }
        drop(unnamed);
        self.sync_now()?;
        Ok(true)
    }

    /// Names are safe once the file system is synced. One call covers all writers.
    fn sync_now(&self) -> Result<()> {
        rustix::fs::syncfs(&self.inner.root)
            .map_err(|e| Error::io(format!("cannot sync the store {}", self.inner.name), e.into()))
    }

    /// Returns a page of the files below `prefix`, at most two directories deep, directories in order of
    /// name.
    fn list_now(&self, prefix: &str, from: Option<&str>) -> Result<Page> {
        let mut page = Page::default();
        let mut directories = Vec::new();
        // The files at the top level belong to the first page.
        self.read_directory(prefix, from.is_none().then_some(&mut page.entries), &mut directories)?;
        directories.retain(|directory| from.is_none_or(|from| directory.as_str() >= from));
        directories.sort_unstable();
        for directory in directories {
            if page.entries.len() >= PAGE {
                page.next = Some(directory);
                break;
            }
            self.read_directory(&directory, Some(&mut page.entries), &mut Vec::new())?;
        }
        Ok(page)
    }

    /// Adds the files and directories of a directory. `prefix` is empty or ends in `/`.
    fn read_directory(
        &self,
        prefix: &str,
        mut files: Option<&mut Vec<Entry>>,
        directories: &mut Vec<String>,
    ) -> Result<()> {
        let path = self.path(prefix);
        let what = |e| Error::io(format!("listing {}", path.display()), e);
        let entries = match std::fs::read_dir(&path) {
            // The directory was removed since, or never created.
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(what)?,
        };
        for entry in entries {
            let entry = entry.map_err(what)?;
            // No file of a store has a name that is not UTF-8.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let key = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(what)?;
            if kind.is_dir() {
                if format!("{name}/") != OWN || !prefix.is_empty() {
                    directories.push(format!("{key}/"));
                }
            } else if kind.is_file()
                && let Some(files) = &mut files
                && let Ok(meta) = entry.metadata()
            {
                let meta =
                    Meta { size: meta.len(), modified: meta.modified().unwrap_or(SystemTime::UNIX_EPOCH) };
                files.push(Entry { key, meta });
            }
        }
        Ok(())
    }

    fn head_now(&self, key: &str) -> Result<Option<Meta>> {
        match std::fs::metadata(self.path(key)) {
            Ok(meta) if meta.is_file() => {
                let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                Ok(Some(Meta { size: meta.len(), modified }))
            }
            Ok(_) => Ok(None),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(Error::io(format!("cannot look up {}", self.path(key).display()), e)),
        }
    }

    /// Locks the directory. Returns `None` if others hold a lock that conflicts.
    ///
    /// The lock is released when the last clone is dropped and all its operations have ended. It works
    /// between processes of one machine and, if the file system supports locks, between all machines that
    /// mount it.
    pub fn try_lock(&self, exclusive: bool) -> Result<Option<Self>> {
        let path = self.path(&format!("{OWN}lock"));
        let what = |e| Error::io(format!("cannot lock the store by {}", path.display()), e);
        if !exclusive && !self.path(OWN).is_dir() {
            // No backup was ever begun here, so no prune deletes anything. A store of casync's is left
            // unchanged.
            return Ok(Some(self.under(DirectoryLock(None))));
        }
        make_parent(&path)?;
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = match opened {
            // A read-only store can be restored from; a shared lock needs no write access.
            Err(e) if !exclusive && is_read_only(&e) => match File::open(&path) {
                Ok(file) => file,
                Err(_) => return Ok(Some(self.under(DirectoryLock(None)))),
            },
            opened => opened.map_err(what)?,
        };
        let locked = if exclusive { file.try_lock() } else { file.try_lock_shared() };
        match locked {
            Ok(()) => Ok(Some(self.under(DirectoryLock(Some(file))))),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(e)) => Err(what(e)),
        }
    }
}

impl Directory {
    fn under(&self, lock: DirectoryLock) -> Self {
        Self { inner: Arc::clone(&self.inner), lock: Some(Arc::new(lock)) }
    }
}

fn is_read_only(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}

/// The lock of a directory; released when dropped.
#[derive(Debug)]
pub struct DirectoryLock(
    #[expect(dead_code, reason = "it is the open file that holds the lock")] Option<File>,
);

/// A file under a temporary name; removed when dropped if it still exists.
struct Unnamed(PathBuf);

impl Drop for Unnamed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Returns the bytes of a file of at most `limit` bytes.
pub(in crate::backup) fn read_file(path: &Path, limit: u64) -> Result<Bytes> {
    let what = |e: std::io::Error| {
        let kind = if e.kind() == ErrorKind::NotFound { Kind::NotFound } else { Kind::Io };
        Error::new(kind, format!("reading {}", path.display())).source(e)
    };
    let file = File::open(path).map_err(what)?;
    let meta = file.metadata().map_err(what)?;
    if !meta.is_file() {
        return Err(Error::new(Kind::Source, format!("{} is not a file", path.display())));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len().min(limit)).unwrap_or(0));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(what)?;
    if bytes.len() as u64 > limit {
        let what = format!("{} is larger than the limit of {limit} bytes", path.display());
        return Err(Error::new(Kind::Source, what));
    }
    Ok(Bytes::from(bytes))
}

fn make_directories(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|e| Error::io(format!("cannot create the directory {}", path.display()), e))
}

fn make_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), make_directories)
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => {
            Err(Error::io(format!("removing {}", path.display()), e))
        }
        _ => Ok(()),
    }
}

impl Place for Directory {
    fn name(&self) -> &str {
        &self.inner.name
    }

    fn requests(&self) -> usize {
        8
    }

    fn get(&self, key: &str, limit: u64) -> Attempt<Bytes> {
        let (this, key) = (self.clone(), key.to_owned());
        on_a_thread(move || read_file(&this.path(&key), limit))
    }

    fn put(&self, key: &str, bytes: Bytes) -> Attempt<()> {
        let (this, key) = (self.clone(), key.to_owned());
        on_a_thread(move || this.put_now(&key, &bytes))
    }

    fn create(&self, key: &str, bytes: Bytes) -> Attempt<bool> {
        let (this, key) = (self.clone(), key.to_owned());
        on_a_thread(move || this.create_now(&key, &bytes))
    }

    fn head(&self, key: &str) -> Attempt<Option<Meta>> {
        let (this, key) = (self.clone(), key.to_owned());
        on_a_thread(move || this.head_now(&key))
    }

    fn top(&self) -> Attempt<Top> {
        let this = self.clone();
        on_a_thread(move || {
            let mut top = Top::default();
            this.read_directory("", Some(&mut top.entries), &mut top.directories)?;
            for directory in &mut top.directories {
                directory.pop();
            }
            Ok(top)
        })
    }

    fn list(&self, prefix: &str, from: Option<String>) -> Attempt<Page> {
        let (this, prefix) = (self.clone(), prefix.to_owned());
        on_a_thread(move || this.list_now(&prefix, from.as_deref()))
    }

    fn delete(&self, key: &str) -> Attempt<()> {
        let (this, key) = (self.clone(), key.to_owned());
        on_a_thread(move || remove(&this.path(&key)))
    }

    fn sync(&self) -> Attempt<()> {
        let this = self.clone();
        on_a_thread(move || this.sync_now())
    }

    fn directory(&self) -> Option<&Directory> {
        Some(self)
    }
}
