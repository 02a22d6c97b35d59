//! Images in formats of their own (qcow2, VMDK, VHD, VHDX), in archives and packed, as disks that are read at
//! offsets.
//!
//! The readers are ours. The crates that there are (imago 0.2, vmdk-core 0.8, vhdx-core 0.4) read from one
//! thread, or are built on unsafe code, or give memory to sizes from a header; and none tells what reads as
//! zero from what does not. A reader here is a [`Layout`]: it says where the bytes of a range are, by
//! positioned reads of the few table entries that the range needs. It keeps no table that grows with what a
//! header claims, takes no lock, and so serves any number of threads. What is behind an entry is checked when
//! the entry is used: what lies outside the file, or on the format's own tables, is an error at its offset
//! and never zeros.
//!
//! An image is from somebody else. It leads to another file only where [`OpenOptions::follow_backing`] says
//! so, but for the extents of a VMDK, which have to lie in its own directory.

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

pub use open::{Asked, OpenOptions, Opened, open};

use super::file::{FileDisk, fill_on_a_thread, on_a_thread};
use super::{Attempt, Buffer, DiskInfo, Extent, Identity, LocalRead, ReadAt};
use crate::error::{Error, Kind, Result};
use decode::{Decoder, Packed, Recent};
use part::Part;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Zeros between data that are fewer than these bytes are data in what [`ReadAt::extents`] answers: a list of
/// them would cost more than they save.
const SMALLEST_HOLE: u64 = 4 << 10;

/// Where the bytes of a range of an image are.
enum Place<'a> {
    /// Nowhere: they are zeros.
    Zero,
    /// In a file, one after the other from this offset.
    Stored(&'a Part, u64),
    /// Compressed.
    Packed(Packed<'a>),
}

/// A range of an image whose bytes are in one place.
struct Run<'a> {
    range: Range<u64>,
    place: Place<'a>,
}

/// Takes the runs of a range, in order.
type Take<'t, 'a> = &'t mut dyn FnMut(Run<'a>) -> Result<()>;

/// Where a format has the bytes of an image.
trait Layout: Send + Sync {
    /// The size of the image in bytes.
    fn size(&self) -> u64;

    /// Says where the bytes of `window` are, which is in the image: runs that follow each other and cover it.
    fn map<'a>(&'a self, window: Range<u64>, take: Take<'_, 'a>) -> Result<()>;
}

/// An image in a format of its own. Clones share the open files.
#[derive(Clone)]
pub struct ImageDisk {
    inner: Arc<Inner>,
}

struct Inner {
    info: DiskInfo,
    layout: Box<dyn Layout>,
    /// Every file that its bytes depend on.
    files: Vec<FileDisk>,
    recent: Recent,
}

impl ImageDisk {
    /// `files`: every file that the image's bytes depend on, the one that was named first.
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

    /// Reads in place of what is in `into`.
    fn read_range(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()> {
        let inner = &*self.inner;
        inner.info.check_range(offset, len)?;
        let too_long = || Error::new(Kind::Source, "a read is longer than memory").offset(offset);
        into.resize(usize::try_from(len).map_err(|_| too_long())?, 0);
        let mut reader = Reader { base: offset, into, decoder: Decoder::new(&inner.recent), stored: None };
        inner.layout.map(offset..offset + len, &mut |run| reader.take(run))?;
        reader.settle()
    }

    fn check(&self) -> Result<()> {
        self.inner.files.iter().try_for_each(LocalRead::glance)
    }
}

/// The identity of an image that depends on these files.
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

/// Fills a buffer run by run. Runs that are neighbours in the file are read at once.
struct Reader<'r, 'a> {
    /// The offset of the buffer's first byte in the image.
    base: u64,
    into: &'r mut Vec<u8>,
    decoder: Decoder<'r>,
    /// What is still to be read: the file, the offset in it, and the range of the image.
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

    /// Reads what is still to be read.
    fn settle(&mut self) -> Result<()> {
        let Some((part, at, range)) = self.stored.take() else { return Ok(()) };
        part.fill(at, self.buffer(&range)).map_err(|e| e.offset(range.start))
    }

    fn buffer(&mut self, range: &Range<u64>) -> &mut [u8] {
        &mut self.into[place(range.start - self.base)..place(range.end - self.base)]
    }
}

/// A place in a buffer, which is in memory and so no further than this.
fn place(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

impl Inner {
    /// The extents of `window`. Holes of the files themselves are holes of the image.
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

/// A list of extents that is being made.
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

    /// Makes a small hole at the end data, where data is in front of it.
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

    fn glance(&self) -> Result<()> {
        self.check()
    }

    fn blind(&self) -> Option<String> {
        self.inner.files.iter().find_map(LocalRead::blind)
    }

    fn users(&self) -> Option<String> {
        self.inner.files.iter().find_map(LocalRead::users)
    }
}
