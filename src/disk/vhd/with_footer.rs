//! An image as the fixed VHD that it is converted to.

use super::Behind;
use crate::disk::{Attempt, Buffer, DiskInfo, Extent, LocalRead, ReadAt};
use crate::error::{Error, Kind, Result};
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

/// A disk followed by zeros up to the next MiB and the footer of a fixed VHD. Clones share the disk.
#[derive(Clone)]
pub struct WithFooter {
    inner: Arc<dyn ReadAt>,
    behind: Behind,
    info: DiskInfo,
}

impl WithFooter {
    /// Creates the disk. `id` and `made` go into the footer. They must be the same in every run of a
    /// transfer, or what an earlier run wrote differs.
    ///
    /// # Errors
    /// Fails if the disk is empty or too large for a VHD.
    pub fn new(inner: Arc<dyn ReadAt>, id: [u8; 16], made: SystemTime) -> Result<Self> {
        let info = inner.info();
        let behind = Behind::new(&info.name, info.size, id, made)?;
        let (name, size) = (format!("{} as a VHD", info.name), info.size + behind.len());
        let info = DiskInfo { name, size, ..info.clone() };
        Ok(Self { inner, behind, info })
    }

    /// Splits a range into that of the disk and that of what follows it, relative to its end. Either may be
    /// empty.
    fn parts(&self, range: &Range<u64>) -> [Range<u64>; 2] {
        let data = self.inner.info().size;
        let behind = range.start.saturating_sub(data)..range.end.saturating_sub(data);
        [range.start.min(data)..range.end.min(data), behind]
    }
}

impl ReadAt for WithFooter {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn read_at(&self, offset: u64, len: u64, into: Buffer) -> Attempt<Buffer> {
        let (this, inside) = (self.clone(), self.info.check_range(offset, len));
        Box::pin(async move {
            inside?;
            let [data, behind] = this.parts(&(offset..offset + len));
            let mut into = if data.is_empty() {
                into
            } else {
                this.inner.read_at(data.start, data.end - data.start, into).await?
            };
            this.behind.append(behind, &mut into);
            Ok(into)
        })
    }

    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        let (this, len) = (self.clone(), window.end.saturating_sub(window.start));
        let inside = self.info.check_range(window.start, len);
        Box::pin(async move {
            inside?;
            let [data, behind] = this.parts(&window);
            let mut extents = if data.is_empty() { Vec::new() } else { this.inner.extents(data).await? };
            let (image, zeros) = (this.inner.info().size, this.behind.zeros());
            let (padding, footer) = (
                behind.start.min(zeros)..behind.end.min(zeros),
                behind.start.max(zeros)..behind.end.max(zeros),
            );
            let both = [(padding, true), (footer, false)].into_iter().filter(|(range, _)| !range.is_empty());
            extents.extend(
                both.map(|(range, zero)| Extent { range: image + range.start..image + range.end, zero }),
            );
            Ok(extents)
        })
    }

    fn changed(&self) -> Attempt<Option<Error>> {
        self.inner.changed()
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        // What follows the disk is in memory, so the result is as local as the disk.
        self.inner.local().map(|_| self as &dyn LocalRead)
    }
}

impl LocalRead for WithFooter {
    fn read_into(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()> {
        self.info.check_range(offset, len)?;
        let [data, behind] = self.parts(&(offset..offset + len));
        match self.inner.local() {
            Some(local) if !data.is_empty() => local.read_into(data.start, data.end - data.start, into)?,
            Some(_) => into.clear(),
            None => {
                return Err(Error::new(
                    Kind::Io,
                    "the image is not on this machine; this is a bug in diskferry",
                ));
            }
        }
        self.behind.append(behind, into);
        Ok(())
    }

    fn check_unchanged(&self) -> Result<()> {
        self.inner.local().map_or(Ok(()), LocalRead::check_unchanged)
    }

    fn unwatched(&self) -> Option<String> {
        self.inner.local().and_then(LocalRead::unwatched)
    }

    fn users(&self) -> Option<String> {
        self.inner.local().and_then(LocalRead::users)
    }
}
