//! The plan of a transfer, and its summary.

use super::Output;
use crate::cli::summary;
use crate::error::Result;
use crate::event::{Plan, Summary};
use serde_json::Value;

impl Output {
    pub(super) fn plan(&self, plan: &Plan) {
        self.event("plan", serde_json::to_value(plan).unwrap_or_default());
        // Nothing was written before this.
        crate::cli::signals::settles(!plan.dry_run);
        let wanted = plan.dry_run || self.verbose > 0;
        if wanted && !self.json && !self.quiet {
            self.stderr(&summary::plan(plan));
        }
    }

    /// Prints the summary of a transfer; `done` is its first words.
    pub fn summary(&self, done: &str, summary: &Summary) -> Result<()> {
        let object = serde_json::to_value(summary).unwrap_or_default();
        self.summary_with(&summary::result(done, summary), summary, &object)
    }

    /// Prints the summary of a transfer: the given lines for people, the given object for `--json`.
    pub fn summary_with(&self, lines: &[String], summary: &Summary, object: &Value) -> Result<()> {
        self.set_bar(None);
        if self.member.is_none() {
            self.reporting.summary(object, Some(summary));
        }
        if self.json {
            // The result itself: if it cannot be printed, the transfer is not over.
            return self.value("summary", object);
        }
        if !self.quiet {
            for line in lines {
                self.stderr(line);
            }
        }
        Ok(())
    }
}
