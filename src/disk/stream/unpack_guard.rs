//! The limits of decompression. A few bytes of an archive can expand to terabytes, before the image or beside
//! it.
//!
//! Every layer is read through a [`Guarded`] reader. It ends the work if too much precedes the image, if a
//! record of a tar archive is too long, or if nobody wants the image any more. A decoder can be busy for
//! minutes without reading or writing anything that could stop it.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// The most bytes before the image, in all layers together: descriptions, names, empty parts of a stream. An
/// OVF description has about 10 KiB.
pub(super) const IN_FRONT: u64 = 64 << 20;

/// The most bytes in the records of one archive member: long names, its extended header, and the map of a
/// sparse file, 43,000 pieces of which fit.
pub(in crate::disk) const RECORDS: u64 = 1 << 20;

/// The base-2 logarithm of the largest window of the first layer of xz or zstd: the highest preset of xz has
/// a dictionary of 64 MiB.
const LARGEST_WINDOW_LOG: u32 = 26;

/// The same for every further layer: the usual presets of zstd have a window of 2 MiB.
const INNER_WINDOW_LOG: u32 = 21;

/// The memory of xz besides its dictionary, in KiB.
const XZ_EXTRA: u32 = 2 << 10;

/// Why the guard ended the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    /// More than [`IN_FRONT`] precedes the image.
    InFront,
    /// A record of a tar archive is longer than [`RECORDS`].
    Record,
    /// Nobody wants the image any more.
    Unwanted,
}

/// The state that all layers share.
pub(super) struct Guard<'a> {
    /// How many bytes may still precede the image.
    in_front: Cell<u64>,
    breach: Cell<Option<Breach>>,
    unwanted: &'a dyn Fn() -> bool,
    /// The number of layers that need much memory.
    heavy: Cell<u32>,
}

impl<'a> Guard<'a> {
    /// Creates a guard. `unwanted` is called now and then to ask whether to stop.
    pub(super) fn new(unwanted: &'a dyn Fn() -> bool) -> Rc<Self> {
        Rc::new(Self {
            in_front: Cell::new(IN_FRONT),
            breach: Cell::new(None),
            unwanted,
            heavy: Cell::new(0),
        })
    }

    /// Notes that the image was reached, which may have any size.
    pub(super) fn reached(&self) {
        self.in_front.set(u64::MAX);
    }

    /// Returns why the guard ended the work, if it did.
    pub(super) fn breach(&self) -> Option<Breach> {
        self.breach.get()
    }

    /// Returns the base-2 logarithm of the window that the next layer of xz or zstd may have. Together they
    /// stay below 80 MiB.
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

/// Returns the memory for a dictionary of this size, in KiB.
pub(super) fn xz_memory(window_log: u32) -> u32 {
    (1 << (window_log - 10)) + XZ_EXTRA
}

/// A reader whose bytes are counted.
pub(super) struct Guarded<'a, R> {
    inner: R,
    guard: Rc<Guard<'a>>,
    /// How many bytes may be read before the next archive member is known.
    allowance: Rc<Cell<u64>>,
}

impl<'a, R> Guarded<'a, R> {
    pub(super) fn new(inner: R, guard: &Rc<Guard<'a>>) -> Self {
        Self { inner, guard: Rc::clone(guard), allowance: Rc::new(Cell::new(u64::MAX)) }
    }

    /// Returns the allowance, which the caller sets.
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
