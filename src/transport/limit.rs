//! The bandwidth limit, shared by all connections of a transfer.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// How much may be sent at once after a pause: enough to avoid stutter, too little to show in the figure of
/// any second.
const BURST: Duration = Duration::from_millis(50);

/// The limits of a process, each shared by all its connections.
#[derive(Clone, Debug, Default)]
pub struct Bandwidth {
    /// The limit for sent bytes.
    pub up: Option<Arc<Limiter>>,
    /// The limit for received bytes.
    pub down: Option<Arc<Limiter>>,
}

impl Bandwidth {
    /// Creates limits in bytes per second; `None` is unlimited.
    pub fn new(up: Option<u64>, down: Option<u64>) -> Self {
        let limiter = |rate: Option<u64>| rate.map(|rate| Arc::new(Limiter::new(rate)));
        Self { up: limiter(up), down: limiter(down) }
    }

    /// Halves both limits and returns them, up and down.
    pub fn halve(&self) -> (Option<u64>, Option<u64>) {
        self.change(|rate| rate / 2)
    }

    /// Doubles both limits and returns them, up and down.
    pub fn double(&self) -> (Option<u64>, Option<u64>) {
        self.change(|rate| rate.saturating_mul(2))
    }

    fn change(&self, to: impl Fn(u64) -> u64) -> (Option<u64>, Option<u64>) {
        let change = |limiter: &Option<Arc<Limiter>>| {
            limiter.as_ref().map(|limiter| {
                limiter.bytes_per_second.store(to(limiter.rate()).max(SLOWEST), Relaxed);
                limiter.rate()
            })
        };
        (change(&self.up), change(&self.down))
    }
}

/// The lowest limit that halving reaches, in bytes per second; below it requests would time out.
const SLOWEST: u64 = 1024;

/// Hands out time on the line, first come first served.
#[derive(Debug)]
pub struct Limiter {
    bytes_per_second: AtomicU64,
    /// The instant at which the line is free.
    free: Mutex<Instant>,
}

impl Limiter {
    /// Creates a limit in bytes per second; 0 counts as 1.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: AtomicU64::new(bytes_per_second.max(1)), free: Mutex::new(Instant::now()) }
    }

    /// Returns the limit in bytes per second.
    pub fn rate(&self) -> u64 {
        self.bytes_per_second.load(Relaxed)
    }

    /// Returns how many bytes to request at a time: a twentieth of a second's worth, so that the line is
    /// shared evenly.
    pub fn piece(&self) -> usize {
        usize::try_from(self.rate() / 20).unwrap_or(usize::MAX).clamp(512, 256 << 10)
    }

    /// Reserves the line for `bytes` and returns when they may be sent.
    pub fn take(&self, bytes: usize) -> Instant {
        let cost = Duration::from_secs_f64(bytes as f64 / self.rate() as f64);
        let mut free = self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        let start = (*free).max(now.checked_sub(BURST).unwrap_or(now));
        *free = start + cost;
        // Bytes may be sent once the line has had time for them, less the burst.
        (start + cost).checked_sub(BURST).unwrap_or(now).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight senders with pieces of different sizes, for ten seconds of the runtime's paused clock, so that
    /// the result does not depend on the machine.
    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept_to_a_percent() {
        let limiter = Arc::new(Limiter::new(10 << 20));
        let start = Instant::now();
        let sent = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let tasks: Vec<_> = (1..=8)
            .map(|i| {
                let (limiter, sent) = (Arc::clone(&limiter), Arc::clone(&sent));
                tokio::spawn(async move {
                    while start.elapsed() < Duration::from_secs(10) {
                        let piece = limiter.piece() / i;
                        tokio::time::sleep_until(limiter.take(piece)).await;
                        sent.fetch_add(piece as u64, std::sync::atomic::Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let rate = sent.load(std::sync::atomic::Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64();
        let off = rate / f64::from(10 << 20);
        assert!((0.98..1.02).contains(&off), "{off}");
    }

    /// The limit is changed while it is in use, and kept before and after.
    #[tokio::test(start_paused = true)]
    async fn a_limit_can_be_halved_and_doubled_while_it_holds() {
        let bandwidth = Bandwidth::new(Some(8 << 20), None);
        let limiter = Arc::clone(bandwidth.up.as_ref().unwrap());
        let sent_in = async |time: Duration| {
            let (start, mut sent) = (Instant::now(), 0);
            while start.elapsed() < time {
                sent += limiter.piece();
                tokio::time::sleep_until(limiter.take(limiter.piece())).await;
            }
            sent as f64 / start.elapsed().as_secs_f64() / f64::from(1 << 20)
        };
        let ten = Duration::from_secs(10);
        assert!((7.8..8.2).contains(&sent_in(ten).await));
        assert_eq!(bandwidth.halve(), (Some(4 << 20), None));
        assert!((3.9..4.1).contains(&sent_in(ten).await));
        assert_eq!(bandwidth.double(), (Some(8 << 20), None));
        assert!((7.8..8.2).contains(&sent_in(ten).await));
        for _ in 0..100 {
            bandwidth.halve();
        }
        assert_eq!(limiter.rate(), SLOWEST);
    }
}
