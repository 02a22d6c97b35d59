//! The provider of a remote: one of the five APIs, or a service that has only disks.

use crate::nearest::nearest;
use crate::provider::Provider;
use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// The provider of a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// An API with a catalogue of calls.
    Api(Provider),
    /// A service with disks and no calls.
    Disks(DiskService),
}

/// A service with disks and no calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskService {
    /// An NBD server, such as qemu-nbd or nbdkit.
    Nbd,
    /// The image server of oVirt and Oracle OLVM.
    Imageio,
    /// Page blobs and managed disks of Azure.
    Azure,
}

impl DiskService {
    /// All services.
    pub const ALL: [DiskService; 3] = [DiskService::Nbd, DiskService::Imageio, DiskService::Azure];

    /// Returns the name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            DiskService::Nbd => "nbd",
            DiskService::Imageio => "imageio",
            DiskService::Azure => "azure",
        }
    }
}

impl Service {
    /// Returns all names, in the order in which they are shown.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Provider::ALL.map(Provider::name).into_iter().chain(DiskService::ALL.map(DiskService::name))
    }

    /// Returns the name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Service::Api(provider) => provider.name(),
            Service::Disks(far_end) => far_end.name(),
        }
    }

    /// The address that the provider's manual gives, where there is one for all its users.
    pub fn default_url(self) -> Option<&'static str> {
        match self {
            // Open Hosting API, "Authentication"; Crosspeer API, head; CloudSigma API 1.0, 1; SpotCloud Buyer API 1.2, 1;
            // Joyent CloudAPI 6.5, "Installation": the first of their data centres each.
            Service::Api(Provider::OpenHosting) => Some("https://api-east1.openhosting.com/"),
            Service::Api(Provider::Crosspeer) => Some("https://us-east.crosspeer.com/api/"),
            Service::Api(Provider::CloudSigma) => Some("https://api.zrh.cloudsigma.com/"),
            Service::Api(Provider::SpotCloud) => Some("https://spotcloud.appspot.com/"),
            Service::Api(Provider::Joyent) => Some("https://us-west-1.api.joyentcloud.com/"),
            Service::Disks(_) => None,
        }
    }

    /// The API.
    ///
    /// # Errors
    /// A usage error if the service has only disks.
    pub fn api(self) -> Result<Provider> {
        match self {
            Service::Api(provider) => Ok(provider),
            Service::Disks(far_end) => Err(Error::usage(format!("{} has no API calls", far_end.name()))
                .hint("use upload, download, verify or migrate")),
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
        if let Some(far_end) = DiskService::ALL.into_iter().find(|far_end| far_end.name() == name) {
            return Ok(Service::Disks(far_end));
        }
        if let Some(provider) = Provider::ALL.into_iter().find(|provider| provider.name() == name) {
            return Ok(Service::Api(provider));
        }
        let names = Self::names().collect::<Vec<_>>().join(", ");
        let hint = match nearest(name, Self::names().map(|name| (name, name))) {
            Some(near) => format!("did you mean `{near}`? The providers are {names}"),
            None => format!("the providers are {names}"),
        };
        Err(Error::usage(format!("unknown provider `{name}`")).hint(hint))
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
        assert!(error.hint_text().unwrap().contains("`azure`"), "{error}");
        assert!(Service::Disks(DiskService::Nbd).api().is_err());
        assert_eq!(Service::from(Provider::Joyent).api().unwrap(), Provider::Joyent);
    }
}
