//! Collects the failures of a transfer and decides whether it goes on.
//!
//! A chunk that fails after all attempts is noted and the others go on. In the end everything else is
//! transferred, and the error names what is missing. A failure that the next chunk would share (credentials,
//! a full disk, a changed image) ends the transfer at once, and so does a remote that fails several chunks in
//! a row.

use crate::error::{Error, Kind};

/// The number of failed chunks in a row after which the transfer ends.
const IN_A_ROW: usize = 8;

/// The number of offsets that a message names before it only counts them.
const NAMED: usize = 8;

/// The failed chunks of a transfer.
#[derive(Debug, Default)]
pub struct Failures {
    fatal: Option<Error>,
    interrupted: bool,
    first: Option<Error>,
    offsets: Vec<u64>,
    in_a_row: usize,
}

impl Failures {
    /// Notes that a chunk succeeded.
    pub fn success(&mut self) {
        self.in_a_row = 0;
    }

    /// Notes that a chunk, or something else, failed after all attempts.
    pub fn note(&mut self, error: Error) {
        if error.kind() == Kind::Interrupted {
            self.interrupted = true;
        } else if error.kind().is_retryable() {
            self.in_a_row += 1;
            self.offsets.extend(error.at_offset());
            self.first.get_or_insert(error);
        } else {
            self.fatal.get_or_insert(error);
        }
    }

    /// Notes that the user requested a stop.
    pub fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// Returns whether nothing new should start.
    pub fn ends(&self) -> bool {
        self.fatal.is_some() || self.interrupted || self.in_a_row >= IN_A_ROW
    }

    /// Returns the first error unchanged, for a transfer that cannot be resumed.
    pub fn into_cause(self) -> Option<Error> {
        let stopped = || Error::new(Kind::Interrupted, "stopped");
        self.fatal.or(self.interrupted.then(stopped)).or(self.first)
    }

    /// Returns the error of the transfer, if it has one. `missing` of `total` chunks are not done.
    pub fn into_error(self, missing: u64, total: u64) -> Option<Error> {
        let gave_up = self.in_a_row >= IN_A_ROW;
        if let Some(fatal) = self.fatal {
            if fatal.kind() != Kind::Protocol {
                return Some(fatal);
            }
            // The acknowledged chunks stay acknowledged, whatever answers instead of the remote now (a proxy,
            // a login page).
            let fatal = fatal.with_kind(Kind::Incomplete);
            return Some(match fatal.hint_text() {
                Some(_) => fatal,
                None => fatal.hint("the transferred chunks are kept; run the same command again to resume"),
            });
        }
        if self.interrupted {
            return Some(Error::new(
                Kind::Interrupted,
                format!("stopped: {missing} of {total} chunks not transferred"),
            ));
        }
        let mut offsets = self.offsets;
        offsets.sort_unstable();
        let named: Vec<String> = offsets.iter().take(NAMED).map(u64::to_string).collect();
        let more = match offsets.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let first = self.first?;
        let sent = if gave_up {
            format!("{missing} of {total} chunks not transferred: {IN_A_ROW} chunks in a row failed")
        } else {
            let s = if offsets.len() == 1 { "" } else { "s" };
            format!("{missing} of {total} chunks not transferred, at offset{s} {}{more}", named.join(", "))
        };
        Some(
            first
                .context(sent)
                .with_kind(Kind::Incomplete)
                .hint("the other chunks are transferred; run the same command again to resume"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(offset: u64) -> Error {
        Error::new(Kind::Unavailable, "writing failed").offset(offset).attempts(9)
    }

    #[test]
    fn one_bad_chunk_leaves_an_incomplete_transfer_that_names_it() {
        let mut failures = Failures::default();
        failures.note(failed(4096));
        failures.success();
        assert!(!failures.ends());
        let error = failures.into_error(1, 10).unwrap();
        assert_eq!(error.kind(), Kind::Incomplete);
        let said = error.to_string();
        assert!(said.starts_with("1 of 10 chunks not transferred, at offset 4096: writing failed"), "{said}");
        assert!(said.ends_with("after 9 attempts"), "{said}");
    }

    #[test]
    fn a_dead_far_end_or_bad_credentials_end_it() {
        let mut failures = Failures::default();
        (0..8).for_each(|i| failures.note(failed(i)));
        assert!(failures.ends());
        assert!(failures.into_error(100, 200).unwrap().to_string().contains("chunks in a row failed"));
        let mut failures = Failures::default();
        failures.note(Error::new(Kind::Auth, "no"));
        failures.note(Error::new(Kind::Interrupted, "stopped"));
        assert!(failures.ends());
        assert_eq!(failures.into_error(1, 2).unwrap().kind(), Kind::Auth);
        assert!(Failures::default().into_error(0, 2).is_none());
    }

    #[test]
    fn an_answer_that_is_none_can_be_asked_again_later() {
        let mut failures = Failures::default();
        failures.note(Error::new(Kind::Protocol, "a web page").offset(0));
        assert!(failures.ends());
        let error = failures.into_error(1, 2).unwrap();
        assert_eq!(
            (error.kind(), error.to_string().contains("a web page")),
            (Kind::Incomplete, true),
            "{error}"
        );
    }
}
