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
    /// Flushes that the far end has confirmed, of destinations whose writes are safe only then.
    pub flushes: AtomicU64,
    /// Requests in flight now.
    pub in_flight: AtomicU64,
    /// Nanoseconds in which there was room for more and the source had none.
    pub source_ns: AtomicU64,
    /// Nanoseconds in which there was room for more and all workers were at work.
    pub work_ns: AtomicU64,
    /// Nanoseconds in which as many requests were in flight as may be.
    pub far_ns: AtomicU64,
    /// Waited for a destination that takes what it is given in order, as standard output does.
    pub sink_ns: AtomicU64,
    /// Nanoseconds that workers spent in reading what is on this machine.
    pub reading_ns: AtomicU64,
    /// Nanoseconds that workers spent in work on bytes: digests, comparing, compression, and writing to a disk of this machine.
    pub encoding_ns: AtomicU64,
    /// Of these, nanoseconds in writing.
    pub landing_ns: AtomicU64,
    /// Nanoseconds of requests from their start until their body was sent, or while a reply's body came in.
    pub moving_ns: AtomicU64,
    /// Nanoseconds of requests from the end of their body until the reply began.
    pub waiting_ns: AtomicU64,
    /// How often bytes of requests were found in the kernel that the far end had not acknowledged, and how often none.
    pub looks_queued: AtomicU64,
    /// See above.
    pub looks_empty: AtomicU64,
    /// Nanoseconds that requests were held back by the bandwidth limit.
    pub throttled_ns: AtomicU64,
    /// The shortest time in nanoseconds from a small request to the head of its answer; 0 while there was none.
    round_trip_ns: AtomicU64,
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

    /// The sums of the counters of several transfers.
    pub fn sum<'a>(all: impl IntoIterator<Item = &'a Meters>) -> Self {
        let sum = Self::default();
        for one in all {
            for (to, from) in sum.counters().into_iter().zip(one.counters()) {
                to.fetch_add(from.load(Relaxed), Relaxed);
            }
        }
        sum
    }

    /// Notes how long a small request took to be answered.
    pub(crate) fn note_round_trip(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        // Fails where no shorter one is to be noted.
        let _ = self
            .round_trip_ns
            .fetch_update(Relaxed, Relaxed, |least| (least == 0 || took < least).then_some(took));
    }

    /// Returns the shortest time from a small request to the head of its answer: at least the round trip of the line.
    /// `None` before the first answer, and where the far end does not speak HTTP.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        match self.round_trip_ns.load(Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    fn counters(&self) -> [&AtomicU64; 22] {
        // Named one by one, so that a new counter is not forgotten here.
        let Self {
            image,
            resumed,
            wire,
            partial,
            flying_image,
            flying_wire,
            verified,
            retries,
            flushes,
            in_flight,
            source_ns,
            work_ns,
            far_ns,
            sink_ns,
            reading_ns,
            encoding_ns,
            landing_ns,
            moving_ns,
            waiting_ns,
            looks_queued,
            looks_empty,
            throttled_ns,
            // A time, not a sum.
            round_trip_ns: _,
        } = self;
        [
            image,
            resumed,
            wire,
            partial,
            flying_image,
            flying_wire,
            verified,
            retries,
            flushes,
            in_flight,
            source_ns,
            work_ns,
            far_ns,
            sink_ns,
            reading_ns,
            encoding_ns,
            landing_ns,
            moving_ns,
            waiting_ns,
            looks_queued,
            looks_empty,
            throttled_ns,
        ]
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

    /// What held a transfer up most that took so long: `source`, `cpu`, `destination`, `network`, `server` or `bwlimit`;
    /// `None` if chunks were on their way for less than [`SHORT`], however long the rest took.
    ///
    /// The pipeline's clocks tell whether it was before, in or behind the workers; the workers' and the requests' clocks tell
    /// what they did in that time.
    pub fn limited_by(&self, elapsed: Duration) -> Option<&'static str> {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let (source, work, far) = (get(&self.source_ns), get(&self.work_ns), get(&self.far_ns));
        let sink = get(&self.sink_ns);
        if elapsed < SHORT || Duration::from_nanos(source + work + far + sink) < SHORT {
            return None;
        }
        let (reading, landing) = (get(&self.reading_ns), get(&self.landing_ns));
        let encoding = get(&self.encoding_ns).saturating_sub(landing);
        let (moving, waiting, throttled) =
            (get(&self.moving_ns), get(&self.waiting_ns), get(&self.throttled_ns));
        Some(if sink > source.max(work).max(far) {
            "destination"
        } else if far >= source.max(work) {
            // A request that is held back counts as moving.
            if throttled > (moving + waiting) / 3 {
                "bwlimit"
            } else if waiting > moving && get(&self.looks_queued) <= get(&self.looks_empty) {
                "server"
            } else {
                "network"
            }
        } else if source >= work || reading >= encoding.max(landing) {
            "source"
        } else if landing > encoding {
            "destination"
        } else {
            "cpu"
        })
    }
}

/// A transfer below this is over before its parts show what they can do.
const SHORT: Duration = Duration::from_secs(1);

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
    fn the_counters_of_several_transfers_are_summed() {
        let (a, b) = (Meters::default(), Meters::default());
        for (n, (a, b)) in a.counters().into_iter().zip(b.counters()).enumerate() {
            a.store(n as u64, Relaxed);
            b.store(100, Relaxed);
        }
        let sum = Meters::sum([&a, &b]);
        assert!(
            sum.counters()
                .into_iter()
                .enumerate()
                .all(|(n, counter)| counter.load(Relaxed) == 100 + n as u64)
        );
        assert_eq!(sum.image.load(Relaxed), 100);
    }

    #[test]
    fn the_largest_clock_names_the_limit() {
        let second = Duration::from_secs(1);
        let m = Meters::default();
        assert_eq!(m.limited_by(second / 2), None);
        assert_eq!(m.limited_by(second), None, "nothing was on its way");
        Meters::time(&m.far_ns, second);
        assert_eq!(m.limited_by(second / 2), None);
        assert_eq!(m.limited_by(second), Some("network"));
        Meters::time(&m.waiting_ns, second);
        assert_eq!(m.limited_by(second), Some("server"));
        // What looked like waiting was the kernel at work.
        m.looks_queued.store(5, Relaxed);
        m.looks_empty.store(4, Relaxed);
        assert_eq!(m.limited_by(second), Some("network"));
        m.looks_empty.store(5, Relaxed);
        assert_eq!(m.limited_by(second), Some("server"));
        Meters::time(&m.moving_ns, 2 * second);
        assert_eq!(m.limited_by(second), Some("network"));
        Meters::time(&m.throttled_ns, 2 * second);
        assert_eq!(m.limited_by(second), Some("bwlimit"));
        Meters::time(&m.work_ns, 2 * second);
        Meters::time(&m.encoding_ns, second);
        assert_eq!(m.limited_by(second), Some("cpu"));
        Meters::time(&m.encoding_ns, 2 * second);
        Meters::time(&m.landing_ns, 2 * second);
        assert_eq!(m.limited_by(second), Some("destination"));
        Meters::time(&m.reading_ns, 3 * second);
        assert_eq!(m.limited_by(second), Some("source"));
        Meters::time(&m.reading_ns, 3 * second);
        Meters::time(&m.source_ns, 3 * second);
        assert_eq!(m.limited_by(second), Some("source"));
        Meters::time(&m.far_ns, 3 * second);
        assert_eq!(m.limited_by(second), Some("bwlimit"));
        Meters::time(&m.sink_ns, 5 * second);
        assert_eq!(m.limited_by(second), Some("destination"));
    }
}
