//! The APIs that the emulator speaks.

/// A provider's API as the emulator speaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Open Hosting: drives of the `ElasticHosts` kind, text and JSON.
    OpenHosting,
    /// Crosspeer: the same software with more calls.
    Crosspeer,
    /// `CloudSigma` 1.0: a cousin of the same software, text only.
    CloudSigma,
    /// `SpotCloud`: appliances to download.
    SpotCloud,
    /// Joyent `CloudAPI` 6.5: machines.
    Joyent,
}

impl std::fmt::Display for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&format!("{self:?}").to_lowercase())
    }
}
