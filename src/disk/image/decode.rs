//! Compressed pieces of an image: the clusters of a qcow2, the grains of a VMDK.

use super::part::Part;
use crate::error::{Error, Result};
use libdeflater::Decompressor;
use std::sync::{Arc, Mutex, PoisonError};
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

/// The largest piece, in bytes. QEMU, docs/interop/qcow2.rst, `cluster_bits`: a cluster has at most 2 MiB.
pub(super) const LARGEST: u64 = 2 << 20;

/// The largest window that a zstd frame may ask for, as a power of two. A piece has no use for one larger
/// than itself, and encoders round up.
const WINDOW_LOG: u32 = 22;

/// Pieces that are kept after a read of only a part of them.
const KEPT: usize = 4;

/// How a piece is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// RFC 1951, without a header.
    Deflate,
    /// RFC 8878.
    Zstd,
    /// A grain of a VMDK: a marker of 12 bytes, which says which sector it is of and how long it is, and RFC
    /// 1950.
    Grain {
        /// The sector that the marker has to name.
        sector: u64,
    },
}

/// A part of a compressed piece.
pub(super) struct Packed<'a> {
    pub(super) part: &'a Part,
    /// Where it is in the file.
    pub(super) at: u64,
    /// Its bytes there, or more than that.
    pub(super) len: u64,
    pub(super) codec: Codec,
    /// Bytes that it has unpacked, at most [`LARGEST`].
    pub(super) size: u64,
    /// How many of these come before those that are wanted.
    pub(super) skip: u64,
}

/// Pieces that were unpacked for the sake of a part of them: the part that follows is mostly wanted next.
#[derive(Default)]
pub(super) struct Recent(Mutex<Vec<Piece>>);

/// A piece that was unpacked.
struct Piece {
    /// Of which part of which file, and where in it.
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

/// Unpacks pieces, one after the other.
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

    /// Fills `into` with the bytes of the piece after those that are skipped.
    pub(super) fn decode(&mut self, packed: &Packed<'_>, into: &mut [u8]) -> Result<()> {
        let skip = super::place(packed.skip);
        if skip == 0 && into.len() as u64 == packed.size {
            return self.unpack(packed, into, into_len(packed.size));
        }
        // Parts of the open image, which stay where they are as long as it is open.
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

    /// Unpacks a piece, of which at least `needed` bytes have to come.
    fn unpack(&mut self, packed: &Packed<'_>, into: &mut [u8], needed: usize) -> Result<()> {
        let failed = |why: &str| {
            packed.part.damaged(format_args!("what is compressed at byte {} of the file {why}", packed.at))
        };
        let (mut at, mut len) = (packed.at, packed.len);
        if let Codec::Grain { sector } = packed.codec {
            let marker: [u8; 12] = packed.part.array(at)?;
            let (told, size) = (long(&marker[..8]), long(&marker[8..]));
            if told != sector {
                return Err(failed(&format!("is of sector {told} and should be of {sector}")));
            }
            if size > LARGEST + (LARGEST >> 3) {
                return Err(failed("is longer than such a piece may be"));
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

    /// Something else may follow the frame: the length of a compressed cluster is one in sectors.
    fn unzstd(&mut self, bytes: &[u8], into: &mut [u8]) -> Result<usize, String> {
        let name = |code| zstd::zstd_safe::get_error_name(code).to_owned();
        let context = match &mut self.zstd {
            Some(context) => {
                let kept = context.reset(zstd::zstd_safe::ResetDirective::SessionOnly);
                kept.map_err(name)?;
                context
            }
            none => {
                let mut context = DCtx::try_create().ok_or("has no room to be unpacked in")?;
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

/// A number of up to eight bytes, the lowest first.
fn long(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The error of a piece that is larger than one may be.
pub(super) fn too_large(part: &Part, size: u64) -> Error {
    part.refused(format_args!("its compressed pieces have {size} bytes each, and at most {LARGEST} are read"))
}
