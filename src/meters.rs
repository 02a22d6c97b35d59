//! Counters of a transfer, for progress and for finding the bottleneck.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The counters of a transfer. Bytes and counts are totals; times are sums over threads or requests.
#[derive(Debug, Default)]
pub struct Meters {
    /// Image bytes settled: sent, skipped, received, or resumed.
    pub image: AtomicU64,
    /// The part of `image` that an earlier run transferred, which says nothing about the speed of this run.
    pub resumed: AtomicU64,
    /// Bytes of bodies on the wire, in both directions.
    pub wire: AtomicU64,
    /// The part of `wire` that belongs to unfinished requests.
    pub partial: AtomicU64,
    /// Image bytes of the chunks that are being written.
    pub in_flight_image: AtomicU64,
    /// The total bytes on the wire that these chunks need.
    pub in_flight_wire: AtomicU64,
    /// Image bytes read back and compared.
    pub verified: AtomicU64,
    /// The number of retries.
    pub retries: AtomicU64,
    /// Flushes that the remote confirmed, for destinations that need them.
    pub flushes: AtomicU64,
    /// The number of requests in flight.
    pub in_flight: AtomicU64,
    /// Nanoseconds in which the pipeline waited for the source.
    pub source_ns: AtomicU64,
    /// Nanoseconds in which the pipeline waited for the workers.
    pub work_ns: AtomicU64,
    /// Nanoseconds in which the limit of requests in flight was reached.
    pub requests_ns: AtomicU64,
    /// Nanoseconds in which the pipeline waited for a destination that takes writes in order, such as
    /// standard output.
    pub sink_ns: AtomicU64,
    /// Nanoseconds that workers spent reading local disks.
    pub reading_ns: AtomicU64,
    /// Nanoseconds that workers spent on chunks: digests, comparisons, compression, and writes to a local
    /// disk.
    pub encoding_ns: AtomicU64,
    /// The part of `encoding_ns` that was spent writing.
    pub writing_ns: AtomicU64,
    /// Nanoseconds from the start of requests until their bodies were sent, or while the bodies of replies
    /// arrived.
    pub moving_ns: AtomicU64,
    /// Nanoseconds from the end of requests' bodies until the replies began.
    pub waiting_ns: AtomicU64,
    /// How often the kernel had bytes of requests that the remote had not acknowledged.
    pub samples_queued: AtomicU64,
    /// How often the kernel had none.
    pub samples_empty: AtomicU64,
    /// Nanoseconds in which the bandwidth limit held requests back.
    pub throttled_ns: AtomicU64,
    /// The shortest time in nanoseconds from a small request to the head of its answer; 0 while there was none.
    round_trip_ns: AtomicU64,
}

impl Meters {
    /// Adds a duration.
    pub fn time(counter: &AtomicU64, spent: Duration) {
        counter.fetch_add(u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Adds the time since an instant.
    pub fn since(counter: &AtomicU64, start: Instant) {
        Self::time(counter, start.elapsed());
    }

    /// Returns the sums of the counters of several transfers.
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
        // Named one by one, so that a new counter is not forgotten.
        let Self {
            image,
            resumed,
            wire,
            partial,
            in_flight_image,
            in_flight_wire,
            verified,
            retries,
            flushes,
            in_flight,
            source_ns,
            work_ns,
            requests_ns,
            sink_ns,
            reading_ns,
            encoding_ns,
            writing_ns,
            moving_ns,
            waiting_ns,
            samples_queued,
            samples_empty,
            throttled_ns,
            // A time, not a sum.
            round_trip_ns: _,
        } = self;
        [
            image,
            resumed,
            wire,
            partial,
            in_flight_image,
            in_flight_wire,
            verified,
            retries,
            flushes,
            in_flight,
            source_ns,
            work_ns,
            requests_ns,
            sink_ns,
            reading_ns,
            encoding_ns,
            writing_ns,
            moving_ns,
            waiting_ns,
            samples_queued,
            samples_empty,
            throttled_ns,
        ]
    }

    /// Returns the image bytes of unacknowledged chunks that correspond to the bytes transferred so far. On a
    /// slow line everything may be in flight for minutes, and only this shows progress.
    pub fn in_flight_bytes(&self) -> u64 {
        let (partial, image) = (self.partial.load(Relaxed), self.in_flight_image.load(Relaxed));
        let wire = self.in_flight_wire.load(Relaxed);
        if wire == 0 {
            return partial;
        }
        u64::try_from(u128::from(partial.min(wire)) * u128::from(image) / u128::from(wire)).unwrap_or(image)
    }

    /// Returns the bottleneck of a transfer that took `elapsed`: `source`, `cpu`, `destination`, `network`,
    /// `server` or `bwlimit`. Returns `None` if chunks were on their way for less than [`SHORT`].
    ///
    /// The pipeline's clocks tell whether the bottleneck was before, in or after the workers. The workers'
    /// and the requests' clocks tell what they did in that time.
    pub fn limited_by(&self, elapsed: Duration) -> Option<&'static str> {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        let (source, work, far) = (get(&self.source_ns), get(&self.work_ns), get(&self.requests_ns));
        let sink = get(&self.sink_ns);
        if elapsed < SHORT || Duration::from_nanos(source + work + far + sink) < SHORT {
            return None;
        }
        let (reading, landing) = (get(&self.reading_ns), get(&self.writing_ns));
        let encoding = get(&self.encoding_ns).saturating_sub(landing);
        let (moving, waiting, throttled) =
            (get(&self.moving_ns), get(&self.waiting_ns), get(&self.throttled_ns));
        Some(if sink > source.max(work).max(far) {
            "destination"
        } else if far >= source.max(work) {
            // A request that is held back counts as moving.
            if throttled > (moving + waiting) / 3 {
                "bwlimit"
            } else if waiting > moving && get(&self.samples_queued) <= get(&self.samples_empty) {
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

/// The shortest transfer that has a bottleneck; a shorter one ends before its parts reach their speed.
const SHORT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_way_is_counted_in_image_bytes() {
        let m = Meters::default();
        m.partial.store(50, Relaxed);
        assert_eq!(m.in_flight_bytes(), 50, "a download: the wire has the image's own bytes");
        m.in_flight_image.store(400, Relaxed);
        m.in_flight_wire.store(100, Relaxed);
        assert_eq!(m.in_flight_bytes(), 200);
        m.partial.store(120, Relaxed);
        assert_eq!(m.in_flight_bytes(), 400, "a repeated request does not count twice");
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
        Meters::time(&m.requests_ns, second);
        assert_eq!(m.limited_by(second / 2), None);
        assert_eq!(m.limited_by(second), Some("network"));
        Meters::time(&m.waiting_ns, second);
        assert_eq!(m.limited_by(second), Some("server"));
        // What looked like waiting was the kernel sending.
        m.samples_queued.store(5, Relaxed);
        m.samples_empty.store(4, Relaxed);
        assert_eq!(m.limited_by(second), Some("network"));
        m.samples_empty.store(5, Relaxed);
        assert_eq!(m.limited_by(second), Some("server"));
        Meters::time(&m.moving_ns, 2 * second);
        assert_eq!(m.limited_by(second), Some("network"));
        Meters::time(&m.throttled_ns, 2 * second);
        assert_eq!(m.limited_by(second), Some("bwlimit"));
        Meters::time(&m.work_ns, 2 * second);
        Meters::time(&m.encoding_ns, second);
        assert_eq!(m.limited_by(second), Some("cpu"));
        Meters::time(&m.encoding_ns, 2 * second);
        Meters::time(&m.writing_ns, 2 * second);
        assert_eq!(m.limited_by(second), Some("destination"));
        Meters::time(&m.reading_ns, 3 * second);
        assert_eq!(m.limited_by(second), Some("source"));
        Meters::time(&m.reading_ns, 3 * second);
        Meters::time(&m.source_ns, 3 * second);
        assert_eq!(m.limited_by(second), Some("source"));
        Meters::time(&m.requests_ns, 3 * second);
        assert_eq!(m.limited_by(second), Some("bwlimit"));
        Meters::time(&m.sink_ns, 5 * second);
        assert_eq!(m.limited_by(second), Some("destination"));
    }
}
