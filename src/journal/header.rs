//! What a journal says about a transfer and its ends.

use crate::disk::Identity;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The description of a transfer; written once, as the first record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// `upload`, `download` or `migrate`.
    pub action: String,
    /// The id of the transfer, a UUID. A drive that it creates carries it as `user:diskferry`.
    pub transfer: String,
    /// The remote's name.
    pub remote: String,
    /// The address and user of the remote, since another account under the same name is another remote.
    pub account: String,
    /// The drive named in the command, if any.
    pub drive: Option<String>,
    /// The image of an upload or migration, and of the download of an appliance.
    pub image: Option<Identity>,
    /// The absolute path of a download's file.
    pub file: Option<PathBuf>,
    /// The size of the image in bytes.
    pub size: u64,
    /// The size of a chunk in bytes.
    pub chunk_size: u64,
    /// The algorithm of the chunk digests.
    pub digest: String,
    /// The format that the image is converted to, `vhd` or `qcow2`; empty if it is not converted.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub format: String,
    /// The drive to create.
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
    /// The name of the drive.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
    /// Further keys, in order.
    pub keys: Vec<(String, String)>,
    /// The drive that the server copies into the new one first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The drives of the same name that existed before, for providers that cannot mark a new one.
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
                    .then(|| "the name, size, base or keys of the drive to create changed".to_owned())
            })
    }
}

/// The drive that a transfer reads or writes, once it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriveRecord {
    /// Its UUID.
    pub drive: String,
    /// Whether this transfer created it.
    pub created: bool,
    /// Whether chunks of zeros are skipped.
    pub skip_zeros: bool,
}
