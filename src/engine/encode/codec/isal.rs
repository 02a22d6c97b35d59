//! ISA-L, in assembler: the fastest rung, if the feature `isal` links the system's library.
//!
//! This is the only file with unsafe code. The crate that wraps ISA-L (isal-rs, last released in October
//! 2024) allocates for each buffer, truncates lengths to 32 bits silently and copies ISA-L's sources even if
//! the system's library is linked. Three functions of the library are needed.

#![allow(unsafe_code)]

use super::Codec;
use crate::error::{Error, Kind, Result};
use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};

/// `struct isal_zstream` of `igzip_lib.h`, version 2: the fields that callers set, then the library's state.
#[repr(C, align(64))]
struct ZStream {
    next_in: *const u8,
    avail_in: u32,
    total_in: u32,
    next_out: *mut u8,
    avail_out: u32,
    total_out: u32,
    hufftables: *mut c_void,
    level: u32,
    level_buf_size: u32,
    level_buf: *mut Line,
    end_of_stream: u16,
    flush: u16,
    gzip_flag: u16,
    hist_bits: u16,
    positions: [u32; 5],
    /// `enum isal_zstate_state`.
    state: u32,
    /// The remaining state, 82,296 bytes in 2.30.
    internal: [u8; 128 << 10],
}

/// `ZSTATE_END`: the trailer is written. Remaining room does not tell that: ISA-L stops when fewer than 8
/// bytes are left.
const END: u32 = 11;

/// `IGZIP_GZIP`: a gzip header and trailer around the stream.
const GZIP: u16 = 1;

/// The level, and the size of its tables, `ISAL_DEF_LVL1_DEFAULT`.
const LEVEL: u32 = 1;
const LEVEL_BYTES: u32 = 282_624;

/// A cache line. The tables are aligned to one.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; 64]);

#[link(name = "isal")]
unsafe extern "C" {
    fn isal_deflate_init(stream: *mut ZStream);
    fn isal_deflate_reset(stream: *mut ZStream);
    fn isal_deflate(stream: *mut ZStream) -> c_int;
}

/// ISA-L at level 1.
pub struct Isal {
    stream: Box<ZStream>,
    /// The buffer behind `stream.level_buf`.
    tables: Box<[Line]>,
}

// SAFETY: the pointers in `stream` lead to `tables`, which it owns, to a constant of the library, or, while
// `gzip` runs, to buffers that are borrowed for as long.
unsafe impl Send for Isal {}

impl Default for Isal {
    fn default() -> Self {
        // SAFETY: numbers, and pointers that may be null: all zeros is a valid `ZStream`.
        let mut stream = unsafe { Box::<ZStream>::new_zeroed().assume_init() };
        // SAFETY: it points to a whole stream, which this call sets up.
        unsafe { isal_deflate_init(&raw mut *stream) };
        stream.level = LEVEL;
        stream.level_buf_size = LEVEL_BYTES;
        let tables = vec![Line([0; 64]); LEVEL_BYTES as usize / size_of::<Line>()].into_boxed_slice();
        Self { stream, tables }
    }
}

impl Isal {
    /// Continues the member in `room`. Returns how much was written, and whether the member is complete.
    fn write(&mut self, room: &mut [u8]) -> Result<(usize, bool)> {
        let len = u32::try_from(room.len()).unwrap_or(u32::MAX);
        self.stream.next_out = room.as_mut_ptr();
        self.stream.avail_out = len;
        self.stream.level_buf = self.tables.as_mut_ptr();
        // SAFETY: the stream was set up by `isal_deflate_init`; `next_in` and `next_out` have the lengths
        // that stand beside them, and so has `level_buf`, which nothing else uses.
        let status = unsafe { isal_deflate(&raw mut *self.stream) };
        if status != 0 {
            return Err(Error::new(
                Kind::Io,
                format!("cannot compress a chunk: ISA-L returned status {status}"),
            ));
        }
        Ok(((len - self.stream.avail_out) as usize, self.stream.state == END))
    }
}

impl Codec for Isal {
    fn name(&self) -> String {
        format!("isal {LEVEL}")
    }

    fn gzip<'a>(&mut self, input: &[u8], room: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        let len = u32::try_from(input.len())
            .map_err(|_| Error::new(Kind::Usage, "a chunk is larger than the 4 GiB that ISA-L takes"))?;
        // SAFETY: the stream was set up by `isal_deflate_init`.
        unsafe { isal_deflate_reset(&raw mut *self.stream) };
        self.stream.next_in = input.as_ptr();
        self.stream.avail_in = len;
        self.stream.end_of_stream = 1;
        // A reset keeps this flag, which turns into `IGZIP_GZIP_NO_HDR` once a header is written.
        self.stream.gzip_flag = GZIP;
        self.stream.flush = 0;
        let done = super::fill(room, input.len(), |room| self.write(room));
        (self.stream.next_in, self.stream.next_out) = (null(), null_mut());
        done
    }
}
