//! A drive or an appliance on another remote as a source.

use super::Identity;
use crate::error::{Error, Kind, Result};
use crate::transport::AnyReadable;

/// A remote image that can be read at any place.
#[derive(Clone, Debug)]
pub struct RemoteSource {
    disk: AnyReadable,
    identity: Identity,
    size: u64,
}

impl RemoteSource {
    /// The first `size` bytes of `disk`, known as `identity`; 0 is refused.
    pub fn new(disk: AnyReadable, size: u64, identity: Identity) -> Result<Self> {
        if size == 0 {
            return Err(Error::new(Kind::Source, "an image of 0 bytes is empty"));
        }
        Ok(Self { disk, identity, size })
    }

    /// What is read.
    pub fn disk(&self) -> &AnyReadable {
        &self.disk
    }

    /// The size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What tells this image from another.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}
