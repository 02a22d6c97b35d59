//! Moving whole images: upload, download, verify.
//!
//! Everything here is written against [`RemoteDisk`](crate::transport::RemoteDisk) and
//! [`Source`](crate::source::Source); no provider is known by name. A transfer succeeds only if its [`ledger`] has no
//! chunk missing at the end.

pub mod download;
mod failures;
mod fetch;
#[cfg(test)]
mod hang_tests;
pub mod landing;
pub mod ledger;
pub mod probe;
pub mod pull;
mod relay;
pub mod resume;
mod sample;
mod stages;
mod syncing;
mod threads;
pub mod upload;
pub mod verify;
pub mod whole;

use crate::event::Observer;
use crate::meters::Meters;
use crate::stop::Stop;
use crate::transport::retry::Retry;
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
    /// Requests in flight at most.
    pub concurrency: usize,
    /// Threads for digests and compression.
    pub workers: usize,
}

/// Requests in flight where nothing else was said. Over 100 ms of round trip eight requests of 4 MiB fill a gigabit
/// line to nine tenths; more gain little and hold more memory (one chunk each).
pub const DEFAULT_CONCURRENCY: usize = 8;

/// The most requests in flight, whatever was asked for.
pub const MAX_CONCURRENCY: usize = 64;

/// How much memory the chunks of a transfer may take in all. With large chunks there are fewer requests in flight.
pub const MEMORY_BUDGET: u64 = 512 << 20;

/// How many requests may be in flight: what was asked for, as far as the memory budget allows. Every request holds a
/// chunk, every worker one in and one out, and as many may wait between them.
pub fn concurrency(asked: Option<usize>, chunk_size: u64, workers: usize) -> usize {
    let chunks = usize::try_from(MEMORY_BUDGET / chunk_size.max(1)).unwrap_or(usize::MAX);
    let room = chunks.saturating_sub(4 * workers).max(1);
    asked.unwrap_or(DEFAULT_CONCURRENCY).clamp(1, MAX_CONCURRENCY).min(room)
}

/// Threads for digests and compression: one a core.
pub fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::concurrency;

    #[test]
    fn large_chunks_mean_fewer_requests() {
        assert_eq!(concurrency(None, 4 << 20, 2), 8);
        assert_eq!(concurrency(Some(1000), 4 << 20, 2), 64);
        assert_eq!(concurrency(Some(16), 64 << 20, 2), 1);
        assert_eq!(concurrency(Some(0), 4 << 20, 2), 1);
    }
}
