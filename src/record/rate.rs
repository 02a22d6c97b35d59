//! The bytes transferred over time.

use crate::meters::Meters;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The most points that are kept. Beyond that every other point is dropped and the interval doubles.
pub const MOST_POINTS: usize = 600;

/// The initial interval between points.
const FIRST: Duration = Duration::from_millis(100);

/// A sample of the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// The time since the start.
    pub at: Duration,
    /// Image bytes transferred and compared so far, without those of an earlier run.
    pub image: u64,
    /// Bytes on the wire so far.
    pub wire: u64,
}

/// Samples of the counters over time.
#[derive(Clone, Debug)]
pub struct Rate {
    points: Vec<Point>,
    every: Duration,
}

impl Default for Rate {
    fn default() -> Self {
        Self { points: vec![Point::default()], every: FIRST }
    }
}

impl Rate {
    /// Samples the counters, unless the last point is too recent.
    pub fn sample(&mut self, at: Duration, meters: &Meters) {
        let last = self.points.last().map_or(Duration::ZERO, |point| point.at);
        if at >= last + self.every {
            self.push(at, meters);
        }
    }

    /// Samples the counters.
    pub fn push(&mut self, at: Duration, meters: &Meters) {
        let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
        let done = get(&meters.image).saturating_sub(get(&meters.resumed)) + get(&meters.verified);
        // Chunks count when they are acknowledged; adding the transferred part of those in flight keeps the
        // rate smooth.
        let image = done + meters.in_flight_bytes();
        self.points.push(Point { at, image, wire: get(&meters.wire) });
        if self.points.len() > MOST_POINTS {
            // The first and the last point are kept.
            let last = self.points.len() - 1;
            let mut place = 0;
            self.points.retain(|_| {
                place += 1;
                (place - 1) % 2 == 0 || place - 1 == last
            });
            self.every *= 2;
        }
    }

    /// Returns the points in order of time; the first is at zero.
    pub fn points(&self) -> &[Point] {
        &self.points
    }
}
