//! Syncing a journal in the background, so that neither the network nor the workers wait for the disk.

use crate::error::{Error, Kind, Result};
use crate::journal::Syncer;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often an upload's journal is synced: what a power cut costs in work.
pub const UPLOAD_BATCH: Duration = Duration::from_secs(1);

/// How often a download's file and journal are synced. Each time the disk has to take all that was fetched since, so
/// this is longer.
pub const DOWNLOAD_BATCH: Duration = Duration::from_secs(5);

/// A thread that syncs every so often until it is finished.
pub struct Syncing {
    thread: JoinHandle<Result<()>>,
    ending: Sender<()>,
}

impl Syncing {
    /// Starts the thread.
    pub fn start(syncer: Syncer, every: Duration) -> Result<Self> {
        let (ending, end): (Sender<()>, Receiver<()>) = channel();
        let thread = std::thread::Builder::new()
            .name("sync".into())
            .spawn(move || {
                while end.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    syncer.sync()?;
                }
                syncer.sync()
            })
            .map_err(|e| Error::io("starting a thread", e))?;
        Ok(Self { thread, ending })
    }

    /// Whether the thread has given up on an error, which [`Syncing::finish`] then tells.
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Syncs for the last time and ends the thread.
    pub fn finish(self) -> Result<()> {
        drop(self.ending);
        self.thread.join().unwrap_or_else(|_| Err(Error::new(Kind::Io, "the syncing thread has died")))
    }
}
