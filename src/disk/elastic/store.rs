//! The drives of an account as a store.

use super::ElasticDisk;
use super::drives::Drives;
use crate::disk::store::{
    Create, CreateError, DiskToMake, Facts, MakeCopy, Store, StoreFuture, StoreInfo, Writable, no_bitmap,
    no_checksum,
};
use crate::disk::{Identity, ReadAt};
use std::ops::Range;
use std::sync::Arc;

impl Store for Drives {
    fn info(&self) -> StoreInfo {
        let can = self.capabilities();
        StoreInfo { noun: "drive", marks: can.marks, gzip: can.gzip, vhd: false, destroys: true }
    }

    fn facts<'a>(&'a self, disk: &'a str) -> StoreFuture<'a, Facts> {
        Box::pin(async move { Ok(Drives::info(self, disk).await?.facts()) })
    }

    fn read<'a>(&'a self, facts: &'a Facts, identity: Option<Identity>) -> StoreFuture<'a, Arc<dyn ReadAt>> {
        let disk = ElasticDisk::new(self.clone(), facts, identity);
        Box::pin(async move { Ok(Arc::new(disk) as Arc<dyn ReadAt>) })
    }

    fn write<'a>(&'a self, facts: &'a Facts, _transfer: &'a str) -> StoreFuture<'a, Writable> {
        let disk = Arc::new(ElasticDisk::new(self.clone(), facts, None));
        Box::pin(async move { Ok(Writable { to: disk.clone(), back: disk }) })
    }

    fn mark<'a>(&'a self, disk: &'a str, transfer: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(Drives::mark(self, disk, transfer))
    }

    fn checksum<'a>(&'a self, _disk: &'a str, _block: u64) -> StoreFuture<'a, Option<String>> {
        no_checksum()
    }

    fn written_since<'a>(
        &'a self,
        _disk: &'a str,
        _bitmap: Option<&'a str>,
    ) -> StoreFuture<'a, Option<Vec<Range<u64>>>> {
        no_bitmap()
    }

    fn describe<'a>(&'a self, _disk: &'a str) -> StoreFuture<'a, Vec<(&'static str, String)>> {
        let can = self.capabilities();
        let words = vec![
            ("gzip writes", if can.gzip { "yes" } else { "no" }.to_owned()),
            ("read limit", can.read_limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())),
        ];
        Box::pin(async move { Ok(words) })
    }

    fn create(&self) -> Option<&dyn Create> {
        Some(self)
    }
}

impl Create for Drives {
    fn similar<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Vec<String>> {
        Box::pin(Drives::similar(self, name))
    }

    fn find_made<'a>(&'a self, new: &'a DiskToMake<'a>) -> StoreFuture<'a, Option<Facts>> {
        Box::pin(async move { Ok(Drives::find_made(self, new).await?.map(|found| found.facts())) })
    }

    fn make<'a>(&'a self, new: &'a DiskToMake<'a>) -> StoreFuture<'a, Facts, CreateError> {
        Box::pin(async move { Ok(Drives::create(self, new).await?.facts()) })
    }

    fn copies(&self) -> Option<&dyn MakeCopy> {
        Some(self)
    }
}

impl MakeCopy for Drives {
    fn make_copy<'a>(
        &'a self,
        new: &'a DiskToMake<'a>,
        base: &'a str,
    ) -> StoreFuture<'a, Facts, CreateError> {
        Box::pin(async move { Ok(Drives::create_copy(self, new, base).await?.facts()) })
    }

    fn fill<'a>(&'a self, disk: &'a str, base: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(Drives::image(self, disk, base))
    }
}
