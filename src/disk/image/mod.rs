//! Images in disk formats (qcow2, VMDK, VHD, VHDX), in archives and compressed, as disks with random read
//! access.
//!
//! The readers are our own. The available crates (imago 0.2, vmdk-core 0.8, vhdx-core 0.4) read from one
//! thread, rely on unsafe code, or allocate memory for sizes from a header, and none reports zero ranges. A
//! reader here is a [`Layout`]: it maps a range to the places of its bytes by positioned reads of the few
//! table entries involved. It keeps no table whose size a header determines and takes no lock, so it serves
//! any number of threads. An entry is checked when it is used: a place outside the file, or on the format's
//! own tables, is an error with an offset and never reads as zeros.
//!
//! Images are untrusted. An image may refer to other files only with [`OpenOptions::follow_backing`], except
//! for the extents of a VMDK, which must be in its own directory.

mod archive;
mod decode;
mod linear;
mod open;
mod packed;
mod part;
mod qcow2;
#[cfg(test)]
mod tests;
mod vhd;
mod vhdx;
mod vmdk;

pub use open::{OpenContext, OpenOptions, Opened, open};

use super::file::{FileDisk, fill_on_a_thread, on_a_thread};
use super::{Attempt, Buffer, DiskInfo, Extent, Identity, LocalRead, ReadAt};
use crate::error::{Error, Kind, Result};
use decode::{Decoder, Packed, Recent};
use part::Part;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Shorter runs of zeros between data count as data in [`ReadAt::extents`], because listing them would cost
/// more than it saves.
const SMALLEST_HOLE: u64 = 4 << 10;

/// Where the bytes of a range are.
enum Place<'a> {
    /// Nowhere: they are zero.
    Zero,
    /// In a file, contiguous from this offset.
    Stored(&'a Part, u64),
    /// In a compressed piece.
    Packed(Packed<'a>),
}

/// A range of an image whose bytes are in one place.
struct Run<'a> {
    range: Range<u64>,
    place: Place<'a>,
}

/// Receives the runs of a range, in order.
type Take<'t, 'a> = &'t mut dyn FnMut(Run<'a>) -> Result<()>;

/// Maps the bytes of an image to their places.
trait Layout: Send + Sync {
    /// Returns the size of the image in bytes.
    fn size(&self) -> u64;

    /// Reports the places of the bytes of `window`, which is in the image, as contiguous runs that cover it.
    fn map<'a>(&'a self, window: Range<u64>, take: Take<'_, 'a>) -> Result<()>;
}

/// An image in a disk format. Clones share the open files.
#[derive(Clone)]
pub struct ImageDisk {
    inner: Arc<Inner>,
}

struct Inner {
    info: DiskInfo,
    layout: Box<dyn Layout>,
    /// All files that the image depends on.
    files: Vec<FileDisk>,
    recent: Recent,
}

impl ImageDisk {
    /// Creates a disk. `files` are all files that the image depends on, beginning with the one that was
    /// given.
    fn new(layout: Box<dyn Layout>, files: Vec<FileDisk>, reading: String, member: Option<String>) -> Self {
        let size = layout.size();
        let first = files[0].path();
        let name = match &member {
            Some(member) => format!("{} in {}", part::shown(member), first.display()),
            None => first.display().to_string(),
        };
        let identity = identity(&files, reading, member, size);
        let info = DiskInfo {
            identity: Some(identity),
            stable: files.iter().all(|file| file.info().stable),
            ..DiskInfo::new(name, size)
        };
        Self { inner: Arc::new(Inner { info, layout, files, recent: Recent::default() }) }
    }

    /// Replaces the contents of `into`.
    fn read_range(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()> {
        let inner = &*self.inner;
        inner.info.check_range(offset, len)?;
        let too_long = || Error::new(Kind::Source, "a read is too long for the memory").offset(offset);
        into.resize(usize::try_from(len).map_err(|_| too_long())?, 0);
        let mut reader = Reader { base: offset, into, decoder: Decoder::new(&inner.recent), stored: None };
        inner.layout.map(offset..offset + len, &mut |run| reader.take(run))?;
        reader.settle()
    }

    fn check(&self) -> Result<()> {
        self.inner.files.iter().try_for_each(LocalRead::check_unchanged)
    }
}

/// Returns the identity of an image that depends on these files.
fn identity(files: &[FileDisk], reading: String, member: Option<String>, size: u64) -> Identity {
    Identity::Image {
        path: files[0].path().to_owned(),
        reading,
        member,
        size,
        files: files.iter().map(|file| file.identity().clone()).collect(),
    }
}

impl fmt::Debug for ImageDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImageDisk").field("info", &self.inner.info).finish_non_exhaustive()
    }
}

/// Fills a buffer run by run. Adjacent runs of a file are read at once.
struct Reader<'r, 'a> {
    /// The image offset of the buffer's first byte.
    base: u64,
    into: &'r mut Vec<u8>,
    decoder: Decoder<'r>,
    /// The pending read: the file, the offset in it, and the range of the image.
    stored: Option<(&'a Part, u64, Range<u64>)>,
}

impl<'a> Reader<'_, 'a> {
    fn take(&mut self, run: Run<'a>) -> Result<()> {
        if let (Place::Stored(part, at), Some((last, start, range))) = (&run.place, &mut self.stored)
            && std::ptr::eq(*part, *last)
            && *at == *start + (range.end - range.start)
        {
            range.end = run.range.end;
            return Ok(());
        }
        self.settle()?;
        let start = run.range.start;
        match run.place {
            Place::Stored(part, at) => self.stored = Some((part, at, run.range)),
            Place::Zero => self.buffer(&run.range).fill(0),
            Place::Packed(packed) => {
                let (base, Range { start, end }) = (self.base, run.range.clone());
                let into = &mut self.into[place(start - base)..place(end - base)];
                self.decoder.decode(&packed, into).map_err(|e| e.offset(run.range.start))?;
            }
        }
        debug_assert!(start >= self.base);
        Ok(())
    }

    /// Performs the pending read.
    fn settle(&mut self) -> Result<()> {
        let Some((part, at, range)) = self.stored.take() else { return Ok(()) };
        part.fill(at, self.buffer(&range)).map_err(|e| e.offset(range.start))
    }

    fn buffer(&mut self, range: &Range<u64>) -> &mut [u8] {
        &mut self.into[place(range.start - self.base)..place(range.end - self.base)]
    }
}

/// Converts an offset in a buffer, which always fits.
fn place(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

impl Inner {
    /// Returns the extents of `window`. Holes in the files are holes in the image.
    fn extents(&self, window: Range<u64>) -> Result<Vec<Extent>> {
        self.info.check_range(window.start, window.end.saturating_sub(window.start))?;
        let mut found = Extents::default();
        let mut stored: Option<(&Part, u64, Range<u64>)> = None;
        self.layout.map(window, &mut |run| {
            if let (Place::Stored(part, at), Some((last, start, range))) = (&run.place, &mut stored)
                && std::ptr::eq(*part, *last)
                && *at == *start + (range.end - range.start)
            {
                range.end = run.range.end;
                return Ok(());
            }
            found.stored(stored.take())?;
            match run.place {
                Place::Stored(part, at) => stored = Some((part, at, run.range)),
                Place::Zero => found.add(run.range, true),
                Place::Packed(_) => found.add(run.range, false),
            }
            Ok(())
        })?;
        found.stored(stored)?;
        Ok(found.finish())
    }
}

/// A list of extents under construction.
#[derive(Default)]
struct Extents(Vec<Extent>);

impl Extents {
    fn stored(&mut self, run: Option<(&Part, u64, Range<u64>)>) -> Result<()> {
        let Some((part, at, range)) = run else { return Ok(()) };
        for extent in part.extents(at, range.end - range.start)? {
            self.add(range.start + extent.range.start..range.start + extent.range.end, extent.zero);
        }
        Ok(())
    }

    fn add(&mut self, range: Range<u64>, zero: bool) {
        if range.is_empty() {
            return;
        }
        let found = &mut self.0;
        if let Some(last) = found.last_mut()
            && last.zero == zero
        {
            last.range.end = range.end;
            return;
        }
        self.forget_small_hole();
        match self.0.last_mut() {
            Some(last) if last.zero == zero => last.range.end = range.end,
            _ => self.0.push(Extent { range, zero }),
        }
    }

    /// Turns a small hole at the end into data if data precedes it.
    fn forget_small_hole(&mut self) {
        let [.., before, last] = &mut self.0[..] else { return };
        if last.zero && !before.zero && last.range.end - last.range.start < SMALLEST_HOLE {
            before.range.end = last.range.end;
            self.0.pop();
        }
    }

    fn finish(self) -> Vec<Extent> {
        self.0
    }
}

impl ReadAt for ImageDisk {
    fn info(&self) -> &DiskInfo {
        &self.inner.info
    }

    fn read_at(&self, offset: u64, len: u64, into: Buffer) -> Attempt<Buffer> {
        let this = self.clone();
        fill_on_a_thread(into, move |bytes| this.read_range(offset, len, bytes))
    }

    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        let this = self.clone();
        on_a_thread(move || this.inner.extents(window))
    }

    fn changed(&self) -> Attempt<Option<Error>> {
        let files = self.inner.files.clone();
        Box::pin(async move {
            for file in files {
                if let Some(how) = file.changed().await? {
                    return Ok(Some(how));
                }
            }
            Ok(None)
        })
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        Some(self)
    }
}

impl LocalRead for ImageDisk {
    fn read_into(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()> {
        self.read_range(offset, len, into)
    }

    fn check_unchanged(&self) -> Result<()> {
        self.check()
    }

    fn unwatched(&self) -> Option<String> {
        self.inner.files.iter().find_map(LocalRead::unwatched)
    }

    fn users(&self) -> Option<String> {
        self.inner.files.iter().find_map(LocalRead::users)
    }
}
