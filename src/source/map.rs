//! A file or block device mapped into memory, read only. The only module with `unsafe`.
//!
//! Two rules. Pages are given back as soon as a range is done with, so that resident memory does not grow with the image.
//! And a file cut short under the mapping must not kill the process: the kernel answers a touch beyond the new end with
//! SIGBUS, and the handler installed here puts zero pages under the rest of the mapping and marks it as [torn]; whoever
//! read from it asks [`Map::check`] before the bytes are used for anything.
//!
//! [torn]: Map::check
#![allow(unsafe_code)]

use crate::error::{Error, Kind, Result};
use memmap2::{Mmap, MmapOptions, UncheckedAdvice};
use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Once};

/// How many mappings may exist at a time: an image to send and one to compare, with room to spare. A static table,
/// because a signal handler can neither allocate nor lock.
const SLOTS: usize = 64;

struct Slot {
    taken: AtomicBool,
    /// The first address; 0 while the slot is being filled or is free.
    start: AtomicUsize,
    len: AtomicUsize,
    torn: AtomicBool,
}

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        torn: AtomicBool::new(false),
    }
}; SLOTS];

/// A mapped file.
#[derive(Debug)]
pub struct Map {
    map: Mmap,
    slot: usize,
}

impl Map {
    /// Maps the first `len` bytes of a file; `len` must not be 0.
    pub fn new(file: &File, len: u64) -> Result<Arc<Self>> {
        install_handler();
        let len = usize::try_from(len)
            .map_err(|_| Error::new(Kind::Source, "the image is larger than this machine can map"))?;
        let slot = TABLE
            .iter()
            .position(|slot| !slot.taken.swap(true, Ordering::AcqRel))
            .ok_or_else(|| Error::new(Kind::Io, "too many images are open at once"))?;
        // SAFETY: the mapping is read only and private to this type, whose only accessor hands out shared slices. The
        // file may change under it: bytes read may then be old or new, which `source` detects by the file's identity
        // before they count; a file cut short is dealt with by the handler.
        let mapped = unsafe { MmapOptions::new().len(len).map(file) };
        let map = match mapped {
            Ok(map) => map,
            Err(e) => {
                TABLE[slot].taken.store(false, Ordering::Release);
                return Err(Error::new(Kind::Source, "mapping the image").source(e));
            }
        };
        TABLE[slot].torn.store(false, Ordering::Relaxed);
        TABLE[slot].len.store(len, Ordering::Relaxed);
        TABLE[slot].start.store(map.as_ptr() as usize, Ordering::Release);
        Ok(Arc::new(Self { map, slot }))
    }

    /// How many bytes are mapped.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether nothing is mapped; never so for a map that was made.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Fails if some touched page had no file behind it: everything read since is worthless.
    pub fn check(&self) -> Result<()> {
        if TABLE[self.slot].torn.load(Ordering::Acquire) {
            return Err(Error::new(
                Kind::Source,
                "the image was cut short, or its disk failed, while it was being read",
            ));
        }
        Ok(())
    }

    /// A range of the mapping that gives its pages back when dropped.
    ///
    /// # Panics
    /// If the range is not inside the mapping.
    pub fn range(self: &Arc<Self>, bytes: Range<usize>) -> MappedRange {
        assert!(bytes.start <= bytes.end && bytes.end <= self.map.len(), "a range inside the mapping");
        MappedRange { map: Arc::clone(self), bytes }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // Before the mapping goes (fields drop after this), so that the handler never touches an address that is no
        // longer ours.
        TABLE[self.slot].start.store(0, Ordering::Release);
        TABLE[self.slot].taken.store(false, Ordering::Release);
    }
}

/// A range of a mapped file.
#[derive(Debug)]
pub struct MappedRange {
    map: Arc<Map>,
    bytes: Range<usize>,
}

impl MappedRange {
    /// Fails if the file was cut short under the mapping.
    pub fn check(&self) -> Result<()> {
        self.map.check()
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl AsRef<[u8]> for MappedRange {
    fn as_ref(&self) -> &[u8] {
        &self.map.map[self.bytes.clone()]
    }
}

impl Drop for MappedRange {
    fn drop(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        // SAFETY: the mapping is of a file, shared and never written: dropped pages are read from the file again if
        // anybody still looks at them. A neighbour that shares the first or last page pays with one more fault.
        let _ = unsafe {
            self.map.map.unchecked_advise_range(UncheckedAdvice::DontNeed, self.bytes.start, self.bytes.len())
        };
    }
}

fn install_handler() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: `action` is fully initialised (all zeros is a valid sigaction), the handler has the signature that
        // SA_SIGINFO asks for, and it does only what a signal handler may: atomics and system calls.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
            action.sa_sigaction = handler as libc::sighandler_t;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut());
        }
    });
}

extern "C" fn on_sigbus(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel hands a valid siginfo to an SA_SIGINFO handler.
    let address = unsafe { (*info).si_addr() } as usize;
    for slot in &TABLE {
        let start = slot.start.load(Ordering::Acquire);
        let len = slot.len.load(Ordering::Relaxed);
        if start == 0 || address < start || address >= start + len {
            continue;
        }
        // SAFETY: sysconf and mmap are plain system calls here. The range from the faulting page to the end of the
        // mapping is ours; readers see zeros in it from now on, and the mark below tells them that these are no data.
        let replaced = unsafe {
            let page = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)).unwrap_or(4096);
            let from = address & !(page - 1);
            libc::mmap(
                from as *mut libc::c_void,
                start + len - from,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE,
                -1,
                0,
            ) != libc::MAP_FAILED
        };
        if replaced {
            slot.torn.store(true, Ordering::Release);
            return;
        }
    }
    // Not ours: die of it as everybody does. The touch is repeated on return and meets the default action.
    // SAFETY: restoring the default action is async-signal-safe.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(len: usize) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; len]).unwrap();
        file
    }

    #[test]
    fn a_file_cut_short_is_an_error_and_not_a_death() {
        let file = file(64 << 10);
        let map = Map::new(&file, 64 << 10).unwrap();
        let range = map.range(0..64 << 10);
        assert!(range.as_ref().iter().all(|b| *b == 7));
        range.check().unwrap();
        file.set_len(8 << 10).unwrap();
        let sum: u64 = range.as_ref().iter().map(|b| u64::from(*b)).sum();
        assert_eq!(sum, 7 * (8 << 10));
        assert_eq!(range.check().unwrap_err().kind(), Kind::Source);
        drop(range);
        drop(map);
        // The slot is free again, and clean.
        let map = Map::new(&self::file(10), 10).unwrap();
        map.check().unwrap();
    }

    #[test]
    fn pages_given_back_read_the_same_again() {
        let file = file(1 << 20);
        let map = Map::new(&file, 1 << 20).unwrap();
        for _ in 0..2 {
            let range = map.range(100..1 << 20);
            assert!(range.as_ref().iter().all(|b| *b == 7));
        }
    }
}
