//! Counters that every stage of a transfer adds to, for progress and for telling what limits it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The counters of one transfer. Bytes and counts are totals; times are sums over threads or requests.
#[derive(Debug, Default)]
pub struct Meters {
    /// Image bytes dealt with: sent, skipped, landed, or resumed.
    pub image: AtomicU64,
    /// Of these, bytes that an earlier run has moved: they say nothing about this run's speed.
    pub resumed: AtomicU64,
    /// Bytes of bodies on the wire, both ways.
    pub wire: AtomicU64,
    /// Of these, bytes of requests that are not over yet.
    pub partial: AtomicU64,
    /// Image bytes of the chunks that are being written now.
    pub flying_image: AtomicU64,
    /// Bytes on the wire that these chunks take in all.
    pub flying_wire: AtomicU64,
    /// Image bytes read back and compared.
    pub verified: AtomicU64,
    /// Repeated requests.
    pub retries: AtomicU64,
    /// Requests in flight now.
    pub in_flight: AtomicU64,
    /// Nanoseconds that encoders waited for the source, and spent in touching its bytes for the first time.
    pub reading_ns: AtomicU64,
    /// Nanoseconds that encoders spent in digests and compression.
    pub encoding_ns: AtomicU64,
    /// Nanoseconds in which a request could have been sent but no chunk was ready.
    pub starved_ns: AtomicU64,
    /// Nanoseconds of requests from their start until their body was sent, or while a reply's body came in.
    pub moving_ns: AtomicU64,
    /// Nanoseconds of requests from the end of their body until the reply began.
    pub waiting_ns: AtomicU64,
    /// Nanoseconds that requests were held back by the bandwidth limit.
    pub throttled_ns: AtomicU64,
    /// Nanoseconds that fetched chunks waited for, or spent in, being written.
    pub landing_ns: AtomicU64,
}

impl Meters {
    /// Adds a time.
    pub fn time(counter: &AtomicU64, spent: Duration) {
        counter.fetch_add(u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Adds the time since an instant.
    pub fn since(counter: &AtomicU64, start: Instant) {
        Self::time(counter, start.elapsed());
    }

    /// Image bytes that are on their way and not yet acknowledged, by what has moved of them. On a slow line everything may
    /// be in flight for minutes; this is what shows that it goes on.
    pub fn on_the_way(&self) -> u64 {
        let (partial, image) = (self.partial.load(Relaxed), self.flying_image.load(Relaxed));
        let wire = self.flying_wire.load(Relaxed);
        if wire == 0 {
            return partial;
        }
        u64::try_from(u128::from(partial.min(wire)) * u128::from(image) / u128::from(wire)).unwrap_or(image)
    }

    /// What held the transfer up most in a run of `elapsed` with `slots` requests allowed at a time.
    ///
    /// Starved of chunks for over a third of the time: the cause is before the network, and the encoders' own
    /// clocks tell which. Else the requests' clocks tell.
    pub fn limited_by(&self, elapsed: Duration, slots: usize) -> &'static str {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let wall = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        if get(&self.starved_ns) > wall / 3 {
            return if get(&self.reading_ns) > get(&self.encoding_ns) { "reading" } else { "compressing" };
        }
        let (throttled, landing) = (get(&self.throttled_ns), get(&self.landing_ns));
        let (moving, waiting) = (get(&self.moving_ns), get(&self.waiting_ns));
        if throttled > wall.saturating_mul(slots as u64) / 3 {
            "bwlimit"
        } else if landing > moving + waiting {
            "writing"
        } else if waiting > moving.saturating_sub(throttled) {
            "server"
        } else {
            "network"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_way_is_counted_in_image_bytes() {
        let m = Meters::default();
        m.partial.store(50, Relaxed);
        assert_eq!(m.on_the_way(), 50, "a download: the wire has the image's own bytes");
        m.flying_image.store(400, Relaxed);
        m.flying_wire.store(100, Relaxed);
        assert_eq!(m.on_the_way(), 200);
        m.partial.store(120, Relaxed);
        assert_eq!(m.on_the_way(), 400, "a repeated request does not count twice");
    }

    #[test]
    fn the_largest_clock_names_the_limit() {
        let second = Duration::from_secs(1);
        let m = Meters::default();
        assert_eq!(m.limited_by(second, 4), "network");
        Meters::time(&m.waiting_ns, second);
        assert_eq!(m.limited_by(second, 4), "server");
        Meters::time(&m.moving_ns, 2 * second);
        assert_eq!(m.limited_by(second, 4), "network");
        Meters::time(&m.throttled_ns, 2 * second);
        assert_eq!(m.limited_by(second, 4), "bwlimit");
        Meters::time(&m.starved_ns, second / 2);
        Meters::time(&m.encoding_ns, second);
        assert_eq!(m.limited_by(second, 4), "compressing");
        Meters::time(&m.reading_ns, 2 * second);
        assert_eq!(m.limited_by(second, 4), "reading");
    }
}
