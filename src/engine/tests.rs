//! Cases that must not hang: threads that panic, threads that block forever, disks that never reply.

use super::copy::Copy;
use super::encode::codec::Compression;
use super::ledger::Ledger;
use super::pipeline::{Content, Item, Origin, Pipeline, Source, WorkFn, Worked};
use super::{Context, Route, governor, window};
use crate::chunk::Geometry;
use crate::digest::Algorithm;
use crate::disk::memory::MemoryDisk;
use crate::disk::stdout::StreamWriter;
use crate::disk::{Attempt, Buffer, DiskInfo, Extent, LocalRead, ReadAt, Wire};
use crate::error::{Error, Kind, Result};
use crate::event;
use crate::stop::{Stopper, pair};
use crate::transport::retry::Retry;
use std::future::pending;
use std::io::Write;
use std::ops::Range;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

/// A disk that never replies.
struct Silent(DiskInfo);

impl ReadAt for Silent {
    fn info(&self) -> &DiskInfo {
        &self.0
    }

    fn read_at(&self, _offset: u64, _len: u64, _into: Buffer) -> Attempt<Buffer> {
        Box::pin(pending())
    }

    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        Box::pin(async move { Ok(vec![Extent { range: window, zero: false }]) })
    }

    fn changed(&self) -> Attempt<Option<Error>> {
        Box::pin(pending())
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        None
    }
}

/// Standard output that nobody reads.
struct Blocked(Receiver<()>);

impl Write for Blocked {
    fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.recv();
        Ok(0)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn stoppable() -> (Context, Stopper) {
    let (stopper, stop) = pair();
    let meters = Arc::default();
    let retry =
        Retry { retries: 2, observer: event::no_observer(), meters: Arc::clone(&meters), stop: stop.clone() };
    let window = window(Route::Plain, 2);
    let (reads, writes) = (governor(Some(4)), governor(Some(4)));
    let context = Context {
        observer: event::no_observer(),
        meters,
        stop,
        retry,
        reads,
        writes,
        workers: 2,
        window,
        sharers: 1,
        record: None,
        in_use: None,
    };
    (context, stopper)
}

/// A context that is never stopped.
pub(crate) fn context() -> Context {
    stoppable().0
}

fn geometry() -> Geometry {
    Geometry::new(40_000, 4_000)
}

fn pipeline<T>(disk: impl ReadAt + 'static, work_fns: Vec<WorkFn<T>>) -> Pipeline<T> {
    let source = Source::At(Arc::new(disk));
    Pipeline { geometry: geometry(), source, kept: None, work_fns, tap: None, to: None, room: 1, rung: None }
}

fn items() -> impl Iterator<Item = Item> {
    (0..10).map(|index| Item { index, from: Origin::Source })
}

fn image() -> Vec<u8> {
    (0..40_000_u32).map(|n| (n * 7 % 251).to_le_bytes()[0]).collect()
}

#[tokio::test]
async fn every_chunk_comes_once_with_its_bytes() {
    let (context, _stopper) = stoppable();
    let work_fn = |_| -> WorkFn<(u64, Vec<u8>)> {
        Box::new(|chunk| match chunk.content {
            Content::Bytes(bytes) => Ok(Worked::Done((chunk.offset, bytes.to_vec()))),
            Content::Zeros(_) => panic!("there are no holes"),
        })
    };
    let mut all = vec![0; 40_000];
    let mut chunks = 0;
    let moving = pipeline(MemoryDisk::new(image()), (0..3).map(work_fn).collect());
    let done = |(offset, bytes): (u64, Vec<u8>), _| {
        let at = usize::try_from(offset).unwrap();
        all[at..at + bytes.len()].copy_from_slice(&bytes);
        chunks += 1;
        Ok(())
    };
    let failures = moving.run(items(), &context, done).await.unwrap();
    assert!(failures.into_error(0, 10).is_none());
    assert_eq!(chunks, 10);
    assert!(all == image());
}

#[tokio::test]
async fn a_copy_is_equal_and_has_the_digest_of_its_source() {
    use sha2::{Digest as _, Sha256};
    let (context, _stopper) = stoppable();
    let to = MemoryDisk::new(vec![0; 40_000]);
    let mut ledger = Ledger::new(geometry(), Algorithm::Blake3);
    let copy = Copy {
        from: Source::At(Arc::new(MemoryDisk::new(image()))),
        to: Arc::new(to.clone()),
        kept: None,
        held: None,
        there: None,
        compression: Compression::Auto,
        skip_holes: false,
        skip_zeros: false,
        sha256: true,
    };
    let copied = copy.run_once(&mut ledger, &context).await.unwrap();
    assert_eq!((copied.sent, copied.zero), (10, 0));
    assert_eq!(copied.sha256, Some(crate::digest::hex(&Sha256::digest(image()))));
    assert!(to.to_vec() == image());
}

#[tokio::test]
async fn a_disk_gets_no_write_that_is_longer_than_it_takes() {
    let (context, _stopper) = stoppable();
    let limit = |info: &mut DiskInfo| (info.write_limit, info.wire) = (999, Wire::Plain);
    let to = MemoryDisk::new(vec![0; 40_000]).limited(limit);
    let mut ledger = Ledger::new(geometry(), Algorithm::Blake3);
    let copy = Copy {
        from: Source::At(Arc::new(MemoryDisk::new(image()))),
        to: Arc::new(to.clone()),
        kept: None,
        held: None,
        there: None,
        compression: Compression::Auto,
        skip_holes: false,
        skip_zeros: false,
        sha256: false,
    };
    copy.run_once(&mut ledger, &context).await.unwrap();
    assert!(to.to_vec() == image());
}

#[tokio::test]
async fn a_panic_of_a_worker_is_an_error() {
    let (context, _stopper) = stoppable();
    let work_fn = |_| -> WorkFn<u64> {
        Box::new(|chunk| if chunk.index == 1 { panic!("a bug for the test") } else { Ok(Worked::Done(0)) })
    };
    let moving = pipeline(MemoryDisk::new(image()), (0..2).map(work_fn).collect());
    let failures = moving.run(items(), &context, |_, _| Ok(())).await.unwrap();
    let error = failures.into_error(1, 10).unwrap();
    assert!(error.to_string().contains("worker thread panicked"), "{error}");
}

#[tokio::test]
async fn a_panic_of_all_workers_is_an_error() {
    let (context, _stopper) = stoppable();
    let work_fn: WorkFn<u64> = Box::new(|_| panic!("a bug for the test"));
    let moving = pipeline(MemoryDisk::new(image()), vec![work_fn]);
    let failures = moving.run(items(), &context, |_, _| Ok(())).await.unwrap();
    assert!(failures.into_error(10, 10).unwrap().to_string().contains("panicked"));
}

#[tokio::test]
async fn reads_that_never_end_are_given_up_when_the_stop_is_asked_for() {
    let (context, stopper) = stoppable();
    let work_fn: WorkFn<()> = Box::new(|_| Ok(Worked::Done(())));
    let moving = pipeline(Silent(DiskInfo::new("silent", 40_000)), vec![work_fn]);
    let moving = moving.run(items(), &context, |(), _| Ok(()));
    let (failures, ()) = tokio::join!(moving, async { stopper.stop() });
    assert_eq!(failures.unwrap().into_error(10, 10).unwrap().kind(), Kind::Interrupted);
}

#[tokio::test]
async fn a_worker_that_blocks_for_ever_is_given_up_when_the_stop_is_over() {
    let (context, stopper) = stoppable();
    let (_open, blocked) = channel::<()>();
    let blocked = Mutex::new(blocked);
    let work_fn: WorkFn<()> = Box::new(move |_| {
        let _ = blocked.lock().unwrap().recv();
        Err(Error::new(Kind::Io, "never"))
    });
    let moving = pipeline(MemoryDisk::new(image()), vec![work_fn]).run(items(), &context, |(), _| Ok(()));
    let stopping = async {
        stopper.stop();
        tokio::task::yield_now().await;
        stopper.give_up();
    };
    let (failures, ()) = tokio::join!(moving, stopping);
    assert_eq!(failures.unwrap().into_error(10, 10).unwrap().kind(), Kind::Interrupted);
}

#[tokio::test]
async fn standard_output_that_nobody_reads_does_not_hold_up_a_stop() -> Result<()> {
    let (context, stopper) = stoppable();
    let (_open, blocked) = channel();
    let mut ledger = Ledger::new(geometry(), Algorithm::Blake3);
    let copy = Copy {
        from: Source::At(Arc::new(MemoryDisk::new(image()))),
        to: Arc::new(StreamWriter::start(Box::new(Blocked(blocked)), 40_000)?),
        kept: None,
        held: None,
        there: None,
        compression: Compression::None,
        skip_holes: false,
        skip_zeros: false,
        sha256: false,
    };
    let (ended, ()) = tokio::join!(copy.run_once(&mut ledger, &context), async { stopper.stop() });
    assert_eq!(ended.unwrap_err().kind(), Kind::Interrupted);
    Ok(())
}

/// A disk that reports where it reads as zero.
struct Telling(MemoryDisk, Range<u64>);

impl ReadAt for Telling {
    fn info(&self) -> &DiskInfo {
        ReadAt::info(&self.0)
    }

    fn read_at(&self, offset: u64, len: u64, into: Buffer) -> Attempt<Buffer> {
        self.0.read_at(offset, len, into)
    }

    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        let Range { start, end } = self.1.clone();
        let extents = [(0..start, false), (start..end, true), (end..u64::MAX, false)].map(|(range, zero)| {
            Extent { range: range.start.max(window.start)..range.end.min(window.end), zero }
        });
        Box::pin(async { Ok(extents.into_iter().filter(|e| !e.range.is_empty()).collect()) })
    }

    fn changed(&self) -> Attempt<Option<Error>> {
        self.0.changed()
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        None
    }
}

#[tokio::test]
async fn zeros_are_written_but_where_the_destination_has_them() {
    let (context, _stopper) = stoppable();
    let mut bytes = image();
    bytes[8_000..32_000].fill(0);
    // Bytes other than zero show whether a chunk was written.
    let to = MemoryDisk::new(vec![9; 40_000]);
    let mut ledger = Ledger::new(geometry(), Algorithm::Blake3);
    let copy = Copy {
        from: Source::At(Arc::new(MemoryDisk::new(bytes.clone()))),
        to: Arc::new(to.clone()),
        kept: None,
        held: None,
        there: Some(Arc::new(Telling(to.clone(), 11_000..25_000))),
        compression: Compression::None,
        skip_holes: false,
        skip_zeros: false,
        sha256: false,
    };
    let copied = copy.run_once(&mut ledger, &context).await.unwrap();
    // Chunks 3, 4 and 5 lie entirely in the range reported as zero.
    bytes[12_000..24_000].fill(9);
    assert!(to.to_vec() == bytes);
    assert_eq!((copied.zero, copied.skipped.count()), (6, 0));
}

/// A destination that is known to hold these chunks.
struct Holding(Vec<(u64, crate::digest::Digest)>);

impl super::copy::Held for Holding {
    fn holds(&self, index: u64, digest: &crate::digest::Digest) -> bool {
        self.0.contains(&(index, *digest))
    }
}

#[tokio::test]
async fn what_the_destination_holds_is_not_written() {
    let (context, _stopper) = stoppable();
    let to = MemoryDisk::new(vec![9; 40_000]);
    let mut ledger = Ledger::new(geometry(), Algorithm::Blake3);
    let digest = |index: usize| {
        let all = image();
        Algorithm::Blake3.digest(&all[index * 4_000..(index + 1) * 4_000])
    };
    // One chunk that is held at its index, and one that is held elsewhere.
    let held = Holding(vec![(2, digest(2)), (3, digest(4))]);
    let copy = Copy {
        from: Source::At(Arc::new(MemoryDisk::new(image()))),
        to: Arc::new(to.clone()),
        kept: None,
        held: Some(Arc::new(held)),
        there: None,
        compression: Compression::Auto,
        skip_holes: false,
        skip_zeros: false,
        sha256: false,
    };
    let copied = copy.run_once(&mut ledger, &context).await.unwrap();
    assert_eq!((copied.sent, copied.unchanged, ledger.settled()), (9, 1, 10));
    let mut wanted = image();
    wanted[8_000..12_000].fill(9);
    assert!(to.to_vec() == wanted);
}
