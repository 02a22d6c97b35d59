//! Progress: bars on a terminal, events with `--json`, and otherwise, with `-v`, a line at intervals.

mod line;

use super::output::Output;
use crate::event::{Plan, Stage};
use crate::meters::Meters;
pub use crate::units::per_second;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use line::{Moment, Phase, Totals};
use serde_json::json;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The interval between redraws of a bar.
const REDRAW: Duration = Duration::from_millis(100);

/// The interval between progress events.
const REPORT: Duration = Duration::from_secs(1);

/// The interval between progress lines when there is no terminal.
const LINES: Duration = Duration::from_secs(30);

/// The progress of a transfer, as messages and stages use it. Clones share the same state.
#[derive(Clone)]
pub struct Bar {
    /// `None` if no bar is drawn.
    drawn: Option<ProgressBar>,
    meters: Arc<Meters>,
    phase: Arc<AtomicU8>,
    /// The value of `meters.verified` when the phase began, since reading back and verifying are counted
    /// separately.
    verified: Arc<AtomicU64>,
    verifies_only: bool,
}

impl Bar {
    fn new(drawn: Option<ProgressBar>, meters: &Arc<Meters>, verifies_only: bool) -> Self {
        let phase = Arc::new(AtomicU8::new(Phase::Plan as u8));
        Self { drawn, meters: Arc::clone(meters), phase, verified: Arc::default(), verifies_only }
    }

    /// Records the stage of the transfer. A verification before anything was transferred reads back what an
    /// earlier run has written.
    pub fn stage(&self, stage: Stage) {
        let before = Phase::of(self.phase.load(Relaxed));
        let phase = match stage {
            Stage::Transfer => Phase::Transfer,
            Stage::Finish => Phase::Finish,
            Stage::Verify if self.verifies_only => Phase::Verify,
            Stage::Verify if matches!(before, Phase::Plan | Phase::ReadBack) => Phase::ReadBack,
            Stage::Verify => Phase::Verify,
        };
        if phase != before {
            self.verified.store(self.meters.verified.load(Relaxed), Relaxed);
            self.phase.store(phase as u8, Relaxed);
        }
    }

    /// Calls `print`, which may write to the terminal, while the bar is hidden.
    pub fn suspend(&self, print: impl FnOnce()) {
        match &self.drawn {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    fn phase(&self) -> Phase {
        Phase::of(self.phase.load(Relaxed))
    }
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Bars,
    Events,
    Lines,
}

impl Way {
    /// Returns how to show progress, or `None` if it is not shown.
    fn of(output: &Output) -> Option<Self> {
        match output {
            output if output.draws_bars() => Some(Way::Bars),
            output if output.is_json() => Some(Way::Events),
            output if output.is_verbose() => Some(Way::Lines),
            _ => None,
        }
    }

    fn every(self) -> Duration {
        match self {
            Way::Bars => REDRAW,
            Way::Events => REPORT,
            Way::Lines => LINES,
        }
    }
}

/// The bars of a set: one for each running member, and below them one for the whole set.
#[derive(Clone)]
pub struct Group(Arc<GroupState>);

struct GroupState {
    bars: MultiProgress,
    whole: OnceLock<ProgressBar>,
    start: Instant,
    members: usize,
    ended: AtomicUsize,
    /// The bytes of all members according to a list of the drives, until their plans are known.
    listed: u64,
    all: Mutex<Vec<Arc<Meters>>>,
    planned: AtomicU64,
}

impl Group {
    /// Creates the bars of a set. `listed` is the number of image bytes, as far as it is known.
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

    /// Adds a member's counters to those of the set.
    pub fn add(&self, meters: &Arc<Meters>) {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(meters));
    }

    /// Counts a member that has ended.
    pub fn ended(&self) {
        self.0.ended.fetch_add(1, Relaxed);
    }

    /// Returns the sum of all members' counters.
    pub fn sum(&self) -> Meters {
        Meters::sum(self.0.all.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|meters| &**meters))
    }

    /// Returns how long the set has been running.
    pub fn elapsed(&self) -> Duration {
        self.0.start.elapsed()
    }

    /// Shows the progress of the whole set until the returned value is dropped.
    pub fn start(&self, output: &Output) -> Progress {
        let Some(way) = Way::of(output) else { return Progress::default() };
        let drawn = (way == Way::Bars).then(|| {
            let bar = self.0.bars.add(new_bar(""));
            let _ = self.0.whole.set(bar.clone());
            bar
        });
        let bar = Bar::new(drawn, &Arc::default(), false);
        output.set_bar(Some(bar.clone()));
        let (group, output) = (self.clone(), output.clone());
        Progress::spawn(way, bar.clone(), move || {
            let state = &group.0;
            let meters = group.sum();
            let totals =
                Totals { transfer: state.listed.max(state.planned.load(Relaxed)), ..Totals::default() };
            let moment = Moment { meters: &meters, totals, verified: 0, phase: Phase::Transfer };
            let ended = state.ended.load(Relaxed);
            let count = format!("{ended} of {} done", state.members);
            match (way, &bar.drawn) {
                (Way::Bars, Some(bar)) => draw(bar, &moment, Some(count), state.start),
                (Way::Events, _) => {
                    let mut fields = report(&moment, state.start);
                    fields["set"] = true.into();
                    (fields["members_ended"], fields["members_total"]) = (ended.into(), state.members.into());
                    output.event("progress", fields);
                }
                _ => output.note(&format!("{count}, {}", moment.line(state.start, usize::MAX))),
            }
        })
    }

    fn member(&self, label: &str) -> ProgressBar {
        match self.0.whole.get() {
            Some(whole) => self.0.bars.insert_before(whole, new_bar(label)),
            None => self.0.bars.add(new_bar(label)),
        }
    }
}

/// The maximum number of characters of a name beside a bar.
const LABEL: usize = 16;

/// The columns beside the message of a bar: the bar, the percentage and the spaces around them.
const AROUND: usize = 12 + 6;

fn new_bar(label: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
    let style = ProgressStyle::with_template("{prefix}{bar:12.cyan/blue} {percent:>3}% {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    if !label.is_empty() {
        bar.set_prefix(format!("{:LABEL$} ", shortened(label)));
    }
    bar
}

/// Shortens a name in its middle if it is too long, since the end of a name is often more specific than its
/// start.
fn shortened(label: &str) -> String {
    let label: Vec<char> = crate::escape::line(label).chars().collect();
    if label.len() <= LABEL {
        return label.into_iter().collect();
    }
    let (start, end) = (LABEL / 2 - 1, LABEL / 2);
    label[..start].iter().chain(&['…']).chain(&label[label.len() - end..]).collect()
}

/// Draws a bar. `first` comes before the rest of the message.
fn draw(bar: &ProgressBar, moment: &Moment<'_>, first: Option<String>, since: Instant) {
    let (done, total) = moment.done();
    bar.set_length(total.unwrap_or(0));
    bar.set_position(done);
    let columns =
        rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| usize::from(size.ws_col));
    let beside = AROUND + bar.prefix().chars().count() + first.as_ref().map_or(0, |first| first.len() + 2);
    let line = moment.line(since, columns.saturating_sub(beside + 1));
    bar.set_message(first.into_iter().chain([line]).collect::<Vec<_>>().join(", "));
}

/// Returns the label of a transfer's bar: the file's name, if there is a file.
fn label(plan: &Plan) -> &str {
    let name = match plan.action {
        "download" => &plan.to,
        _ => &plan.from,
    };
    name.rsplit('/').find(|part| !part.is_empty()).unwrap_or(name)
}

/// Shows progress until it is dropped.
#[derive(Default)]
pub struct Progress {
    ending: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    bar: Option<Bar>,
}

impl Progress {
    /// Starts to show the progress of a transfer, if progress is shown at all. `group` is the set that the
    /// transfer belongs to.
    pub fn start(output: &Output, meters: &Arc<Meters>, plan: &Plan, group: Option<&Group>) -> Self {
        if let Some(group) = group {
            group.0.planned.fetch_add(plan.size, Relaxed);
        }
        let Some(way) = Way::of(output) else { return Self::default() };
        let drawn = (way == Way::Bars).then(|| {
            if let Some(group) = group {
                return group.member(output.member().unwrap_or_default());
            }
            let bar = new_bar(label(plan));
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar
        });
        let bar = Bar::new(drawn, meters, plan.action == "verify");
        output.set_bar(Some(bar.clone()));
        let (output, meters, totals) = (output.clone(), Arc::clone(meters), Totals::of(plan));
        let label = if group.is_some() { String::new() } else { format!("{}: ", label(plan)) };
        let start = Instant::now();
        let (mut phase, mut since) = (Phase::Plan, start);
        Self::spawn(way, bar.clone(), move || {
            if phase != bar.phase() {
                (phase, since) = (bar.phase(), Instant::now());
            }
            let moment = Moment { meters: &meters, totals, verified: bar.verified.load(Relaxed), phase };
            match (way, &bar.drawn) {
                (Way::Bars, Some(bar)) => draw(bar, &moment, None, since),
                (Way::Events, _) => output.event("progress", report(&moment, start)),
                _ => output.note(&format!("{label}{}", moment.line(since, usize::MAX))),
            }
        })
    }

    /// Calls `show` at regular intervals.
    fn spawn(way: Way, bar: Bar, mut show: impl FnMut() + Send + 'static) -> Self {
        let (ending, end) = channel();
        let mut next = Instant::now() + way.every();
        let thread = std::thread::Builder::new().name("progress".into()).spawn(move || {
            let wait = |until: Instant| end.recv_timeout(until.saturating_duration_since(Instant::now()));
            while wait(next) == Err(RecvTimeoutError::Timeout) {
                show();
                next = next_beat(next, Instant::now(), way.every());
            }
        });
        // Without the thread there is no progress, which is no reason to fail.
        Self { ending: Some(ending), thread: thread.ok(), bar: Some(bar) }
    }
}

/// Returns the first beat after `now`, of those that follow `last` at intervals of `every`.
fn next_beat(last: Instant, now: Instant, every: Duration) -> Instant {
    let missed = now.saturating_duration_since(last).as_nanos() / every.as_nanos();
    last + every * u32::try_from(missed + 1).unwrap_or(u32::MAX)
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.ending = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(Bar { drawn: Some(bar), .. }) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Returns the fields of a progress event.
fn report(moment: &Moment<'_>, start: Instant) -> serde_json::Value {
    let m = moment.meters;
    json!({
            "stage": moment.phase.name(),
            "bytes_done": m.image.load(Relaxed),
            "bytes_total": moment.totals.transfer,
            "bytes_wire": m.wire.load(Relaxed),
            "bytes_verified": m.verified.load(Relaxed),
            "retries": m.retries.load(Relaxed),
            "in_flight": m.in_flight.load(Relaxed),
            "elapsed_s": start.elapsed().as_secs_f64(),
            "limited_by": m.limited_by(start.elapsed()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_its_end() {
        assert_eq!(shortened("web.img"), "web.img");
        assert_eq!(shortened("backup-of-web-2026.img"), "backup-…2026.img");
        assert_eq!(shortened("backup-of-web-2026.img").chars().count(), LABEL);
        let plan = |action, from: &str, to: &str| Plan {
            action,
            from: from.into(),
            to: to.into(),
            ..Plan::default()
        };
        assert_eq!(label(&plan("upload", "/srv/a b/web.img", "oh:d")), "web.img");
        assert_eq!(label(&plan("download", "oh:d", "/srv/web.img")), "web.img");
        assert_eq!(label(&plan("migrate", "oh:d", "eh:")), "oh:d");
    }

    #[test]
    fn what_is_compared_first_is_an_earlier_runs_work() {
        let meters = Arc::new(Meters::default());
        let bar = Bar::new(None, &meters, false);
        let stages = [
            (Stage::Verify, Phase::ReadBack),
            (Stage::Verify, Phase::ReadBack),
            (Stage::Transfer, Phase::Transfer),
            (Stage::Verify, Phase::Verify),
            (Stage::Finish, Phase::Finish),
        ];
        for (stage, phase) in stages {
            meters.verified.fetch_add(10, Relaxed);
            bar.stage(stage);
            assert_eq!(bar.phase(), phase);
        }
        assert_eq!(bar.verified.load(Relaxed), 50, "what was counted when the last phase began");
        let only = Bar::new(None, &meters, true);
        only.stage(Stage::Verify);
        assert_eq!(only.phase(), Phase::Verify);
    }

    #[test]
    fn the_beat_is_steady() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        // The next beat does not depend on how long showing took. A missed beat is skipped.
        assert_eq!(next_beat(at(100), at(100), REDRAW), at(200));
        assert_eq!(next_beat(at(100), at(199), REDRAW), at(200));
        assert_eq!(next_beat(at(100), at(200), REDRAW), at(300));
        assert_eq!(next_beat(at(100), at(950), REDRAW), at(1000));
    }
}
