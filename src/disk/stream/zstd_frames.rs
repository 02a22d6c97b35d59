//! Determines the decompressed size of a zstd file from the headers of its frames and blocks (RFC 8878, 3.1),
//! without decompressing it.

use std::io::{BufReader, Read, Seek};

const MAGIC: u32 = 0xfd2f_b528;

/// Returns the decompressed size of a file. Returns `None` if a frame lacks its size, or the frames do not
/// account for every byte. Ends early if `unwanted` returns true.
pub fn raw_size(input: impl Read + Seek, unwanted: &dyn Fn() -> bool) -> Option<u64> {
    let mut input = BufReader::with_capacity(64 << 10, input);
    let mut total = 0_u64;
    loop {
        let mut magic = [0; 4];
        match input.read(&mut magic[..1]).ok()? {
            0 => return Some(total),
            _ => input.read_exact(&mut magic[1..]).ok()?,
        }
        match u32::from_le_bytes(magic) {
            MAGIC => total = total.checked_add(frame(&mut input, unwanted)?)?,
            // A skippable frame (3.1.2).
            0x184d_2a50..=0x184d_2a5f => {
                let len = number(&mut input, 4)?;
                skip(&mut input, len)?;
            }
            _ => return None,
        }
    }
}

/// Skips a frame after its magic number and returns its decompressed size.
fn frame(input: &mut BufReader<impl Read + Seek>, unwanted: &dyn Fn() -> bool) -> Option<u64> {
    let descriptor = number(input, 1)?;
    let (size_flag, single, checksum) = (descriptor >> 6, descriptor >> 5 & 1, descriptor >> 2 & 1);
    let window = 1 - single;
    let dictionary = [0, 1, 2, 4][usize::try_from(descriptor & 3).ok()?];
    number(input, window + dictionary)?;
    let size = match size_flag {
        0 if single == 0 => return None,
        0 => number(input, 1)?,
        1 => number(input, 2)? + 256,
        2 => number(input, 4)?,
        _ => number(input, 8)?,
    };
    loop {
        if unwanted() {
            return None;
        }
        let block = number(input, 3)?;
        let (last, kind, len) = (block & 1, block >> 1 & 3, block >> 3);
        skip(
            input,
            match kind {
                0 | 2 => len,
                1 => 1,
                _ => return None,
            },
        )?;
        if last == 1 {
            break;
        }
    }
    skip(input, checksum * 4)?;
    Some(size)
}

/// Reads `len` bytes as a little-endian number.
fn number(input: &mut impl Read, len: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    input.read_exact(bytes.get_mut(..usize::try_from(len).ok()?)?).ok()?;
    Some(u64::from_le_bytes(bytes))
}

/// Skips bytes, which must exist.
fn skip(input: &mut BufReader<impl Read + Seek>, len: u64) -> Option<()> {
    let Some(before) = len.checked_sub(1) else { return Some(()) };
    input.seek_relative(i64::try_from(before).ok()?).ok()?;
    number(input, 1).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Write};

    fn size(bytes: &[u8]) -> Option<u64> {
        raw_size(Cursor::new(bytes), &|| false)
    }

    fn packed(raw: &[u8], checksum: bool) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.include_checksum(checksum).unwrap();
        encoder.set_pledged_src_size(Some(raw.len() as u64)).unwrap();
        encoder.write_all(raw).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn frames_tell_their_sizes() {
        let raw: Vec<u8> =
            (0..1_000_000_u32).map(|n| (n / 7).to_le_bytes()[0] ^ (n % 251).to_le_bytes()[0]).collect();
        for len in [1, 200, 300, 70_000, 1_000_000] {
            for checksum in [false, true] {
                assert_eq!(size(&packed(&raw[..len], checksum)), Some(len as u64), "{len}");
            }
        }
        let skipped =
            [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &packed(&raw[..300], true)].concat();
        assert_eq!(size(&[skipped, packed(&raw, false)].concat()), Some(1_000_300));
        assert_eq!(
            size(&zstd::encode_all(&vec![0; 10 << 20][..], 1).unwrap()),
            None,
            "a stream of unknown size"
        );
    }

    #[test]
    fn what_does_not_account_for_every_byte_is_not_trusted() {
        let whole = packed(&vec![7; 100_000], true);
        for len in 1..whole.len() {
            assert_eq!(size(&whole[..len]), None, "{len}");
        }
        assert_eq!(size(&[&whole[..], b"x"].concat()), None);
        assert_eq!(raw_size(Cursor::new(&whole), &|| true), None);
    }
}
