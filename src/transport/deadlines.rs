//! Deadlines for connections that show no sign of life.
//!
//! The last megabytes of a request lie in the kernel's socket buffer when the request looks sent, and on a
//! slow line they take minutes to leave. So after a body is handed over, the deadline for its reply grows
//! with its length, by the throughput measured so far.

use super::limit::{Bandwidth, Limiter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

/// The throughput assumed of one connection before one was measured, in bytes per second. Eight such
/// connections fill a line of 4 Mbit/s.
const ASSUMED: u64 = 64 << 10;

/// The lowest throughput that deadlines allow for, in bytes per second.
const SLOWEST: u64 = 4 << 10;

/// How much slower than measured an exchange may be before it counts as stalled.
const MARGIN: u64 = 4;

/// The longest extension of a deadline.
const LONGEST: Duration = Duration::from_mins(15);

/// An exchange that makes progress but takes this many times the idle deadline is abandoned.
const ATTEMPT_FACTOR: u32 = 20;

/// A reply slower than this, in bytes per second averaged over the idle deadline, counts as stalled. If 64
/// requests share a line of 4 Mbit/s, each gets 8 KiB/s, 32 times as much. A server that sends a byte now and
/// then to keep a connection alive sends less.
const LEAST: u64 = 256;

/// The latest deadline that is set; anything later would never be reached and might overflow the clock.
const FURTHEST: Duration = Duration::from_hours(20 * 10 * 8766);

/// Returns the instant `wait` from now.
pub(crate) fn from_now(wait: Duration) -> Instant {
    Instant::now() + wait.min(FURTHEST)
}

/// The progress of a reply's body, which decides whether to keep waiting for it.
///
/// Only time spent waiting counts. A body that is held back on this side, by the bandwidth limit or a full
/// disk, is not stalled.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    waited: Duration,
    bytes: u64,
}

impl Progress {
    /// Notes that `bytes` arrived after waiting. Returns whether to keep waiting.
    pub(crate) fn goes_on(&mut self, bytes: usize, waited: Duration, idle: Duration) -> bool {
        self.waited += waited;
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if self.waited < idle {
            return true;
        }
        let least = idle.as_secs_f64() * LEAST as f64;
        let enough = self.bytes as f64 >= least;
        *self = Self::default();
        enough
    }
}

/// The deadlines of a client.
#[derive(Debug)]
pub struct Deadlines {
    idle: Duration,
    /// The measured throughput of one connection in bytes per second; 0 if unknown.
    speed: AtomicU64,
    /// The bandwidth limit, which makes exchanges long although they are healthy.
    limit: Bandwidth,
}

impl Deadlines {
    /// Creates deadlines from the idle deadline and the bandwidth limit.
    pub fn new(idle: Duration, limit: Bandwidth) -> Self {
        Self { idle, speed: AtomicU64::new(0), limit }
    }

    /// Returns how long a connection may be idle.
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// Returns how long a connection may seem idle after `len` bytes were handed to the kernel.
    pub fn after_sending(&self, len: u64) -> Duration {
        let speed = match self.speed.load(Relaxed) {
            0 => ASSUMED,
            known => known,
        };
        let seconds = len.saturating_mul(MARGIN) as f64 / speed as f64;
        let extra = Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64()));
        self.idle.saturating_add(extra).min(FURTHEST)
    }

    /// Returns how long an exchange may take that sends `len` bytes and expects `reply` bytes.
    pub fn attempt(&self, len: u64, reply: u64) -> Duration {
        // Under a bandwidth limit, up to 64 requests share the line.
        let under = |limiter: &Option<Arc<Limiter>>, bytes: u64| {
            limiter.as_ref().map_or(0, |limiter| bytes.saturating_mul(64) / limiter.rate())
        };
        let limited = under(&self.limit.up, len).saturating_add(under(&self.limit.down, reply));
        self.idle
            .saturating_mul(ATTEMPT_FACTOR)
            .saturating_add(self.after_sending(len))
            .saturating_add(Duration::from_secs(reply / SLOWEST))
            .saturating_add(Duration::from_secs(limited))
            .min(FURTHEST)
    }

    /// Notes that an exchange of `len` bytes took `took`.
    pub fn learn(&self, len: u64, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let shown = len.saturating_mul(1_000_000) / micros;
        let mixed = match self.speed.load(Relaxed) {
            0 => shown,
            known => known / 2 + shown / 2,
        };
        self.speed.store(mixed.max(SLOWEST), Relaxed);
    }

    /// Notes that an exchange timed out: the line may have become slower.
    pub fn doubt(&self) {
        let known = self.speed.load(Relaxed);
        if known > 0 {
            self.speed.store((known / 2).max(SLOWEST), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_follows_the_line() {
        let p = Deadlines::new(Duration::from_secs(30), Bandwidth::default());
        // A body of 1.6 MB on one of eight connections over a line of 1 Mbit/s takes 102 s.
        assert!(p.after_sending(1_600_000) > Duration::from_secs(102));
        p.learn(1_600_000, Duration::from_millis(10));
        assert!(p.after_sending(1_600_000) < Duration::from_secs(31));
        for _ in 0..14 {
            p.doubt();
        }
        assert!(p.after_sending(1_600_000) > Duration::from_mins(5));
        assert!(p.attempt(0, 0) >= Duration::from_mins(10));
        // A chunk of 4 MiB in one of 64 requests that share a line of 4 Mbit/s takes 512 s.
        assert!(p.attempt(0, 4 << 20) > Duration::from_secs(2 * 512));
    }

    #[test]
    fn no_number_is_too_large_for_a_deadline() {
        let p = Deadlines::new(Duration::MAX, Bandwidth::new(Some(1), Some(1)));
        p.learn(u64::MAX, Duration::MAX);
        assert!(p.after_sending(u64::MAX) <= FURTHEST && p.attempt(u64::MAX, u64::MAX) <= FURTHEST);
        assert!(from_now(Duration::MAX) > Instant::now());
    }

    #[test]
    fn a_slow_line_goes_on_and_a_drip_does_not() {
        let idle = Duration::from_secs(30);
        let run = |bytes: usize, every: Duration, pieces: u32| {
            let mut progress = Progress::default();
            (0..pieces).all(|_| progress.goes_on(bytes, every, idle))
        };
        // 4 Mbit/s shared by 64, in segments, and the same where each waits for the other 63.
        assert!(run(1460, Duration::from_millis(178), 10_000));
        assert!(run(256 << 10, Duration::from_secs(29), 100));
        assert!(!run(1, Duration::from_millis(500), 200));
        assert!(!run(1460, Duration::from_secs(29), 3));
        // A slow start does not count against the rest of the body.
        let mut progress = Progress::default();
        assert!(progress.goes_on(1 << 20, Duration::from_secs(1), idle));
        assert!((0..58).all(|_| progress.goes_on(1, Duration::from_millis(500), idle)));
        assert!(!(0..120).all(|_| progress.goes_on(1, Duration::from_millis(500), idle)));
    }
}
