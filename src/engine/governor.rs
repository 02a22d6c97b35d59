//! Adapts the number of requests in flight while a transfer runs.
//!
//! The level starts small and grows as long as that pays: doubling it has to bring at least a fifth of a
//! doubled throughput (a line that is not full gives all of it). If it brings less, the level returns to the
//! lowest that did as well. A server that asks for less (420, 429, 503, a busy drive) halves the level.
//!
//! A round is as many replies as there may be requests in flight. If the time per request grows with the
//! level while the throughput does not, growing ends there. It is tried again after a while, because lines
//! change.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The initial level on a short line, which a few requests fill.
const FIRST: usize = 8;

/// The initial level on a long line, which has a round trip of at least [`FAR`]. There each connection needs
/// several round trips to reach its speed, so all that will be needed start together. Over 1 Gbit/s with
/// 100 ms, 256 MiB took 1.28 of the best time when they started with 8.
const FIRST_FAR: usize = 16;
const FAR: Duration = Duration::from_millis(30);

/// The share of a linear gain that is required to grow further.
const LEAST_GAIN: f64 = 0.2;

/// The number of rounds between a level that did not pay, or a server that asked for less, and the next
/// attempt to grow.
const ROUNDS_UNTIL_ASKED_AGAIN: u32 = 16;

/// After the level was halved it is not halved again for this long, because the requests in flight were all
/// made before.
const CALM: Duration = Duration::from_secs(1);

/// The number of rounds in a row without a gain after which growing ends. In the first round at a level many
/// replies belong to requests of the level before, and a connection needs some round trips to reach its
/// speed.
const ROUNDS_WITHOUT_GAIN: u32 = 2;

/// The level of one kind of request, reads or writes.
#[derive(Debug)]
pub struct Governor {
    /// The level that the user fixed.
    fixed: Option<usize>,
    most: usize,
    state: Mutex<State>,
    /// The limit that this governor and its siblings share, if the level is fixed.
    slots: Option<Arc<Semaphore>>,
    /// The limit that the governors made by [`Governor::beside`] share.
    shared: OnceLock<Arc<Semaphore>>,
}

#[derive(Debug)]
struct State {
    level: usize,
    phase: Phase,
    /// The lowest level that did as well as any, and its throughput in bytes per second.
    best: Option<(usize, f64)>,
    began: Instant,
    answers: usize,
    bytes: u64,
    pushed_back: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The level grows; the number of rounds that brought no gain.
    Growing(u32),
    /// The level rests; the number of rounds until it grows again.
    Resting(u32),
}

impl Governor {
    /// Creates a governor of up to `most` requests, or of exactly `fixed`.
    pub fn new(fixed: Option<usize>, most: usize) -> Self {
        let most = most.max(1);
        let fixed = fixed.map(|fixed| fixed.clamp(1, most));
        let state = State {
            level: FIRST.min(most),
            phase: Phase::Growing(0),
            best: None,
            began: Instant::now(),
            answers: 0,
            bytes: 0,
            pushed_back: None,
        };
        Self { fixed, most, state: Mutex::new(state), slots: None, shared: OnceLock::new() }
    }

    /// Creates the governor of one of several transfers. Each adapts on its own; a fixed level is shared by
    /// all that come from the same governor.
    #[must_use]
    pub fn beside(&self) -> Self {
        let slots =
            self.fixed.map(|fixed| self.shared.get_or_init(|| Arc::new(Semaphore::new(fixed))).clone());
        Self { slots, ..Self::new(self.fixed, self.most) }
    }

    /// Waits for a slot of the shared limit. Returns `None` if there is no such limit.
    pub(super) async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        Arc::clone(self.slots.as_ref()?).acquire_owned().await.ok()
    }

    /// Returns how many requests may be in flight now.
    pub fn level(&self) -> usize {
        self.fixed.unwrap_or_else(|| self.lock().level)
    }

    /// Returns the level that the user fixed.
    pub fn fixed(&self) -> Option<usize> {
        self.fixed
    }

    /// Returns the upper limit of the level.
    pub fn most(&self) -> usize {
        self.fixed.unwrap_or(self.most)
    }

    /// Chooses the first level by the round trip of the line, if it is known and nothing has been answered yet.
    pub fn begin(&self, round_trip: Option<Duration>) {
        let mut state = self.lock();
        if round_trip.is_some_and(|trip| trip >= FAR) && state.is_untried() {
            state.level = FIRST_FAR.min(self.most);
        }
        state.begin_round(Instant::now());
    }

    /// Notes the success of a request of `bytes` on the wire. `full` tells whether the level was used up; the
    /// throughput of a level that was not says nothing.
    pub fn answered(&self, bytes: u64, full: bool) {
        self.answered_at(bytes, full, Instant::now());
    }

    /// Notes that the server asked for less.
    pub fn pushed_back(&self) {
        self.pushed_back_at(Instant::now());
    }

    fn answered_at(&self, bytes: u64, full: bool, now: Instant) {
        let mut state = self.lock();
        if !full {
            state.begin_round(now);
            return;
        }
        state.answers += 1;
        state.bytes += bytes;
        if state.answers >= state.level {
            let spent = now.saturating_duration_since(state.began).as_secs_f64().max(1e-6);
            let goodput = state.bytes as f64 / spent;
            state.judge(goodput, self.most);
            state.begin_round(now);
        }
    }

    fn pushed_back_at(&self, now: Instant) {
        let mut state = self.lock();
        if state.pushed_back.is_some_and(|last| now.saturating_duration_since(last) < CALM) {
            return;
        }
        state.pushed_back = Some(now);
        state.level = (state.level / 2).max(1);
        (state.best, state.phase) = (None, Phase::Resting(ROUNDS_UNTIL_ASKED_AGAIN));
        state.begin_round(now);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the level is still the first one.
    fn is_untried(&self) -> bool {
        self.best.is_none() && self.pushed_back.is_none() && matches!(self.phase, Phase::Growing(0))
    }

    fn begin_round(&mut self, now: Instant) {
        (self.began, self.answers, self.bytes) = (now, 0, 0);
    }

    /// Chooses the next level by the throughput of a round at this one.
    fn judge(&mut self, goodput: f64, most: usize) {
        match self.phase {
            Phase::Growing(without) => {
                let pays = self.best.is_none_or(|(level, was)| {
                    let linear = self.level as f64 / level as f64 - 1.0;
                    self.level > level && goodput >= was * (1.0 + LEAST_GAIN * linear)
                });
                if pays {
                    self.grow(goodput, most);
                } else if without + 1 < ROUNDS_WITHOUT_GAIN {
                    self.phase = Phase::Growing(without + 1);
                } else {
                    // It does not pay: requests only wait longer.
                    self.level = self.best.map_or(self.level, |(level, _)| level);
                    self.phase = Phase::Resting(ROUNDS_UNTIL_ASKED_AGAIN);
                }
            }
            Phase::Resting(0) => self.grow(goodput, most),
            Phase::Resting(left) => self.phase = Phase::Resting(left - 1),
        }
    }

    fn grow(&mut self, goodput: f64, most: usize) {
        self.best = Some((self.level, goodput));
        if self.level >= most {
            self.phase = Phase::Resting(ROUNDS_UNTIL_ASKED_AGAIN);
            return;
        }
        // Doubles at first, then grows by half: above 16 a step is worth many chunks.
        let step = if self.level < 16 { self.level } else { self.level / 2 };
        self.level = (self.level + step).min(most);
        self.phase = Phase::Growing(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: u64 = 4 << 20;

    /// Simulates a line of `rate` bytes per second with a round trip of `trip` seconds, on which a connection
    /// may have `window` bytes under way, and plays requests at the level that the governor gives. Returns
    /// the usual level and the throughput in bytes per second from the start.
    fn play(governor: &Governor, rate: f64, trip: f64, window: f64, requests: u32) -> (usize, f64) {
        let start = Instant::now();
        let (mut now, mut line_free) = (0.0_f64, 0.0_f64);
        // The time at which each request in flight is answered.
        let mut flying: Vec<f64> = Vec::new();
        let mut made = 0;
        // How often each level was in force in the second half.
        let mut levels = std::collections::BTreeMap::<usize, u32>::new();
        for n in 0..requests {
            if n > requests / 2 {
                *levels.entry(governor.level()).or_default() += 1;
            }
            while flying.len() < governor.level() {
                let pace = CHUNK as f64 / (window / trip).min(rate);
                let sent = (now.max(line_free) + CHUNK as f64 / rate).max(now + pace);
                line_free = now.max(line_free) + CHUNK as f64 / rate;
                flying.push(sent + trip);
                made += 1;
            }
            flying.sort_by(f64::total_cmp);
            now = now.max(flying.remove(0));
            governor.answered_at(CHUNK, true, start + Duration::from_secs_f64(now));
        }
        let usual = levels.into_iter().max_by_key(|(_, times)| *times).map_or(0, |(level, _)| level);
        (usual, f64::from(requests) * CHUNK as f64 / now.max(1e-9) * f64::from(u8::from(made > 0)))
    }

    fn best_fixed(rate: f64, trip: f64, window: f64, requests: u32) -> f64 {
        [1, 2, 4, 8, 16, 32]
            .into_iter()
            .map(|n| play(&Governor::new(Some(n), 64), rate, trip, window, requests).1)
            .fold(0.0, f64::max)
    }

    #[test]
    fn a_long_line_is_filled_and_a_short_one_is_not_crowded() {
        let free = f64::INFINITY;
        let (level, goodput) = play(&Governor::new(None, 32), 119e6, 0.1, free, 1000);
        assert!(goodput > 0.95 * best_fixed(119e6, 0.1, free, 1000), "{goodput}");
        assert!((4..=16).contains(&level), "{level}");
        // Each connection may have 512 KiB under way, so only many of them fill the line.
        let (level, goodput) = play(&Governor::new(None, 32), 119e6, 0.1, 524_288.0, 1000);
        assert!(level >= 16, "{level}");
        assert!(goodput > 0.85 * best_fixed(119e6, 0.1, 524_288.0, 1000), "{goodput}");
        let (level, _) = play(&Governor::new(None, 32), 12.5e6, 0.001, free, 1000);
        assert!(level <= 8, "{level}");
    }

    #[test]
    fn a_far_end_that_asks_for_less_gets_less_and_then_more_again() {
        let governor = Governor::new(None, 32);
        play(&governor, 119e6, 0.1, 524_288.0, 400);
        let level = governor.level();
        let now = Instant::now();
        governor.pushed_back_at(now);
        assert_eq!(governor.level(), level / 2);
        // The other requests in flight get the same reply.
        governor.pushed_back_at(now + Duration::from_millis(300));
        assert_eq!(governor.level(), level / 2);
        for n in 1..20 {
            governor.pushed_back_at(now + n * Duration::from_secs(2));
        }
        assert_eq!(governor.level(), 1, "never none");
        let (again, _) = play(&governor, 119e6, 0.1, 524_288.0, 3000);
        assert!(again >= 8, "{again}");
    }

    #[test]
    fn what_the_user_asked_for_stays() {
        let governor = Governor::new(Some(5), 32);
        governor.pushed_back();
        assert_eq!((play(&governor, 1e9, 0.1, 1e6, 300).0, governor.most()), (5, 5));
    }

    #[test]
    fn a_level_that_is_not_used_says_nothing() {
        let governor = Governor::new(None, 32);
        for _ in 0..1000 {
            governor.answered(CHUNK, false);
        }
        assert_eq!(governor.level(), FIRST);
    }

    #[test]
    fn a_long_line_starts_with_more() {
        let governor = Governor::new(None, 32);
        governor.begin(None);
        governor.begin(Some(Duration::from_millis(5)));
        assert_eq!(governor.level(), FIRST);
        governor.begin(Some(Duration::from_millis(100)));
        assert_eq!(governor.level(), FIRST_FAR);
        // A far end that has asked for less is not asked for more because it is far.
        governor.pushed_back();
        governor.begin(Some(Duration::from_millis(100)));
        assert_eq!(governor.level(), FIRST_FAR / 2);
        let fixed = Governor::new(Some(3), 32);
        fixed.begin(Some(Duration::from_millis(100)));
        assert_eq!(fixed.level(), 3);
        let few = Governor::new(None, 4);
        few.begin(Some(Duration::from_millis(100)));
        assert_eq!(few.level(), 4);
    }

    #[tokio::test]
    async fn what_was_asked_for_is_the_most_of_all_together() {
        let governor = Governor::new(Some(2), 64);
        let (one, other) = (governor.beside(), governor.beside());
        let first = one.slot().await;
        let second = other.slot().await;
        assert!(first.is_some() && second.is_some());
        let third = tokio::time::timeout(Duration::from_millis(20), one.slot());
        assert!(third.await.is_err());
        drop(second);
        assert!(one.slot().await.is_some());
        // Without a fixed level each adapts on its own.
        assert!(Governor::new(None, 64).beside().slot().await.is_none());
    }
}
