//! What is said of a transfer: its plan, and its summary.

use super::{Output, bytes};
use crate::cli::progress::per_second;
use crate::error::Result;
use crate::event::{Plan, Summary};
use crate::units::{counted, time};
use serde_json::Value;
use std::time::Duration;

/// What limited a transfer is not worth a word if it took less than this.
const WORTH_A_WORD: Duration = Duration::from_secs(1);

impl Output {
    pub(super) fn plan(&self, plan: &Plan) {
        self.event("plan", serde_json::to_value(plan).unwrap_or_default());
        // Nothing was written before this.
        crate::cli::signals::settles(!plan.dry_run);
        let wanted = plan.dry_run || self.verbose > 0;
        if !wanted || self.json || self.quiet {
            return;
        }
        let zeros = if plan.action == "upload" || plan.action == "migrate" {
            format!(", zeros: {}", plan.zeros)
        } else {
            String::new()
        };
        let resume = if plan.chunks_resumed > 0 {
            format!(
                ", {} of an earlier run (compared: {}; {})",
                plan.chunks_resumed, plan.resume, plan.resume_why
            )
        } else {
            String::new()
        };
        let delta = match &*plan.delta {
            "" => String::new(),
            how => format!(", only what differs ({how}; {})", plan.delta_why),
        };
        let format = if plan.format.is_empty() { String::new() } else { format!(" ({})", plan.format) };
        let target = match &*plan.target_format {
            "" => String::new(),
            format => format!(" as {format}"),
        };
        self.stderr(&format!(
            "{} {}{format} to {}{target}: {} in {} of {}{resume}{delta}, {} at a time, compression: {}{zeros}, verify: {}",
            plan.action,
            plan.from,
            plan.to,
            bytes(plan.size),
            counted(plan.chunks_total, "chunk"),
            bytes(plan.chunk_size),
            plan.concurrency,
            plan.compress,
            plan.verify,
        ));
    }

    /// Prints the summary of a transfer; `done` is its first words.
    pub fn summary(&self, done: &str, summary: &Summary) -> Result<()> {
        self.summary_with(done, summary, &serde_json::to_value(summary).unwrap_or_default())
    }

    /// Prints the summary of a transfer, with the object for `--json` given.
    pub fn summary_with(&self, done: &str, summary: &Summary, object: &Value) -> Result<()> {
        self.set_bar(None);
        if self.member.is_none() {
            self.reporting.summary(object, Some(summary));
        }
        if self.json {
            // The result itself: if it cannot be told, the transfer is not over.
            return self.value("summary", object);
        }
        if self.quiet {
            return Ok(());
        }
        let s = summary;
        let elapsed = Duration::from_secs_f64(s.elapsed_s);
        let rate = per_second(s.size, elapsed);
        let resumed = match s.chunks_resumed {
            0 => String::new(),
            n => format!(", {n} from an earlier run"),
        };
        let unchanged = match s.chunks_unchanged {
            0 => String::new(),
            n => format!(", {n} unchanged"),
        };
        let verified = match s.chunks_verified {
            0 => String::new(),
            n => format!(", {n} verified"),
        };
        let retries = match s.retries {
            0 => String::new(),
            1 => ", 1 retry".to_owned(),
            n => format!(", {n} retries"),
        };
        let limit = s
            .limited_by
            .filter(|_| elapsed >= WORTH_A_WORD)
            .map(|limit| format!("; limited by {limit}"))
            .unwrap_or_default();
        self.stderr(&format!(
            "{done}: {} in {} ({}/s), {} on the wire; {}: {} moved, {} zero{unchanged}{resumed}{verified}{retries}{limit}",
            bytes(s.size),
            time(elapsed),
            bytes(rate),
            bytes(s.bytes_wire),
            counted(s.chunks_total, "chunk"),
            s.chunks_sent,
            s.chunks_zero,
        ));
        if !s.digest.is_empty() {
            self.stderr(&format!("{} {}", s.digest_kind, s.digest));
        }
        Ok(())
    }
}
