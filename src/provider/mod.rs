//! The five providers: their names, what each can do, and the calls of each as tables.
//!
//! Each provider has one file that holds its rows and nothing else. [`catalogue`] interprets the rows, and
//! [`reply`] interprets error replies.

pub mod catalogue;
mod cloudsigma;
mod crosspeer;
mod family;
pub mod id;
mod joyent;
mod openhosting;
pub mod reply;
mod spotcloud;
pub mod standard;

use std::fmt;
use std::str::FromStr;

/// A provider whose API diskferry speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Provider {
    /// Open Hosting: drives as ElasticHosts has them, in text and JSON.
    OpenHosting,
    /// Crosspeer: the same software as Open Hosting, with more calls.
    Crosspeer,
    /// CloudSigma 1.0: related software that speaks text only.
    CloudSigma,
    /// SpotCloud: appliances that can be downloaded.
    SpotCloud,
    /// Joyent CloudAPI 6.5: machines.
    Joyent,
}

impl Provider {
    /// All providers, in the order of the documentation.
    pub const ALL: [Provider; 5] = [
        Provider::OpenHosting,
        Provider::Crosspeer,
        Provider::CloudSigma,
        Provider::SpotCloud,
        Provider::Joyent,
    ];

    /// Returns the name in the configuration file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Provider::OpenHosting => "openhosting",
            Provider::Crosspeer => "crosspeer",
            Provider::CloudSigma => "cloudsigma",
            Provider::SpotCloud => "spotcloud",
            Provider::Joyent => "joyent",
        }
    }

    /// Returns what the provider's drives can do, or `None` if it has no drives to read and write.
    pub fn drives(self) -> Option<DriveCapabilities> {
        let family = DriveCapabilities {
            gzip: true,
            read_limit: Some(4 << 20),
            user_keys: true,
            marks: false,
            copies: CopyCall::Image,
        };
        match self {
            // Open Hosting documents no read limit ("Read Binary Data from a Drive"), and its own tool reads
            // 5 MiB. The software that it runs allows 4 MiB, so we ask for no more.
            Provider::OpenHosting => Some(family),
            // Only Crosspeer's manual documents `drives set` ("Drive API").
            Provider::Crosspeer => Some(DriveCapabilities { marks: true, ..family }),
            Provider::CloudSigma => {
                Some(DriveCapabilities { user_keys: false, copies: CopyCall::Clone, ..family })
            }
            Provider::SpotCloud | Provider::Joyent => None,
        }
    }
}

/// The capabilities of a provider's drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriveCapabilities {
    /// Whether a write may be sent with `Content-Encoding: gzip`.
    pub gzip: bool,
    /// The maximum number of bytes that one read may request; `None` if there is no limit.
    pub read_limit: Option<u64>,
    /// Whether a drive can have `user:*` keys, whose names the user chooses.
    pub user_keys: bool,
    /// Whether a `user:*` key can be set on an existing drive.
    pub marks: bool,
    /// How the server copies a drive.
    pub copies: CopyCall,
}

/// How a server copies a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyCall {
    /// Copies into an existing drive (Open Hosting API, "Image a Drive from Another Drive").
    Image,
    /// Copies into a new drive that the call creates (CloudSigma API 1.0, "Drive Clone").
    Clone,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Provider> for crate::emulator::Dialect {
    fn from(provider: Provider) -> Self {
        match provider {
            Provider::OpenHosting => Self::OpenHosting,
            Provider::Crosspeer => Self::Crosspeer,
            Provider::CloudSigma => Self::CloudSigma,
            Provider::SpotCloud => Self::SpotCloud,
            Provider::Joyent => Self::Joyent,
        }
    }
}

impl From<crate::emulator::Dialect> for Provider {
    fn from(dialect: crate::emulator::Dialect) -> Self {
        use crate::emulator::Dialect;
        match dialect {
            Dialect::OpenHosting => Self::OpenHosting,
            Dialect::Crosspeer => Self::Crosspeer,
            Dialect::CloudSigma => Self::CloudSigma,
            Dialect::SpotCloud => Self::SpotCloud,
            Dialect::Joyent => Self::Joyent,
        }
    }
}

impl FromStr for Provider {
    type Err = crate::Error;

    fn from_str(name: &str) -> crate::Result<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Provider::name).join(", ");
            crate::Error::usage(format!("there is no provider `{name}`"))
                .hint(format!("the providers are {names}"))
        })
    }
}
