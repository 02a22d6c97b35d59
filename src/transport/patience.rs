//! How long to wait for a connection that shows no sign of life.
//!
//! A request's last megabytes lie in the kernel's socket buffer while it looks sent from here, and on a slow line they
//! take minutes to leave. So after a body is handed over, the wait for its reply grows with its length, by the speed
//! that exchanges have shown so far.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

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

/// The deadlines of a client.
#[derive(Debug)]
pub struct Patience {
    idle: Duration,
    /// Bytes a second of one connection; 0 while unknown.
    speed: AtomicU64,
    /// The bandwidth limit, which makes exchanges long without making them bad.
    limit: Option<u64>,
}

impl Patience {
    /// `idle`: how long nothing may move; `limit`: the bandwidth limit in bytes a second.
    pub fn new(idle: Duration, limit: Option<u64>) -> Self {
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
        let extra = Duration::from_secs_f64((MARGIN * len) as f64 / speed as f64);
        self.idle + extra.min(LONGEST)
    }

    /// How long an exchange of `len` bytes may take in all.
    pub fn attempt(&self, len: u64) -> Duration {
        // Under a limit, as many requests as there may be (64) share the line.
        let limited = self.limit.map_or(0, |limit| 64 * len / limit.max(1));
        self.idle * ATTEMPT_FACTOR + self.after_sending(len) + Duration::from_secs(limited)
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
        let p = Patience::new(Duration::from_secs(30), None);
        // A body of 1.6 MB on one of eight connections over 1 Mbit/s takes 102 s.
        assert!(p.after_sending(1_600_000) > Duration::from_secs(102));
        p.learn(1_600_000, Duration::from_millis(10));
        assert!(p.after_sending(1_600_000) < Duration::from_secs(31));
        for _ in 0..14 {
            p.doubt();
        }
        assert!(p.after_sending(1_600_000) > Duration::from_mins(5));
        assert!(p.attempt(0) >= Duration::from_mins(10));
    }
}
