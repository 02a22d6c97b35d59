//! Progress: a bar on a terminal, events with `--json`, nothing otherwise.

use super::output::{Output, bytes};
use crate::event::Stage;
use crate::meters::Meters;
pub use crate::units::per_second;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often a bar is drawn.
const REDRAW: Duration = Duration::from_millis(100);

/// How often an event tells the progress.
const REPORT: Duration = Duration::from_secs(1);

/// A bar.
#[derive(Clone)]
pub struct Bar {
    bar: ProgressBar,
    stage: Arc<AtomicU8>,
}

impl Bar {
    /// Notes the stage of the transfer.
    pub fn stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Relaxed);
    }

    /// Runs something that writes to the terminal while the bar is out of the way.
    pub fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }
}

/// What is known when something is drawn.
struct Look<'a> {
    meters: &'a Meters,
    total: u64,
    verify_total: u64,
    start: Instant,
}

impl Look<'_> {
    /// Image bytes done, of how many, and how many of them this run has done.
    fn done(&self, stage: u8) -> (u64, u64, u64) {
        if stage == Stage::Verify as u8 && self.verify_total > 0 {
            let done = self.meters.verified.load(Relaxed) + self.meters.in_flight_bytes();
            let done = done.min(self.verify_total);
            return (done, self.verify_total, done);
        }
        let done = (self.meters.image.load(Relaxed) + self.meters.in_flight_bytes()).min(self.total);
        (done, self.total, done.saturating_sub(self.meters.resumed.load(Relaxed)))
    }

    fn line(&self, stage: u8, since: Instant) -> String {
        let (done, total, ours) = self.done(stage);
        let rate = per_second(ours, since.elapsed());
        let wire = self.meters.wire.load(Relaxed);
        // What matters most comes first: a narrow terminal cuts the end off.
        let mut parts = vec![format!("{} of {}", bytes(done), bytes(total)), format!("{}/s", bytes(rate))];
        if ours > 0 && total > done {
            parts.push(format!("{} left", time((total - done) / rate.max(1))));
        }
        if stage == Stage::Verify as u8 {
            parts.push("verifying".into());
        } else if stage == Stage::Finish as u8 {
            parts.push("finishing".into());
        } else {
            parts.push(format!("{} wire", bytes(wire)));
            if wire > 0 && ours > wire {
                parts.push(format!("ratio {:.1}", ours as f64 / wire as f64));
            }
        }
        let retries = self.meters.retries.load(Relaxed);
        if retries > 0 {
            parts.push(format!("{retries} retries"));
        }
        if let Some(limit) = self.meters.limited_by(self.start.elapsed()) {
            parts.push(format!("limit: {limit}"));
        }
        parts.join(", ")
    }
}

fn time(s: u64) -> String {
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}

/// The bars of a set: one for each member that runs, and below them one for the whole.
#[derive(Clone)]
pub struct Group(Arc<GroupState>);

struct GroupState {
    bars: MultiProgress,
    whole: OnceLock<ProgressBar>,
    start: Instant,
    members: usize,
    ended: AtomicUsize,
    /// The bytes that are known to be moved, before the members' plans tell.
    listed: u64,
    all: Mutex<Vec<Arc<Meters>>>,
    planned: AtomicU64,
}

impl Group {
    /// A set of so many members, of so many image bytes as far as that is known.
    pub fn new(output: &Output, members: usize, listed: u64) -> Self {
        let target =
            if output.draws_bars() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let state = GroupState {
            bars: MultiProgress::with_draw_target(target),
            whole: OnceLock::new(),
            start: Instant::now(),
            members,
            ended: AtomicUsize::new(0),
            listed,
            all: Mutex::default(),
            planned: AtomicU64::new(0),
        };
        Self(Arc::new(state))
    }

    /// Counts a member's bytes among those of the whole.
    pub fn add(&self, meters: &Arc<Meters>) {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(meters));
    }

    /// A member has ended.
    pub fn ended(&self) {
        self.0.ended.fetch_add(1, Relaxed);
    }

    /// The counters of all members together.
    pub fn sum(&self) -> Meters {
        Meters::sum(self.0.all.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|meters| &**meters))
    }

    /// How long the set has run.
    pub fn elapsed(&self) -> Duration {
        self.0.start.elapsed()
    }

    /// Draws or reports the whole until what is returned is dropped.
    pub fn start(&self, output: &Output) -> Progress {
        if !output.draws_bars() && !output.is_json() {
            return Progress::default();
        }
        let bar = output.draws_bars().then(|| {
            let bar = self.0.bars.add(new_bar(""));
            let _ = self.0.whole.set(bar.clone());
            Bar { bar, stage: Arc::default() }
        });
        output.set_bar(bar.clone());
        let (group, output) = (self.clone(), output.clone());
        Progress::spawn(bar.clone(), move || {
            let state = &group.0;
            let meters = group.sum();
            let total = state.listed.max(state.planned.load(Relaxed));
            let look = Look { meters: &meters, total, verify_total: 0, start: state.start };
            let ended = state.ended.load(Relaxed);
            let Some(bar) = &bar else {
                let mut fields = report(&look);
                fields["set"] = true.into();
                (fields["members_ended"], fields["members_total"]) = (ended.into(), state.members.into());
                output.event("progress", fields);
                return;
            };
            let (done, total, _) = look.done(0);
            bar.bar.set_length(total);
            bar.bar.set_position(done);
            bar.bar.set_message(format!("{ended} of {}, {}", state.members, look.line(0, state.start)));
        })
    }

    fn member(&self, label: &str) -> ProgressBar {
        match self.0.whole.get() {
            Some(whole) => self.0.bars.insert_before(whole, new_bar(label)),
            None => self.0.bars.add(new_bar(label)),
        }
    }
}

/// The most characters of a member's name beside its bar.
const LABEL: usize = 16;

fn new_bar(label: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
    let style = ProgressStyle::with_template("{prefix}{bar:16.cyan/blue} {percent:>3}% {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    if !label.is_empty() {
        let label: String = crate::escape::line(label).chars().take(LABEL).collect();
        bar.set_prefix(format!("{label:LABEL$} "));
    }
    bar
}

/// Draws or reports until it is dropped.
#[derive(Default)]
pub struct Progress {
    ending: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    bar: Option<Bar>,
}

impl Progress {
    /// Starts, if there is anything to be shown. `total` and `verify_total` in image bytes; `group`: whose member it is.
    pub fn start(
        output: &Output,
        meters: &Arc<Meters>,
        total: u64,
        verify_total: u64,
        group: Option<&Group>,
    ) -> Self {
        if let Some(group) = group {
            group.0.planned.fetch_add(total, Relaxed);
        }
        if !output.draws_bars() && !output.is_json() {
            return Self::default();
        }
        let bar = output.draws_bars().then(|| {
            let bar = if let Some(group) = group {
                group.member(output.member().unwrap_or_default())
            } else {
                let bar = new_bar("");
                bar.set_draw_target(ProgressDrawTarget::stderr());
                bar
            };
            bar.set_length(total);
            Bar { bar, stage: Arc::default() }
        });
        output.set_bar(bar.clone());
        let (output, meters) = (output.clone(), Arc::clone(meters));
        let start = Instant::now();
        let (mut stage, mut since) = (0, start);
        Self::spawn(bar.clone(), move || {
            let look = Look { meters: &meters, total, verify_total, start };
            let Some(bar) = &bar else {
                return output.event("progress", report(&look));
            };
            let now = bar.stage.load(Relaxed);
            if now != stage {
                (stage, since) = (now, Instant::now());
            }
            let (done, total, _) = look.done(stage);
            bar.bar.set_length(total);
            bar.bar.set_position(done);
            bar.bar.set_message(look.line(stage, since));
        })
    }

    /// Calls `show` every so often, as bars or events want it.
    fn spawn(bar: Option<Bar>, mut show: impl FnMut() + Send + 'static) -> Self {
        let (ending, end) = channel();
        let every = if bar.is_some() { REDRAW } else { REPORT };
        let thread = std::thread::Builder::new().name("progress".into()).spawn(move || {
            while end.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                show();
            }
        });
        // Without the thread there is no bar, which is no reason to fail.
        Self { ending: Some(ending), thread: thread.ok(), bar }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.ending = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(bar) = self.bar.take() {
            bar.bar.finish_and_clear();
        }
    }
}

/// What an event tells.
fn report(look: &Look<'_>) -> serde_json::Value {
    let m = look.meters;
    json!({
            "bytes_done": m.image.load(Relaxed),
            "bytes_total": look.total,
            "bytes_wire": m.wire.load(Relaxed),
            "bytes_verified": m.verified.load(Relaxed),
            "retries": m.retries.load(Relaxed),
            "in_flight": m.in_flight.load(Relaxed),
            "elapsed_s": look.start.elapsed().as_secs_f64(),
            "limited_by": m.limited_by(look.start.elapsed()),
    })
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_for_people() {
        assert_eq!(time(5), "0:05");
        assert_eq!(time(65), "1:05");
        assert_eq!(time(3_700), "1:01:40");
    }
}
