//! A disk in memory, for tests and for images that a program generates.

use super::{
    Attempt, Body, Buffer, DiskInfo, Evidence, Extent, LocalRead, LocalWrite, ReadAt, Receipt, Wire, WriteAt,
    data_everywhere, no_evidence,
};
use crate::error::{Error, Kind, Result};
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes in memory, shared by all clones.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    bytes: Arc<Mutex<Vec<u8>>>,
    info: Arc<DiskInfo>,
}

impl MemoryDisk {
    /// Creates a disk of these bytes, which takes gzip.
    pub fn new(bytes: Vec<u8>) -> Self {
        let info = DiskInfo { wire: Wire::Gzip, ..DiskInfo::new("memory", bytes.len() as u64) };
        Self { bytes: Arc::new(Mutex::new(bytes)), info: Arc::new(info) }
    }

    /// Changes the properties of the disk with `limit`.
    #[must_use]
    pub fn limited(mut self, limit: impl FnOnce(&mut DiskInfo)) -> Self {
        limit(Arc::make_mut(&mut self.info));
        self
    }

    /// Returns a copy of the bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, offset: u64, len: u64) -> Result<Range<usize>> {
        self.info.check_range(offset, len)?;
        let place = |at| usize::try_from(at).map_err(|_| Error::usage("the range does not fit into memory"));
        Ok(place(offset)?..place(offset + len)?)
    }
}

impl ReadAt for MemoryDisk {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn read_at(&self, offset: u64, len: u64, mut into: Buffer) -> Attempt<Buffer> {
        let read = self.place(offset, len).map(|place| {
            into.extend_from_slice(&self.lock()[place]);
            into
        });
        Box::pin(async { read })
    }

    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        data_everywhere(window)
    }

    fn changed(&self) -> Attempt<Option<Error>> {
        Box::pin(async { Ok(None) })
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        None
    }
}

impl WriteAt for MemoryDisk {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn write_at(&self, offset: u64, body: Body) -> Attempt<Receipt> {
        let write = || {
            let bytes = match body {
                Body::Raw(bytes) => bytes.to_vec(),
                Body::Gzip(bytes) => {
                    let mut all = Vec::new();
                    flate2::read::MultiGzDecoder::new(&bytes[..])
                        .take(self.info.size)
                        .read_to_end(&mut all)
                        .map_err(|e| Error::new(Kind::Refused, "the body is not gzip").source(e))?;
                    all
                }
                Body::Chunk(..) => {
                    return Err(Error::usage("a disk in memory does not store chunks by digest"));
                }
            };
            let place = self.place(offset, bytes.len() as u64)?;
            if bytes.len() as u64 > self.info.write_limit {
                return Err(
                    Error::new(Kind::Refused, "a write is longer than the disk's limit").offset(offset)
                );
            }
            self.lock()[place].copy_from_slice(&bytes);
            Ok(Receipt::acknowledged())
        };
        let written = write();
        Box::pin(async { written })
    }

    fn zero_at(&self, range: Range<u64>) -> Attempt<Option<Receipt>> {
        let zeroed = self.place(range.start, range.end - range.start).map(|place| {
            self.lock()[place].fill(0);
            Some(Receipt::acknowledged())
        });
        Box::pin(async { zeroed })
    }

    fn evidence(&self) -> Attempt<Evidence> {
        no_evidence()
    }

    fn flush(&self) -> Attempt<()> {
        Box::pin(async { Ok(()) })
    }

    fn local(&self) -> Option<&dyn LocalWrite> {
        None
    }
}
