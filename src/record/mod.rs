//! Collects the data of a transfer's report, in bounded memory whatever the size of the image.
//!
//! The engine tells a [`Record`] the outcome of each chunk and the duration of each request, and the
//! [`Meters`] are sampled into it. If the [`Context`](crate::engine::Context) has no record, nothing of this
//! is done.

mod cells;
mod latency;
mod rate;
#[cfg(test)]
mod tests;

pub use cells::{Cells, ChunkOutcome, MOST_CELLS};
pub use latency::{BOUNDS_MS, Latencies};
pub use rate::{Point, Rate};

use crate::event::{Event, Plan, Stage};
use crate::meters::Meters;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most warnings and retries whose text is kept; more are only counted.
pub const MOST_NOTES: usize = 200;

/// The record of a transfer.
#[derive(Debug)]
pub struct Record {
    start: Instant,
    most_cells: u64,
    state: Mutex<State>,
}

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A read of a chunk or of a part of one.
    Read,
    /// A write of a chunk.
    Write,
}

/// A warning or a retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The time since the start of the record.
    pub at: Duration,
    /// `warning` or `retry`.
    pub kind: &'static str,
    /// The message. It may contain text from a server.
    pub text: String,
}

/// The contents of a record.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The plan, if there was one.
    pub plan: Option<Plan>,
    /// The outcomes of the chunks.
    pub cells: Cells,
    /// The latencies of reads.
    pub reads: Latencies,
    /// The latencies of writes.
    pub writes: Latencies,
    /// The bytes transferred over time.
    pub rate: Rate,
    /// The first [`MOST_NOTES`] warnings and retries.
    pub notes: Vec<Note>,
    /// How many more there were.
    pub notes_left_out: u64,
    /// Chunks with a failed attempt that are neither settled nor failed: at most as many as are in flight.
    retried: BTreeSet<u64>,
    /// Whether the current comparison checks the work of an earlier run.
    proving: bool,
}

impl Default for Record {
    fn default() -> Self {
        Self::new(MOST_CELLS)
    }
}

impl Record {
    /// Creates a record with at most `most_cells` cells.
    pub fn new(most_cells: u64) -> Self {
        Self { start: Instant::now(), most_cells, state: Mutex::default() }
    }

    /// Records an event.
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
            Event::Leftover { remote, disk, .. } => {
                self.note(
                    "warning",
                    format!("{remote}:{disk}, which the interrupted run made, is left unused"),
                );
            }
            Event::Stage(Stage::Transfer) => self.lock().proving = false,
            Event::Note(_) | Event::Stage(_) => {}
        }
    }

    /// Records the outcome of a chunk.
    pub fn chunk(&self, index: u64, outcome: ChunkOutcome) {
        let mut state = self.lock();
        if matches!(outcome, ChunkOutcome::Verified | ChunkOutcome::Differs) && state.proving {
            return;
        }
        let was_retried = state.retried.remove(&index);
        state.cells.add(index, outcome);
        if was_retried && outcome == ChunkOutcome::Sent {
            state.cells.add(index, ChunkOutcome::Retried);
        }
    }

    /// Removes a chunk from those that needed no transfer, because it is transferred after all.
    pub fn take_back_zero(&self, index: u64) {
        self.lock().cells.take(index, ChunkOutcome::Zero);
    }

    /// Records the duration of an attempt at a chunk, and whether it succeeded.
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

    /// Samples the counters if the last sample is old enough.
    pub fn sample(&self, meters: &Meters) {
        let at = self.start.elapsed();
        self.lock().rate.sample(at, meters);
    }

    /// Samples the counters in any case, at the end.
    pub fn sample_last(&self, meters: &Meters) {
        let at = self.start.elapsed();
        self.lock().rate.push(at, meters);
    }

    /// Returns the time since the record was created.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Returns a copy of the contents.
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
