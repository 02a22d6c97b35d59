//! Where a sparse file has data.

use crate::error::{Error, Kind, Result};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::fs::File;
use std::ops::Range;

/// The ranges of a file that hold data, in order, from `SEEK_DATA` and `SEEK_HOLE`. A file system or device that does
/// not know holes answers one range, as the call promises.
#[derive(Debug)]
pub struct Extents<'a> {
    file: &'a File,
    at: u64,
    size: u64,
}

/// Walks the extents of the first `size` bytes.
pub fn extents(file: &File, size: u64) -> Extents<'_> {
    Extents { file, at: 0, size }
}

impl Iterator for Extents<'_> {
    type Item = Result<Range<u64>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.size {
            return None;
        }
        let start = match seek(self.file, SeekFrom::Data(self.at)) {
            Ok(start) => start,
            // No data from here to the end.
            Err(Errno::NXIO) => {
                self.at = self.size;
                return None;
            }
            // Not a file that can have holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::SPIPE) => self.at,
            Err(e) => {
                self.at = self.size;
                return Some(Err(Error::new(Kind::Source, "finding the holes of the image").source(e)));
            }
        };
        let end = match seek(self.file, SeekFrom::Hole(start)) {
            Ok(end) if end > start => end.min(self.size),
            _ => self.size,
        };
        self.at = end;
        (start < end).then_some(Ok(start..end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn holes_are_left_out() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 << 20).unwrap();
        assert_eq!(extents(&file, 64 << 20).count(), 0);
        file.write_all_at(&[1; 4096], 8 << 20).unwrap();
        file.write_all_at(&[1; 4096], 63 << 20).unwrap();
        let found: Vec<_> = extents(&file, 64 << 20).map(Result::unwrap).collect();
        assert!(found.iter().any(|r| r.contains(&(8 << 20))), "{found:?}");
        assert!(found.iter().any(|r| r.contains(&(63 << 20))), "{found:?}");
        assert!(!found.iter().any(|r| r.contains(&(32 << 20))), "{found:?}");
    }
}
