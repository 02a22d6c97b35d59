//! Opening remotes that have disks but no API calls: NBD servers, oVirt's image servers and Azure's
//! containers.

use crate::config::{DiskService, Object};
use crate::disk::azure::{BlobContainer, SasToken};
use crate::disk::imageio::{ImageStore, Ticket};
use crate::disk::nbd::{NbdAddress, NbdOptions, Server};
use crate::disk::store::Store;
use crate::error::{Error, Kind, Result};
use crate::meters::Meters;
use crate::provider::catalogue::secret::Redactor;
use crate::transport::client::Options;
use crate::transport::retry::Retry;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use url::Url;

/// A remote that has disks but no API calls, with all that is needed to open it.
#[derive(Clone)]
pub(super) struct Opening {
    pub(super) far_end: DiskService,
    pub(super) url: Url,
    pub(super) secret: Option<SecretString>,
    /// Whether the secret may be sent over plain HTTP.
    pub(super) allow_http: bool,
    /// Hides secrets that do not come from the configuration, such as a ticket that names a disk.
    pub(super) redactor: Redactor,
    pub(super) options: Options,
    pub(super) meters: Arc<Meters>,
    pub(super) retry: Retry,
}

impl Opening {
    /// Returns the error for a command that needs API calls.
    pub(super) fn no_calls(&self) -> Error {
        match crate::config::Service::Disks(self.far_end).api() {
            Err(error) => error,
            Ok(_) => Error::usage("there are no calls"),
        }
    }

    /// Returns the store and the name of the disk on it.
    pub(super) fn store(&self, object: Option<&Object>) -> Result<(Arc<dyn Store>, Option<String>)> {
        let name = object.map(|object| match object {
            Object::Drive(name) | Object::Named(name) => name.clone(),
            Object::Appliance(key) => format!("appliance/{key}"),
        });
        match self.far_end {
            DiskService::Nbd => self.nbd(name),
            DiskService::Imageio => self.imageio(name),
            DiskService::Azure => self.azure(name),
        }
    }

    /// Returns the NBD server and the export's name. Without a name, it is the export in the address, or the
    /// server's default.
    fn nbd(&self, name: Option<String>) -> Result<(Arc<dyn Store>, Option<String>)> {
        let address = NbdAddress::parse(self.url.as_str())?;
        let options = NbdOptions {
            bitmap: None,
            idle: self.options.idle,
            bandwidth: self.options.bandwidth.clone(),
            ca_pem: self.options.ca_pem.clone(),
            ..NbdOptions::default()
        };
        let store = Server::new(address, options, Arc::clone(&self.meters), self.retry.clone());
        Ok((Arc::new(store), Some(name.unwrap_or_default())))
    }

    /// Returns oVirt's image server and the image's name. A ticket is a secret and may therefore be
    /// configured as the remote's secret. Then the text after the colon only names the image.
    fn imageio(&self, name: Option<String>) -> Result<(Arc<dyn Store>, Option<String>)> {
        let ticket = match (&self.secret, name) {
            (Some(ticket), name) => Ticket::named(name.as_deref().unwrap_or("image"), ticket.clone()),
            (None, Some(ticket)) => {
                self.redactor.hide(&ticket);
                Ticket::alone(ticket.into())
            }
            (None, None) => {
                return Err(Error::usage("no ticket is named").hint(
                    "name the ticket, as in `REMOTE:TICKET`, or make it the secret of the remote, so that no argument shows it",
                ));
            }
        };
        let name = ticket.name().to_owned();
        let (options, meters) = (self.options.clone(), Arc::clone(&self.meters));
        let store = ImageStore::new(self.url.clone(), ticket, options, meters, self.retry.clone());
        Ok((Arc::new(store), Some(name)))
    }

    fn azure(&self, name: Option<String>) -> Result<(Arc<dyn Store>, Option<String>)> {
        let sas = self.secret.as_ref().ok_or_else(|| {
            Error::new(Kind::Auth, "the remote has no SAS token")
                .hint("set `secret`, `secret_file` or `secret_command`")
        })?;
        let sas = SasToken::parse(sas.expose_secret())?;
        let (url, meters, retry) = (self.url.clone(), Arc::clone(&self.meters), self.retry.clone());
        // Without a name, use the blob in the URL if the token is for one blob only.
        let name = name.or_else(|| sas.is_for_one_blob().then(String::new));
        let store = BlobContainer::new(url, sas, self.allow_http, &self.options, meters, retry)?;
        Ok((Arc::new(store), name))
    }
}
