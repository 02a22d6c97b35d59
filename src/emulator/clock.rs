//! The emulator's clock.
//!
//! Each emulator has a [`Clock`] that can be advanced and can run faster than the machine's. The emulator's
//! threads carry it, so [`now`] is the same everywhere in one emulator and differs between two in one
//! process. Signatures and `Date` headers are not checked against it, since a client signs with the time of
//! its own machine.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

thread_local! {
    static CURRENT: RefCell<Option<Arc<Clock>>> = const { RefCell::new(None) };
}

/// Returns microseconds since the epoch, by the clock of the emulator that owns this thread, or by the
/// machine's on other threads.
pub(super) fn now() -> u64 {
    CURRENT.with_borrow(|clock| clock.as_ref().map_or_else(machine_now, |clock| clock.now()))
}

fn machine_now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The largest scale of a clock: a month passes in about 13 seconds.
pub const FASTEST: f64 = 200_000.0;

/// The clock of one emulator.
#[derive(Debug)]
pub(super) struct Clock(Mutex<Reading>);

/// What a clock showed at one moment, and how fast it has run since.
#[derive(Clone, Copy, Debug)]
struct Reading {
    shown: u64,
    machine: u64,
    /// Seconds of this clock in one second of the machine.
    scale: f64,
}

impl Reading {
    fn at(self, machine: u64) -> u64 {
        let passed = Duration::from_micros(machine.saturating_sub(self.machine));
        // A time longer than a `Duration` can hold is the end of time too.
        let scaled = Duration::try_from_secs_f64(passed.as_secs_f64() * self.scale).unwrap_or(Duration::MAX);
        self.shown.saturating_add(u64::try_from(scaled.as_micros()).unwrap_or(u64::MAX))
    }
}

impl Clock {
    /// Creates a clock that shows the machine's time now and runs `scale` times as fast.
    pub(super) fn new(scale: f64) -> Clock {
        let now = machine_now();
        Clock(Mutex::new(Reading { shown: now, machine: now, scale }))
    }

    pub(super) fn now(&self) -> u64 {
        self.lock().at(machine_now())
    }

    /// Advances the clock. It never goes back.
    pub(super) fn advance(&self, by: Duration) {
        let mut reading = self.lock();
        reading.shown = reading.shown.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX));
    }

    /// Makes the clock run `scale` times as fast as the machine's from now on.
    pub(super) fn set_scale(&self, scale: f64) {
        let mut reading = self.lock();
        let machine = machine_now();
        *reading = Reading { shown: reading.at(machine), machine, scale };
    }

    pub(super) fn scale(&self) -> f64 {
        self.lock().scale
    }

    /// Makes this the clock of the calling thread.
    pub(super) fn carry(self: &Arc<Self>) {
        CURRENT.with_borrow_mut(|current| *current = Some(Arc::clone(self)));
    }

    fn lock(&self) -> MutexGuard<'_, Reading> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One second in the unit of [`now`].
pub(super) const SECOND: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_runs_at_its_scale_and_never_back() {
        let from = Reading { shown: 5 * SECOND, machine: 1000 * SECOND, scale: 60.0 };
        assert_eq!(from.at(1002 * SECOND), 125 * SECOND);
        assert_eq!(from.at(900 * SECOND), 5 * SECOND);
        assert_eq!(Reading { scale: 1e300, ..from }.at(1001 * SECOND), u64::MAX);
    }

    #[test]
    fn a_clock_holds_for_the_threads_that_carry_it() {
        let clock = Arc::new(Clock::new(1.0));
        clock.advance(Duration::from_hours(100));
        let ahead = std::thread::spawn(move || {
            clock.carry();
            now()
        });
        assert!(ahead.join().unwrap() > now() + 99 * 3600 * SECOND);
        let slow = Clock::new(1000.0);
        slow.set_scale(0.0);
        assert_eq!((slow.now(), slow.scale()), (slow.now(), 0.0));
    }
}
