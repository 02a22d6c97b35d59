//! Decompresses pieces of an image: the clusters of a qcow2, the grains of a VMDK.

use super::part::Part;
use crate::error::{Error, Result};
use libdeflater::Decompressor;
use std::sync::{Arc, Mutex, PoisonError};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

/// The largest piece in bytes. A cluster has at most 2 MiB (QEMU, docs/interop/qcow2.rst, `cluster_bits`).
pub(super) const LARGEST: u64 = 2 << 20;

/// The largest window of a zstd frame, as a power of two. A piece needs none larger than itself, and encoders
/// round up.
const WINDOW_LOG: u32 = 22;

/// How many pieces are kept after a partial read.
const KEPT: usize = 4;

/// The compression of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// Raw deflate (RFC 1951).
    Deflate,
    /// Zstandard (RFC 8878).
    Zstd,
    /// A grain of a VMDK: a marker of 12 bytes with the sector and the length, followed by zlib data (RFC
    /// 1950).
    Grain {
        /// The sector that the marker must have.
        sector: u64,
    },
}

/// A part of a compressed piece.
pub(super) struct Packed<'a> {
    pub(super) part: &'a Part,
    /// The offset in the file.
    pub(super) at: u64,
    /// The compressed length, or an upper bound of it.
    pub(super) len: u64,
    pub(super) codec: Codec,
    /// The decompressed size in bytes, at most [`LARGEST`].
    pub(super) size: u64,
    /// How many decompressed bytes to skip.
    pub(super) skip: u64,
}

/// Recently decompressed pieces of which only a part was read, because the following part is usually read
/// next.
#[derive(Default)]
pub(super) struct Recent(Mutex<Vec<Piece>>);

/// A decompressed piece.
struct Piece {
    /// The part of the file, and the offset in it.
    key: (usize, u64),
    bytes: Arc<[u8]>,
}

impl Recent {
    fn get(&self, key: (usize, u64)) -> Option<Arc<[u8]>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|piece| piece.key == key).map(|piece| Arc::clone(&piece.bytes))
    }

    fn put(&self, key: (usize, u64), bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(Piece { key, bytes: bytes.into() });
    }
}

/// Decompresses pieces one after the other.
pub(super) struct Decoder<'r> {
    recent: &'r Recent,
    deflate: Option<Decompressor>,
    zstd: Option<DCtx<'static>>,
    packed: Vec<u8>,
    piece: Vec<u8>,
}

impl<'r> Decoder<'r> {
    pub(super) fn new(recent: &'r Recent) -> Self {
        Self { recent, deflate: None, zstd: None, packed: Vec::new(), piece: Vec::new() }
    }

    /// Fills `into` with the bytes of the piece after the skipped ones.
    pub(super) fn decode(&mut self, packed: &Packed<'_>, into: &mut [u8]) -> Result<()> {
        let skip = super::place(packed.skip);
        if skip == 0 && into.len() as u64 == packed.size {
            return self.unpack(packed, into, into_len(packed.size));
        }
        // The address identifies a part, which does not move while the image is open.
        let key = (std::ptr::from_ref(packed.part).addr(), packed.at);
        if let Some(bytes) = self.recent.get(key) {
            into.copy_from_slice(&bytes[skip..skip + into.len()]);
            return Ok(());
        }
        let mut piece = std::mem::take(&mut self.piece);
        piece.clear();
        piece.resize(into_len(packed.size), 0);
        // The last piece of an image may be short.
        let unpacked = self.unpack(packed, &mut piece, skip + into.len());
        if unpacked.is_ok() {
            into.copy_from_slice(&piece[skip..skip + into.len()]);
            self.recent.put(key, &piece);
        }
        self.piece = piece;
        unpacked
    }

    /// Decompresses a piece that must have at least `needed` bytes.
    fn unpack(&mut self, packed: &Packed<'_>, into: &mut [u8], needed: usize) -> Result<()> {
        let failed = |why: &str| {
            packed.part.damaged(format_args!("the compressed data at byte {} of the file {why}", packed.at))
        };
        let (mut at, mut len) = (packed.at, packed.len);
        if let Codec::Grain { sector } = packed.codec {
            let marker: [u8; 12] = packed.part.array(at)?;
            let (told, size) = (long(&marker[..8]), long(&marker[8..]));
            if told != sector {
                return Err(failed(&format!("has sector {told}, expected {sector}")));
            }
            if size > LARGEST + (LARGEST >> 3) {
                return Err(failed("is longer than the limit"));
            }
            (at, len) = (at + 12, size);
        }
        let mut bytes = std::mem::take(&mut self.packed);
        bytes.resize(into_len(len), 0);
        let read = packed.part.fill(at, &mut bytes);
        let done = read.and_then(|()| match packed.codec {
            Codec::Zstd => self.unzstd(&bytes, into).map_err(|why| failed(&why)),
            Codec::Deflate => {
                let deflate = self.deflate.get_or_insert_with(Decompressor::new);
                deflate.deflate_decompress(&bytes, into).map_err(|e| failed(&e.to_string()))
            }
            Codec::Grain { .. } => {
                let deflate = self.deflate.get_or_insert_with(Decompressor::new);
                deflate.zlib_decompress(&bytes, into).map_err(|e| failed(&e.to_string()))
            }
        });
        self.packed = bytes;
        match done {
            Ok(got) if got < needed => Err(failed(&format!("ends after {got} of {needed} bytes"))),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Data may follow the frame, because the length of a compressed cluster is rounded up to sectors.
    fn unzstd(&mut self, bytes: &[u8], into: &mut [u8]) -> Result<usize, String> {
        let name = |code| zstd::zstd_safe::get_error_name(code).to_owned();
        let context = match &mut self.zstd {
            Some(context) => {
                let kept = context.reset(zstd::zstd_safe::ResetDirective::SessionOnly);
                kept.map_err(name)?;
                context
            }
            none => {
                let mut context = DCtx::try_create().ok_or("cannot be decompressed for lack of memory")?;
                context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).map_err(name)?;
                none.insert(context)
            }
        };
        let (mut input, mut output) = (InBuffer::around(bytes), OutBuffer::around(into));
        loop {
            let before = (input.pos(), output.pos());
            let rest = context.decompress_stream(&mut output, &mut input).map_err(name)?;
            if rest == 0 || output.pos() == output.capacity() || (input.pos(), output.pos()) == before {
                return Ok(output.pos());
            }
        }
    }
}

fn into_len(len: u64) -> usize {
    super::place(len)
}

/// Returns a little-endian number of up to eight bytes.
fn long(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Returns the error for pieces larger than the limit.
pub(super) fn too_large(part: &Part, size: u64) -> Error {
    part.refused(format_args!(
        "its compressed pieces have {size} bytes each, more than the limit of {LARGEST}"
    ))
}
