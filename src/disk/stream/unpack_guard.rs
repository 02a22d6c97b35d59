//! The bounds of unpacking. Some bytes of an archive can stand for terabytes, in front of the image or beside
//! it.
//!
//! Every layer is read through a [`Guarded`] reader. It ends the work when more comes in front of the image
//! than belongs there, when a record of a tar archive is longer than one may be, and when nobody wants the
//! image any more: a decoder can be busy for minutes with what it has, without reading from or writing to
//! anything that could tell it to stop.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// The most that may come in front of the image, all layers together: descriptions, names, empty parts of a
/// stream. The description of an appliance in the OVF format has some 10 KiB.
pub(super) const IN_FRONT: u64 = 64 << 20;

/// The longest records of one file in a tar archive together: its long names, its extended header, and the
/// map of a sparse file, which has 43,000 pieces in so much.
pub(in crate::disk) const RECORDS: u64 = 1 << 20;

/// The most memory that the first layer of xz or zstd may take, in bytes as a power of two: the highest
/// preset of xz has a dictionary of 64 MiB.
const LARGEST_WINDOW_LOG: u32 = 26;

/// The same of every further layer: the usual presets of zstd have a window of 2 MiB.
const INNER_WINDOW_LOG: u32 = 21;

/// What xz takes beside its dictionary, in KiB.
const XZ_EXTRA: u32 = 2 << 10;

/// Why the guard has ended the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    /// More than [`IN_FRONT`] comes before the image.
    InFront,
    /// A record of a tar archive is longer than [`RECORDS`].
    Record,
    /// Nobody wants the image any more.
    Unwanted,
}

/// What all layers share.
pub(super) struct Guard<'a> {
    /// Bytes that may still come in front of the image.
    in_front: Cell<u64>,
    breach: Cell<Option<Breach>>,
    unwanted: &'a dyn Fn() -> bool,
    /// Layers that take much memory.
    heavy: Cell<u32>,
}

impl<'a> Guard<'a> {
    /// `unwanted` is asked now and then whether to go on.
    pub(super) fn new(unwanted: &'a dyn Fn() -> bool) -> Rc<Self> {
        Rc::new(Self {
            in_front: Cell::new(IN_FRONT),
            breach: Cell::new(None),
            unwanted,
            heavy: Cell::new(0),
        })
    }

    /// The image is reached: it may be of any size.
    pub(super) fn reached(&self) {
        self.in_front.set(u64::MAX);
    }

    /// Why the work was ended, if it was ended here.
    pub(super) fn breach(&self) -> Option<Breach> {
        self.breach.get()
    }

    /// The window that the next layer of xz or zstd may have, as a power of two. Together they stay below 80
    /// MiB.
    pub(super) fn window_log(&self) -> u32 {
        match self.heavy.replace(self.heavy.get() + 1) {
            0 => LARGEST_WINDOW_LOG,
            _ => INNER_WINDOW_LOG,
        }
    }

    fn check(&self, allowed: bool, breach: Breach) -> io::Result<()> {
        if allowed {
            return Ok(());
        }
        self.breach.set(Some(breach));
        Err(io::Error::other("ended by a limit"))
    }
}

/// The most memory for a dictionary of this size, in KiB.
pub(super) fn xz_memory(window_log: u32) -> u32 {
    (1 << (window_log - 10)) + XZ_EXTRA
}

/// A reader whose bytes count.
pub(super) struct Guarded<'a, R> {
    inner: R,
    guard: Rc<Guard<'a>>,
    /// Bytes that may come until the next file of an archive is known.
    allowance: Rc<Cell<u64>>,
}

impl<'a, R> Guarded<'a, R> {
    pub(super) fn new(inner: R, guard: &Rc<Guard<'a>>) -> Self {
        Self { inner, guard: Rc::clone(guard), allowance: Rc::new(Cell::new(u64::MAX)) }
    }

    /// The allowance, to be set from outside.
    pub(super) fn allowance(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.allowance)
    }
}

impl<R: Read> Read for Guarded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let guard = &self.guard;
        guard.check(!(guard.unwanted)(), Breach::Unwanted)?;
        let got = self.inner.read(buffer)?;
        let step = got as u64;
        let allowed = |left: &Cell<u64>| {
            let next = left.get().checked_sub(if left.get() == u64::MAX { 0 } else { step });
            left.set(next.unwrap_or(0));
            next.is_some()
        };
        guard.check(allowed(&self.allowance), Breach::Record)?;
        guard.check(allowed(&guard.in_front), Breach::InFront)?;
        Ok(got)
    }
}
