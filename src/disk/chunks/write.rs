//! A disk that stores the chunks of an image.

use crate::backup::chunks::Chunks;
use crate::disk::{Attempt, Body, DiskInfo, Evidence, LocalWrite, Receipt, Wire, WriteAt, no_evidence};
use crate::error::{Error, Kind};
use std::ops::Range;
use std::sync::Arc;

/// Stores each chunk of an image under its digest. The positions of the chunks are only in the ledger, from
/// which a [session](crate::backup::Session) makes the index.
#[derive(Clone)]
pub struct StoreDisk {
    info: Arc<DiskInfo>,
    chunk_size: u64,
    chunks: Chunks,
}

impl StoreDisk {
    pub(crate) fn new(name: String, size: u64, chunk_size: u64, chunks: Chunks) -> Self {
        let info = DiskInfo {
            wire: Wire::Chunks,
            // The contents of a file are synced before it is named, but the name may be lost.
            volatile: chunks.place().directory().is_some(),
            writers: chunks.place().requests(),
            ..DiskInfo::new(name, size)
        };
        Self { info: Arc::new(info), chunk_size, chunks }
    }
}

impl WriteAt for StoreDisk {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn write_at(&self, offset: u64, body: Body) -> Attempt<Receipt> {
        let Body::Chunk(digest, frame) = body else {
            let error =
                Error::new(Kind::Refused, "a store takes only chunks with their digests").offset(offset);
            return Box::pin(async { Err(error) });
        };
        let put = self.chunks.put(digest, frame);
        Box::pin(async move {
            put.await?;
            Ok(Receipt::acknowledged())
        })
    }

    /// Stores the chunk of zeros once for each length. The range consists of whole chunks.
    fn zero_at(&self, range: Range<u64>) -> Attempt<Option<Receipt>> {
        let (size, chunk_size) = (self.info.size, self.chunk_size.max(1));
        let len = range.end.saturating_sub(range.start);
        let inside = self.info.check_range(range.start, len);
        let is_whole =
            range.start.is_multiple_of(chunk_size) && (len.is_multiple_of(chunk_size) || range.end == size);
        let chunks = self.chunks.clone();
        Box::pin(async move {
            inside?;
            if !is_whole {
                return Err(Error::new(Kind::Refused, "a store takes only whole chunks").offset(range.start));
            }
            // All chunks except the last have one length.
            for len in [chunk_size.min(len), len % chunk_size].into_iter().filter(|len| *len > 0) {
                chunks.put_zeros(len).await?;
            }
            Ok(Some(Receipt::acknowledged()))
        })
    }

    fn evidence(&self) -> Attempt<Evidence> {
        no_evidence()
    }

    fn flush(&self) -> Attempt<()> {
        self.chunks.place().sync()
    }

    fn local(&self) -> Option<&dyn LocalWrite> {
        None
    }
}
