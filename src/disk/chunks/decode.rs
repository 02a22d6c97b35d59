//! Unpacking a chunk as casync packs it: one of zstd (its default), xz or gzip, told by the first bytes
//! (casync, src/compressor.c).

use std::io::Read;

const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const GZIP: &[u8] = &[0x1f, 0x8b];

/// The most memory for a dictionary, in KiB: what the highest level of xz takes, and a little more.
const XZ_MEMORY: u32 = 66 << 10;

/// The most bytes that a chunk of `len` bytes takes when it is packed: what cannot be compressed, with what
/// each format puts around.
pub fn most_packed(len: u64) -> u64 {
    len + len / 64 + 4096
}

/// Fills `into` with the bytes of a packed chunk.
///
/// # Errors
/// In words: what is packed in no known way, is damaged, or has more or fewer bytes.
pub fn unpack(packed: &[u8], into: &mut [u8]) -> Result<(), String> {
    let len = into.len();
    let is_not = |error: &dyn std::fmt::Display| format!("it does not unpack to {len} bytes ({error})");
    if packed.starts_with(ZSTD) {
        let mut zstd = zstd::bulk::Decompressor::new().map_err(|e| is_not(&e))?;
        let got = zstd.decompress_to_buffer(packed, into).map_err(|e| is_not(&e))?;
        return if got == len { Ok(()) } else { Err(is_not(&format!("it has {got}"))) };
    }
    let read = |from: &mut dyn Read, into: &mut [u8]| {
        from.read_exact(into).map_err(|e| is_not(&e))?;
        // Also checks the sum behind the last byte.
        match from.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(is_not(&"it has more")),
            Err(e) => Err(is_not(&e)),
        }
    };
    if packed.starts_with(XZ) {
        read(&mut lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_MEMORY), into)
    } else if packed.starts_with(GZIP) {
        read(&mut flate2::read::MultiGzDecoder::new(packed), into)
    } else {
        Err("it is not packed as zstd, xz or gzip".to_owned())
    }
}
