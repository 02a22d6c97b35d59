//! Who is behind a remote: one of the five APIs, or a far end that has disks and nothing else.

use crate::provider::Provider;
use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// Who is behind a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// An API with a catalogue of calls.
    Api(Provider),
    /// Disks, and no calls.
    Disks(FarEnd),
}

/// A far end that has disks and no calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarEnd {
    /// A server of network block devices: qemu-nbd, nbdkit and others.
    Nbd,
    /// The image server of oVirt and of Oracle OLVM.
    Imageio,
    /// Page blobs and managed disks of Azure.
    Azure,
}

impl FarEnd {
    /// All of them.
    pub const ALL: [FarEnd; 3] = [FarEnd::Nbd, FarEnd::Imageio, FarEnd::Azure];

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            FarEnd::Nbd => "nbd",
            FarEnd::Imageio => "imageio",
            FarEnd::Azure => "azure",
        }
    }
}

impl Service {
    /// The names of all of them, in the order in which they are told.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Provider::ALL.map(Provider::name).into_iter().chain(FarEnd::ALL.map(FarEnd::name))
    }

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Service::Api(provider) => provider.name(),
            Service::Disks(far_end) => far_end.name(),
        }
    }

    /// The API.
    ///
    /// # Errors
    /// A usage error where there are disks only.
    pub fn api(self) -> Result<Provider> {
        match self {
            Service::Api(provider) => Ok(provider),
            Service::Disks(far_end) => {
                Err(Error::usage(format!("{} has disks and no calls", far_end.name()))
                    .hint("what it takes part in is upload, download, verify and migrate"))
            }
        }
    }
}

impl From<Provider> for Service {
    fn from(provider: Provider) -> Self {
        Service::Api(provider)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        if let Some(far_end) = FarEnd::ALL.into_iter().find(|far_end| far_end.name() == name) {
            return Ok(Service::Disks(far_end));
        }
        if let Some(provider) = Provider::ALL.into_iter().find(|provider| provider.name() == name) {
            return Ok(Service::Api(provider));
        }
        let names = Self::names().collect::<Vec<_>>().join(", ");
        let hint = match super::nearest(name, Self::names()) {
            Some(near) => format!("did you mean `{near}`? The providers are {names}"),
            None => format!("the providers are {names}"),
        };
        Err(Error::usage(format!("there is no provider `{name}`")).hint(hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_understood_and_a_near_one_is_named() {
        for name in Service::names() {
            assert_eq!(name.parse::<Service>().unwrap().name(), name);
        }
        let error = "azur".parse::<Service>().unwrap_err();
        assert!(error.what_next().unwrap().contains("`azure`"), "{error}");
        assert!(Service::Disks(FarEnd::Nbd).api().is_err());
        assert_eq!(Service::from(Provider::Joyent).api().unwrap(), Provider::Joyent);
    }
}
