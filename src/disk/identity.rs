//! The identity of an image, and evidence of writes to it.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Identifies an image without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Identity {
    /// A file.
    File {
        /// The absolute path.
        path: PathBuf,
        /// The size in bytes.
        size: u64,
        /// The time of the last modification in nanoseconds since the epoch.
        mtime_ns: i64,
        /// The time of the last change of contents or metadata in nanoseconds since the epoch, which no
        /// program can set.
        ctime_ns: i64,
        /// The inode number.
        inode: u64,
        /// The device number of the file system.
        device: u64,
    },
    /// A block device. Only its path and size identify it, so chunks that were already sent are read again
    /// and compared.
    Device {
        /// The absolute path.
        path: PathBuf,
        /// The size in bytes.
        size: u64,
    },
    /// A drive or an appliance on a remote.
    Remote {
        /// The address and user of the remote.
        account: String,
        /// The drive's UUID, or `appliance/KEY`.
        object: String,
        /// The size of the image in bytes.
        size: u64,
        /// The version identifier of the server, if it has one.
        validator: Option<String>,
    },
    /// An image in a disk format, compressed, or inside an archive.
    Image {
        /// The absolute path of the file given.
        path: PathBuf,
        /// How it was read, such as `qcow2` or `raw in gzip`.
        reading: String,
        /// The member of an archive.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        member: Option<String>,
        /// The size of the image, not of the file, in bytes.
        size: u64,
        /// The file given and the files it refers to.
        files: Vec<Identity>,
    },
    /// Standard input. Only its size identifies it, so chunks that were already sent are read again and
    /// compared.
    Stream {
        /// The declared size in bytes.
        size: u64,
    },
}

impl Identity {
    /// Returns which property differs from the earlier identity, or `None` if they are equal.
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
            _ => Some("it was read from another kind of source".to_owned()),
        }
    }
}

/// What is known about one end of a transfer without reading it. If it is equal at two times, nobody wrote in
/// between, as far as the end counts its writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The drive's write counters: bytes, then requests (`write:bytes`, `write:requests`; CloudSigma API 1.0,
    /// 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<(u64, u64)>,
    /// The server's name for the current state: an `ETag` (RFC 9110, 8.8.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The time of the file's last modification in nanoseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<i64>,
}

/// The temporary file of a download, identified by its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    /// The device number of its file system.
    pub device: u64,
    /// The inode number.
    pub inode: u64,
    /// The creation time in nanoseconds since the epoch, if the file system has it. An inode number is reused
    /// once its file is gone.
    pub born: Option<i64>,
}
