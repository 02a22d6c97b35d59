//! Opening what has disks and no calls.

use crate::config::{FarEnd, Object};
use crate::disk::store::Store;
use crate::error::{Error, Result};
use crate::meters::Meters;
use crate::transport::client::Options;
use crate::transport::retry::Retry;
use secrecy::SecretString;
use std::sync::Arc;
use url::Url;

/// What it takes to open a disk.
pub(super) struct Opening {
    pub(super) far_end: FarEnd,
    pub(super) url: Url,
    pub(super) secret: Option<SecretString>,
    pub(super) options: Options,
    pub(super) meters: Arc<Meters>,
    pub(super) retry: Retry,
}

impl Opening {
    /// The error of a command that needs calls.
    pub(super) fn no_calls(&self) -> Error {
        match crate::config::Service::Disks(self.far_end).api() {
            Err(error) => error,
            Ok(_) => Error::usage("there are no calls"),
        }
    }

    /// The store, and the disk that is named.
    pub(super) fn store(&self, object: Option<&Object>) -> Result<(Arc<dyn Store>, Option<String>)> {
        let _ = (object, &self.url, &self.secret, &self.options, &self.meters, &self.retry);
        Err(self.no_calls())
    }
}
