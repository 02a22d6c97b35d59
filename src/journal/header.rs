//! What a journal says of a transfer and its ends.

use crate::disk::Identity;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What a transfer is; written once, first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// `upload`, `download` or `migrate`.
    pub action: String,
    /// The id of this transfer, a UUID; a drive that it creates carries it as `user:diskferry`.
    pub transfer: String,
    /// The remote's name.
    pub remote: String,
    /// The remote's address and user: another account under the same name is another remote.
    pub account: String,
    /// The drive that the command named, if it did.
    pub drive: Option<String>,
    /// The image of an upload or migration, and of the download of an appliance.
    pub image: Option<Identity>,
    /// The file of a download, absolute.
    pub file: Option<PathBuf>,
    /// The size of the image in bytes.
    pub size: u64,
    /// The size of a chunk in bytes.
    pub chunk_size: u64,
    /// The algorithm of the chunk digests.
    pub digest: String,
    /// What the image is written as, `vhd` or `qcow2`; empty if its bytes stay what they are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub format: String,
    /// The name, size and keys of a drive to be created.
    pub new_drive: Option<NewDrive>,
    /// The command, as a shell would take it, to be shown.
    pub command: String,
    /// The directory in which the command ran; its relative paths start there. Empty if it is not known.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub directory: PathBuf,
    /// Set once a comparison found a difference: the next run compares everything, before and after it sends.
    #[serde(default)]
    pub compare_all: bool,
}

fn is_empty(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

/// A drive to be created, as the command asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDrive {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// More keys, in order.
    pub keys: Vec<(String, String)>,
    /// The drive that the far end copies into it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Drives of the same name that were there before, where a new one cannot be marked.
    #[serde(default)]
    pub before: Vec<String>,
}

impl Header {
    /// Returns how the image has changed since the transfer began; `None` if it has not.
    pub fn image_change(&self, now: &Header) -> Option<String> {
        let (was, is) = self.image.as_ref().zip(now.image.as_ref())?;
        is.difference(was)
    }

    /// Returns why a transfer of the same image that was begun under `self` cannot be resumed under `now`; `None` if it
    /// can.
    pub fn difference(&self, now: &Header) -> Option<String> {
        let differs = |what: &str, was: &str, is: &str| {
            (was != is).then(|| format!("the {what} was {was} and is {is}"))
        };
        let named = |format: &str| if format.is_empty() { "raw".to_owned() } else { format.to_owned() };
        differs("remote", &self.account, &now.account)
            .or_else(|| differs("format", &named(&self.format), &named(&now.format)))
            .or_else(|| differs("drive's size", &self.size.to_string(), &now.size.to_string()))
            .or_else(|| differs("chunk size", &self.chunk_size.to_string(), &now.chunk_size.to_string()))
            .or_else(|| differs("digest", &self.digest, &now.digest))
            .or_else(|| {
                let asked = |new: &Option<NewDrive>| {
                    new.as_ref().map(|new| (new.name.clone(), new.size, new.keys.clone(), new.base.clone()))
                };
                (asked(&self.new_drive) != asked(&now.new_drive))
                    .then(|| "the drive to create had another name, size, base or keys".to_owned())
            })
    }
}

/// The drive that a transfer writes to or reads from, as soon as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveRecord {
    /// Its UUID.
    pub drive: String,
    /// Whether this transfer made it.
    pub created: bool,
    /// Whether chunks of zeros are skipped.
    pub skip_zeros: bool,
}
