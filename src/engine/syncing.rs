//! Syncs a journal in the background, so that neither the network nor the workers wait for the disk.

use super::panicked;
use crate::disk::WriteAt;
use crate::error::{Error, Kind, Result};
use crate::journal::Syncer;
use crate::stop::Stop;
use crate::transport::retry::Retry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// When to sync.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The first interval; each one after it is twice as long.
    first: Duration,
    /// The longest interval.
    longest: Duration,
    /// Whether writes count only after a sync, so that the journal has to mark how far the syncs got.
    pub(super) marks: bool,
}

/// The schedule for an upload's journal: the work that a power cut costs.
pub const UPLOAD: Schedule =
    Schedule { first: Duration::from_secs(1), longest: Duration::from_secs(1), marks: false };

/// The schedule for a download's file and journal. Each sync has the disk write everything fetched since the
/// last, so the intervals are longer. Only synced chunks count for a later run, so the first syncs come
/// early.
pub const DOWNLOAD: Schedule =
    Schedule { first: Duration::from_millis(500), longest: Duration::from_secs(5), marks: true };

/// The schedule for flushing a volatile destination. A flush is one request there and may take long; a later
/// run writes again what was written since the last flush.
pub const VOLATILE: Schedule =
    Schedule { first: Duration::from_secs(1), longest: Duration::from_secs(4), marks: true };

impl Schedule {
    /// Returns the intervals, without end.
    fn waits(self) -> impl Iterator<Item = Duration> {
        std::iter::successors(Some(self.first), move |wait| Some((*wait * 2).min(self.longest)))
    }
}

/// A task that syncs at intervals until it is finished.
pub struct Syncing {
    outcome: JoinHandle<Result<()>>,
    ending: oneshot::Sender<()>,
    failed: Arc<AtomicBool>,
}

impl Syncing {
    /// Starts the task. Each sync flushes `to`, as `retry` says, and then syncs the journal that describes
    /// it.
    pub fn start(to: Arc<dyn WriteAt>, syncer: Syncer, schedule: Schedule, retry: Retry) -> Self {
        let (ending, mut end) = oneshot::channel();
        let failed = Arc::new(AtomicBool::new(false));
        let mark = Mark(Arc::clone(&failed));
        let outcome = tokio::spawn(async move {
            for wait in schedule.waits() {
                if tokio::time::timeout(wait, &mut end).await.is_ok() {
                    break;
                }
                sync(&*to, &syncer, &retry).await?;
            }
            sync(&*to, &syncer, &retry).await?;
            mark.forget();
            Ok(())
        });
        Self { outcome, ending, failed }
    }

    /// Returns whether the task ended with an error, which [`Syncing::finish`] returns.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Syncs a last time and ends the task. A disk that does not reply is waited for until the stop's second
    /// phase.
    pub async fn finish(self, stop: &Stop) -> Result<()> {
        let Self { outcome, ending, .. } = self;
        drop(ending);
        let waiting = async {
            stop.over().await;
            Err(Error::new(Kind::Interrupted, "stopped before the journal was synced"))
        };
        tokio::select! {
            biased;
            synced = outcome => synced.unwrap_or_else(|_| Err(panicked("syncing"))),
            given_up = waiting => given_up,
        }
    }
}

async fn sync(to: &dyn WriteAt, syncer: &Syncer, retry: &Retry) -> Result<()> {
    let Some(upto) = syncer.begin()? else { return Ok(()) };
    flush(to, retry).await?;
    let syncer = syncer.clone();
    tokio::task::spawn_blocking(move || syncer.sync(upto)).await.unwrap_or_else(|_| Err(panicked("syncing")))
}

/// Flushes `to`. A flush whose connection broke is repeated; the disk reports whether writes were lost by it.
///
/// # Errors
/// [`Kind::Incomplete`] if running the same command again can write what the remote may have lost.
pub async fn flush(to: &dyn WriteAt, retry: &Retry) -> Result<()> {
    if to.local().is_some() {
        // Another run cannot fix a local disk that fails to flush.
        return to.flush().await;
    }
    let flushed = if retry.stop.is_asked() {
        // After a stop there is one attempt, so that the written chunks count for the next run.
        to.flush().await
    } else {
        retry.run_settled_apart("flushing", || to.flush()).await
    };
    retry.meters.flushes.fetch_add(u64::from(flushed.is_ok() && to.info().volatile), Relaxed);
    flushed.map_err(|error| {
        let again = error.kind() == Kind::Io || error.kind().is_retryable();
        if again { error.with_kind(Kind::Incomplete) } else { error }
    })
}

/// Sets a flag when dropped, on an error as well as on a panic.
struct Mark(Arc<AtomicBool>);

impl Mark {
    fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::AckedChunk;
    use crate::digest::Algorithm;
    use crate::disk::memory::MemoryDisk;
    use crate::disk::{Attempt, Body, DiskInfo, Evidence, LocalWrite, Receipt};
    use crate::event;
    use crate::journal::{Header, Journal, peek};
    use crate::stop::pair;
    use std::ops::Range;
    use std::sync::Mutex;

    /// A disk whose flushes fail with these kinds of error, one after the other, and then succeed.
    struct Flaky {
        disk: MemoryDisk,
        fails: Mutex<Vec<Kind>>,
    }

    impl WriteAt for Flaky {
        fn info(&self) -> &DiskInfo {
            WriteAt::info(&self.disk)
        }

        fn write_at(&self, offset: u64, body: Body) -> Attempt<Receipt> {
            self.disk.write_at(offset, body)
        }

        fn zero_at(&self, range: Range<u64>) -> Attempt<Option<Receipt>> {
            self.disk.zero_at(range)
        }

        fn evidence(&self) -> Attempt<Evidence> {
            self.disk.evidence()
        }

        fn flush(&self) -> Attempt<()> {
            let fails = self.fails.lock().unwrap().pop();
            Box::pin(async move { fails.map_or(Ok(()), |kind| Err(Error::new(kind, "no flush"))) })
        }

        fn local(&self) -> Option<&dyn LocalWrite> {
            None
        }
    }

    /// Syncs one chunk on such a disk. Returns the outcome, how many of the failures were not reached, and
    /// how many chunks the journal marks as safe.
    async fn synced(fails: &[Kind], stop_first: bool) -> (Result<()>, usize, usize) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let journal = Journal::create(&path, Header::default()).unwrap();
        let digest = Algorithm::Blake3.digest(b"");
        journal.acknowledge(&AckedChunk { index: 0, len: 0, digest, zero: false }).unwrap();
        let (stopper, stop) = pair();
        if stop_first {
            stopper.stop();
        }
        let retry =
            Retry { retries: 2, observer: event::no_observer(), meters: Arc::default(), stop: stop.clone() };
        let fails = Mutex::new(fails.iter().rev().copied().collect());
        let disk = Arc::new(Flaky { disk: MemoryDisk::new(Vec::new()), fails });
        let syncing = Syncing::start(disk.clone(), journal.syncer(true), VOLATILE, retry);
        let ended = syncing.finish(&stop).await;
        let left = disk.fails.lock().unwrap().len();
        (ended, left, peek(&path).unwrap().synced)
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_is_repeated_where_that_loses_nothing() {
        let (ended, left, safe) = synced(&[Kind::Connection, Kind::Timeout], false).await;
        ended.unwrap();
        assert_eq!((left, safe), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_that_says_that_something_may_be_lost_is_not_repeated() {
        let (ended, left, safe) = synced(&[Kind::Connection, Kind::Io, Kind::Connection], false).await;
        assert_eq!((ended.unwrap_err().kind(), left, safe), (Kind::Incomplete, 1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flush_that_never_succeeds_leaves_a_transfer_that_can_be_resumed() {
        let (ended, left, safe) = synced(&[Kind::Connection; 5], false).await;
        let error = ended.unwrap_err();
        assert_eq!((error.kind(), left, safe), (Kind::Incomplete, 2, 0));
        assert_eq!(error.to_string(), "flushing: no flush after 3 attempts");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_stop_there_is_one_flush() {
        let (ended, _, safe) = synced(&[], true).await;
        ended.unwrap();
        assert_eq!(safe, 1);
        let (ended, left, safe) = synced(&[Kind::Connection; 3], true).await;
        assert_eq!((ended.unwrap_err().kind(), left, safe), (Kind::Incomplete, 2, 0));
    }

    #[test]
    fn the_first_syncs_of_a_download_come_early() {
        let waits: Vec<u128> = DOWNLOAD.waits().take(6).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 5000, 5000]);
        assert!(UPLOAD.waits().take(3).all(|wait| wait.as_secs() == 1));
    }
}
