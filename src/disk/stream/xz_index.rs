//! Determines the decompressed size of an .xz file from the index at its end (The .xz File Format 1.1.0,
//! 2.1.2 and 4), without decompressing it.
//!
//! Only two small ranges are read. The decoder checks the contents later.

use crate::error::Result;

/// The length of the footer: a checksum, the size of the index, flags and two letters.
const FOOTER: u64 = 12;

/// The length of the stream header.
const HEADER: u64 = 12;

/// The longest index that is read; a block takes about ten bytes in it.
const LONGEST: u64 = 16 << 20;

/// Returns the decompressed size of a file of `size` bytes. Returns `None` unless the file is a single stream
/// whose index accounts for every byte. `read` returns the bytes at an offset.
pub async fn raw_size(size: u64, read: impl AsyncFn(u64, u64) -> Result<Vec<u8>>) -> Result<Option<u64>> {
    let Some(footer_at) = size.checked_sub(FOOTER).filter(|at| *at > HEADER) else { return Ok(None) };
    let footer = read(footer_at, FOOTER).await?;
    let Some(index_size) = index_size(&footer) else { return Ok(None) };
    let Some(index_at) = footer_at.checked_sub(index_size).filter(|_| index_size <= LONGEST) else {
        return Ok(None);
    };
    let index = read(index_at, index_size).await?;
    let whole = |sums: &Sums| sums.packed.checked_add(HEADER) == Some(index_at);
    Ok(sum(&index).filter(whole).map(|sums| sums.raw))
}

/// Returns the size of the index from the footer.
fn index_size(footer: &[u8]) -> Option<u64> {
    let backward = u32::from_le_bytes(footer.get(4..8)?.try_into().ok()?);
    (footer.len() as u64 == FOOTER && footer.ends_with(b"YZ")).then_some((u64::from(backward) + 1) * 4)
}

/// The total sizes of the blocks.
struct Sums {
    packed: u64,
    raw: u64,
}

fn sum(index: &[u8]) -> Option<Sums> {
    let (indicator, mut rest) = index.split_first()?;
    if *indicator != 0 {
        return None;
    }
    let mut sums = Sums { packed: 0, raw: 0 };
    for _ in 0..number(&mut rest)? {
        // A block is padded to four bytes.
        let packed = number(&mut rest)?.checked_next_multiple_of(4)?;
        sums.packed = sums.packed.checked_add(packed)?;
        sums.raw = sums.raw.checked_add(number(&mut rest)?)?;
    }
    Some(sums)
}

/// Reads a number of variable length: seven bits per byte, lowest first (1.2).
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size_of(file: &[u8]) -> Option<u64> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = async |offset: u64, len: u64| {
            let from = usize::try_from(offset).unwrap();
            Ok(file[from..from + usize::try_from(len).unwrap()].to_vec())
        };
        runtime.block_on(raw_size(file.len() as u64, read)).unwrap()
    }

    #[test]
    fn the_index_tells_the_raw_size() {
        // Written by xz 5.4.
        let one = std::fs::read("testdata/packed/words.xz").unwrap();
        assert_eq!(size_of(&one), Some(10));
        let blocks = std::fs::read("testdata/packed/blocks.xz").unwrap();
        assert_eq!(size_of(&blocks), Some(100_000));
        // Two streams, and padding at the end: one index does not account for them.
        assert_eq!(size_of(&[one.clone(), one.clone()].concat()), None);
        assert_eq!(size_of(&[one, vec![0; 4]].concat()), None);
    }

    #[test]
    fn blocks_without_measure_are_no_index() {
        // Two blocks of nearly 2^63 bytes each: with the header the sum overflows.
        let block = [0xfc, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1];
        let mut index = vec![0, 2];
        index.extend([block, block].concat());
        index.extend([0, 0]);
        index.resize(index.len().next_multiple_of(4), 0);
        let backward = u32::try_from(index.len() / 4).unwrap() - 1;
        let mut file = vec![0; 100];
        file.extend(index);
        file.extend([0; 4]);
        file.extend(backward.to_le_bytes());
        file.extend(b"\0\0YZ");
        assert_eq!(size_of(&file), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut file in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = size_of(&file);
            file.extend([0, 0, 0, 0, 3, 0, 0, 0, 0, 0, b'Y', b'Z']);
            let _ = size_of(&file);
        }
    }
}
