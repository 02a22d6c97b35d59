//! The exports of a server as a store.

use super::pool::refuse_read_only;
use super::{NbdAddress, NbdDisk, NbdOptions, Purpose, list};
use crate::disk::store::{Create, Facts, Store, StoreFuture, StoreInfo, Writable, no_checksum};
use crate::disk::{Identity, ReadAt};
use crate::error::Result;
use crate::meters::Meters;
use crate::transport::retry::Retry;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// A server.
pub struct Server {
    address: NbdAddress,
    options: NbdOptions,
    meters: Arc<Meters>,
    retry: Retry,
    /// The export that was opened last. Many servers take one connection at a time, and some exit after their
    /// last one.
    open: Mutex<Option<(String, NbdDisk)>>,
}

impl Server {
    /// Creates a store for the server at `address`, which may name an export.
    pub fn new(address: NbdAddress, options: NbdOptions, meters: Arc<Meters>, retry: Retry) -> Self {
        Self { address, options, meters, retry, open: Mutex::new(None) }
    }

    /// Returns the address of an export, which the store's address may already name.
    fn address_of(&self, export: &str) -> Result<NbdAddress> {
        if export.is_empty() { Ok(self.address.clone()) } else { self.address.clone().with_export(export) }
    }

    async fn disk(&self, export: &str) -> Result<NbdDisk> {
        let address = self.address_of(export)?;
        let known = self.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, disk)) = known.filter(|(name, _)| name == export) {
            return Ok(disk);
        }
        let what = format!("opening {address}");
        let attempt =
            async || NbdDisk::open(&address, Purpose::Read, &self.options, Arc::clone(&self.meters)).await;
        let disk = self.retry.run(&what, None, attempt).await?;
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some((export.to_owned(), disk.clone()));
        Ok(disk)
    }
}

impl Store for Server {
    fn info(&self) -> StoreInfo {
        StoreInfo { noun: "export", marks: false, gzip: false, vhd: false, destroys: false }
    }

    fn facts<'a>(&'a self, disk: &'a str) -> StoreFuture<'a, Facts> {
        Box::pin(async move {
            let opened = self.disk(disk).await?;
            let export = opened.export();
            let name = export.name.rsplit('/').next().unwrap_or_default().to_owned();
            Ok(Facts { disk: disk.to_owned(), name, size: export.size, ..Facts::default() })
        })
    }

    fn read<'a>(&'a self, facts: &'a Facts, identity: Option<Identity>) -> StoreFuture<'a, Arc<dyn ReadAt>> {
        Box::pin(async move {
            let disk = self.disk(&facts.disk).await?;
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
            refuse_read_only(disk.export())?;
            let disk = Arc::new(disk);
            Ok(Writable { to: disk.clone(), back: disk })
        })
    }

    fn mark<'a>(&'a self, _disk: &'a str, _transfer: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn checksum<'a>(&'a self, _disk: &'a str, _block: u64) -> StoreFuture<'a, Option<String>> {
        no_checksum()
    }

    fn written_since<'a>(
        &'a self,
        disk: &'a str,
        bitmap: Option<&'a str>,
    ) -> StoreFuture<'a, Option<Vec<Range<u64>>>> {
        Box::pin(async move {
            let Some(bitmap) = bitmap else { return Ok(None) };
            let address = self.address_of(disk)?;
            let options =
                NbdOptions { bitmap: Some(bitmap.to_owned()), connections: 1, ..self.options.clone() };
            let what = format!("reading the bitmap `{bitmap}` of {address}");
            let ask = async || {
                let disk = NbdDisk::open(&address, Purpose::Read, &options, Arc::default()).await?;
                if !disk.export().extents() {
                    return Ok(None);
                }
                let (size, mut at, mut written) = (ReadAt::info(&disk).size, 0, Vec::new());
                while at < size {
                    let window = at..size.min(at + WINDOW);
                    at = window.end;
                    let told = disk.extents(window).await?;
                    written.extend(told.into_iter().filter(|extent| !extent.zero).map(|extent| extent.range));
                }
                Ok(Some(written))
            };
            self.retry.run(&what, None, ask).await
        })
    }

    fn describe<'a>(&'a self, disk: &'a str) -> StoreFuture<'a, Vec<(&'static str, String)>> {
        Box::pin(async move {
            let opened = match self.disk(disk).await {
                Ok(opened) => opened,
                Err(error) => {
                    // Without a default export, show the list.
                    let Ok(exports) = list(&self.address, &self.options).await else { return Err(error) };
                    if !disk.is_empty() || exports.is_empty() {
                        return Err(error);
                    }
                    return Ok(vec![("exports", names(exports.into_iter().map(|export| export.name)))]);
                }
            };
            let (export, word) = (opened.export(), |has| if has { "yes" } else { "no" }.to_owned());
            let features = export.features;
            Ok(vec![
                ("export", export.title()),
                ("size", export.size.to_string()),
                ("writable", word(!features.read_only())),
                ("blocks", format!("{} to {}", export.block.minimum, export.block.maximum)),
                ("extents", word(export.extents())),
                ("zeros", word(features.write_zeroes())),
                ("flush", word(features.flush())),
                ("connections", if features.multi_conn() { "several" } else { "one" }.to_owned()),
                ("checksums", "no".to_owned()),
                ("gzip writes", "no".to_owned()),
            ])
        })
    }

    fn create(&self) -> Option<&dyn Create> {
        None
    }
}

/// How much of a bitmap is requested at a time, in bytes of the disk.
const WINDOW: u64 = 16 << 30;

/// The most export names that are shown.
const SHOWN: usize = 20;

fn names(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(SHOWN);
    let shown: Vec<String> = all.take(SHOWN).map(|name| format!("{name:?}")).collect();
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    shown.join(" ") + &rest
}
