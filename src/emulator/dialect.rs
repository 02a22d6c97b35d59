//! The APIs that the emulator speaks.

/// A provider's API as the emulator speaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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

impl Dialect {
    /// All providers, in the order of the documentation.
    pub const ALL: [Dialect; 5] =
        [Self::OpenHosting, Self::Crosspeer, Self::CloudSigma, Self::SpotCloud, Self::Joyent];

    /// Returns the provider's name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenHosting => "openhosting",
            Self::Crosspeer => "crosspeer",
            Self::CloudSigma => "cloudsigma",
            Self::SpotCloud => "spotcloud",
            Self::Joyent => "joyent",
        }
    }

    /// Returns the provider of this name.
    pub fn named(name: &str) -> Option<Dialect> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }
}

impl std::fmt::Display for Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
