//! The bytes moved over time.

use crate::meters::Meters;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The most points that are kept. When there are more, every other one goes and they come half as often.
pub const MOST_POINTS: usize = 600;

/// How often points come at first.
const FIRST: Duration = Duration::from_millis(100);

/// What the counters said at some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub at: Duration,
    /// Image bytes that were moved and compared by then, without those of an earlier run.
    pub image: u64,
    /// Bytes on the wire by then.
    pub wire: u64,
}

/// What the counters said over time.
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
    /// Notes what the counters say, unless the last point is too young.
    pub fn sample(&mut self, at: Duration, meters: &Meters) {
        let last = self.points.last().map_or(Duration::ZERO, |point| point.at);
        if at >= last + self.every {
            self.push(at, meters);
        }
    }

    /// Notes what the counters say.
    pub fn push(&mut self, at: Duration, meters: &Meters) {
        let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Relaxed);
        let done = get(&meters.image).saturating_sub(get(&meters.resumed)) + get(&meters.verified);
        // Chunks count when they are acknowledged; what has moved of those under way keeps the rate from jumping.
        let image = done + meters.on_the_way();
        self.points.push(Point { at, image, wire: get(&meters.wire) });
        if self.points.len() > MOST_POINTS {
            // The first and the last stay.
            let last = self.points.len() - 1;
            let mut place = 0;
            self.points.retain(|_| {
                place += 1;
                (place - 1) % 2 == 0 || place - 1 == last
            });
            self.every *= 2;
        }
    }

    /// The points, in order of time, the first at zero.
    pub fn points(&self) -> &[Point] {
        &self.points
    }
}
