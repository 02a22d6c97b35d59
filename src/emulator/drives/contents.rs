//! The bytes of a drive. Runs of zeros become holes of the file and take no space.
//!
//! On a drive with noise, holes read as noise, so zeros are written like other bytes. A file system tracks
//! holes by the page, so when a page is written in part, the rest of it is filled with its noise first.

use super::Payload;
use crate::emulator::faults::mix;
use axum::body::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fs::{FallocateFlags, SeekFrom, fallocate, seek};
use rustix::io::{Errno, pread};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The piece size of reads, and of writes from a spooled body, in bytes. It is large enough that a system
/// call is cheap in comparison, and small enough that many connections need little memory.
pub(crate) const PIECE: usize = 256 << 10;

/// The unit of holes on the usual file systems.
const PAGE: u64 = 4 << 10;

/// The shortest run of zeros to punch, in bytes: below it the system call costs more than writing the zeros.
const HOLE: u64 = 64 << 10;

/// The bytes of a drive, or of any sparse file.
#[derive(Clone, Debug)]
pub(crate) struct Contents {
    file: Arc<File>,
    size: u64,
    noise: Option<u64>,
}

impl Contents {
    pub(crate) fn new(file: File, size: u64, noise: Option<u64>) -> Self {
        Contents { file: Arc::new(file), size, noise }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn has_noise(&self) -> bool {
        self.noise.is_some()
    }

    /// Reads `len` bytes. Beyond the end of the file they are zeros.
    pub(crate) fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            // A vector may have more capacity than requested; the excess that was read is dropped below.
            let at = offset + bytes.len() as u64;
            match pread(&*self.file, spare_capacity(&mut bytes), at) {
                Ok(0) => bytes.resize(len, 0),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(len);
        if let Some(seed) = self.noise {
            for (range, data) in self.extents(offset..offset + len as u64) {
                if !data {
                    let at = |o: u64| usize::try_from(o - offset).unwrap_or(len);
                    noise(seed, range.start, &mut bytes[at(range.start)..at(range.end)]);
                }
            }
        }
        Ok(bytes.into())
    }

    /// Writes a payload.
    pub(crate) fn write(&self, offset: u64, payload: Payload) -> io::Result<()> {
        self.fill_pages(offset, payload.len())?;
        let mut at = offset;
        payload.each(|pieces| {
            self.write_pieces(at, pieces)?;
            at += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
            Ok(())
        })
    }

    /// Writes bytes from memory.
    pub(super) fn write_bytes(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        self.fill_pages(offset, bytes.len() as u64)?;
        self.write_pieces(offset, &[bytes])
    }

    /// Flips bits of one byte.
    pub(crate) fn flip(&self, offset: u64, bits: u8) -> io::Result<()> {
        let byte = self.read(offset, 1)?.first().copied().unwrap_or_default();
        self.write_bytes(offset, Bytes::from(vec![byte ^ bits]))
    }

    /// Makes a range read as zeros.
    pub(crate) fn zero(&self, range: Range<u64>) -> io::Result<()> {
        const ZEROS: &[u8] = &[0; 64 << 10];
        if self.noise.is_none() && self.punch(&range)? {
            return Ok(());
        }
        let mut at = range.start;
        while at < range.end {
            let len = usize::try_from(range.end - at).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.file.write_all_at(&ZEROS[..len], at)?;
            at += len as u64;
        }
        Ok(())
    }

    /// Returns the extents of a range in order, each with whether it holds data or is a hole.
    pub(crate) fn extents(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, bool)> {
        let mut at = range.start;
        std::iter::from_fn(move || {
            if at >= range.end {
                return None;
            }
            let start = at;
            let data = match seek(&*self.file, SeekFrom::Data(at)) {
                Ok(data) => data.min(range.end),
                Err(Errno::NXIO) => range.end,
                Err(_) => at, // The file system cannot tell: take everything for data.
            };
            if data > start {
                at = data;
                return Some((start..data, false));
            }
            let hole = seek(&*self.file, SeekFrom::Hole(at)).map_or(range.end, |hole| hole.min(range.end));
            at = hole.max(start + 1);
            Some((start..at, true))
        })
    }

    fn write_pieces(&self, offset: u64, pieces: &[Bytes]) -> io::Result<()> {
        let len = pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        if self.noise.is_some() {
            return self.write_range(offset, pieces, offset..offset + len);
        }
        let mut written = offset;
        for run in zero_runs(offset, pieces) {
            self.write_range(offset, pieces, written..run.start)?;
            self.zero(run.clone())?;
            written = run.end;
        }
        self.write_range(offset, pieces, written..offset + len)
    }

    /// Writes the part of the pieces that is in `range`. The first piece belongs at `offset`.
    fn write_range(&self, offset: u64, pieces: &[Bytes], range: Range<u64>) -> io::Result<()> {
        let mut at = offset;
        for piece in pieces {
            let end = at + piece.len() as u64;
            let (from, to) = (range.start.max(at), range.end.min(end));
            if from < to {
                let within = |o: u64| usize::try_from(o - at).unwrap_or(piece.len());
                self.file.write_all_at(&piece[within(from)..within(to)], from)?;
            }
            at = end;
        }
        Ok(())
    }

    /// Punches a hole; returns false if the file system cannot.
    fn punch(&self, range: &Range<u64>) -> io::Result<bool> {
        let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&*self.file, mode, range.start, range.end - range.start) {
            Ok(()) => Ok(true),
            Err(Errno::NOTSUP | Errno::NOSYS) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the noise around a write that begins or ends within a page.
    fn fill_pages(&self, offset: u64, len: u64) -> io::Result<()> {
        let Some(seed) = self.noise.filter(|_| len > 0) else { return Ok(()) };
        self.fill_page(seed, offset)?;
        self.fill_page(seed, offset + len)
    }

    /// Fills the page around `at` with its noise, if `at` is inside a page that is a hole.
    fn fill_page(&self, seed: u64, at: u64) -> io::Result<()> {
        let page = at / PAGE * PAGE;
        let end = (page + PAGE).min(self.size);
        if page == at || at >= end {
            return Ok(());
        }
        if self.extents(page..end).all(|(_, data)| !data) {
            let mut bytes = vec![0; usize::try_from(end - page).unwrap_or(0)];
            noise(seed, page, &mut bytes);
            self.file.write_all_at(&bytes, page)?;
        }
        Ok(())
    }
}

/// Returns the runs of zeros that are long enough to punch, in whole pages.
fn zero_runs(offset: u64, pieces: &[Bytes]) -> Vec<Range<u64>> {
    let mut runs = Vec::new();
    let mut run = offset..offset;
    let mut end_run = |run: &Range<u64>| {
        let (start, end) = (run.start.next_multiple_of(PAGE), run.end / PAGE * PAGE);
        if end > start && end - start >= HOLE {
            runs.push(start..end);
        }
    };
    let mut at = offset;
    for piece in pieces {
        let mut rest = &piece[..];
        while !rest.is_empty() {
            // Up to the end of the page, so that pieces may begin anywhere.
            let step =
                usize::try_from(PAGE - at % PAGE).map_or(rest.len(), |to_page| to_page.min(rest.len()));
            let (page, after) = rest.split_at(step);
            at += step as u64;
            if is_zero(page) {
                run.end = at;
            } else {
                end_run(&run);
                run = at..at;
            }
            rest = after;
        }
    }
    end_run(&run);
    runs
}

/// Returns whether all bytes are zero. It works on whole lines, so that the compiler uses wide registers;
/// data usually differs in the first line.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(128).all(|line| line.iter().fold(0, |all, &byte| all | byte) == 0)
}

/// Fills a buffer with the noise at an offset, which is the same every time.
fn noise(seed: u64, offset: u64, bytes: &mut [u8]) {
    const WORD: u64 = 8;
    let mut at = offset;
    let mut rest = bytes;
    while !rest.is_empty() {
        let word = mix(seed ^ (at / WORD).wrapping_mul(0x2545_f491_4f6c_dd1d)).to_le_bytes();
        let skip = usize::try_from(at % WORD).unwrap_or(0);
        let len = (word.len() - skip).min(rest.len());
        let (now, after) = rest.split_at_mut(len);
        now.copy_from_slice(&word[skip..skip + len]);
        at += len as u64;
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn sparse(size: u64, noise: Option<u64>) -> (File, Contents) {
        let file = tempfile::tempfile().unwrap();
        file.set_len(size).unwrap();
        (file.try_clone().unwrap(), Contents::new(file, size, noise))
    }

    fn payload(pieces: &[&[u8]]) -> Payload {
        let mut payload = Payload::new(std::env::temp_dir());
        for piece in pieces {
            payload.push(Bytes::copy_from_slice(piece)).unwrap();
        }
        payload
    }

    #[test]
    fn zeros_become_holes_and_data_does_not() {
        let (file, contents) = sparse(1 << 20, None);
        contents.write(0, payload(&[&vec![7; 1 << 20]])).unwrap();
        let before = file.metadata().unwrap().blocks();
        // The zeros span two pieces and begin and end within a page.
        let mut first = vec![1; 100_000];
        first[1000..].fill(0);
        let mut second = vec![0; 500_000];
        second[499_000..].fill(2);
        contents.write(10, payload(&[&first, &second])).unwrap();
        assert!(file.metadata().unwrap().blocks() < before - 1000, "{}", file.metadata().unwrap().blocks());
        let mut expected = vec![7; 1 << 20];
        expected[10..100_010].copy_from_slice(&first);
        expected[100_010..600_010].copy_from_slice(&second);
        assert!(contents.read(0, 1 << 20).unwrap() == expected);
    }

    #[test]
    fn noise_stands_where_nothing_was_written() {
        let (file, contents) = sparse(100_000, Some(5));
        let before = contents.read(0, 100_000).unwrap();
        assert!(before.chunks(512).all(|sector| !is_zero(sector)));
        assert_eq!(contents.read(777, 1000).unwrap(), before[777..1777]);
        contents.write(5000, payload(&[&vec![0; 70_000]])).unwrap();
        let mut expected = before.to_vec();
        expected[5000..75_000].fill(0);
        assert!(contents.read(0, 100_000).unwrap() == expected);
        assert!(file.metadata().unwrap().blocks() * 512 >= 70_000);
    }

    #[test]
    fn a_short_file_reads_as_zeros() {
        let contents = Contents::new(tempfile::tempfile().unwrap(), 100, None);
        assert_eq!(contents.read(10, 50).unwrap(), [0; 50][..]);
    }
}
