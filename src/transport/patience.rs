//! How long to wait for a connection that shows no sign of life.
//!
//! A request's last megabytes lie in the kernel's socket buffer while it looks sent from here, and on a slow line they
//! take minutes to leave. So after a body is handed over, the wait for its reply grows with its length, by the speed
//! that exchanges have shown so far.

use super::limit::{Bandwidth, Limiter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

/// The speed assumed of one connection before any exchange has shown one, in bytes a second: eight such connections
/// fill a 4 Mbit/s line.
const ASSUMED: u64 = 64 << 10;

/// No line is taken to be slower than this, in bytes a second.
const SLOWEST: u64 = 4 << 10;

/// How much slower than so far an exchange may be before it counts as stalled.
const MARGIN: u64 = 4;

/// The longest addition to the wait.
const LONGEST: Duration = Duration::from_mins(15);

/// An exchange that moves, but so slowly that it takes this many times the idle deadline, is given up.
const ATTEMPT_FACTOR: u32 = 20;

/// A reply that comes more slowly than this, in bytes a second averaged over the idle deadline, counts as stalled. Of
/// a 4 Mbit/s line that 64 requests share each has 8 KiB/s, 32 times as much; a server that sends a byte now and then to
/// keep a connection alive has less.
const LEAST: u64 = 256;

/// No deadline is set further ahead than this: later is never, and the clock's own range ends somewhere.
const FURTHEST: Duration = Duration::from_hours(20 * 10 * 8766);

/// The moment this long after now.
pub(crate) fn from_now(wait: Duration) -> Instant {
    Instant::now() + wait.min(FURTHEST)
}

/// How a reply's body comes along: whether what has come since the last look is worth the wait for it.
///
/// Only the time counts in which something was waited for. A body that is held back on this side, by the bandwidth limit
/// or by a full disk, is not stalled.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    waited: Duration,
    bytes: u64,
}

impl Progress {
    /// So many bytes have come after this wait. Says whether that goes on.
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
pub struct Patience {
    idle: Duration,
    /// Bytes a second of one connection; 0 while unknown.
    speed: AtomicU64,
    /// The bandwidth limit, which makes exchanges long without making them bad.
    limit: Bandwidth,
}

impl Patience {
    /// `idle`: how long nothing may move; `limit`: the bandwidth limits.
    pub fn new(idle: Duration, limit: Bandwidth) -> Self {
        Self { idle, speed: AtomicU64::new(0), limit }
    }

    /// How long nothing may move.
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// How long nothing may seem to move once `len` bytes were handed to the kernel.
    pub fn after_sending(&self, len: u64) -> Duration {
        let speed = match self.speed.load(Relaxed) {
            0 => ASSUMED,
            known => known,
        };
        let seconds = len.saturating_mul(MARGIN) as f64 / speed as f64;
        let extra = Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64()));
        self.idle.saturating_add(extra).min(FURTHEST)
    }

    /// How long an exchange may take in all that sends `len` bytes and expects `reply` bytes.
    pub fn attempt(&self, len: u64, reply: u64) -> Duration {
        // Under a limit, as many requests as there may be (64) share the line.
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

    /// An exchange of `len` bytes took this long.
    pub fn learn(&self, len: u64, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let shown = len.saturating_mul(1_000_000) / micros;
        let mixed = match self.speed.load(Relaxed) {
            0 => shown,
            known => known / 2 + shown / 2,
        };
        self.speed.store(mixed.max(SLOWEST), Relaxed);
    }

    /// An exchange timed out: the line may have become slower than it was.
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
        let p = Patience::new(Duration::from_secs(30), Bandwidth::default());
        // A body of 1.6 MB on one of eight connections over 1 Mbit/s takes 102 s.
        assert!(p.after_sending(1_600_000) > Duration::from_secs(102));
        p.learn(1_600_000, Duration::from_millis(10));
        assert!(p.after_sending(1_600_000) < Duration::from_secs(31));
        for _ in 0..14 {
            p.doubt();
        }
        assert!(p.after_sending(1_600_000) > Duration::from_mins(5));
        assert!(p.attempt(0, 0) >= Duration::from_mins(10));
        // A chunk of 4 MiB to one of 64 requests that share a 4 Mbit/s line takes 512 s.
        assert!(p.attempt(0, 4 << 20) > Duration::from_secs(2 * 512));
    }

    #[test]
    fn no_number_is_too_large_for_a_deadline() {
        let p = Patience::new(Duration::MAX, Bandwidth::new(Some(1), Some(1)));
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
        // 4 Mbit/s between 64, in segments; and the same where each has to wait for the 63 others.
        assert!(run(1460, Duration::from_millis(178), 10_000));
        assert!(run(256 << 10, Duration::from_secs(29), 100));
        assert!(!run(1, Duration::from_millis(500), 200));
        assert!(!run(1460, Duration::from_secs(29), 3));
        // The start of a body is not held against its rest.
        let mut progress = Progress::default();
        assert!(progress.goes_on(1 << 20, Duration::from_secs(1), idle));
        assert!((0..58).all(|_| progress.goes_on(1, Duration::from_millis(500), idle)));
        assert!(!(0..120).all(|_| progress.goes_on(1, Duration::from_millis(500), idle)));
    }
}
