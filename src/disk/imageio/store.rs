//! The image of a ticket as a store with one disk.

use super::ImageioDisk;
use crate::disk::store::{Create, Facts, Store, StoreFuture, StoreInfo, Writable};
use crate::disk::{Identity, ReadAt, WriteAt};
use crate::error::{Error, Kind, Result};
use crate::meters::Meters;
use crate::transport::client::Options;
use crate::transport::retry::Retry;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// A transfer ticket of oVirt, and the name of its image in journals and messages.
#[derive(Clone, Debug)]
pub struct Ticket {
    name: String,
    secret: SecretString,
}

impl Ticket {
    /// Creates a ticket for an image with a name. Another ticket for the same image resumes what an earlier
    /// one began.
    pub fn named(name: &str, secret: SecretString) -> Self {
        Self { name: name.to_owned(), secret }
    }

    /// Creates a ticket for an image without a name, which is identified by a digest that reveals nothing.
    pub fn alone(secret: SecretString) -> Self {
        let digest = blake3::hash(secret.expose_secret().as_bytes()).to_hex();
        Self { name: format!("ticket-{}", &digest[..16]), secret }
    }

    /// Returns the name of the image.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The image of a ticket.
pub struct ImageStore {
    base: Url,
    ticket: Ticket,
    options: Options,
    meters: Arc<Meters>,
    retry: Retry,
    disk: OnceCell<ImageioDisk>,
}

impl ImageStore {
    /// Creates a store for the image of `ticket` on the server at `base`; see [`ImageioDisk::open`].
    pub fn new(base: Url, ticket: Ticket, options: Options, meters: Arc<Meters>, retry: Retry) -> Self {
        Self { base, ticket, options, meters, retry, disk: OnceCell::new() }
    }

    async fn disk(&self, name: &str) -> Result<&ImageioDisk> {
        if name != self.ticket.name {
            return Err(Error::new(Kind::NotFound, format!("no ticket for {name}")));
        }
        let open = async || {
            let (options, meters) = (self.options.clone(), Arc::clone(&self.meters));
            ImageioDisk::open(self.base.clone(), &self.ticket.secret, options, meters, &self.retry).await
        };
        self.disk.get_or_try_init(open).await
    }
}

impl Store for ImageStore {
    fn info(&self) -> StoreInfo {
        StoreInfo { noun: "image", marks: false, gzip: false, vhd: false, destroys: false }
    }

    fn facts<'a>(&'a self, disk: &'a str) -> StoreFuture<'a, Facts> {
        Box::pin(async move {
            let size = ReadAt::info(self.disk(disk).await?).size;
            Ok(Facts { disk: disk.to_owned(), name: disk.to_owned(), size, ..Facts::default() })
        })
    }

    fn read<'a>(&'a self, facts: &'a Facts, identity: Option<Identity>) -> StoreFuture<'a, Arc<dyn ReadAt>> {
        Box::pin(async move {
            let disk = self.disk(&facts.disk).await?.clone();
            let disk = match identity {
                Some(identity) => disk.known_as(identity),
                None => disk,
            };
            Ok(Arc::new(disk) as Arc<dyn ReadAt>)
        })
    }

    fn write<'a>(&'a self, facts: &'a Facts, _transfer: &'a str) -> StoreFuture<'a, Writable> {
        Box::pin(async move {
            let disk = self.disk(&facts.disk).await?;
            if !disk.features().writable {
                return Err(Error::new(Kind::Refused, format!("{} is read-only", WriteAt::info(disk).name))
                    .hint("create an image transfer for uploading and use its ticket"));
            }
            let disk = Arc::new(disk.clone());
            Ok(Writable { to: disk.clone(), back: disk })
        })
    }

    fn mark<'a>(&'a self, _disk: &'a str, _transfer: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn checksum<'a>(&'a self, disk: &'a str, block: u64) -> StoreFuture<'a, Option<String>> {
        Box::pin(async move {
            let disk = self.disk(disk).await?;
            let what = format!("computing the checksum of {} on its server", ReadAt::info(disk).name);
            let checksum = self.retry.run(&what, None, async || disk.checksum_in_blocks(block).await).await?;
            Ok(checksum.map(|checksum| checksum.hex))
        })
    }

    /// The ticket of an incremental backup is for its checkpoint, so there is no bitmap to select.
    fn written_since<'a>(
        &'a self,
        disk: &'a str,
        _bitmap: Option<&'a str>,
    ) -> StoreFuture<'a, Option<Vec<Range<u64>>>> {
        Box::pin(async move {
            let disk = self.disk(disk).await?;
            let what = format!("listing the changed ranges of {}", ReadAt::info(disk).name);
            let dirty = self.retry.run(&what, None, async || disk.dirty_extents().await).await?;
            Ok(dirty.map(|dirty| dirty.changed))
        })
    }

    fn describe<'a>(&'a self, disk: &'a str) -> StoreFuture<'a, Vec<(&'static str, String)>> {
        Box::pin(async move {
            let disk = self.disk(disk).await?;
            let (features, info) = (disk.features(), ReadAt::info(disk));
            let word = |has| if has { "yes" } else { "no" }.to_owned();
            Ok(vec![
                ("image", info.name.clone()),
                ("size", info.size.to_string()),
                ("writable", word(features.writable)),
                ("readers", features.max_readers.to_string()),
                ("writers", features.max_writers.to_string()),
                ("extents", word(features.extents)),
                ("zeros", word(features.zero)),
                ("flush", word(features.flush)),
                ("checksums", word(features.checksum)),
                ("unix socket", word(features.unix_socket.is_some())),
                ("gzip writes", "no".to_owned()),
            ])
        })
    }

    fn create(&self) -> Option<&dyn Create> {
        None
    }
}
