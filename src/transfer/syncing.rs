//! Syncing a journal in the background, so that neither the network nor the workers wait for the disk.

use super::threads::{self, Outcome};
use crate::error::{Error, Kind, Result};
use crate::journal::Syncer;
use crate::stop::Stop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How often syncs come.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The first wait; each next is twice as long.
    first: Duration,
    /// No wait is longer.
    longest: Duration,
}

/// How often an upload's journal is synced: what a power cut costs in work.
pub const UPLOAD: Schedule = Schedule { first: Duration::from_secs(1), longest: Duration::from_secs(1) };

/// How often a download's file and journal are synced. Each time the disk has to take all that was fetched since, so
/// this is longer; but only what was synced counts for a later run, so the first come early.
pub const DOWNLOAD: Schedule =
    Schedule { first: Duration::from_millis(500), longest: Duration::from_secs(5) };

impl Schedule {
    /// The waits before the syncs, without an end.
    fn waits(self) -> impl Iterator<Item = Duration> {
        std::iter::successors(Some(self.first), move |wait| Some((*wait * 2).min(self.longest)))
    }
}

/// A thread that syncs every so often until it is finished.
pub struct Syncing {
    outcome: Outcome<()>,
    ending: Sender<()>,
    failed: Arc<AtomicBool>,
}

impl Syncing {
    /// Starts the thread.
    pub fn start(syncer: Syncer, schedule: Schedule) -> Result<Self> {
        let (ending, end): (Sender<()>, Receiver<()>) = channel();
        let failed = Arc::new(AtomicBool::new(false));
        let mark = Mark(Arc::clone(&failed));
        let outcome = threads::spawn("syncing", move || {
            for wait in schedule.waits() {
                if end.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
                syncer.sync()?;
            }
            syncer.sync()?;
            // Dropped unless this is reached: an error and a panic both leave the mark.
            std::mem::forget(mark);
            Ok(())
        })?;
        Ok(Self { outcome, ending, failed })
    }

    /// Whether the thread has given up on an error, which [`Syncing::finish`] then tells.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Syncs for the last time and ends the thread. A disk that does not answer is waited for until the stop is over.
    pub async fn finish(self, stop: &Stop) -> Result<()> {
        let Self { mut outcome, ending, .. } = self;
        drop(ending);
        let waiting = async {
            stop.over().await;
            Err(Error::new(Kind::Interrupted, "stopped before the journal was synced"))
        };
        tokio::select! {
            biased;
            synced = outcome.wait() => synced,
            given_up = waiting => given_up,
        }
    }
}

/// Sets a flag when dropped.
struct Mark(Arc<AtomicBool>);

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
