//! Converts failures of an NBD server or connection into errors.

use super::protocol::{Command, option_reply, title};
use crate::error::{Error, Kind};

/// Errors in replies (doc/proto.md, `Error values`). Other values count as [`EINVAL`].
const EPERM: u32 = 1;
const EIO: u32 = 5;
const ENOMEM: u32 = 12;
const EINVAL: u32 = 22;
const ENOSPC: u32 = 28;
/// Not in the document, but sent by servers that pass on errors of their system.
const EROFS: u32 = 30;
const EOVERFLOW: u32 = 75;
const ENOTSUP: u32 = 95;
pub(super) const ESHUTDOWN: u32 = 108;

/// An error in a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) number: u32,
    pub(super) message: String,
    pub(super) offset: Option<u64>,
}

impl Refusal {
    /// Returns whether a server that refuses write-zeroes with this error may accept the zeros as data.
    pub(super) fn leaves_writing(&self) -> bool {
        matches!(self.number, EINVAL | EOVERFLOW | ENOTSUP)
    }

    /// Converts the refusal of a request into an error.
    pub(super) fn error(&self, command: Command, export: &str) -> Error {
        let (kind, name) = match self.number {
            EPERM => (Kind::Refused, "EPERM, operation not permitted"),
            EROFS => (Kind::Refused, "EROFS, read-only export"),
            EIO => (Kind::Unavailable, "EIO, input/output error"),
            ENOMEM => (Kind::Busy, "ENOMEM, the server is out of memory"),
            ENOSPC => (Kind::Full, "ENOSPC, no space left on the server"),
            EOVERFLOW => (Kind::Refused, "EOVERFLOW, the request is too large"),
            ENOTSUP => (Kind::Refused, "ENOTSUP, operation not supported"),
            ESHUTDOWN => (Kind::Connection, "ESHUTDOWN, the server is shutting down"),
            _ => (Kind::Refused, "EINVAL, invalid argument"),
        };
        let mut said = name.to_owned();
        if !matches!(
            self.number,
            EPERM | EROFS | EIO | ENOMEM | EINVAL | ENOSPC | EOVERFLOW | ENOTSUP | ESHUTDOWN
        ) {
            said = format!("error {}, which NBD does not define", self.number);
        }
        if !self.message.is_empty() {
            said = format!("{said}: {}", self.message);
        }
        let error = Error::new(kind, format!("{} refused a {command} request", title(export))).server(said);
        let error = match self.offset {
            Some(offset) => error.offset(offset),
            None => error,
        };
        match self.number {
            EPERM | EROFS => {
                error.hint("export it for writing, and check the permissions of the server's user")
            }
            ENOSPC => error.hint("free some space on the server, then run the same command again"),
            EOVERFLOW => error.hint("use smaller chunks: `--chunk-size 1M`"),
            _ => error,
        }
    }
}

/// Returns the error for a server that violates the protocol, whose replies cannot be trusted.
pub(super) fn violation(what: impl AsRef<str>) -> Error {
    Error::new(Kind::Protocol, format!("the server violates the NBD protocol: {}", what.as_ref()))
}

/// Returns the error for a connection that ended.
pub(super) fn disconnected(what: impl Into<String>) -> Error {
    Error::new(Kind::Connection, what)
}

/// Returns the error for a refused option, with the server's message.
pub(super) fn option_refused(reply: u32, said: &str, what: &str) -> Error {
    let (kind, message) = match reply {
        option_reply::UNKNOWN => (Kind::NotFound, format!("{what}: no such export")),
        option_reply::POLICY => (Kind::Auth, format!("{what}: the server's policy forbids it")),
        option_reply::TLS_REQUIRED => (Kind::Auth, format!("{what}: the server requires TLS")),
        option_reply::UNSUPPORTED => (Kind::Refused, format!("{what}: the server does not support it")),
        option_reply::SHUTDOWN => (Kind::Unavailable, format!("{what}: the server is shutting down")),
        other => (Kind::Refused, format!("{what}: refused with reply type {other:#x}")),
    };
    let error = Error::new(kind, message);
    let error = if said.is_empty() { error } else { error.server(said) };
    if reply == option_reply::TLS_REQUIRED {
        return error.hint("use `nbds://` instead of `nbd://` in the address, or `nbds+unix://`");
    }
    error
}

/// The end of a connection, passed to every request in flight on it.
#[derive(Clone, Debug)]
pub(super) struct Death {
    pub(super) kind: Kind,
    pub(super) message: String,
}

impl Death {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(super) fn error(&self) -> Error {
        Error::new(self.kind, self.message.clone())
    }
}

impl From<std::io::Error> for Death {
    fn from(error: std::io::Error) -> Self {
        let what = match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "the NBD server closed the connection".to_owned(),
            _ => format!("the connection to the NBD server broke: {error}"),
        };
        Self::new(Kind::Connection, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_errors_say_what_may_be_tried_again() {
        let kind = |number| {
            let refusal = Refusal { number, message: "why".to_owned(), offset: Some(7) };
            let error = refusal.error(Command::Write, "x");
            let text = error.to_string();
            assert!(text.starts_with("export x refused a write request at offset 7"), "{text}");
            assert!(text.ends_with(": why"), "{text}");
            error.kind()
        };
        for number in [EPERM, EROFS, EINVAL, EOVERFLOW, ENOTSUP, 4711] {
            assert_eq!(kind(number), Kind::Refused, "{number}");
        }
        assert_eq!(kind(EIO), Kind::Unavailable);
        assert_eq!(kind(ENOMEM), Kind::Busy);
        assert_eq!(kind(ENOSPC), Kind::Full);
        assert_eq!(kind(ESHUTDOWN), Kind::Connection);
        assert!([EIO, ENOMEM, ESHUTDOWN].iter().all(|number| kind(*number).is_retryable()));
    }

    #[test]
    fn a_server_that_wants_tls_is_answered_with_how_to_ask_for_it() {
        let error = option_refused(option_reply::TLS_REQUIRED, "", "opening export x");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("`nbds://`")));
        assert_eq!(option_refused(option_reply::POLICY, "no", "x").kind(), Kind::Auth);
        assert_eq!(option_refused(option_reply::SHUTDOWN, "", "x").kind(), Kind::Unavailable);
    }
}
