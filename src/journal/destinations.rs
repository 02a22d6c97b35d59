//! Tracks which runs of this machine write to which destination.
//!
//! A journal belongs to one transfer, but a drive or a file may be the destination of many. Each destination
//! has a small file in the state directory. A run locks that file for as long as it writes to the
//! destination, and stores a new generation in it before its first write. If a journal has the current
//! generation, no other run of this machine has written since.
//!
//! The file is changed in place, because a lock belongs to an inode, and is never removed. A torn file has a
//! generation that no journal knows, which costs a comparison but never data.

use crate::error::{Error, Kind, Result};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The largest destination file that is read, in bytes.
const LONGEST: u64 = 4096;

/// The directory of destinations.
#[derive(Clone, Debug)]
pub struct Destinations(PathBuf);

/// A disk or file that is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    key: String,
    /// The name in messages.
    name: String,
}

impl Destination {
    /// Returns the destination for a drive.
    ///
    /// A UUID is the same drive whatever name or address its remote has; any other id belongs to `account`.
    /// `noun` is the kind of disk in messages.
    pub fn disk(account: &str, drive: &str, noun: &str) -> Self {
        let key = match uuid::Uuid::parse_str(drive) {
            Ok(uuid) => format!("drive\0{uuid}"),
            Err(_) => format!("drive\0{account}\0{drive}"),
        };
        Self { key, name: format!("{noun} {drive}") }
    }

    /// Returns the destination for a file, by its canonical directory and its name.
    pub fn file(path: &Path) -> Self {
        let directory = path.parent().and_then(|dir| dir.canonicalize().ok());
        let whole = match (directory, path.file_name()) {
            (Some(directory), Some(name)) => directory.join(name),
            _ => path.to_owned(),
        };
        Self { key: format!("file\0{}", whole.display()), name: path.display().to_string() }
    }
}

impl Destination {
    /// Returns the name of the destination's files in the state directory.
    pub(super) fn file_name(&self) -> String {
        crate::digest::hex(&blake3::hash(self.key.as_bytes()).as_bytes()[..16])
    }
}

/// The lock of a destination. No other process of this machine writes to it while this exists.
#[derive(Debug)]
pub struct Claim {
    file: File,
    path: PathBuf,
    found: Option<String>,
}

impl Destinations {
    /// Creates a handle for the destinations in `path`. The directory is created with the first claim.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Locks a destination.
    ///
    /// # Errors
    /// [`Kind::Locked`] if another process holds the lock.
    pub fn claim(&self, destination: &Destination) -> Result<Claim> {
        let what = |e| Error::io(format!("claiming {}", destination.name), e);
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(what)?;
        let path = self.0.join(destination.file_name());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(what)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Error::new(
                    Kind::Locked,
                    format!("another diskferry process is writing to {}", destination.name),
                )
                .hint("wait for it to end, or stop it; then run this command again"));
            }
            Err(std::fs::TryLockError::Error(e)) => return Err(what(e)),
        }
        let mut text = String::new();
        // A file that cannot be read counts as empty; no journal has its generation.
        let read = (&file).take(LONGEST).read_to_string(&mut text);
        let found = read.ok().and_then(|_| generation_of(&text));
        Ok(Claim { file, path, found })
    }
}

impl Destinations {
    /// Returns the current generation of a destination, whoever holds its lock.
    pub fn generation(&self, destination: &Destination) -> Option<String> {
        let file = File::open(self.0.join(destination.file_name())).ok()?;
        let mut text = String::new();
        file.take(LONGEST).read_to_string(&mut text).ok()?;
        generation_of(&text)
    }
}

impl Claim {
    /// Returns the generation that the last run left.
    pub fn generation(&self) -> Option<&str> {
        self.found.as_deref()
    }

    /// Stores a new generation, syncs it and returns it. Must be called before anything is written to the
    /// destination.
    pub fn raise(&mut self) -> Result<String> {
        let what = |e| Error::io(format!("writing {}", self.path.display()), e);
        let generation = uuid::Uuid::new_v4().to_string();
        let line = line_of(&generation);
        self.file.write_all_at(line.as_bytes(), 0).map_err(what)?;
        self.file.set_len(line.len() as u64).map_err(what)?;
        self.file.sync_all().map_err(what)?;
        super::sync_directory(&self.path);
        self.found = Some(generation.clone());
        Ok(generation)
    }
}

fn line_of(generation: &str) -> String {
    let sum = blake3::hash(generation.as_bytes()).to_hex();
    format!("{generation} {}\n", &sum[..16])
}

/// Returns the generation in a file's text, if its checksum is valid.
fn generation_of(text: &str) -> Option<String> {
    let (generation, _) = text.split_once(' ')?;
    (line_of(generation) == text).then(|| generation.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time_and_a_new_generation_for_each() {
        let dir = tempfile::tempdir().unwrap();
        let all = Destinations::new(dir.path().join("destinations"));
        let drive = Destination::disk("https://a/ u", "08c92dd5-70a0-4f51-83d2-835919d254df", "drive");
        assert_eq!(all.generation(&drive), None);
        let mut claim = all.claim(&drive).unwrap();
        assert_eq!(claim.generation(), None);
        let first = claim.raise().unwrap();
        assert_eq!(all.generation(&drive).as_deref(), Some(&*first));
        let refused = all.claim(&drive).unwrap_err();
        assert!(
            refused.to_string().contains("another diskferry process is writing to drive 08c9"),
            "{refused}"
        );
        drop(claim);
        // The same drive under another address and in upper case.
        let same = Destination::disk("http://b/ u", "08C92DD5-70A0-4F51-83D2-835919D254DF", "drive");
        let mut claim = all.claim(&same).unwrap();
        assert_eq!(claim.generation(), Some(first.as_str()));
        assert_ne!(claim.raise().unwrap(), first);
        all.claim(&Destination::disk("a", "x", "drive")).unwrap();
        all.claim(&Destination::disk("b", "x", "drive")).unwrap();
    }

    #[test]
    fn a_torn_file_has_no_generation() {
        let dir = tempfile::tempdir().unwrap();
        let all = Destinations::new(dir.path().to_owned());
        let file = Destination::file(&dir.path().join("image"));
        all.claim(&file).unwrap().raise().unwrap();
        let path = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(all.claim(&file).unwrap().generation(), None, "cut at {cut}");
        }
        std::fs::write(&path, &whole).unwrap();
        assert!(all.claim(&file).unwrap().generation().is_some());
    }

    #[test]
    fn a_file_is_the_same_by_whatever_path() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        let direct = Destination::file(&dir.path().join("image"));
        assert_eq!(direct.key, Destination::file(&dir.path().join("a/../image")).key);
        assert_ne!(direct.key, Destination::file(&dir.path().join("other")).key);
    }
}
