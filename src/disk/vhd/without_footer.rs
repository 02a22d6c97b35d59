//! The image in a fixed VHD.

use super::{DiskType, FOOTER, Footer};
use crate::disk::{Attempt, Buffer, Buffers, DiskInfo, Extent, LocalRead, ReadAt};
use crate::error::{Error, Kind, Result};
use std::ops::Range;
use std::sync::Arc;

/// A disk that ends with the footer of a fixed VHD, without the footer and any padding before it. Clones
/// share the disk.
#[derive(Clone)]
pub struct WithoutFooter {
    inner: Arc<dyn ReadAt>,
    footer: Footer,
    info: DiskInfo,
}

impl WithoutFooter {
    /// Returns the image in `disk` if that ends with the footer of a fixed VHD; one attempt.
    ///
    /// # Errors
    /// Fails if the size in the footer exceeds that of the disk.
    pub async fn detect(disk: Arc<dyn ReadAt>) -> Result<Option<Self>> {
        let info = disk.info();
        let Some(end) = info.size.checked_sub(FOOTER) else { return Ok(None) };
        let last = disk.read_at(end, FOOTER, Buffers::new(1).take(0)).await?;
        let footer = last.as_array::<512>().and_then(Footer::parse);
        let Some(footer) = footer.filter(|footer| footer.disk_type == DiskType::Fixed) else {
            return Ok(None);
        };
        if footer.current_size == 0 || footer.current_size > end {
            let what = format!(
                "{} is a VHD of {} bytes, but only {end} precede the footer",
                info.name, footer.current_size
            );
            return Err(Error::new(Kind::Source, what).hint(
                "it is truncated: copy it again; to take the bytes unchanged, add `--source-format raw`",
            ));
        }
        let info = DiskInfo { size: footer.current_size, ..info.clone() };
        Ok(Some(Self { inner: disk, footer, info }))
    }

    /// Returns the footer.
    pub fn footer(&self) -> &Footer {
        &self.footer
    }
}

impl ReadAt for WithoutFooter {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn read_at(&self, offset: u64, len: u64, into: Buffer) -> Attempt<Buffer> {
        match self.info.check_range(offset, len) {
            Ok(()) => self.inner.read_at(offset, len, into),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        match self.info.check_range(window.start, window.end.saturating_sub(window.start)) {
            Ok(()) => self.inner.extents(window),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn changed(&self) -> Attempt<Option<Error>> {
        self.inner.changed()
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        self.inner.local().map(|_| self as &dyn LocalRead)
    }
}

impl LocalRead for WithoutFooter {
    fn read_into(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()> {
        self.info.check_range(offset, len)?;
        match self.inner.local() {
            Some(local) => local.read_into(offset, len, into),
            None => Err(Error::new(Kind::Io, "the image is not on this machine; this is a bug in diskferry")),
        }
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
