//! Where the bytes of an image come from: a mapped file or block device, a stream, or a drive on another remote.
//!
//! A source hands out chunks into a bounded channel: a file or stream in order and on a thread of its own, a remote as its
//! replies come in. It knows who it is
//! ([`Identity`]), so that a transfer that is taken up again goes on with the same image, and it can say whether it has
//! changed since it was opened: a changed image is an error, never a mix of old and new.

pub mod extents;
pub mod map;
mod mapped;
pub mod pipe;
mod remote;
mod stream;
pub mod unpack;
mod unpack_guard;
pub mod xz_index;

pub use mapped::MappedSource;
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
    /// A file or block device.
    File {
        /// The path, absolute.
        path: PathBuf,
        /// In bytes.
        size: u64,
        /// Nanoseconds since the epoch of the last modification; 0 for a block device, whose time says nothing.
        mtime_ns: i64,
        /// The inode number.
        inode: u64,
        /// The device number of the file system, or of the device itself.
        device: u64,
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
                    inode: old_inode,
                    device: old_device,
                },
                Identity::File { path, size, mtime_ns, inode, device },
            ) => {
                if old_path != path {
                    changed("path", &old_path.display(), &path.display())
                } else if old_size != size {
                    changed("size", old_size, size)
                } else if (old_inode, old_device) != (inode, device) {
                    Some("it is another file under the same name".to_owned())
                } else if old_mtime != mtime_ns {
                    Some("it was modified".to_owned())
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
    Mapped(MappedSource),
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
        MappedSource::open(path).map(Source::Mapped)
    }

    /// The size in bytes; not 0.
    pub fn size(&self) -> u64 {
        match self {
            Source::Mapped(source) => source.size(),
            Source::Stream(source) => source.size(),
            Source::Remote(source) => source.size(),
        }
    }

    /// What tells this image from another.
    pub fn identity(&self) -> &Identity {
        match self {
            Source::Mapped(source) => source.identity(),
            Source::Stream(source) => source.identity(),
            Source::Remote(source) => source.identity(),
        }
    }

    /// The runs of chunks that are known, without reading them, to hold nothing but zeros.
    pub fn holes(&self, geometry: Geometry) -> Result<Vec<std::ops::Range<u64>>> {
        match self {
            Source::Mapped(source) => source.holes(geometry),
            Source::Stream(_) | Source::Remote(_) => Ok(Vec::new()),
        }
    }

    /// A check to be made again and again while the image is read.
    pub fn watch(&self) -> Watch {
        match self {
            Source::Mapped(source) => Watch(Some(source.clone())),
            Source::Stream(_) | Source::Remote(_) => Watch(None),
        }
    }
}

/// Tells whether a source is still what it was when it was opened.
#[derive(Clone, Debug)]
pub struct Watch(Option<MappedSource>);

impl Watch {
    /// Fails if the file was cut short, has grown, was modified or cannot be asked any more.
    pub fn check(&self) -> Result<()> {
        self.0.as_ref().map_or(Ok(()), MappedSource::check)
    }
}

/// The error for an image that is not what it was.
fn changed(path: &Path, how: &str) -> Error {
    Error::new(Kind::Source, format!("the image {} changed during the transfer: {how}", path.display()))
        .hint("stop whatever writes to it (or work on a snapshot), then start over with --restart")
}
