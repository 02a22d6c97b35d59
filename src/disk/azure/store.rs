//! A container of page blobs as a store.

use super::container::{BlobContainer, BlobInfo, BlobToMake};
use crate::disk::store::{
    Create, CreateError, DiskToMake, Facts, MakeCopy, Store, StoreFuture, StoreInfo, Users, Writable,
    no_bitmap, no_checksum,
};
use crate::disk::{Identity, ReadAt};
use crate::error::{Error, Kind, Result};
use std::ops::Range;
use std::sync::Arc;

impl BlobInfo {
    fn facts(&self) -> Facts {
        Facts {
            disk: self.name.clone(),
            name: self.name.rsplit('/').next().unwrap_or_default().to_owned(),
            size: self.size,
            busy: None,
            in_use: self.is_leased().then(|| Users::Other("the holder of a lease".to_owned())),
            mark: self.mark.clone(),
            evidence: self.evidence(),
        }
    }
}

impl BlobContainer {
    /// Looks up a blob again. Fails if it was written to since the job looked it up.
    async fn found(&self, facts: &Facts) -> Result<BlobInfo> {
        let blob = self.info(&facts.disk).await?;
        if blob.size == facts.size && blob.evidence() == facts.evidence {
            return Ok(blob);
        }
        Err(Error::new(Kind::Incomplete, format!("blob {} was written to by others", facts.disk))
            .hint(super::WRITTEN_TO))
    }
}

impl Store for BlobContainer {
    fn info(&self) -> StoreInfo {
        StoreInfo { noun: "blob", marks: false, gzip: false, vhd: true, destroys: false }
    }

    fn facts<'a>(&'a self, disk: &'a str) -> StoreFuture<'a, Facts> {
        Box::pin(async move {
            let mut facts = BlobContainer::info(self, disk).await?.facts();
            if facts.name.is_empty() {
                let url = self.address().path_segments().and_then(|mut segments| segments.next_back());
                url.unwrap_or_default().clone_into(&mut facts.name);
            }
            Ok(facts)
        })
    }

    fn read<'a>(&'a self, facts: &'a Facts, identity: Option<Identity>) -> StoreFuture<'a, Arc<dyn ReadAt>> {
        Box::pin(async move {
            let disk = self.disk(&self.found(facts).await?, None);
            let disk = match identity {
                Some(identity) => disk.known_as(identity),
                None => disk,
            };
            Ok(Arc::new(disk) as Arc<dyn ReadAt>)
        })
    }

    fn write<'a>(&'a self, facts: &'a Facts, transfer: &'a str) -> StoreFuture<'a, Writable> {
        Box::pin(async move {
            let disk = Arc::new(self.disk(&self.found(facts).await?, Some(transfer)));
            Ok(Writable { to: disk.clone(), back: disk })
        })
    }

    /// Metadata could be a mark, but setting it requires a permission that a token for writing pages may
    /// lack. The `ETag` says more.
    fn mark<'a>(&'a self, _disk: &'a str, _transfer: &'a str) -> StoreFuture<'a, ()> {
        Box::pin(async { Ok(()) })
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

    fn describe<'a>(&'a self, disk: &'a str) -> StoreFuture<'a, Vec<(&'static str, String)>> {
        Box::pin(async move {
            let mut words = Vec::new();
            match BlobContainer::info(self, disk).await {
                Ok(blob) => words.push(("size", blob.size.to_string())),
                Err(error) if disk.is_empty() && error.kind() == Kind::NotFound => {
                    words.push(("blobs", format!("{} listed", self.list("").await?.len())));
                }
                Err(error) if disk.is_empty() => {
                    // The URL is a container, which has no blob properties.
                    let listed = self.list("").await.map_err(|unlisted| {
                        // For a refused token the reply to HEAD says less, because it has no body.
                        if unlisted.kind() == Kind::Auth { unlisted } else { error }
                    })?;
                    words.push(("blobs", format!("{} listed", listed.len())));
                }
                Err(error) => return Err(error),
            }
            words.extend([
                ("write limit", super::LONGEST_WRITE.to_string()),
                ("alignment", super::PAGE.to_string()),
                ("extents", "yes".to_owned()),
                ("zeros", "cleared".to_owned()),
                ("checksums", "CRC-64, checked by the server".to_owned()),
                ("gzip writes", "no".to_owned()),
            ]);
            Ok(words)
        })
    }

    fn create(&self) -> Option<&dyn Create> {
        Some(self)
    }
}

impl Create for BlobContainer {
    /// A blob has its mark from the start.
    fn similar<'a>(&'a self, _name: &'a str) -> StoreFuture<'a, Vec<String>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn find_made<'a>(&'a self, new: &'a DiskToMake<'a>) -> StoreFuture<'a, Option<Facts>> {
        Box::pin(async move { Ok(BlobContainer::find_made(self, &of(new)).await?.map(|blob| blob.facts())) })
    }

    fn make<'a>(&'a self, new: &'a DiskToMake<'a>) -> StoreFuture<'a, Facts, CreateError> {
        Box::pin(async move {
            if let Some((key, _)) = new.keys.first() {
                let what = format!("a blob has no settings, so `{key}` cannot be set");
                return Err(CreateError::Refused(Error::usage(what)));
            }
            Ok(BlobContainer::create(self, &of(new)).await?.facts())
        })
    }

    /// `Copy Blob` needs a token that can read the base and can write the copy by another URL than a disk's
    /// own.
    fn copies(&self) -> Option<&dyn MakeCopy> {
        None
    }
}

fn of<'a>(new: &DiskToMake<'a>) -> BlobToMake<'a> {
    BlobToMake { name: new.name, size: new.size, transfer: new.transfer }
}
