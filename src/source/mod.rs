//! Where the bytes of an image come from: a file or block device, a stream, or a drive on another remote.
//!
//! A source hands out chunks into a bounded channel: a file or stream in order and on a thread of its own, a remote as its
//! replies come in. It knows who it is
//! ([`Identity`]), so that a transfer that is taken up again goes on with the same image, and it can say whether it has
//! changed since it was opened: a changed image is an error, never a mix of old and new.

mod device;
pub mod extents;
mod file;
pub mod format;
pub mod pipe;
mod remote;
mod stream;
pub mod unpack;
mod unpack_guard;
pub mod xz_index;

pub use file::{FileRange, FileSource};
pub use remote::RemoteSource;
pub use stream::StreamSource;

use crate::chunk::Geometry;
use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What tells one image from another, as far as can be told without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Identity {
    /// A file.
    File {
        /// The path, absolute.
        path: PathBuf,
        /// In bytes.
        size: u64,
        /// Nanoseconds since the epoch of the last modification.
        mtime_ns: i64,
        /// Nanoseconds since the epoch of the last change of contents or metadata, which no program can set back.
        ctime_ns: i64,
        /// The inode number.
        inode: u64,
        /// The device number of the file system.
        device: u64,
    },
    /// A block device: told by its path and size alone, so that what was already sent is read and compared again.
    Device {
        /// The path, absolute.
        path: PathBuf,
        /// In bytes.
        size: u64,
    },
    /// A drive or an appliance on a remote.
    Remote {
        /// The remote's address and user.
        account: String,
        /// The drive's UUID, or `appliance/KEY`.
        object: String,
        /// Image bytes.
        size: u64,
        /// What tells one version from another, where the server says it.
        validator: Option<String>,
    },
    /// Standard input: told by its size alone, so that what was already sent is compared as it is read again.
    Stream {
        /// In bytes, as declared.
        size: u64,
    },
}

impl Identity {
    /// Which property of an image differs from what it was, in words; `None` if it is the same.
    pub fn difference(&self, was: &Identity) -> Option<String> {
        let changed = |what: &str, was: &dyn std::fmt::Display, now: &dyn std::fmt::Display| {
            Some(format!("its {what} was {was} and is {now}"))
        };
        match (was, self) {
            (Identity::Stream { size: a }, Identity::Stream { size: b }) if a != b => changed("size", a, b),
            (Identity::Device { path: a, size: old_size }, Identity::Device { path: b, size })
                if a == b && old_size != size =>
            {
                changed("size", old_size, size)
            }
            (Identity::Device { path: a, .. }, Identity::Device { path: b, .. }) if a != b => {
                changed("path", &a.display(), &b.display())
            }
            (
                Identity::Remote { account: old_account, object: old, size: old_size, validator: was },
                Identity::Remote { account, object, size, validator: is },
            ) => {
                if (old_account, old) != (account, object) {
                    changed("place", old, object)
                } else if old_size != size {
                    changed("size", old_size, size)
                } else if was == is {
                    None
                } else {
                    Some("it is another version".to_owned())
                }
            }
            (
                Identity::File {
                    path: old_path,
                    size: old_size,
                    mtime_ns: old_mtime,
                    ctime_ns: changed_before,
                    inode: old_inode,
                    device: old_device,
                },
                Identity::File { path, size, mtime_ns, ctime_ns, inode, device },
            ) => {
                if old_path != path {
                    changed("path", &old_path.display(), &path.display())
                } else if old_size != size {
                    changed("size", old_size, size)
                } else if (old_inode, old_device) != (inode, device) {
                    Some("it is another file under the same name".to_owned())
                } else if old_mtime != mtime_ns {
                    Some("it was modified".to_owned())
                } else if changed_before != ctime_ns {
                    Some(
                        "it was modified, its modification time put back, or its metadata changed".to_owned(),
                    )
                } else {
                    None
                }
            }
            (a, b) if a == b => None,
            _ => Some("it came from another kind of place".to_owned()),
        }
    }
}

/// An image to read.
#[derive(Debug)]
pub enum Source {
    /// A file or block device.
    File(FileSource),
    /// Standard input or another stream.
    Stream(StreamSource),
    /// A drive or an appliance that can be read at any place.
    Remote(RemoteSource),
}

impl Source {
    /// Opens a file or block device, or standard input if the path is `-`, whose `size` must then be given. An empty
    /// image is refused.
    pub fn open(path: &Path, size: Option<u64>) -> Result<Self> {
        if path.as_os_str() == "-" {
            let size = size.ok_or_else(|| {
                Error::usage("the size of standard input is not known")
                    .hint("say how many bytes will come with --size, as in --size 10G")
            })?;
            return Ok(Source::Stream(StreamSource::stdin(size)?));
        }
        FileSource::open(path).map(Source::File)
    }

    /// Reads the first bytes, [`format::HEAD`] of them if there are so many, and leaves them where they are.
    ///
    /// Of a stream this waits for whoever writes to it, on a thread of its own.
    pub async fn head(self) -> Result<(Self, Vec<u8>)> {
        let reading = tokio::task::spawn_blocking(move || match self {
            Source::File(file) => {
                let head = file.read_small(0, file.size().min(format::HEAD as u64))?;
                Ok((Source::File(file), head))
            }
            Source::Stream(stream) => {
                let (stream, head) = stream.head(format::HEAD)?;
                Ok((Source::Stream(stream), head))
            }
            // What lies on a remote is looked at where it is asked for.
            Source::Remote(remote) => Ok((Source::Remote(remote), Vec::new())),
        });
        reading.await.unwrap_or_else(|_| Err(Error::new(Kind::Io, "reading the image failed")))
    }

    /// The size in bytes; not 0.
    pub fn size(&self) -> u64 {
        match self {
            Source::File(source) => source.size(),
            Source::Stream(source) => source.size(),
            Source::Remote(source) => source.size(),
        }
    }

    /// What tells this image from another.
    pub fn identity(&self) -> &Identity {
        match self {
            Source::File(source) => source.identity(),
            Source::Stream(source) => source.identity(),
            Source::Remote(source) => source.identity(),
        }
    }

    /// The runs of chunks that are known, without reading them, to hold nothing but zeros.
    pub fn holes(&self, geometry: Geometry) -> Result<Vec<std::ops::Range<u64>>> {
        match self {
            Source::File(source) => source.holes(geometry),
            Source::Stream(_) | Source::Remote(_) => Ok(Vec::new()),
        }
    }

    /// Whether the image is known to be the same bytes as long as its identity is the same: a regular file.
    pub fn is_stable(&self) -> bool {
        match self {
            Source::File(source) => !source.is_device(),
            Source::Stream(_) | Source::Remote(_) => false,
        }
    }

    /// Whether a later run has to read again what an earlier run has sent: nothing else tells whether it is the same image.
    pub fn reread(&self) -> bool {
        match self {
            Source::File(source) => source.is_device(),
            Source::Stream(_) => true,
            Source::Remote(_) => false,
        }
    }

    /// A check to be made again and again while the image is read.
    pub fn watch(&self) -> Watch {
        match self {
            Source::File(source) => Watch(Some(source.clone())),
            Source::Stream(_) | Source::Remote(_) => Watch(None),
        }
    }
}

/// Tells whether a source is still what it was when it was opened.
#[derive(Clone, Debug)]
pub struct Watch(Option<FileSource>);

impl Watch {
    /// Fails if the image was cut short, has grown, was written to or cannot be asked any more.
    pub fn check(&self) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), FileSource::check)
    }

    /// The check at the end, which may wait for a disk and is made on another thread.
    pub async fn check_last(&self) -> Result<()> {
        let Some(source) = self.0.clone() else { return Ok(()) };
        let checking = tokio::task::spawn_blocking(move || source.check_last());
        checking.await.unwrap_or_else(|_| Err(Error::new(Kind::Io, "checking the image failed")))
    }

    /// Why changes of the image cannot be noticed, where that is so.
    pub fn blind(&self) -> Option<String> {
        self.0.as_ref().and_then(FileSource::blind)
    }
}

/// The error for an image that is not what it was.
fn changed(path: &Path, how: &str) -> Error {
    Error::new(Kind::Source, format!("the image {} changed during the transfer: {how}", path.display()))
        .hint("stop whatever writes to it (or work on a snapshot), then start over with --restart")
}
