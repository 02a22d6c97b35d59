//! A transfer, or a set of them, as a self-contained HTML page without scripts.
//!
//! [`Report::html`] draws a [`Record`](crate::record::Record) and the summary. However large the image or the
//! set, the page has at most about 4,000 squares of maps, 600 points of a rate and 500 notes.

mod basis;
mod charts;
mod figures;
mod html;
mod map;
mod page;
#[cfg(test)]
mod tests;

use crate::event::Summary;
use crate::record::{ChunkOutcome, Rate, State};
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// The data of a page. All text is escaped when it is drawn; secrets have to be removed before.
#[derive(Clone, Debug)]
pub struct Report {
    /// The action, such as `download`.
    pub action: String,
    /// The command in shell syntax.
    pub command: String,
    /// When the command began.
    pub began: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub ending: Ending,
    /// The summary as in `--json`, if there is one.
    pub summary: Option<Value>,
    /// The bytes transferred over time, of all parts together.
    pub rate: Rate,
    /// The transfers: one, or the members of a set.
    pub parts: Vec<Part>,
    /// Whether it is a set.
    pub is_set: bool,
}

/// How a command ended.
#[derive(Clone, Debug, Default)]
pub struct Ending {
    /// The exit status.
    pub status: u8,
    /// The error, if there was one.
    pub error: Option<String>,
    /// The hint of the error.
    pub hint: Option<String>,
    /// The command that resumes, if anything can be resumed.
    pub resume: Option<String>,
}

/// A transfer.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// The name of what is transferred.
    pub name: String,
    /// The recorded data.
    pub state: State,
    /// The result, if it succeeded.
    pub summary: Option<Summary>,
    /// The error, if it failed.
    pub error: Option<String>,
    /// The number of flushes that the remote confirmed.
    pub flushes: u64,
}

impl Part {
    /// Returns what is known about a transfer without a summary, under the same keys.
    pub fn so_far(&self, wire: u64, retries: u64, took: Duration) -> Value {
        let (cells, plan) = (&self.state.cells, self.state.plan.as_ref());
        let count = |outcome| cells.total(outcome);
        serde_json::json!({
            "drive": plan.and_then(|plan| plan.drive.clone()),
            "size": plan.map(|plan| plan.size),
            "chunk_size": plan.map(|plan| plan.chunk_size),
            "chunks_total": cells.chunks(),
            "chunks_sent": count(ChunkOutcome::Sent),
            "chunks_zero": count(ChunkOutcome::Zero),
            "chunks_unchanged": count(ChunkOutcome::Unchanged),
            "chunks_resumed": count(ChunkOutcome::Resumed),
            "chunks_verified": count(ChunkOutcome::Verified),
            "bytes_wire": wire,
            "retries": retries,
            "elapsed_s": (took.as_secs_f64() * 1000.0).round() / 1000.0,
        })
    }
}

impl Report {
    /// Returns the page.
    pub fn html(&self) -> String {
        page::page(self)
    }
}
