//! The extents of a sparse file.

use crate::disk::Extent;
use crate::error::{Error, Kind, Result};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::fs::File;
use std::ops::Range;

/// Returns the extents of a file that cover `window`. File systems and devices without holes return one
/// extent of data.
pub(super) fn cover(file: &File, window: Range<u64>) -> Result<Vec<Extent>> {
    let (mut found, mut at) = (Vec::new(), window.start);
    for data in (Data { file, at: window.start, end: window.end }) {
        let data = data?;
        if data.start > at {
            found.push(Extent { range: at..data.start, zero: true });
        }
        at = data.end;
        found.push(Extent { range: data, zero: false });
    }
    if at < window.end {
        found.push(Extent { range: at..window.end, zero: true });
    }
    Ok(found)
}

/// The ranges of data, in order, from `SEEK_DATA` and `SEEK_HOLE`.
struct Data<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Iterator for Data<'_> {
    type Item = Result<Range<u64>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let start = match seek(self.file, SeekFrom::Data(self.at)) {
            Ok(start) if start >= self.end => {
                self.at = self.end;
                return None;
            }
            Ok(start) => start,
            // There is no data up to the end.
            Err(Errno::NXIO) => {
                self.at = self.end;
                return None;
            }
            // The file does not support holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::SPIPE) => self.at,
            Err(e) => {
                self.at = self.end;
                return Some(Err(Error::new(Kind::Source, "cannot find the holes of the image").source(e)));
            }
        };
        let end = match seek(self.file, SeekFrom::Hole(start)) {
            Ok(end) if end > start => end.min(self.end),
            _ => self.end,
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
    fn extents_cover_the_window_and_leave_out_holes() {
        let file = tempfile::tempfile().unwrap();
        let size: u64 = 64 << 20;
        file.set_len(size).unwrap();
        assert_eq!(cover(&file, 0..size).unwrap(), [Extent { range: 0..size, zero: true }]);
        file.write_all_at(&[1; 4096], 8 << 20).unwrap();
        file.write_all_at(&[1; 4096], 63 << 20).unwrap();
        for window in [0..size, 4 << 20..40 << 20, (8 << 20) + 100..(8 << 20) + 200, 9 << 20..10 << 20] {
            let found = cover(&file, window.clone()).unwrap();
            assert_eq!((found[0].range.start, found.last().unwrap().range.end), (window.start, window.end));
            assert!(found.windows(2).all(|two| two[0].range.end == two[1].range.start), "{found:?}");
            let zero_at = |at: u64| found.iter().find(|one| one.range.contains(&at)).map(|one| one.zero);
            assert_ne!(zero_at(8 << 20), Some(true), "{found:?}");
            assert_ne!(zero_at(32 << 20), Some(false), "{found:?}");
        }
    }
}
