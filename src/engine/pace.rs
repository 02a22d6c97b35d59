//! Chooses the compression level: the strongest at which the line never waits for the workers.
//!
//! While the line waits for the workers, a faster rung gives more throughput. While the workers wait for the
//! line, a stronger rung does. A step is made only if most of a second or more was spent in one of the two
//! waits.

use super::encode::codec::Rung;
use std::time::Duration;

/// The bottleneck of a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// The network: workers are idle.
    Line,
    /// The workers: more requests could be in flight.
    Workers,
    /// Neither: the source is the bottleneck, or both are busy.
    Neither,
}

/// The time over which a rung is judged.
const ROUND: Duration = Duration::from_secs(1);

/// The share of it, in per cent, that has to be spent in one wait for a step.
const STEP_PERCENT: u32 = 80;

/// The number of rounds after a step back before the stronger rung is tried again.
const ROUNDS_UNTIL_RETRY: u32 = 20;

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

    /// Notes the time `spent` in a state.
    pub(super) fn note(&mut self, waits: Waits, spent: Duration) {
        self.all += spent;
        match waits {
            Waits::Line => self.line += spent,
            Waits::Workers => self.workers += spent,
            Waits::Neither => {}
        }
        if self.all < ROUND {
            return;
        }
        let most = self.all * STEP_PERCENT / 100;
        if self.workers > most && self.rung.faster() {
            self.resting = ROUNDS_UNTIL_RETRY;
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
        // A rung that was too slow a moment ago is not tried again at once.
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
