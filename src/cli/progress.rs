//! Progress: a bar on a terminal, events with `--json`, nothing otherwise.

use super::output::{Output, bytes};
use crate::event::Stage;
use crate::meters::Meters;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
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
            let done = self.meters.verified.load(Relaxed) + self.meters.on_the_way();
            let done = done.min(self.verify_total);
            return (done, self.verify_total, done);
        }
        let done = (self.meters.image.load(Relaxed) + self.meters.on_the_way()).min(self.total);
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

/// Bytes a second.
pub fn per_second(bytes: u64, elapsed: Duration) -> u64 {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    bytes.saturating_mul(1000) / millis
}

fn time(s: u64) -> String {
    if s >= 3600 {
        format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
    } else {
        format!("{}:{:02}", s / 60, s % 60)
    }
}

/// Draws or reports until it is dropped.
pub struct Progress {
    ending: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts, if there is anything to be shown. `total` and `verify_total` in image bytes.
    pub fn start(output: &Output, meters: &Arc<Meters>, total: u64, verify_total: u64) -> Self {
        let none = Self { ending: None, thread: None };
        if !output.draws_bars() && !output.is_json() {
            return none;
        }
        let bar = output.draws_bars().then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{bar:16.cyan/blue} {percent:>3}% {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            Bar { bar, stage: Arc::default() }
        });
        output.set_bar(bar.clone());
        let (ending, end) = channel();
        let (output, meters) = (output.clone(), Arc::clone(meters));
        let thread = std::thread::Builder::new().name("progress".into()).spawn(move || {
            let look = Look { meters: &meters, total, verify_total, start: Instant::now() };
            let mut stage = 0;
            let mut since = look.start;
            let every = if bar.is_some() { REDRAW } else { REPORT };
            while end.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let Some(bar) = &bar else {
                    report(&output, &look);
                    continue;
                };
                let now = bar.stage.load(Relaxed);
                if now != stage {
                    (stage, since) = (now, Instant::now());
                }
                let (done, total, _) = look.done(stage);
                bar.bar.set_length(total);
                bar.bar.set_position(done);
                bar.bar.set_message(look.line(stage, since));
            }
            if let Some(bar) = bar {
                bar.bar.finish_and_clear();
            }
        });
        // Without the thread there is no bar, which is no reason to fail.
        Self { ending: Some(ending), thread: thread.ok() }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.ending = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn report(output: &Output, look: &Look<'_>) {
    let m = look.meters;
    output.event(
        "progress",
        json!({
            "bytes_done": m.image.load(Relaxed),
            "bytes_total": look.total,
            "bytes_wire": m.wire.load(Relaxed),
            "bytes_verified": m.verified.load(Relaxed),
            "retries": m.retries.load(Relaxed),
            "in_flight": m.in_flight.load(Relaxed),
            "elapsed_s": look.start.elapsed().as_secs_f64(),
            "limited_by": m.limited_by(look.start.elapsed()),
        }),
    );
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_for_people() {
        assert_eq!(time(5), "0:05");
        assert_eq!(time(65), "1:05");
        assert_eq!(time(3_700), "1:01:40");
        assert_eq!(super::per_second(10, std::time::Duration::from_millis(500)), 20);
    }
}
