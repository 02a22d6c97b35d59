//! Decompresses chunks in casync's formats: zstd (its default), xz or gzip, detected by the first bytes
//! (casync, src/compressor.c).

use std::io::Read;

const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const GZIP: &[u8] = &[0x1f, 0x8b];

/// The most memory for a dictionary in KiB: slightly more than the highest level of xz needs.
const XZ_MEMORY: u32 = 66 << 10;

/// Returns the largest compressed size of a chunk of `len` bytes: incompressible data with the overhead of
/// any format.
pub fn most_packed(len: u64) -> u64 {
    len + len / 64 + 4096
}

/// Decompresses a chunk into `into`.
///
/// # Errors
/// Returns the reason if the format is unknown, the data is damaged, or it decompresses to another length.
pub fn unpack(packed: &[u8], into: &mut [u8]) -> Result<(), String> {
    let len = into.len();
    let is_not = |error: &dyn std::fmt::Display| format!("it does not decompress to {len} bytes ({error})");
    if packed.starts_with(ZSTD) {
        let mut zstd = zstd::bulk::Decompressor::new().map_err(|e| is_not(&e))?;
        let got = zstd.decompress_to_buffer(packed, into).map_err(|e| is_not(&e))?;
        return if got == len { Ok(()) } else { Err(is_not(&format!("it has {got}"))) };
    }
    let read = |from: &mut dyn Read, into: &mut [u8]| {
        from.read_exact(into).map_err(|e| is_not(&e))?;
        // Also checks the checksum after the last byte.
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
        Err("it is not compressed with zstd, xz or gzip".to_owned())
    }
}
