//! The requests for a ticket's image, and the meaning of the replies (ovirt-imageio, docs/images.md).
//!
//! The ticket is in the path of every URL and is a credential. So it is hidden in the log and in the server's
//! messages, which repeat it ("No such ticket …").

use crate::error::{Error, Kind, Result};
use crate::meters::Meters;
use crate::provider::catalogue::secret::Redactor;
use crate::transport::check;
use crate::transport::client::{Options, octets, retry_after, text};
use crate::transport::http::{Answer, Http, Outbound};
use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use std::sync::Arc;
use std::time::Duration;

/// The longest ticket in characters. oVirt's are UUIDs.
const LONGEST_TICKET: usize = 255;

/// The longest part of a server's message that is shown, in characters.
const LONGEST_SAID: usize = 500;

const NEW_TICKET: &str = "the ticket may be unknown, expired, cancelled, or for the other direction: create a new image transfer \
                          of the same disk in oVirt and configure its ticket, then run the same command again to resume";

const WRONG_URL: &str =
    "set the remote's url to that of the image server with its path, https://HOST:54322/images/";

/// A client for the image of a ticket. Clones share the connections.
#[derive(Clone)]
pub(super) struct Transfer {
    http: Http,
    ticket: Arc<str>,
    secrets: Redactor,
}

impl Transfer {
    /// Creates a client for the image of `ticket` below `base`, which is `…/images/`.
    pub(super) fn new(base: Url, ticket: &str, options: &Options, meters: Arc<Meters>) -> Result<Self> {
        check_ticket(ticket)?;
        let secrets = Redactor::default();
        secrets.hide(ticket);
        let http = Http::new(base, options, meters)?.hiding(secrets.clone());
        Ok(Self { http, ticket: ticket.into(), secrets })
    }

    /// Sends a request for the image or something `below` it, and waits for the head of the reply.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Answer> {
        let Request { method, below, mut headers, body, expected, work } = request;
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let url = self.http.url(&format!("/{}{below}", self.ticket));
        self.http.send_to_work(Outbound { method, url, headers, body, expected }, work).await
    }

    /// Requests the bytes from `first` to `last`, both included.
    pub(super) async fn get(&self, first: u64, last: u64) -> Result<Answer> {
        let mut headers = octets();
        headers.insert(header::RANGE, value(&format!("bytes={first}-{last}"))?);
        let expected = (last - first).saturating_add(1);
        self.send(Request { headers, expected, ..Request::new(Method::GET, "") }).await
    }

    /// Checks that a reply has the documented status of a granted request.
    pub(super) async fn granted(&self, mut answer: Answer, status: u16) -> Result<Answer> {
        if answer.status() == status {
            check::no_page(status, answer.headers())?;
            check::plain(answer.headers())?;
            return Ok(answer);
        }
        Err(self.refusal(&mut answer, status).await)
    }

    /// Checks that a reply acknowledges a PUT or PATCH: status 200 and an explicitly empty body. A page that
    /// a proxy returns is no acknowledgement.
    pub(super) async fn done(&self, answer: Answer) -> Result<()> {
        let answer = self.granted(answer, 200).await?;
        check::empty(200, answer.headers())?;
        if answer.length() != Some(0) {
            return Err(Error::new(Kind::Protocol, "unexpected reply: status 200 without Content-Length: 0")
                .hint("another server or a proxy may have replied: check the remote's url and the network"));
        }
        Ok(())
    }

    /// Returns the error for a reply with another status than expected.
    pub(super) async fn refusal(&self, answer: &mut Answer, expected: u16) -> Error {
        let status = answer.status();
        let Some((kind, what)) = meaning(status) else {
            let unexpected = check::status(status, &[expected], answer.headers()).err();
            return unexpected
                .unwrap_or_else(|| Error::new(Kind::Protocol, format!("unexpected status {status}")));
        };
        if let (false, Err(page)) = (kind.is_retryable(), check::no_page(status, answer.headers())) {
            // This server sends no HTML pages.
            return page;
        }
        let wait = retry_after(answer.headers());
        let said = answer.error_text().await;
        let said: String = self.secrets.redact(said.trim()).chars().take(LONGEST_SAID).collect();
        let error = Error::new(kind, format!("{what} (status {status})")).retry_after(wait);
        let error = if said.is_empty() || check::no_page(status, answer.headers()).is_err() {
            error
        } else {
            error.server(said)
        };
        match status {
            401 | 403 => error.hint(NEW_TICKET),
            404 => error.hint(WRONG_URL),
            500 => error.hint("see its log, /var/log/ovirt-imageio/daemon.log on the host"),
            _ => error,
        }
    }
}

/// A request for an image.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// The rest of the URL after the ticket: a path, a query, or both.
    pub(super) below: &'a str,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// The expected length of the reply's body.
    pub(super) expected: u64,
    /// How much longer than usual the server may work before it replies.
    pub(super) work: Duration,
}

impl<'a> Request<'a> {
    /// Creates a request without a body.
    pub(super) fn new(method: Method, below: &'a str) -> Self {
        Self {
            method,
            below,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            expected: 0,
            work: Duration::ZERO,
        }
    }

    /// Creates a PATCH with this message (docs/images.md, "PATCH").
    pub(super) fn patch(message: &serde_json::Value, work: Duration) -> Self {
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let body = Bytes::from(message.to_string());
        Self { headers, body, work, ..Self::new(Method::PATCH, "") }
    }

    /// Creates a PUT of these bytes without a flush (docs/images.md, "PUT").
    pub(super) fn put(offset: u64, body: Bytes) -> Result<Self> {
        let last = offset.saturating_add(body.len() as u64).saturating_sub(1);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_RANGE, value(&format!("bytes {offset}-{last}/*"))?);
        Ok(Self { headers, body, ..Self::new(Method::PUT, "?flush=n") })
    }
}

/// Converts digits and signs, which are always valid in a header.
fn value(text: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(text).map_err(|e| Error::usage("invalid header value").source(e))
}

/// Returns the meaning of an error status ("General errors"; the other statuses come from proxies).
fn meaning(status: u16) -> Option<(Kind, &'static str)> {
    Some(match status {
        400 | 411 | 413 | 414 => (Kind::Refused, "the image server refused the request"),
        401 | 403 => (Kind::Auth, "the image server did not accept the ticket"),
        404 => (Kind::NotFound, "the image server has no such path"),
        405 | 501 => (Kind::Refused, "the image server does not support this request"),
        416 => (Kind::Refused, "the range is outside the image"),
        409 => (Kind::Busy, "the image is in use"),
        420 | 429 => (Kind::SlowDown, "the image server asks for fewer requests"),
        507 => (Kind::Full, "the image server's storage is full"),
        408 | 500..=599 => (Kind::Unavailable, "the image server failed"),
        _ => return None,
    })
}

/// The range of a reply (RFC 9110, 14.4): `bytes FIRST-LAST/SIZE`, where the size may be `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) size: Option<u64>,
}

impl ContentRange {
    /// Parses the range from the headers of a 206 reply.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let value = text(headers, header::CONTENT_RANGE.as_str());
        let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let size = if size == "*" { None } else { Some(number(size)?) };
        (first <= last && size.is_none_or(|size| last < size)).then_some(Self { first, last, size })
    }

    /// Parses the size from the headers of a 416 reply: `bytes */SIZE`.
    pub(super) fn available(headers: &HeaderMap) -> Option<u64> {
        number(text(headers, header::CONTENT_RANGE.as_str()).strip_prefix("bytes */")?)
    }
}

/// Parses a number of digits only, no larger than any image.
fn number(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok().filter(|number| i64::try_from(*number).is_ok()) } else { None }
}

/// Returns an error if a ticket has characters that are not valid in a path. The error does not show them,
/// because the rest may be valid.
fn check_ticket(ticket: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let dots = ticket.bytes().all(|byte| byte == b'.');
    if !dots && ticket.len() <= LONGEST_TICKET && ticket.bytes().all(plain) {
        return Ok(());
    }
    Err(Error::usage("the ticket is not valid: expected letters, digits, `-`, `_`, `.` and `~`")
        .hint("the ticket is the last part of the transfer URL, https://HOST:54322/images/TICKET"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ranges_that_can_be_are_ranges() {
        let of = |value: &str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_RANGE, super::value(value).unwrap())]);
            (ContentRange::of(&headers), ContentRange::available(&headers))
        };
        let range = |first, last, size| (Some(ContentRange { first, last, size }), None);
        assert_eq!(of("bytes 0-0/1"), range(0, 0, Some(1)));
        assert_eq!(of("bytes 7-9/*"), range(7, 9, None));
        assert_eq!(of("bytes */77"), (None, Some(77)));
        for wrong in [
            "bytes 9-7/10",
            "bytes 7-9/9",
            "bytes 7-9",
            "7-9/10",
            "bytes +7-9/10",
            "bytes 7-99999999999999999999/*",
            "bytes */-1",
            "bytes */9223372036854775808",
            "bytes */",
            "",
        ] {
            assert_eq!(of(wrong), (None, None), "{wrong}");
        }
    }

    #[test]
    fn a_ticket_that_is_none_is_refused_and_not_shown() {
        for good in ["74ca180f-77e5-44be-9196-e3226104e406", "nbd", "a.b_c~d"] {
            check_ticket(good).unwrap();
        }
        let long = "x".repeat(256);
        for bad in ["", ".", "..", "*", "a/b", "a?b", "a b", "a%2e", "https://h/images/t", "ü", &long] {
            let error = check_ticket(bad).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage);
            assert!(bad.len() < 3 || !error.to_string().contains(bad), "{error}");
        }
    }
}
