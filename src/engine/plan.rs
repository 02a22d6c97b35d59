//! What is known of an image before it is read.

use super::Context;
use super::ledger::{Bits, Ledger};
use crate::chunk::{AckedChunk, Geometry};
use crate::digest::ZeroDigests;
use crate::disk::ReadAt;
use crate::error::{Kind, Result};
use crate::record::ChunkOutcome;
use crate::stop::stopped;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

/// Chunks per extents request: 4 GiB at the default chunk size, and so at most a million extents.
const WINDOW: u64 = 1024;

/// The hint for a remote that does not reply.
const AGAIN: &str = "run the same command again to resume";

/// How many chunks are settled before other tasks of this thread get a turn.
const SETTLED_AT_ONCE: u64 = 1 << 14;

/// Returns the chunks that are known to be zero without reading them. The request is retried.
pub async fn holes(disk: &dyn ReadAt, geometry: Geometry, context: &Context) -> Result<Bits> {
    let mut holes = Bits::new(geometry.chunks());
    let mut first = 0;
    while first < geometry.chunks() {
        let last = first.saturating_add(WINDOW).min(geometry.chunks());
        let end = geometry.offset(last).min(geometry.image_size());
        (first..last).for_each(|index| holes.set(index, true));
        let window = geometry.offset(first)..end;
        let attempt = async || disk.extents(window.clone()).await;
        let what = "listing the extents of the image";
        let asked = context.retry.run(what, Some(window.start), attempt).await;
        let extents = asked.map_err(|error| {
            // What was transferred before is kept.
            if error.kind().is_retryable() { error.with_kind(Kind::Incomplete).hint(AGAIN) } else { error }
        })?;
        for extent in extents {
            if !extent.zero {
                geometry.touching(extent.range).for_each(|index| holes.set(index, false));
            }
        }
        first = last;
    }
    Ok(holes)
}

/// Returns the byte ranges of chunks; adjacent ones are joined.
pub fn ranges(chunks: &Bits, geometry: Geometry) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for index in chunks.ones() {
        let (start, end) = (geometry.offset(index), geometry.offset(index) + geometry.len(index));
        match ranges.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => ranges.push(start..end),
        }
    }
    ranges
}

/// Settles the chunks in `holes`, or only those that are also in `among`. Returns the chunks that were
/// settled.
///
/// Doing this before the pipeline runs takes milliseconds for a terabyte of holes; in the pipeline it takes
/// seconds.
pub(super) async fn settle(
    holes: &Bits,
    among: Option<&Bits>,
    ledger: &mut Ledger,
    context: &Context,
) -> Result<Bits> {
    let geometry = ledger.geometry();
    let zeros = ZeroDigests::new(ledger.algorithm());
    let mut settled = Bits::new(geometry.chunks());
    for index in 0..geometry.chunks() {
        if index % SETTLED_AT_ONCE == 0 {
            tokio::task::yield_now().await;
            if context.stop.is_asked() {
                return Err(stopped());
            }
        }
        let wanted = holes.get(index) && among.is_none_or(|among| among.get(index));
        if !wanted || ledger.is_settled(index) {
            continue;
        }
        let len = geometry.len(index);
        ledger.settle(&AckedChunk { index, len, digest: zeros.of(len), zero: true });
        context.meters.image.fetch_add(len, Relaxed);
        context.note(index, ChunkOutcome::Zero);
        settled.set(index, true);
    }
    Ok(settled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::file::FileDisk;
    use crate::disk::{Attempt, Buffer, DiskInfo, Extent, LocalRead};
    use crate::error::Error;
    use std::os::unix::fs::FileExt;
    use std::sync::atomic::AtomicUsize;

    /// A disk of zeros whose extents fail a number of times with one kind of error.
    struct Reluctant(DiskInfo, Kind, AtomicUsize);

    impl ReadAt for Reluctant {
        fn info(&self) -> &DiskInfo {
            &self.0
        }

        fn read_at(&self, _offset: u64, _len: u64, _into: Buffer) -> Attempt<Buffer> {
            Box::pin(async { Err(Error::new(Kind::Refused, "nobody reads it")) })
        }

        fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
            let (kind, left) = (self.1, self.2.load(Relaxed));
            self.2.store(left.saturating_sub(1), Relaxed);
            let answer = if left > 0 {
                Err(Error::new(kind, "not now"))
            } else {
                Ok(vec![Extent { range: window, zero: true }])
            };
            Box::pin(async { answer })
        }

        fn changed(&self) -> Attempt<Option<Error>> {
            Box::pin(async { Ok(None) })
        }

        fn local(&self) -> Option<&dyn LocalRead> {
            None
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_far_end_that_fails_for_now_is_asked_again() {
        let context = super::super::tests::context();
        let geometry = Geometry::new(10 << 20, 1 << 20);
        let disk = |kind, failures| Reluctant(DiskInfo::new("x", 10 << 20), kind, AtomicUsize::new(failures));
        let found = holes(&disk(Kind::Unavailable, 2), geometry, &context).await.unwrap();
        assert_eq!(found.count(), 10);
        let ended = holes(&disk(Kind::Unavailable, 3), geometry, &context).await.err().unwrap();
        assert_eq!((ended.kind(), ended.after_attempts()), (Kind::Incomplete, Some(3)), "{ended}");
        let refused = holes(&disk(Kind::Auth, 1), geometry, &context).await.err().unwrap();
        assert_eq!(refused.kind(), Kind::Auth, "{refused}");
    }

    #[tokio::test]
    async fn holes_are_whole_chunks_of_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len((10 << 20) + 5).unwrap();
        file.as_file().write_all_at(b"x", 3 << 20).unwrap();
        let disk = FileDisk::open(file.path()).unwrap();
        let geometry = Geometry::new(disk.size(), 2 << 20);
        let context = super::super::tests::context();
        let found = holes(&disk, geometry, &context).await.unwrap();
        assert_eq!(
            (0..7).map(|i| found.get(i)).collect::<Vec<_>>(),
            [true, false, true, true, true, true, false]
        );
        assert_eq!(ranges(&found, geometry), [0..2 << 20, 4 << 20..(10 << 20) + 5]);
        // More chunks than one request covers.
        let geometry = Geometry::new(disk.size(), 4096);
        let found = holes(&disk, geometry, &context).await.unwrap();
        assert_eq!(found.count(), geometry.chunks() - 1);
        assert!(!found.get((3 << 20) / 4096));
    }
}
