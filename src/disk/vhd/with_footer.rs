//! An image as the fixed VHD that it becomes.

use super::{FOOTER, Footer, UNIT};
use crate::disk::{Attempt, Buffer, DiskInfo, Extent, LocalRead, ReadAt};
use crate::error::{Error, Kind, Result};
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

/// A disk with zeros behind it up to the next MiB, and the footer of a fixed VHD behind those. Clones share the disk.
#[derive(Clone)]
pub struct WithFooter {
    inner: Arc<dyn ReadAt>,
    footer: Arc<[u8; 512]>,
    info: DiskInfo,
}

impl WithFooter {
    /// `id` and `made` go into the footer: the same in every run of a transfer, or what an earlier run has written differs.
    ///
    /// # Errors
    /// If the disk is empty, or so large that no size could tell it with the footer.
    pub fn new(inner: Arc<dyn ReadAt>, id: [u8; 16], made: SystemTime) -> Result<Self> {
        let name = &inner.info().name;
        let padded = inner.info().size.checked_next_multiple_of(UNIT).filter(|size| *size > 0);
        let sizes = padded.and_then(|padded| Some((padded, padded.checked_add(FOOTER)?)));
        let (padded, size) = sizes
            .ok_or_else(|| Error::new(Kind::Source, format!("{name} is empty or too large for a VHD")))?;
        let footer = Footer::fixed(padded, id, made).to_bytes();
        let info = DiskInfo { name: format!("{name} as a VHD"), size, ..inner.info().clone() };
        Ok(Self { inner, footer: Arc::new(footer), info })
    }

    /// The parts of a range: of the disk, of the padding, of the footer. Any may be empty.
    fn parts(&self, range: &Range<u64>) -> [Range<u64>; 3] {
        let (data, footer) = (self.inner.info().size, self.info.size - FOOTER);
        let cut = |from: u64, to: u64| range.start.clamp(from, to)..range.end.clamp(from, to);
        [cut(0, data), cut(data, footer), cut(footer, self.info.size)]
    }

    /// Appends what is behind the disk of a range that begins there or in it.
    fn append(&self, [_, padding, footer]: &[Range<u64>; 3], into: &mut Vec<u8>) {
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        into.resize(into.len() + index(padding.end - padding.start), 0);
        let start = self.info.size - FOOTER;
        into.extend_from_slice(&self.footer[index(footer.start - start)..index(footer.end - start)]);
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
            let parts = this.parts(&(offset..offset + len));
            let data = &parts[0];
            let mut into = if data.is_empty() {
                into
            } else {
                this.inner.read_at(data.start, data.end - data.start, into).await?
            };
            this.append(&parts, &mut into);
            Ok(into)
        })
    }

    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        let (this, len) = (self.clone(), window.end.saturating_sub(window.start));
        let inside = self.info.check_range(window.start, len);
        Box::pin(async move {
            inside?;
            let [data, padding, footer] = this.parts(&window);
            let mut extents = if data.is_empty() { Vec::new() } else { this.inner.extents(data).await? };
            let behind =
                [(padding, true), (footer, false)].into_iter().filter(|(range, _)| !range.is_empty());
            extents.extend(behind.map(|(range, zero)| Extent { range, zero }));
            Ok(extents)
        })
    }

    fn changed(&self) -> Attempt<Option<Error>> {
        self.inner.changed()
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        // What is behind the disk is in memory, so the whole is as local as the disk.
        self.inner.local().map(|_| self as &dyn LocalRead)
    }
}

impl LocalRead for WithFooter {
    fn read_into(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()> {
        self.info.check_range(offset, len)?;
        let parts = self.parts(&(offset..offset + len));
        let data = &parts[0];
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
        self.append(&parts, into);
        Ok(())
    }

    fn glance(&self) -> Result<()> {
        self.inner.local().map_or(Ok(()), LocalRead::glance)
    }

    fn blind(&self) -> Option<String> {
        self.inner.local().and_then(LocalRead::blind)
    }
}
