//! The bandwidth limit, shared by all connections of a transfer.

use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// How much may go at once after a pause: enough not to stutter, too little to show in any second's figure.
const BURST: Duration = Duration::from_millis(50);

/// Hands out the line's time, first come first served.
#[derive(Debug)]
pub struct Limiter {
    bytes_per_second: u64,
    /// When the line is free again.
    free: Mutex<Instant>,
}

impl Limiter {
    /// A limit in bytes a second; 0 counts as 1.
    pub fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), free: Mutex::new(Instant::now()) }
    }

    /// The limit in bytes a second.
    pub fn rate(&self) -> u64 {
        self.bytes_per_second
    }

    /// How many bytes to ask for at a time: a twentieth of a second's worth, so that the line is shared evenly.
    pub fn piece(&self) -> usize {
        usize::try_from(self.bytes_per_second / 20).unwrap_or(usize::MAX).clamp(512, 256 << 10)
    }

    /// Takes the line for `bytes` and says when they may go.
    pub fn take(&self, bytes: usize) -> Instant {
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let mut free = self.free.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        let start = (*free).max(now.checked_sub(BURST).unwrap_or(now));
        *free = start + cost;
        // The bytes may go once the line has had the time for them, less the burst.
        (start + cost).checked_sub(BURST).unwrap_or(now).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Eight senders of pieces of different sizes, for ten seconds of the clock of the runtime (which does not run by
    /// itself here, so that nothing depends on the machine).
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
}
