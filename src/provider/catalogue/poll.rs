//! How to see that what a call has begun is over: by asking for the object until a key of it says so.

use std::time::Duration;

/// How the work is followed that goes on at the provider after a call's reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// The work, as in `imaging`.
    pub work: &'static str,
    /// The kind of the object that changes, as in `drive`.
    pub object: &'static str,
    /// The call that asks for the object.
    pub call: &'static str,
    /// Where the arguments of that call's path come from.
    pub path: &'static [Argument],
    /// The key of the object that tells how far the work is.
    pub key: &'static str,
    /// The values of that key when the work is done. The empty one stands for a key that is not there.
    pub done: &'static [&'static str],
    /// The values that say that the work has failed.
    pub failed: &'static [&'static str],
    /// Whether the work is also done once the object is gone.
    pub gone: bool,
    /// How long the object may still show its state of before the call.
    pub settle: Duration,
    /// How long the work is waited for, unless the user says otherwise.
    pub deadline: Duration,
}

/// Where an argument of a poll's path comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The argument of the call's own path at this place.
    Path(usize),
    /// This key of the call's reply; or of its input, where the caller chose it.
    Reply(&'static str),
}

/// What a value of [`Poll::key`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The work is done.
    Done,
    /// The work has failed.
    Failed,
    /// The work goes on.
    GoesOn,
}

impl Poll {
    /// Work on the object that the first argument of the call's path names. It is done when `key` has one of the values
    /// `done`.
    pub const fn new(
        work: &'static str,
        object: &'static str,
        call: &'static str,
        key: &'static str,
        done: &'static [&'static str],
    ) -> Self {
        Poll {
            work,
            object,
            call,
            path: &[Argument::Path(0)],
            key,
            done,
            failed: &[],
            gone: false,
            settle: Duration::ZERO,
            deadline: Duration::from_mins(10),
        }
    }

    /// The poll, of the object that these arguments name.
    #[must_use]
    pub const fn of(self, path: &'static [Argument]) -> Self {
        Poll { path, ..self }
    }

    /// The poll, with the values that say that the work has failed.
    #[must_use]
    pub const fn fails(self, failed: &'static [&'static str]) -> Self {
        Poll { failed, ..self }
    }

    /// The poll of work that is also done once the object is gone.
    #[must_use]
    pub const fn or_gone(self) -> Self {
        Poll { gone: true, ..self }
    }

    /// The poll of an object that may show its old state for a second.
    #[must_use]
    pub const fn settles(self) -> Self {
        Poll { settle: Duration::from_secs(1), ..self }
    }

    /// The poll with another deadline.
    #[must_use]
    pub const fn deadline(self, deadline: Duration) -> Self {
        Poll { deadline, ..self }
    }

    /// What a value of the key says.
    pub fn judge(&self, value: &str) -> Progress {
        match value {
            done if self.done.contains(&done) => Progress::Done,
            failed if self.failed.contains(&failed) => Progress::Failed,
            _ => Progress::GoesOn,
        }
    }

    /// When the work is done, in a few words: `status is active`.
    pub fn describe(&self) -> String {
        let words: Vec<&str> = self.done.iter().copied().filter(|word| !word.is_empty()).collect();
        let state = match (self.done.contains(&""), words.as_slice()) {
            (true, _) => format!("{} has no `{}`", self.object, self.key),
            (false, words) => format!("`{}` of the {} is {}", self.key, self.object, words.join(" or ")),
        };
        if self.gone { format!("{state}, or the {} is gone", self.object) } else { state }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_says_how_far_the_work_is() {
        let poll = Poll::new("starting", "server", "servers.info", "status", &["active"]).fails(&["dead"]);
        assert_eq!(poll.judge("active"), Progress::Done);
        assert_eq!(poll.judge("dead"), Progress::Failed);
        assert_eq!(poll.judge("paused"), Progress::GoesOn);
        assert_eq!(poll.judge(""), Progress::GoesOn);
        assert_eq!(poll.describe(), "`status` of the server is active");
        let imaging = Poll::new("imaging", "drive", "drives.info", "imaging", &["", "false"]).or_gone();
        assert_eq!(imaging.judge(""), Progress::Done);
        assert_eq!(imaging.describe(), "drive has no `imaging`, or the drive is gone");
    }
}
