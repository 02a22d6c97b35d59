//! Polling for work that continues after a call's reply: the object is requested until one of its keys shows
//! that the work is done.

use std::time::Duration;

/// How to follow the work that continues at the provider after a call's reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poll {
    /// The work, such as `imaging`.
    pub work: &'static str,
    /// The kind of object that changes, such as `drive`.
    pub object: &'static str,
    /// The call that requests the object.
    pub call: &'static str,
    /// The sources of the arguments of that call's path.
    pub path: &'static [Argument],
    /// The object's key that shows the progress of the work.
    pub key: &'static str,
    /// The values of that key when the work is done. An empty string stands for a missing key.
    pub done: &'static [&'static str],
    /// The values of that key when the work has failed.
    pub failed: &'static [&'static str],
    /// Whether the work is also done once the object no longer exists.
    pub gone: bool,
    /// How long the object may still show its state from before the call.
    pub settle: Duration,
    /// How long to wait for the work, unless the user sets a limit.
    pub deadline: Duration,
}

/// The source of an argument of a poll's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The argument at this index of the original call's path.
    Path(usize),
    /// This key of the original call's reply, or of its input if the caller chose the value.
    Reply(&'static str),
}

/// The state of the work, according to a value of [`Poll::key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The work is done.
    Done,
    /// The work has failed.
    Failed,
    /// The work continues.
    GoesOn,
}

impl Poll {
    /// Creates a poll of the object that the first argument of the call's path names. The work is done when
    /// `key` has one of the values in `done`.
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

    /// Returns the poll for the object that these arguments name.
    #[must_use]
    pub const fn of(self, path: &'static [Argument]) -> Self {
        Poll { path, ..self }
    }

    /// Returns the poll with the values that mean that the work has failed.
    #[must_use]
    pub const fn fails(self, failed: &'static [&'static str]) -> Self {
        Poll { failed, ..self }
    }

    /// Returns the poll for work that is also done once the object no longer exists.
    #[must_use]
    pub const fn or_gone(self) -> Self {
        Poll { gone: true, ..self }
    }

    /// Returns the poll for an object that may show its old state for a second.
    #[must_use]
    pub const fn settles(self) -> Self {
        Poll { settle: Duration::from_secs(1), ..self }
    }

    /// Returns the poll with another deadline.
    #[must_use]
    pub const fn deadline(self, deadline: Duration) -> Self {
        Poll { deadline, ..self }
    }

    /// Returns the state of the work for a value of the key.
    pub fn judge(&self, value: &str) -> Progress {
        match value {
            done if self.done.contains(&done) => Progress::Done,
            failed if self.failed.contains(&failed) => Progress::Failed,
            _ => Progress::GoesOn,
        }
    }

    /// Describes when the work is done, as in "`status` of the server is active".
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
