//! A histogram of request latencies.

use std::time::Duration;

/// The upper bounds of the classes in milliseconds. A last class has everything above.
pub const BOUNDS_MS: [u64; 17] =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000];

/// A histogram of request latencies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latencies {
    counts: [u64; BOUNDS_MS.len() + 1],
    longest: Duration,
}

impl Latencies {
    /// Counts a request.
    pub fn add(&mut self, took: Duration) {
        let class = BOUNDS_MS.partition_point(|bound| Duration::from_millis(*bound) < took);
        self.counts[class] += 1;
        self.longest = self.longest.max(took);
    }

    /// Adds the counts of another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.longest = self.longest.max(other.longest);
    }

    /// Returns the number of requests in each class, shortest first.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Returns the number of requests.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the longest latency.
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// Returns the upper bound below which this share of the requests stayed, or `None` if there were none.
    pub fn within(&self, share: f64) -> Option<Duration> {
        let total = self.total();
        let mut seen = 0;
        for (class, count) in self.counts.iter().enumerate() {
            seen += count;
            if total > 0 && seen as f64 >= share * total as f64 {
                let bound = BOUNDS_MS.get(class).map(|ms| Duration::from_millis(*ms));
                return Some(bound.map_or(self.longest, |bound| bound.min(self.longest)));
            }
        }
        None
    }
}
