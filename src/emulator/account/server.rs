//! Virtual servers. They run nothing, but have the states, addresses and drive claims of real servers.

use crate::emulator::clock::SECOND;
use crate::emulator::properties::Properties;
use serde::{Deserialize, Serialize};

/// How long a shutdown takes. Real guests need seconds; this is long enough that a poller sees the server
/// still active.
const SHUTDOWN: u64 = SECOND / 10;

/// The states of a server (Open Hosting API, "Get Single Server Info"). No call leads to the last three; they
/// exist for files written by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Active,
    Stopped,
    Paused,
    Dumped,
    Dead,
}

impl Status {
    /// Returns whether the server holds its drives and addresses.
    pub(crate) fn runs(self) -> bool {
        matches!(self, Status::Active | Status::Paused)
    }

    pub(crate) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// A server of the account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) uuid: String,
    pub(crate) status: Status,
    /// Seconds since the epoch, while the server runs.
    pub(crate) started: Option<u64>,
    /// When a shutdown in progress ends, in microseconds.
    pub(crate) ends: Option<u64>,
    /// The configuration as it was given.
    pub(crate) keys: Properties,
    /// The addresses that were assigned for `auto`, under the keys that show them.
    pub(crate) given: Properties,
    /// Whether the server stopped and is not persistent, so that the account has to remove it.
    #[serde(skip)]
    pub(super) gone: bool,
}

impl Server {
    pub(crate) fn new(keys: Properties) -> Self {
        Server {
            uuid: uuid::Uuid::new_v4().to_string(),
            status: Status::Stopped,
            started: None,
            ends: None,
            keys,
            given: Properties::new(),
            gone: false,
        }
    }

    /// Returns a numeric setting, or 0 if it is not set or not a number.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.keys.get(key).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// Returns whether the server remains when it stops. No manual gives the default; the vendors' servers
    /// disappeared.
    pub(crate) fn is_persistent(&self) -> bool {
        self.keys.get("persistent") == Some("true")
    }

    /// Returns the drives, by device.
    pub(crate) fn devices(&self) -> impl Iterator<Item = (&str, &str)> {
        self.keys.iter().filter(|(key, _)| is_device(key))
    }

    /// Starts the server with the addresses that the account assigned.
    pub(crate) fn start(&mut self, given: Properties, now: u64) {
        self.status = Status::Active;
        self.started = Some(now / SECOND);
        self.ends = None;
        self.given = given;
    }

    /// Cuts the power. A server that is not persistent disappears (Open Hosting API, "Stop a server").
    pub(crate) fn stop(&mut self) {
        self.gone |= self.status.runs() && !self.is_persistent();
        self.status = Status::Stopped;
        self.started = None;
        self.ends = None;
        self.given = Properties::new();
    }

    /// Presses the power button: the server stops a little later.
    pub(crate) fn shut_down(&mut self, now: u64) {
        if self.status.runs() {
            self.ends.get_or_insert(now + SHUTDOWN);
        }
    }

    /// Returns the number of virtual processors: the setting, or one for every 2.2 GHz (CloudSigma API 1.0,
    /// "Server create", the key smp).
    pub(crate) fn cores(&self) -> u64 {
        match self.number("smp") {
            0 => self.number("cpu").div_ceil(2200).max(1),
            cores => cores,
        }
    }
}

/// Returns whether a key is a device: `ide:BUS[0-1]:UNIT[0-1]`, `scsi:BUS[0]:UNIT[0-7]` or
/// `block:INDEX[0-7]`.
pub(crate) fn is_device(key: &str) -> bool {
    match key.as_bytes() {
        [b'i', b'd', b'e', b':', bus, b':', unit] => [*bus, *unit].iter().all(|n| matches!(n, b'0'..=b'1')),
        [b's', b'c', b's', b'i', b':', b'0', b':', unit] | [b'b', b'l', b'o', b'c', b'k', b':', unit] => {
            matches!(unit, b'0'..=b'7')
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_device;

    #[test]
    fn devices_are_those_of_the_manual() {
        for device in ["ide:0:0", "ide:1:1", "scsi:0:7", "block:0", "block:7"] {
            assert!(is_device(device), "{device}");
        }
        for other in
            ["ide:2:0", "ide:0:2", "scsi:1:0", "scsi:0:8", "block:8", "ide:0:0:media", "ide:0", "block:10"]
        {
            assert!(!is_device(other), "{other}");
        }
    }
}
