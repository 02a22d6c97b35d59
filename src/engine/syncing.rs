//! Syncing a journal in the background, so that neither the network nor the workers wait for the disk.

use super::died;
use crate::disk::WriteAt;
use crate::error::{Error, Kind, Result};
use crate::journal::Syncer;
use crate::stop::Stop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How often syncs come.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The first wait; each next is twice as long.
    first: Duration,
    /// No wait is longer.
    longest: Duration,
    /// Whether what was written counts only once it is safe, so that the journal says how far it is.
    pub(super) marks: bool,
}

/// How often an upload's journal is synced: what a power cut costs in work.
pub const UPLOAD: Schedule =
    Schedule { first: Duration::from_secs(1), longest: Duration::from_secs(1), marks: false };

/// How often a download's file and journal are synced. Each time the disk has to take all that was fetched since, so
/// this is longer; but only what was synced counts for a later run, so the first come early.
pub const DOWNLOAD: Schedule =
    Schedule { first: Duration::from_millis(500), longest: Duration::from_secs(5), marks: true };

/// How often a far end is told to make safe what it was given, where it does not do so by itself. A flush is one request
/// there and may take long; what was written since the last is written again by a later run.
pub const VOLATILE: Schedule =
    Schedule { first: Duration::from_secs(1), longest: Duration::from_secs(4), marks: true };

impl Schedule {
    /// The waits before the syncs, without an end.
    fn waits(self) -> impl Iterator<Item = Duration> {
        std::iter::successors(Some(self.first), move |wait| Some((*wait * 2).min(self.longest)))
    }
}

/// A task that syncs every so often until it is finished.
pub struct Syncing {
    outcome: JoinHandle<Result<()>>,
    ending: oneshot::Sender<()>,
    failed: Arc<AtomicBool>,
}

impl Syncing {
    /// Starts the task: what `to` was given is made safe first, then the journal that speaks of it.
    pub fn start(to: Arc<dyn WriteAt>, syncer: Syncer, schedule: Schedule) -> Self {
        let (ending, mut end) = oneshot::channel();
        let failed = Arc::new(AtomicBool::new(false));
        let mark = Mark(Arc::clone(&failed));
        let outcome = tokio::spawn(async move {
            for wait in schedule.waits() {
                if tokio::time::timeout(wait, &mut end).await.is_ok() {
                    break;
                }
                sync(&*to, &syncer).await?;
            }
            sync(&*to, &syncer).await?;
            mark.forget();
            Ok(())
        });
        Self { outcome, ending, failed }
    }

    /// Whether the task has given up on an error, which [`Syncing::finish`] then tells.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Syncs for the last time and ends the task. A disk that does not answer is waited for until the stop is over.
    pub async fn finish(self, stop: &Stop) -> Result<()> {
        let Self { outcome, ending, .. } = self;
        drop(ending);
        let waiting = async {
            stop.over().await;
            Err(Error::new(Kind::Interrupted, "stopped before the journal was synced"))
        };
        tokio::select! {
            biased;
            synced = outcome => synced.unwrap_or_else(|_| Err(died("syncing"))),
            given_up = waiting => given_up,
        }
    }
}

async fn sync(to: &dyn WriteAt, syncer: &Syncer) -> Result<()> {
    let Some(upto) = syncer.begin()? else { return Ok(()) };
    to.flush().await.map_err(|error| {
        // What a far end may have lost is written again by the same command; what this machine cannot keep is not.
        let again = error.kind() == Kind::Io && to.local().is_none();
        if again { error.with_kind(Kind::Incomplete) } else { error }
    })?;
    let syncer = syncer.clone();
    tokio::task::spawn_blocking(move || syncer.sync(upto)).await.unwrap_or_else(|_| Err(died("syncing")))
}

/// Sets a flag when dropped: an error and a panic both leave it.
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
    use super::{DOWNLOAD, UPLOAD};

    #[test]
    fn the_first_syncs_of_a_download_come_early() {
        let waits: Vec<u128> = DOWNLOAD.waits().take(6).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 5000, 5000]);
        assert!(UPLOAD.waits().take(3).all(|wait| wait.as_secs() == 1));
    }
}
