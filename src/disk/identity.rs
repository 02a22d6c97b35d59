//! Who an image is, and whether somebody has written to it.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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
    /// An image in a format of its own, packed, or inside an archive.
    Image {
        /// The path of the file that was named, absolute.
        path: PathBuf,
        /// How it was read: `qcow2`, `raw in gzip`.
        reading: String,
        /// Of an archive, the file in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<String>,
        /// Bytes of the image, not of the file.
        size: u64,
        /// The file that was named, and those that it leads to.
        files: Vec<Identity>,
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
            (
                Identity::Image {
                    path: old_path,
                    reading: was,
                    member: old_member,
                    size: old_size,
                    files: old_files,
                },
                Identity::Image { path, reading, member, size, files },
            ) => {
                if old_path != path {
                    changed("path", &old_path.display(), &path.display())
                } else if was != reading {
                    Some(format!("it was read as {was} and is {reading}"))
                } else if old_member != member {
                    Some("it is another file of the archive".to_owned())
                } else if old_files.len() != files.len() {
                    changed("number of files", &old_files.len(), &files.len())
                } else {
                    files.iter().zip(old_files).find_map(|(file, old)| file.difference(old)).or_else(|| {
                        (old_size != size).then(|| format!("its size was {old_size} and is {size}"))
                    })
                }
            }
            (a, b) if a == b => None,
            _ => Some("it came from another kind of place".to_owned()),
        }
    }
}

/// What can be told of an end of a transfer without reading its bytes. If it is the same at two moments, nobody has
/// written in between, as far as the end counts its writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The drive's counters of writes: bytes, then requests (`write:bytes`, `write:requests`; CloudSigma API 1.0, 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<(u64, u64)>,
    /// What the server calls the state that it is in: an `ETag` (RFC 9110, 8.8.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// When the file was last modified, in nanoseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<i64>,
}

/// The temporary file of a download: known by its inode, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// The device number of its file system.
    pub device: u64,
    /// The inode number.
    pub inode: u64,
    /// When the file was made, in nanoseconds since the epoch, where the file system says so: an inode number is given
    /// out again once its file is gone.
    pub born: Option<i64>,
}
