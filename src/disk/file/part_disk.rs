//! A [`PartFile`] as a disk that the engine writes and reads back.

use super::part::PartFile;
use super::qcow2::Qcow2Part;
use super::{fill_on_a_thread, on_a_thread};
use crate::disk::{
    Attempt, Body, Buffer, DiskInfo, Evidence, Extent, LocalRead, LocalWrite, ReadAt, Receipt, WriteAt,
    data_everywhere, no_evidence,
};
use crate::error::{Error, Result};
use crate::stop::Stop;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// An image that is written to a [`PartFile`].
#[derive(Clone, Debug)]
pub struct PartDisk {
    part: PartFile,
    form: Form,
    info: Arc<DiskInfo>,
}

/// The format of the file.
#[derive(Clone, Debug)]
enum Form {
    /// A raw image.
    Raw,
    /// A qcow2.
    Qcow2(Arc<Qcow2Part>),
}

impl PartDisk {
    /// Creates a disk for a raw image of `size` bytes; 0 if the size is unknown.
    pub fn new(part: PartFile, size: u64) -> Self {
        Self { info: info(&part, size), part, form: Form::Raw }
    }

    /// Creates a disk for an image of `size` bytes in a qcow2. Clusters are compressed at `level`, if given.
    ///
    /// # Errors
    /// Fails if the image is too large for a qcow2.
    pub fn qcow2(part: PartFile, size: u64, level: Option<u32>) -> Result<Self> {
        let qcow2 = Arc::new(Qcow2Part::new(part.clone(), size, level)?);
        Ok(Self { info: info(&part, size), part, form: Form::Qcow2(qcow2) })
    }

    /// Returns the file.
    pub fn part(&self) -> &PartFile {
        &self.part
    }

    /// Sets the length of a new file. Fails if the file system cannot hold it, before anything is fetched.
    pub fn begin(&self) -> Result<()> {
        match &self.form {
            Form::Raw => self.part.set_len(self.info.size),
            Form::Qcow2(qcow2) => qcow2.begin(),
        }
    }

    /// Makes a new file a copy of `original`; see [`PartFile::copy_from`].
    pub fn copy_from(&self, original: &Path, stop: &Stop) -> Attempt<()> {
        let (this, original, stop) = (self.clone(), original.to_owned(), stop.clone());
        on_a_thread(move || this.part.copy_from(&original, this.info.size, &stop))
    }

    /// Prepares the file of an earlier run for resuming. Returns whether it still had its length. A file with
    /// its final name is complete and is left unchanged.
    pub fn take_up(&self, stop: &Stop) -> Attempt<bool> {
        let (this, stop) = (self.clone(), stop.clone());
        on_a_thread(move || match &this.form {
            Form::Raw => {
                let whole = this.part.size()? == this.info.size;
                if !whole {
                    this.part.set_len(this.info.size)?;
                }
                Ok(whole)
            }
            Form::Qcow2(qcow2) => {
                let whole = qcow2.has_tables()?;
                if !this.part.is_named() {
                    qcow2.recover(&stop)?;
                }
                Ok(whole)
            }
        })
    }

    /// Completes the format of the file and renames it; see [`PartFile::finish`].
    pub fn finish(self, replace: bool, stop: &Stop) -> Attempt<()> {
        let stop = stop.clone();
        on_a_thread(move || {
            if let (Form::Qcow2(qcow2), false) = (&self.form, self.part.is_named()) {
                qcow2.seal(&stop)?;
            }
            self.part.finish(replace)
        })
    }
}

fn info(part: &PartFile, size: u64) -> Arc<DiskInfo> {
    Arc::new(DiskInfo::new(part.path().display().to_string(), size))
}

impl WriteAt for PartDisk {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn write_at(&self, offset: u64, body: Body) -> Attempt<Receipt> {
        let this = self.clone();
        on_a_thread(move || match body {
            Body::Raw(bytes) => this.write(offset, &bytes),
            Body::Gzip(_) | Body::Chunk(..) => Err(Error::usage("a file takes only unencoded bytes")),
        })
    }

    fn zero_at(&self, range: Range<u64>) -> Attempt<Option<Receipt>> {
        let this = self.clone();
        on_a_thread(move || this.zero(range).map(Some))
    }

    fn evidence(&self) -> Attempt<Evidence> {
        no_evidence()
    }

    fn flush(&self) -> Attempt<()> {
        let part = self.part.clone();
        on_a_thread(move || part.sync())
    }

    fn local(&self) -> Option<&dyn LocalWrite> {
        Some(self)
    }
}

impl LocalWrite for PartDisk {
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<Receipt> {
        match &self.form {
            Form::Raw => self.part.write(offset, bytes).map(drop)?,
            Form::Qcow2(qcow2) => qcow2.write(offset, bytes)?,
        }
        Ok(Receipt::acknowledged())
    }

    fn zero(&self, range: Range<u64>) -> Result<Receipt> {
        match &self.form {
            Form::Raw => self.part.zero(range)?,
            Form::Qcow2(qcow2) => qcow2.zero(&range)?,
        }
        Ok(Receipt::acknowledged())
    }

    fn compresses(&self) -> bool {
        match &self.form {
            Form::Raw => false,
            Form::Qcow2(qcow2) => qcow2.compresses(),
        }
    }
}

impl ReadAt for PartDisk {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn read_at(&self, offset: u64, len: u64, into: Buffer) -> Attempt<Buffer> {
        let this = self.clone();
        fill_on_a_thread(into, move |bytes| this.read_into(offset, len, bytes))
    }

    /// Ranges that were never written read as zero; the file system reports them for a raw file.
    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        match &self.form {
            Form::Raw => {
                let part = self.part.clone();
                on_a_thread(move || part.extents(window))
            }
            Form::Qcow2(_) => data_everywhere(window),
        }
    }

    fn changed(&self) -> Attempt<Option<Error>> {
        Box::pin(async { Ok(None) })
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        Some(self)
    }
}

impl LocalRead for PartDisk {
    fn read_into(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()> {
        match &self.form {
            Form::Raw => self.part.read_into(offset, len, into),
            Form::Qcow2(qcow2) => qcow2.read_into(offset, len, into),
        }
    }

    fn check_unchanged(&self) -> Result<()> {
        Ok(())
    }

    fn unwatched(&self) -> Option<String> {
        None
    }

    fn users(&self) -> Option<String> {
        None
    }
}
