//! What is remembered of a transfer for its report: bounded, however large the image is.
//!
//! The engine tells a [`Record`] what becomes of each chunk and how long each request took, and the [`Meters`] are sampled
//! into it. Without one in the [`Context`](crate::engine::Context) none of this costs anything.

mod cells;
mod latency;
mod rate;
#[cfg(test)]
mod tests;

pub use cells::{Cells, Fate, MOST_CELLS};
pub use latency::{BOUNDS_MS, Latencies};
pub use rate::{Point, Rate};

use crate::event::{Event, Plan, Stage};
use crate::meters::Meters;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most warnings and retries that are kept with their words; more are counted.
pub const MOST_NOTES: usize = 200;

/// The record of one transfer.
#[derive(Debug)]
pub struct Record {
    start: Instant,
    most_cells: u64,
    state: Mutex<State>,
}

/// What kind of request took so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A read of a chunk, or of a part of one.
    Read,
    /// A write of a chunk.
    Write,
}

/// A warning or a retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When, from the start of the record.
    pub at: Duration,
    /// `warning` or `retry`.
    pub kind: &'static str,
    /// What it says. It may have words of a server in it.
    pub text: String,
}

/// What a record holds.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// What was planned; none if it did not come to that.
    pub plan: Option<Plan>,
    /// What has become of the chunks, place by place.
    pub cells: Cells,
    /// How long reads took.
    pub reads: Latencies,
    /// How long writes took.
    pub writes: Latencies,
    /// The bytes moved over time.
    pub rate: Rate,
    /// Warnings and retries, the first [`MOST_NOTES`] of them.
    pub notes: Vec<Note>,
    /// How many more there were.
    pub notes_left_out: u64,
    /// Chunks an attempt at which has failed. As many as are on their way at a time: each leaves when it is settled or fails.
    retried: BTreeSet<u64>,
    /// Whether what is compared now is the work of an earlier run.
    proving: bool,
}

impl Default for Record {
    fn default() -> Self {
        Self::new(MOST_CELLS)
    }
}

impl Record {
    /// A record that tells at most so many places apart.
    pub fn new(most_cells: u64) -> Self {
        Self { start: Instant::now(), most_cells, state: Mutex::default() }
    }

    /// Takes an event.
    pub fn observe(&self, event: &Event) {
        match event {
            Event::Plan(plan) => {
                let mut state = self.lock();
                state.cells = Cells::new(plan.chunks_total, self.most_cells);
                state.proving = plan.action != "verify";
                state.plan = Some((**plan).clone());
            }
            Event::Retry { what, offset, attempt, error, .. } => {
                let place = offset.map(|offset| format!(" at offset {offset}")).unwrap_or_default();
                self.note("retry", format!("{what}{place}: attempt {attempt} failed: {error}"));
            }
            Event::Warning(text) | Event::InUse(text) => self.note("warning", text.clone()),
            Event::Leftover { remote, disk } => {
                self.note(
                    "warning",
                    format!("{remote}:{disk}, which the interrupted run made, is left unused"),
                );
            }
            Event::Stage(Stage::Transfer) => self.lock().proving = false,
            Event::Note(_) | Event::Stage(_) => {}
        }
    }

    /// Notes what has become of a chunk.
    pub fn chunk(&self, index: u64, fate: Fate) {
        let mut state = self.lock();
        if matches!(fate, Fate::Verified | Fate::Differs) && state.proving {
            return;
        }
        let was_retried = state.retried.remove(&index);
        state.cells.add(index, fate);
        if was_retried && fate == Fate::Sent {
            state.cells.add(index, Fate::Retried);
        }
    }

    /// Takes back that a chunk needed no transfer: it is transferred after all.
    pub fn take_back_zero(&self, index: u64) {
        self.lock().cells.take(index, Fate::Zero);
    }

    /// Notes how long an attempt at a chunk took, and whether it succeeded.
    pub fn attempt(&self, index: u64, request: Request, took: Duration, succeeded: bool) {
        let mut state = self.lock();
        match request {
            Request::Read => state.reads.add(took),
            Request::Write => state.writes.add(took),
        }
        if !succeeded {
            state.retried.insert(index);
        }
    }

    /// Notes what the counters say now, if it is time to.
    pub fn sample(&self, meters: &Meters) {
        let at = self.start.elapsed();
        self.lock().rate.sample(at, meters);
    }

    /// The same, whatever the time: at the end.
    pub fn sample_last(&self, meters: &Meters) {
        let at = self.start.elapsed();
        self.lock().rate.push(at, meters);
    }

    /// How long the record has been kept.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// What it holds now.
    pub fn snapshot(&self) -> State {
        self.lock().clone()
    }

    fn note(&self, kind: &'static str, text: String) {
        let at = self.start.elapsed();
        let mut state = self.lock();
        if state.notes.len() < MOST_NOTES {
            state.notes.push(Note { at, kind, text });
        } else {
            state.notes_left_out += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
