//! The metadata of drives.

use crate::emulator::properties::Properties;
use serde::{Deserialize, Serialize};

/// The metadata of a drive.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) drive: String,
    pub(crate) name: String,
    /// In bytes, as requested, without rounding.
    pub(crate) size: u64,
    /// Microseconds since the epoch. Drives are listed in this order.
    pub(crate) created: u64,
    /// The seed of the noise in unwritten sectors, if the drive has noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) noise: Option<u64>,
    /// The other settings, in the order they came.
    #[serde(default)]
    pub(crate) keys: Properties,
    #[serde(default)]
    pub(crate) traffic: Traffic,
}

/// The bytes and requests of a drive's lifetime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Traffic {
    pub(crate) read_bytes: u64,
    pub(crate) read_requests: u64,
    pub(crate) write_bytes: u64,
    pub(crate) write_requests: u64,
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
