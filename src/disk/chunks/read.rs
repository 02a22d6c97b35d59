//! An image in a store, by its index.

use crate::backup::index::Index;
use crate::backup::place::Place;
use crate::disk::{Attempt, Buffer, DiskInfo, Extent, LocalRead, ReadAt};
use crate::error::{Error, Result};
use crate::transport::retry::Retry;
use std::ops::Range;
use std::sync::Arc;

/// An image whose chunks are in a store. Clones share what they have unpacked.
#[derive(Clone)]
pub struct IndexDisk {
    inner: Arc<Inner>,
}

struct Inner {
    info: DiskInfo,
    index: Index,
}

impl IndexDisk {
    /// The image of an index. `name` says in messages which.
    pub async fn open(place: &Arc<dyn Place>, name: &str, index: Index, retry: &Retry) -> Result<Self> {
        let _ = (place, name, index, retry);
        todo!()
    }

    /// The index.
    pub fn index(&self) -> &Index {
        &self.inner.index
    }
}

impl ReadAt for IndexDisk {
    fn info(&self) -> &DiskInfo {
        &self.inner.info
    }

    fn read_at(&self, _offset: u64, _len: u64, _into: Buffer) -> Attempt<Buffer> {
        todo!()
    }

    fn extents(&self, _window: Range<u64>) -> Attempt<Vec<Extent>> {
        todo!()
    }

    /// What is in a store under a name never changes.
    fn changed(&self) -> Attempt<Option<Error>> {
        Box::pin(async { Ok(None) })
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        None
    }
}
