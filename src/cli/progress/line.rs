//! A line of progress: how much is done, how fast it goes, and how much time is left.

use crate::event::Plan;
use crate::meters::Meters;
use crate::units::{bytes, per_second, time};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How long a phase has to run before its rate is meaningful.
const SETTLED: Duration = Duration::from_millis(500);

/// The phase of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has not started yet.
    Plan,
    /// It compares what an earlier run or the last transfer has left at the destination.
    ReadBack,
    /// It moves chunks.
    Transfer,
    /// It compares the source and the destination.
    Verify,
    /// It does the remaining work at the end.
    Finish,
}

/// The image bytes of each phase, as far as they are known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) transfer: u64,
    pub(super) read_back: Option<u64>,
    pub(super) verify: Option<u64>,
}

/// The state of a transfer when its progress is shown.
pub(super) struct Moment<'a> {
    pub(super) meters: &'a Meters,
    pub(super) totals: Totals,
    /// The value of `meters.verified` when the phase began.
    pub(super) verified: u64,
    pub(super) phase: Phase,
}

impl Phase {
    pub(super) fn of(number: u8) -> Self {
        [Phase::ReadBack, Phase::Transfer, Phase::Verify, Phase::Finish]
            .into_iter()
            .find(|phase| *phase as u8 == number)
            .unwrap_or(Phase::Plan)
    }

    /// Returns the phase's name in events.
    pub(super) fn name(self) -> &'static str {
        match self {
            Phase::Plan => "plan",
            Phase::ReadBack => "read back",
            Phase::Transfer => "transfer",
            Phase::Verify => "verify",
            Phase::Finish => "finish",
        }
    }
}

impl Totals {
    pub(super) fn of(plan: &Plan) -> Self {
        let sampled = plan.chunk_size * plan.chunks_total.div_ceil(100).max(8).min(plan.chunks_total);
        let verify = match &*plan.verify {
            "full" => Some(plan.size),
            "sample" => Some(sampled.min(plan.size)),
            _ => None,
        };
        // A migration reads both the source and the destination again.
        let verify = if plan.action == "migrate" { verify.map(|bytes| 2 * bytes) } else { verify };
        let read_back = match (&*plan.delta, &*plan.resume) {
            ("read back", _) => Some(plan.size),
            (_, "full") if plan.chunks_resumed > 0 => Some(plan.chunks_resumed * plan.chunk_size),
            _ => None,
        };
        Self { transfer: plan.size, read_back: read_back.map(|bytes| bytes.min(plan.size)), verify }
    }
}

impl Moment<'_> {
    /// Returns the image bytes done in this phase, and their total.
    pub(super) fn done(&self) -> (u64, Option<u64>) {
        let total = match self.phase {
            Phase::ReadBack => self.totals.read_back,
            Phase::Verify => self.totals.verify,
            Phase::Plan | Phase::Transfer | Phase::Finish => {
                let total = self.totals.transfer;
                let done = self.meters.image.load(Relaxed) + self.meters.in_flight_bytes();
                return (done.min(total), Some(total));
            }
        };
        let verified = self.meters.verified.load(Relaxed).saturating_sub(self.verified);
        let done = verified + self.meters.in_flight_bytes();
        (total.map_or(done, |total| done.min(total)), total)
    }

    /// Returns the line in at most `room` columns; the least important parts are omitted. `since` is when the
    /// phase began.
    pub(super) fn line(&self, since: Instant, room: usize) -> String {
        fit(&self.parts(since.elapsed()), room)
    }

    /// Returns the parts of the line, the most important first.
    fn parts(&self, elapsed: Duration) -> Vec<String> {
        let (done, total) = self.done();
        let transfers = matches!(self.phase, Phase::Plan | Phase::Transfer | Phase::Finish);
        let resumed = if transfers { self.meters.resumed.load(Relaxed) } else { 0 };
        let ours = done.saturating_sub(resumed);
        let rate = per_second(ours, elapsed);
        let what = match self.phase {
            Phase::ReadBack => "reading back ",
            Phase::Verify => "verifying ",
            Phase::Finish => "finishing ",
            Phase::Plan | Phase::Transfer => "",
        };
        let mut parts = vec![format!("{what}{}", amount(done, total))];
        if ours > 0 && elapsed >= SETTLED {
            parts.push(format!("{}/s", bytes(rate)));
            if let Some(left @ 1..) = total.and_then(|total| total.checked_sub(done)) {
                parts.push(format!("{} left", estimate((left / rate.max(1)).max(1))));
            }
        }
        let retries = self.meters.retries.load(Relaxed);
        match retries {
            0 => {}
            1 => parts.push("1 retry".to_owned()),
            n => parts.push(format!("{n} retries")),
        }
        let wire = self.meters.wire.load(Relaxed);
        if transfers && wire > 0 && ours > wire {
            parts.push(format!("{} sent, ratio {:.1}", bytes(wire), ours as f64 / wire as f64));
        }
        if let Some(limit) = self.meters.limited_by(elapsed) {
            parts.push(format!("limited by {limit}"));
        }
        parts
    }
}

/// Formats an estimate. Tenths of a second would suggest too much precision.
fn estimate(seconds: u64) -> String {
    if seconds < 60 { format!("{seconds} s") } else { time(Duration::from_secs(seconds)) }
}

/// Formats an amount and its total: `1.2 of 10.0 GiB`, `900.0 MiB of 10.0 GiB`, or `900.0 MiB` without a
/// total.
fn amount(done: u64, total: Option<u64>) -> String {
    let done = bytes(done);
    let Some(total) = total.map(bytes) else { return done };
    match (done.split_once(' '), total.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number} of {total}"),
        _ => format!("{done} of {total}"),
    }
}

/// Joins as many of the parts as fit, in order. The first one is always included.
fn fit(parts: &[String], room: usize) -> String {
    let mut line = String::new();
    for part in parts {
        let needed = line.chars().count() + 2 + part.chars().count();
        if line.is_empty() {
            line.push_str(part);
        } else if needed <= room {
            line.push_str(", ");
            line.push_str(part);
        } else {
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn moment(meters: &Meters, phase: Phase, verified: u64) -> Moment<'_> {
        let totals = Totals { transfer: 10 * GIB, read_back: None, verify: Some(GIB) };
        Moment { meters, totals, verified, phase }
    }

    #[test]
    fn a_line_is_never_wider_than_its_room() {
        let meters = Meters::default();
        meters.image.store(9 * GIB + GIB / 2, Relaxed);
        meters.wire.store(3 * GIB, Relaxed);
        meters.retries.store(1, Relaxed);
        let parts = moment(&meters, Phase::Transfer, 0).parts(Duration::from_millis(900));
        let all = "9.5 of 10.0 GiB, 10.6 GiB/s, 1 s left, 1 retry, 3.0 GiB sent, ratio 3.2";
        assert_eq!(parts.join(", "), all);
        for room in 0..=all.len() {
            let line = fit(&parts, room);
            assert!(line.len() <= room.max(15) && all.starts_with(&line), "{room}: {line}");
        }
        assert_eq!(fit(&parts, 40), "9.5 of 10.0 GiB, 10.6 GiB/s, 1 s left");
        // With a name of sixteen characters beside it, at 80 columns.
        assert!(fit(&parts, 80 - 18 - 17 - 1).ends_with("left"));
        // The first chunk does not yield a meaningful rate.
        assert_eq!(moment(&meters, Phase::Transfer, 0).parts(Duration::from_millis(499))[1], "1 retry");
        assert_eq!([estimate(59), estimate(130)], ["59 s", "2m 10s"]);
    }

    #[test]
    fn verification_and_reading_back_are_counted_by_themselves() {
        let meters = Meters::default();
        meters.image.store(10 * GIB, Relaxed);
        meters.verified.store(GIB + GIB / 2, Relaxed);
        let second = Duration::from_millis(999);
        let verifying = moment(&meters, Phase::Verify, GIB);
        assert_eq!(verifying.done(), (GIB / 2, Some(GIB)));
        assert!(verifying.parts(second)[0] == "verifying 512.0 MiB of 1.0 GiB");
        let back = moment(&meters, Phase::ReadBack, 0);
        assert_eq!(back.parts(second)[0], "reading back 1.5 GiB");
        assert_eq!(back.done().1, None);
        // What an earlier run has transferred does not count towards the rate of this one.
        meters.resumed.store(10 * GIB, Relaxed);
        assert_eq!(moment(&meters, Phase::Finish, 0).parts(second), ["finishing 10.0 of 10.0 GiB"]);
    }

    #[test]
    fn the_totals_follow_from_the_plan() {
        let plan =
            Plan { size: 1000, chunk_size: 10, chunks_total: 100, verify: "full".into(), ..Plan::default() };
        assert_eq!(Totals::of(&plan).verify, Some(1000));
        assert_eq!(Totals::of(&Plan { verify: "sample".into(), ..plan.clone() }).verify, Some(80));
        assert_eq!(Totals::of(&Plan { action: "migrate", ..plan.clone() }).verify, Some(2000));
        assert_eq!(Totals::of(&plan).read_back, None);
        assert_eq!(Totals::of(&Plan { delta: "read back".into(), ..plan.clone() }).read_back, Some(1000));
        let resumed = Plan { resume: "full".into(), chunks_resumed: 7, ..plan };
        assert_eq!(Totals::of(&resumed).read_back, Some(70));
    }
}
