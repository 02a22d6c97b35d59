//! What becomes of a transfer some of whose chunks fail.
//!
//! A chunk that was tried often enough is noted and the others go on: in the end everything else is there, and the
//! error names what is missing. What cannot get better for the next chunk (credentials, a full disk, a changed image)
//! ends the transfer at once, and so does a far end that has failed chunk after chunk.

use crate::error::{Error, Kind};

/// After this many chunks in a row have failed for good, the rest is not tried.
const IN_A_ROW: usize = 8;

/// How many offsets a message names before it only counts.
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
    /// A chunk went through.
    pub fn success(&mut self) {
        self.in_a_row = 0;
    }

    /// A chunk failed for good, or something else did.
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

    /// The user asked for a stop.
    pub fn interrupt(&mut self) {
        self.interrupted = true;
    }

    /// Whether nothing new should be begun.
    pub fn ends(&self) -> bool {
        self.fatal.is_some() || self.interrupted || self.in_a_row >= IN_A_ROW
    }

    /// The first error, as it was: for a transfer that nothing can go on with.
    pub fn into_cause(self) -> Option<Error> {
        let stopped = || Error::new(Kind::Interrupted, "stopped");
        self.fatal.or(self.interrupted.then(stopped)).or(self.first)
    }

    /// The error of the transfer, if it has one; `missing` of `total` chunks are not done.
    pub fn into_error(self, missing: u64, total: u64) -> Option<Error> {
        let gave_up = self.in_a_row >= IN_A_ROW;
        if let Some(fatal) = self.fatal {
            if fatal.kind() != Kind::Protocol {
                return Some(fatal);
            }
            // What was acknowledged stays so, whatever stands between here and the far end now.
            let fatal = fatal.with_kind(Kind::Incomplete);
            return Some(match fatal.what_next() {
                Some(_) => fatal,
                None => fatal.hint("what was moved is kept: the same command goes on from there"),
            });
        }
        if self.interrupted {
            return Some(Error::new(
                Kind::Interrupted,
                format!("stopped: {missing} of {total} chunks are left"),
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
            format!("{missing} of {total} chunks are left: the far end fails chunk after chunk")
        } else {
            let s = if offsets.len() == 1 { "" } else { "s" };
            format!("{missing} of {total} chunks are left, at offset{s} {}{more}", named.join(", "))
        };
        Some(
            first
                .context(sent)
                .with_kind(Kind::Incomplete)
                .hint("everything else is there: run the same command again to go on"),
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
        assert!(said.starts_with("1 of 10 chunks are left, at offset 4096: writing failed"), "{said}");
        assert!(said.ends_with("after 9 attempts"), "{said}");
    }

    #[test]
    fn a_dead_far_end_or_bad_credentials_end_it() {
        let mut failures = Failures::default();
        (0..8).for_each(|i| failures.note(failed(i)));
        assert!(failures.ends());
        assert!(failures.into_error(100, 200).unwrap().to_string().contains("chunk after chunk"));
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
