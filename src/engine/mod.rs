//! Moves whole images: plan, read, work, write, acknowledge.
//!
//! The engine is written against the disk traits and knows no provider. [`copy`] and [`compare`] are built on
//! the same [`pipeline`]. A transfer succeeds only if no chunk is missing from its [`ledger`] at the end.

mod attempts;
pub mod compare;
pub mod copy;
mod copy_work;
pub mod encode;
mod failures;
mod flow;
pub mod governor;
pub mod ledger;
mod pace;
pub mod pipeline;
pub mod plan;
pub mod probe;
mod queues;
pub mod resume;
mod sample;
pub mod syncing;
pub mod tap;
#[cfg(test)]
pub(crate) mod tests;
mod unsized_copy;
mod workers;

pub use unsized_copy::{DigestOptions, StreamCopied, copy_stream};

use crate::disk::Window;
use crate::error::{Error, Kind};
use crate::event::Observer;
use crate::meters::Meters;
use crate::record::{ChunkOutcome, Record};
use crate::stop::Stop;
use crate::transport::retry::Retry;
use governor::Governor;
use std::sync::Arc;

/// Settings and shared state of a transfer.
#[derive(Clone)]
pub struct Context {
    /// Receives every event.
    pub observer: Observer,
    /// The counters of the transfer.
    pub meters: Arc<Meters>,
    /// Tells whether a stop was requested.
    pub stop: Stop,
    /// The retry policy.
    pub retry: Retry,
    /// Limits the reads in flight.
    pub reads: Arc<Governor>,
    /// Limits the writes in flight.
    pub writes: Arc<Governor>,
    /// The number of threads that digest and compress.
    pub workers: usize,
    /// Bounds the memory that chunks take.
    pub window: Window,
    /// How many transfers share the window at a time; 1 if this one has its own.
    pub sharers: usize,
    /// What happens if a disk is in use; `None` refuses to write to one and warns of reading one.
    pub in_use: Option<InUse>,
    /// What is remembered for a report, if one is wanted.
    pub record: Option<Arc<Record>>,
}

/// What happens if a disk is in use: what is read of it may be half old, and what is written to it may be overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InUse {
    /// The transfer fails.
    Refuse,
    /// The transfer runs, with a warning.
    Warn,
    /// The transfer runs.
    Ignore,
}

impl std::str::FromStr for InUse {
    type Err = Error;

    fn from_str(text: &str) -> crate::error::Result<Self> {
        match text {
            "refuse" => Ok(InUse::Refuse),
            "warn" => Ok(InUse::Warn),
            "ignore" => Ok(InUse::Ignore),
            _ => Err(Error::usage(format!("expected `refuse`, `warn` or `ignore`, got `{text}`"))
                .hint("`--if-in-use refuse` stops where a server uses the drive")),
        }
    }
}

/// The limit of requests in flight if the user set none. More connections load the server and were not faster
/// on any line that was measured.
const MOST_BY_ITSELF: usize = 32;

impl Context {
    /// Creates a context that counts with `meters`, reports to `observer` and ends when `stop` says so.
    ///
    /// `requests` fixes the number of requests in flight; without it the governors adapt it.
    pub fn new(
        meters: Arc<Meters>,
        observer: Observer,
        stop: Stop,
        retries: u32,
        requests: Option<usize>,
    ) -> Self {
        let retry = Retry {
            retries,
            observer: Arc::clone(&observer),
            meters: Arc::clone(&meters),
            stop: stop.clone(),
        };
        let (reads, writes, workers) = (governor(requests), governor(requests), workers());
        let window = window(Route::Plain, workers);
        Self {
            observer,
            meters,
            stop,
            retry,
            reads,
            writes,
            workers,
            window,
            sharers: 1,
            in_use: None,
            record: None,
        }
    }

    /// Returns this context with a record for a report.
    #[must_use]
    pub fn recorded(self, record: Arc<Record>) -> Self {
        Self { record: Some(record), ..self }
    }

    /// Returns the context of one of several transfers of which up to `sharers` run at a time.
    ///
    /// It has counters and an observer of its own. The window, the stop and a fixed number of requests are
    /// shared.
    #[must_use]
    pub fn member(&self, meters: Arc<Meters>, observer: Observer, sharers: usize) -> Self {
        let retry = Retry {
            retries: self.retry.retries,
            observer: Arc::clone(&observer),
            meters: Arc::clone(&meters),
            stop: self.stop.clone(),
        };
        let (reads, writes) = (Arc::new(self.reads.beside()), Arc::new(self.writes.beside()));
        let sharers = sharers.max(1);
        Self { observer, meters, retry, reads, writes, sharers, record: None, ..self.clone() }
    }

    /// Returns the most requests that may be in flight at a time.
    pub fn most_in_flight(&self) -> usize {
        self.reads.most().max(self.writes.most())
    }

    /// Returns this context with a window for `route`. A shared window is kept.
    #[must_use]
    pub fn on(&self, route: Route) -> Self {
        if self.sharers > 1 {
            return self.clone();
        }
        Self { window: window(route, self.workers), ..self.clone() }
    }

    /// Records the outcome of a chunk.
    pub(crate) fn note(&self, index: u64, outcome: ChunkOutcome) {
        if let Some(record) = &self.record {
            record.chunk(index, outcome);
        }
    }

    /// Returns how many workers the window allows at a time if each holds `bytes` of it.
    fn width(&self, bytes: u64) -> usize {
        let room = self.window.capacity() / bytes.max(1);
        usize::try_from(room).unwrap_or(usize::MAX).min(self.workers).max(1)
    }

    /// Returns how many spare buffers to keep where a single transfer keeps `alone`. Spare buffers are not
    /// counted by the window.
    fn kept(&self, alone: usize) -> usize {
        (alone / self.sharers).max(1)
    }

    /// Returns how many small requests may be in flight at a time. Their size does not matter, and on a line
    /// with a long round trip only their number gives throughput.
    fn small_at_once(&self) -> usize {
        self.reads.fixed().unwrap_or(SMALL_AT_ONCE)
    }
}

/// Small requests (samples and probes) in flight. With 460 places and a round trip of 100 ms a probe takes
/// less than a second.
const SMALL_AT_ONCE: usize = 64;

/// The most requests in flight that a user can ask for.
pub const MAX_CONCURRENCY: usize = 64;

/// The kind of a transfer, as far as it decides how much memory its chunks need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Chunks are read from a local disk or a stream and sent as they are.
    Plain,
    /// Like `Plain`, but compressed: besides the window each worker has an input and an output buffer.
    Encoded,
    /// Chunks are read from one remote and written to another, so both reads and writes in flight need room.
    Between,
}

/// Window sizes in bytes on two processors. They keep a transfer with a local image below 64 MiB of memory
/// and one between remotes below 128 MiB, of which the program itself takes about 18 MiB.
const PLAIN_WINDOW: u64 = 40 << 20;
const ENCODED_WINDOW: u64 = 24 << 20;
const BETWEEN_WINDOW: u64 = 72 << 20;

/// What each further worker adds, and the largest window: no transfer takes more than 256 MiB on any machine.
const WORKER_WINDOW: u64 = 8 << 20;
const LARGEST_WINDOW: u64 = 112 << 20;

/// Returns the window for a transfer.
fn window(route: Route, workers: usize) -> Window {
    let more = (workers as u64).saturating_sub(2).saturating_mul(WORKER_WINDOW);
    let base = match route {
        Route::Plain => PLAIN_WINDOW,
        Route::Encoded => ENCODED_WINDOW,
        Route::Between => BETWEEN_WINDOW,
    };
    Window::new(base.saturating_add(more).min(LARGEST_WINDOW))
}

/// Returns a governor that is fixed to `asked`, or one that adapts. The window bounds the bytes in flight.
fn governor(asked: Option<usize>) -> Arc<Governor> {
    let most = asked.map_or(MOST_BY_ITSELF, |_| MAX_CONCURRENCY);
    Arc::new(Governor::new(asked, most))
}

/// Returns the number of worker threads: one per core.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Returns the error for a task that panicked.
fn panicked(what: &str) -> Error {
    Error::new(Kind::Io, format!("the {what} task panicked; this is a bug in diskferry"))
}
