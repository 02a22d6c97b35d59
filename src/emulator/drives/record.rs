//! What is known of a drive beside its bytes: one JSON file, replaced as a whole, so that a reader never sees half.

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// The metadata of a drive.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::emulator) struct Record {
    pub(in crate::emulator) drive: String,
    pub(in crate::emulator) name: String,
    /// In bytes, as asked for: nothing is rounded.
    pub(in crate::emulator) size: u64,
    /// Microseconds since the epoch; drives are listed in this order.
    pub(in crate::emulator) created: u64,
    /// The seed of the noise that stands where nothing was written, on a drive that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::emulator) noise: Option<u64>,
    /// The other settings, in the order they came.
    #[serde(default)]
    pub(in crate::emulator) keys: Vec<(String, String)>,
    #[serde(default)]
    pub(in crate::emulator) traffic: Traffic,
}

/// What was read and written, ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::emulator) struct Traffic {
    pub(in crate::emulator) read_bytes: u64,
    pub(in crate::emulator) read_requests: u64,
    pub(in crate::emulator) write_bytes: u64,
    pub(in crate::emulator) write_requests: u64,
}

impl std::ops::AddAssign for Traffic {
    fn add_assign(&mut self, more: Traffic) {
        // Counters wrap, as real ones do.
        self.read_bytes = self.read_bytes.wrapping_add(more.read_bytes);
        self.read_requests = self.read_requests.wrapping_add(more.read_requests);
        self.write_bytes = self.write_bytes.wrapping_add(more.write_bytes);
        self.write_requests = self.write_requests.wrapping_add(more.write_requests);
    }
}

/// Tells one version of a file from the next: a replaced file has another inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::emulator) struct Stamp(u64, i64, i64);

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Stamp(metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
    }

    /// The version that is there now; an error of the kind `NotFound` if none is.
    pub(in crate::emulator) fn now(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|metadata| Stamp::of(&metadata))
    }
}

/// Reads a JSON file, with its version.
pub(in crate::emulator) fn load<T: for<'a> Deserialize<'a>>(path: &Path) -> io::Result<(T, Stamp)> {
    let mut file = File::open(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let value = serde_json::from_str(&text).map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
    })?;
    Ok((value, stamp))
}

/// Replaces a JSON file, or makes it.
pub(in crate::emulator) fn store<T: Serialize>(path: &Path, value: &T) -> io::Result<Stamp> {
    store_with(path, |file| {
        file.write_all(&serde_json::to_vec_pretty(value)?)?;
        file.write_all(b"\n")
    })
}

/// Replaces a file, or makes it; until all of it is written the old one stands.
pub(super) fn store_with(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<Stamp> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    write(file.as_file_mut())?;
    let file = file.persist(path).map_err(|error| error.error)?;
    Ok(Stamp::of(&file.metadata()?))
}

/// Makes a directory that its owner alone can enter, if it is not there.
pub(in crate::emulator) fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Held while a file is read, changed and replaced; other emulators over the same directory wait.
pub(in crate::emulator) struct Lock {
    _file: File,
}

/// Waits for the lock that a file stands for.
pub(in crate::emulator) fn lock(path: &Path) -> io::Result<Lock> {
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(Lock { _file: file })
}
