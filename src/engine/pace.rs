//! How strongly chunks are compressed: as strongly as the workers can while the line is never kept waiting.
//!
//! While the line waits for the workers a faster rung brings more; while the workers wait for the line a stronger one does.
//! Each step has to be earned: by far the most of a second or more was spent in one of the two waits.

use super::encode::codec::Rung;
use std::time::Duration;

/// What a pipeline waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// Requests, while workers have nothing to do.
    Line,
    /// Workers, while more requests could be made.
    Workers,
    /// Something else: the source, or both are at work.
    Neither,
}

/// A rung is judged by at least this much time.
const LOOK: Duration = Duration::from_secs(1);

/// The share of it, in per cent, that speaks for a step.
const FAR_THE_MOST: u32 = 80;

/// After a step back the stronger rung is not tried again for so many looks.
const PATIENCE: u32 = 20;

/// Moves the rung of one pipeline.
#[derive(Debug)]
pub(super) struct Pace {
    rung: Rung,
    all: Duration,
    line: Duration,
    workers: Duration,
    resting: u32,
}

impl Pace {
    pub(super) fn new(rung: Rung) -> Self {
        let none = Duration::ZERO;
        Self { rung, all: none, line: none, workers: none, resting: 0 }
    }

    /// So long was waited for that.
    pub(super) fn note(&mut self, waits: Waits, spent: Duration) {
        self.all += spent;
        match waits {
            Waits::Line => self.line += spent,
            Waits::Workers => self.workers += spent,
            Waits::Neither => {}
        }
        if self.all < LOOK {
            return;
        }
        let most = self.all * FAR_THE_MOST / 100;
        if self.workers > most && self.rung.faster() {
            self.resting = PATIENCE;
        } else if self.resting > 0 {
            self.resting -= 1;
        } else if self.line > most {
            self.rung.stronger();
        }
        (self.all, self.line, self.workers) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_line_is_compressed_for_and_a_fast_one_is_fed() {
        let rung = Rung::default();
        let mut pace = Pace::new(rung.clone());
        let tick = Duration::from_millis(100);
        (0..9).for_each(|_| pace.note(Waits::Line, tick));
        assert_eq!(rung.now(), 0, "less than a second says nothing");
        (0..1000).for_each(|_| pace.note(Waits::Line, tick));
        assert_eq!(rung.now(), Rung::COUNT - 1);
        (0..11).for_each(|_| pace.note(Waits::Workers, tick));
        assert_eq!(rung.now(), Rung::COUNT - 2);
        // What was too slow a moment ago is not tried again at once.
        (0..50).for_each(|_| pace.note(Waits::Line, tick));
        assert_eq!(rung.now(), Rung::COUNT - 2);
        (0..100).for_each(|_| pace.note(Waits::Workers, tick));
        assert_eq!(rung.now(), 0);
        for n in 0..1000 {
            pace.note(if n % 2 == 0 { Waits::Line } else { Waits::Neither }, tick);
        }
        assert_eq!(rung.now(), 0, "workers that are at work half of the time are left alone");
    }
}
