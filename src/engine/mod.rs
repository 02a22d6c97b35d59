//! Moving whole images, once for all of them: plan, read, work, write, acknowledge.
//!
//! Everything here is written against the disks' traits; no provider is known by name. [`copy`] and [`compare`] are
//! compositions of the one [`pipeline`]. A transfer succeeds only if its [`ledger`] has no chunk missing at the end.

mod attempts;
pub mod compare;
pub mod copy;
pub mod encode;
mod failures;
mod flow;
pub mod governor;
mod hands;
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

pub use unsized_copy::{Landed, Looking, land};

use crate::disk::Window;
use crate::error::{Error, Kind};
use crate::event::Observer;
use crate::meters::Meters;
use crate::record::{Fate, Record};
use crate::stop::Stop;
use crate::transport::retry::Retry;
use governor::Governor;
use std::sync::Arc;

/// What every transfer needs.
#[derive(Clone)]
pub struct Context {
    /// Told of everything worth telling.
    pub observer: Observer,
    /// The counters.
    pub meters: Arc<Meters>,
    /// A request to stop.
    pub stop: Stop,
    /// The one retry layer.
    pub retry: Retry,
    /// How many reads may be in flight.
    pub reads: Arc<Governor>,
    /// How many writes may be in flight.
    pub writes: Arc<Governor>,
    /// Threads for digests and compression.
    pub workers: usize,
    /// Room for the bytes of all chunks.
    pub window: Window,
    /// How many transfers share the window at a time: 1 where each has its own.
    pub sharers: usize,
    /// What becomes of a disk that somebody uses.
    pub in_use: InUse,
    /// What is remembered for a report, if one is wanted.
    pub record: Option<Arc<Record>>,
}

/// What becomes of a disk that somebody uses: what is read of it may be half old, and what is written may be overwritten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InUse {
    /// It is refused.
    Refuse,
    /// It is moved, with a warning.
    #[default]
    Warn,
    /// It is moved.
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

/// The most requests in flight where nothing else was said: more connections than this are rude to a server, and gain
/// nothing on any line that was measured.
const MOST_BY_ITSELF: usize = 32;

impl Context {
    /// Counts with `meters`, tells `observer` what happens and ends when `stop` says so. `requests`: how many may be in flight;
    /// what turns out to be best without it.
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
            in_use: InUse::default(),
            record: None,
        }
    }

    /// The same, remembered in `record`.
    #[must_use]
    pub fn recorded(self, record: Arc<Record>) -> Self {
        Self { record: Some(record), ..self }
    }

    /// For one of several transfers that run at a time, up to `sharers` of them: with counters and an observer of its own, in
    /// the same window, under the same stop, and with the same number of requests for all of them where one was asked for.
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

    /// The most requests in flight at a time.
    pub fn most_in_flight(&self) -> usize {
        self.reads.most().max(self.writes.most())
    }

    /// The same, with room for what a transfer of that kind does. Those that share a window keep it.
    #[must_use]
    pub fn on(&self, route: Route) -> Self {
        if self.sharers > 1 {
            return self.clone();
        }
        Self { window: window(route, self.workers), ..self.clone() }
    }

    /// Notes what has become of a chunk.
    pub(crate) fn note(&self, index: u64, fate: Fate) {
        if let Some(record) = &self.record {
            record.chunk(index, fate);
        }
    }

    /// How many workers can be at work at a time, where each has a chunk that takes `bytes` of the window.
    fn width(&self, bytes: u64) -> usize {
        let room = self.window.capacity() / bytes.max(1);
        usize::try_from(room).unwrap_or(usize::MAX).min(self.workers).max(1)
    }

    /// How many buffers a transfer keeps for later that keeps `alone` of them where it is alone: no window counts these.
    fn kept(&self, alone: usize) -> usize {
        (alone / self.sharers).max(1)
    }

    /// How many small requests may be in flight at a time: their bytes do not matter, and over a long way only their number
    /// makes up for the way.
    fn small_at_once(&self) -> usize {
        self.reads.fixed().unwrap_or(SMALL_AT_ONCE)
    }
}

/// Small requests in flight: samples and probes. With 460 places and 100 ms of round trip a probe takes under a second.
const SMALL_AT_ONCE: usize = 64;

/// The most requests in flight, whatever was asked for.
pub const MAX_CONCURRENCY: usize = 64;

/// What a transfer does with its chunks, as far as the room that they need depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// They are read here, or come in order, and go as they are.
    Plain,
    /// The same, and they are compressed: beside the window each worker has what it reads into and compresses into.
    Encoded,
    /// They come from one far end and go to another: what is on its way here has room beside what is on its way on.
    Between,
}

/// Room for the chunks of a transfer on two processors, in bytes. With these a transfer of an image on this machine stays below
/// 64 MiB, and one between far ends below 128 MiB; about 18 MiB of that are the program itself.
const PLAIN_WINDOW: u64 = 40 << 20;
const ENCODED_WINDOW: u64 = 24 << 20;
const BETWEEN_WINDOW: u64 = 72 << 20;

/// Room for each more worker, and the most there is: with it no transfer takes 256 MiB on any machine.
const WORKER_WINDOW: u64 = 8 << 20;
const LARGEST_WINDOW: u64 = 112 << 20;

/// Room for the chunks of a transfer.
fn window(route: Route, workers: usize) -> Window {
    let more = (workers as u64).saturating_sub(2).saturating_mul(WORKER_WINDOW);
    let base = match route {
        Route::Plain => PLAIN_WINDOW,
        Route::Encoded => ENCODED_WINDOW,
        Route::Between => BETWEEN_WINDOW,
    };
    Window::new(base.saturating_add(more).min(LARGEST_WINDOW))
}

/// How many requests may be in flight: what was asked for, within bounds, or what turns out to be best. The window bounds
/// their bytes.
fn governor(asked: Option<usize>) -> Arc<Governor> {
    let most = asked.map_or(MOST_BY_ITSELF, |_| MAX_CONCURRENCY);
    Arc::new(Governor::new(asked, most))
}

/// Threads for digests and compression: one a core.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The error for a task that has panicked.
fn died(what: &str) -> Error {
    Error::new(Kind::Io, format!("the {what} task has died; this is a bug in diskferry"))
}
