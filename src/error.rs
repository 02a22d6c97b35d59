//! The one error type, and the one place that decides what may be retried and how a run ends.
//!
//! An [`Error`] says what failed ([`Kind`] and a sentence), where (offset), how often it was tried, what the server
//! said, and what to do next (hint). Nothing below the command line prints or exits; the command line turns the error
//! into text and [`Kind::exit_code`] into the process's status.

use std::fmt;
use std::time::Duration;

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a caller may care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A bad option, value, remote or call: nothing was sent.
    Usage,
    /// The image cannot be read, is empty, or changed under the transfer.
    Source,
    /// A file stands where the result should go.
    Exists,
    /// The drive is smaller than the image.
    TooSmall,
    /// A local disk or the far end (507) has no room.
    Full,
    /// Any other local input or output error.
    Io,
    /// The journal is damaged or does not fit this command.
    Journal,
    /// Another run on this machine holds the journal, the destination or the set.
    Locked,
    /// 401 or 403: the credentials were refused.
    Auth,
    /// 402: the account's balance does not cover the call.
    Billing,
    /// 404 or 410: no such drive, server or call.
    NotFound,
    /// 400, 405 and other refusals of the request itself.
    Refused,
    /// 409 busy: the object is in use for now.
    Busy,
    /// 420 or 429: too many requests.
    SlowDown,
    /// 408, 500, 502, 503, 504: the server failed, for now.
    Unavailable,
    /// The connection could not be made, was reset, or ended early.
    Connection,
    /// No progress within the deadline.
    Timeout,
    /// A reply that is shorter than what was asked for.
    ShortReply,
    /// A reply that makes no sense.
    Protocol,
    /// Contents differ after a comparison.
    Differ,
    /// Some chunks are missing at the far end; the same command goes on.
    Incomplete,
    /// Stopped by a signal; the same command goes on.
    Interrupted,
    /// The reader of standard output has gone away, as in `| head`.
    ReaderGone,
}

impl Kind {
    /// Whether repeating the same request may help. Only requests that are safe to repeat are ever repeated; that is
    /// for the caller to know.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Kind::Busy
                | Kind::SlowDown
                | Kind::Unavailable
                | Kind::Connection
                | Kind::Timeout
                | Kind::ShortReply
        )
    }

    /// The process's exit status: 1 failed, 2 usage, 3 incomplete and resumable, 4 authentication, 5 not found,
    /// 6 contents differ, 130 interrupted, 141 nobody reads standard output any more.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Usage => 2,
            Kind::Incomplete => 3,
            Kind::Auth => 4,
            Kind::NotFound => 5,
            Kind::Differ => 6,
            Kind::Interrupted => 130,
            // As shells have it for a program that SIGPIPE ends.
            Kind::ReaderGone => 141,
            _ => 1,
        }
    }
}

/// An error with its context. Boxed inside, so that a `Result` stays small.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    message: String,
    offset: Option<u64>,
    attempts: Option<u32>,
    server: Option<String>,
    hint: Option<String>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A new error: its kind and one sentence without a full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            offset: None,
            attempts: None,
            server: None,
            hint: None,
            retry_after: None,
            source: None,
        }))
    }

    /// A usage error: exit 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// A local input or output error, with a full disk told apart.
    pub fn io(what: impl Into<String>, error: std::io::Error) -> Self {
        let full =
            matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        let kind = if full { Kind::Full } else { Kind::Io };
        let new = Self::new(kind, what).source(error);
        if full {
            new.hint("free some space, then run the same command again: it goes on where it stopped")
        } else {
            new
        }
    }

    /// Returns an error of writing to standard output, with a reader that has gone away told apart.
    pub fn stdout(error: std::io::Error) -> Self {
        let gone = error.kind() == std::io::ErrorKind::BrokenPipe;
        let new = Self::io("writing to standard output", error);
        if gone { new.with_kind(Kind::ReaderGone) } else { new }
    }

    /// Adds the byte offset in the image or drive at which it failed.
    #[must_use]
    pub fn offset(mut self, offset: u64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// Adds how many attempts were made.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = Some(attempts);
        self
    }

    /// Adds the server's own words.
    #[must_use]
    pub fn server(mut self, said: impl Into<String>) -> Self {
        self.0.server = Some(said.into());
        self
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds how long the server asked to wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts what was being done before the message: `WHAT: MESSAGE`.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }

    /// The same error under another kind, as when a failed chunk makes a transfer incomplete.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// How long the server asked to wait before the next attempt.
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Where, in bytes from the start of the image or drive.
    pub fn at_offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// After how many attempts.
    pub fn after_attempts(&self) -> Option<u32> {
        self.0.attempts
    }

    /// What the server said.
    pub fn said(&self) -> Option<&str> {
        self.0.server.as_deref()
    }

    /// What the user can do.
    pub fn what_next(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &self.0;
        write!(f, "{}", e.message)?;
        if let Some(offset) = e.offset {
            write!(f, " at offset {offset}")?;
        }
        if let Some(attempts) = e.attempts {
            let s = if attempts == 1 { "" } else { "s" };
            write!(f, " after {attempts} attempt{s}")?;
        }
        if let Some(said) = &e.server {
            write!(f, ": the server said: {said}")?;
        }
        let mut cause = e.source.as_deref().map(|c| c as &dyn std::error::Error);
        while let Some(c) = cause {
            write!(f, ": {c}")?;
            cause = c.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_error_says_everything() {
        let e = Error::new(Kind::Incomplete, "writing a chunk to drive d failed")
            .offset(4_194_304)
            .attempts(3)
            .server("500 failed: disk on fire");
        assert_eq!(
            e.to_string(),
            "writing a chunk to drive d failed at offset 4194304 after 3 attempts: \
             the server said: 500 failed: disk on fire"
        );
        assert_eq!(e.kind().exit_code(), 3);
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let e = Error::io("writing x", std::io::Error::from_raw_os_error(28));
        assert_eq!(e.kind(), Kind::Full);
        assert!(e.what_next().is_some());
    }
}
