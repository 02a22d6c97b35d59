//! Measures the progress of a connection, to detect one that stalled. A connection that the bandwidth limit
//! holds back does not count as stalled.

use crate::transport::deadlines::Progress;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

/// The activity of a connection.
#[derive(Debug)]
pub(super) struct Gauge {
    start: Instant,
    last_ms: AtomicU64,
    bytes: AtomicU64,
    answers: AtomicU64,
    held: AtomicU64,
}

/// Keeps a connection from counting as stalled while the bandwidth limit holds it back.
pub(super) struct Held<'a>(&'a Gauge);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.touch();
        self.0.held.fetch_sub(1, Relaxed);
    }
}

/// The state of a connection at the last check.
#[derive(Debug, Default)]
pub(super) struct Look {
    at: Option<Instant>,
    bytes: u64,
    answers: u64,
    progress: Progress,
}

impl Gauge {
    /// Creates a gauge that starts now.
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            last_ms: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            held: AtomicU64::new(0),
        }
    }

    /// Notes activity, or the start of a wait.
    pub(super) fn touch(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(now, Relaxed);
    }

    /// Notes that bytes were transferred.
    pub(super) fn moved(&self, bytes: usize) {
        self.touch();
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Notes that a request was answered.
    pub(super) fn answered(&self) {
        self.answers.fetch_add(1, Relaxed);
    }

    /// Suspends the check until the guard is dropped.
    pub(super) fn hold(&self) -> Held<'_> {
        self.held.fetch_add(1, Relaxed);
        Held(self)
    }

    /// Returns whether nothing, or almost nothing, moved for `silence`. To be called regularly while
    /// something is waited for.
    pub(super) fn is_stalled(&self, look: &mut Look, silence: Duration) -> bool {
        let now = Instant::now();
        if self.held.load(Relaxed) > 0 {
            self.touch();
            self.rest(look);
            return false;
        }
        if now.saturating_duration_since(self.start + Duration::from_millis(self.last_ms.load(Relaxed)))
            >= silence
        {
            return true;
        }
        let (bytes, answers) = (self.bytes.load(Relaxed), self.answers.load(Relaxed));
        let Some(before) = look.at.filter(|_| look.answers == answers) else {
            self.rest(look);
            return false;
        };
        let came = usize::try_from(bytes - look.bytes).unwrap_or(usize::MAX);
        let goes_on = look.progress.goes_on(came, now.saturating_duration_since(before), silence);
        (look.at, look.bytes) = (Some(now), bytes);
        !goes_on
    }

    /// Updates the check while nothing is waited for.
    pub(super) fn rest(&self, look: &mut Look) {
        *look = Look {
            at: Some(Instant::now()),
            bytes: self.bytes.load(Relaxed),
            answers: self.answers.load(Relaxed),
            progress: Progress::default(),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(30);

    /// Returns after how many seconds a connection counts as stalled on which `each` happens every second.
    async fn stalls(each: impl Fn(&Gauge)) -> Option<u64> {
        let (gauge, mut look) = (Gauge::new(), Look::default());
        for second in 1..600 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            each(&gauge);
            if gauge.is_stalled(&mut look, SILENCE) {
                return Some(second);
            }
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_a_drip_are_stalls_and_progress_is_not() {
        assert_eq!(stalls(|_| {}).await, Some(30));
        assert!(stalls(|gauge| gauge.moved(1)).await.is_some_and(|after| after < 70));
        assert_eq!(stalls(|gauge| gauge.moved(1000)).await, None);
        // Small requests that are answered.
        let answers = |gauge: &Gauge| {
            gauge.moved(16);
            gauge.answered();
        };
        assert_eq!(stalls(answers).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_back_here_is_not_stalled() {
        let (gauge, mut look) = (Gauge::new(), Look::default());
        let held = gauge.hold();
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            assert!(!gauge.is_stalled(&mut look, SILENCE));
        }
        drop(held);
        tokio::time::sleep(Duration::from_secs(29)).await;
        assert!(!gauge.is_stalled(&mut look, SILENCE));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(gauge.is_stalled(&mut look, SILENCE));
    }
}
