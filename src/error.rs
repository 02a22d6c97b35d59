//! The error type, and the decision which errors are retried and how they end the process.
//!
//! An [`Error`] says what failed ([`Kind`] and a message), where (offset), after how many attempts, what the
//! server said, and what to do (hint). The library never prints or exits; the command line shows the error
//! and takes the exit status from [`Kind::exit_code`].

use std::fmt;
use std::time::Duration;

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an error, as far as it matters to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A bad option, value, remote or call. Nothing was sent.
    Usage,
    /// The image cannot be read, is empty, or changed during the transfer.
    Source,
    /// The image is not what it was when the interrupted transfer began.
    Changed,
    /// A drive or device is in use, by a server or by this machine.
    InUse,
    /// A file stands where the result should go.
    Exists,
    /// The drive is smaller than the image.
    TooSmall,
    /// A local disk or the remote (507) is out of space.
    Full,
    /// Any other local I/O error.
    Io,
    /// The journal is damaged or does not match the command.
    Journal,
    /// Another process of this machine holds the journal, the destination or the set.
    Locked,
    /// The credentials were refused (401 or 403).
    Auth,
    /// The account's balance is too low for the call (402).
    Billing,
    /// The drive, server or call does not exist (404 or 410).
    NotFound,
    /// The server refused the request (400, 405 and others).
    Refused,
    /// The object is busy for now (409).
    Busy,
    /// Too many requests (420 or 429).
    SlowDown,
    /// The server failed, for now (408, 500, 502, 503, 504).
    Unavailable,
    /// The connection could not be made, was reset, or ended early.
    Connection,
    /// No progress within the deadline.
    Timeout,
    /// A reply that is shorter than requested.
    ShortReply,
    /// A reply that violates the protocol.
    Protocol,
    /// A comparison found different contents.
    Differ,
    /// Some chunks are missing at the destination; the same command resumes.
    Incomplete,
    /// Stopped by a signal; the same command resumes.
    Interrupted,
    /// The reader of standard output has gone away, as in `| head`.
    ReaderGone,
}

impl Kind {
    /// Returns whether repeating the request may help. The caller must know that the request is safe to
    /// repeat.
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

    /// Returns the exit status of the process: 1 failed, 2 usage, 3 incomplete and resumable, 4
    /// authentication, 5 not found, 6 contents differ, 130 interrupted, 141 nobody reads standard output.
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

/// An error with its context. It is boxed to keep `Result` small.
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
    /// Creates an error of a kind with a message, one sentence without a full stop.
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

    /// Creates a usage error (exit status 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Creates an error from a local I/O error. A full disk has a kind of its own.
    pub fn io(what: impl Into<String>, error: std::io::Error) -> Self {
        let full =
            matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        let kind = if full { Kind::Full } else { Kind::Io };
        let new = Self::new(kind, what).source(error);
        if full { new.hint("free some space, then run the same command again to resume") } else { new }
    }

    /// Returns an error of writing to standard output, with a reader that has gone away told apart.
    pub fn stdout(error: std::io::Error) -> Self {
        let gone = error.kind() == std::io::ErrorKind::BrokenPipe;
        let new = Self::io("cannot write to standard output", error);
        if gone { new.with_kind(Kind::ReaderGone) } else { new }
    }

    /// Sets the byte offset in the image or drive.
    #[must_use]
    pub fn offset(mut self, offset: u64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// Sets the number of attempts.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = Some(attempts);
        self
    }

    /// Sets the server's message.
    #[must_use]
    pub fn server(mut self, said: impl Into<String>) -> Self {
        self.0.server = Some(said.into());
        self
    }

    /// Sets what the user can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Sets how long the server asked to wait.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    /// Sets the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Prefixes the message with the operation: `WHAT: MESSAGE`.
    #[must_use]
    pub fn context(mut self, what: impl fmt::Display) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }

    /// Changes the kind, for example if a failed chunk makes a transfer incomplete.
    #[must_use]
    pub fn with_kind(mut self, kind: Kind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Returns how long the server asked to wait before the next attempt.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns the byte offset in the image or drive.
    pub fn at_offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// Returns the number of attempts.
    pub fn after_attempts(&self) -> Option<u32> {
        self.0.attempts
    }

    /// Returns the server's message.
    pub fn server_message(&self) -> Option<&str> {
        self.0.server.as_deref()
    }

    /// Returns what the user can do.
    pub fn hint_text(&self) -> Option<&str> {
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
        assert!(e.hint_text().is_some());
    }
}
