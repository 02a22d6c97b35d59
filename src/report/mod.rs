//! A transfer, or a set of them, as one page to look at: HTML with everything in it, no script, nothing fetched.
//!
//! Data in, text out: [`Report::html`] draws what a [`Record`](crate::record::Record) and the summary say. However large the image
//! or the set was, the page has at most some 4,000 places of a map, 600 points of a rate and 500 notes.

mod basis;
mod charts;
mod figures;
mod html;
mod map;
mod page;
#[cfg(test)]
mod tests;

use crate::event::Summary;
use crate::record::{Fate, Rate, State};
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// What a page is made of. All text in it is escaped when it is drawn; secrets have to be hidden before.
#[derive(Clone, Debug)]
pub struct Report {
    /// As in `download`.
    pub action: String,
    /// The command, as a shell would take it.
    pub command: String,
    /// When it began.
    pub began: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// How it ended.
    pub ending: Ending,
    /// The summary as `--json` has it; none if it did not come to one.
    pub summary: Option<Value>,
    /// The bytes moved over time, of all parts together.
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
    /// What its hint says.
    pub hint: Option<String>,
    /// The command that goes on, where there is something to go on with.
    pub resume: Option<String>,
}

/// One transfer.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// What is moved.
    pub name: String,
    /// What was recorded of it.
    pub state: State,
    /// What was done, if it was done.
    pub summary: Option<Summary>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// Flushes that the far end has confirmed.
    pub flushes: u64,
}

impl Part {
    /// What is known of a transfer that did not come to a summary, under the same keys.
    pub fn so_far(&self, wire: u64, retries: u64, took: Duration) -> Value {
        let (cells, plan) = (&self.state.cells, self.state.plan.as_ref());
        let count = |fate| cells.total(fate);
        serde_json::json!({
            "drive": plan.and_then(|plan| plan.drive.clone()),
            "size": plan.map(|plan| plan.size),
            "chunk_size": plan.map(|plan| plan.chunk_size),
            "chunks_total": cells.chunks(),
            "chunks_sent": count(Fate::Sent),
            "chunks_zero": count(Fate::Zero),
            "chunks_unchanged": count(Fate::Unchanged),
            "chunks_resumed": count(Fate::Resumed),
            "chunks_verified": count(Fate::Verified),
            "bytes_wire": wire,
            "retries": retries,
            "elapsed_s": (took.as_secs_f64() * 1000.0).round() / 1000.0,
        })
    }
}

impl Report {
    /// The page.
    pub fn html(&self) -> String {
        page::page(self)
    }
}
