//! Checks that a reply is what the manual specifies before it counts: its status, media type and encoding.
//!
//! Networks put other servers in between. A captive portal or a proxy answers every request with a page and a
//! success status; without these checks it would acknowledge writes, and its page would be read as the
//! contents of a drive.

use super::address::is_loopback;
use super::client::text;
use crate::error::{Error, Kind, Result};
use crate::provider::Provider;
use crate::provider::catalogue::{self, Call};
use reqwest::header::{self, HeaderMap};
use url::Url;

/// Returns the statuses by which a provider acknowledges a write to a drive: those of the catalogue's row.
///
/// That is 204 for all three. Open Hosting and Crosspeer document it ("Write Binary Data to a Drive", "Write
/// binary data to a drive"); CloudSigma API 1.0, 7.2 documents none and runs the same software. No client or
/// recorded reply is known with another status, so no other is accepted: a chunk that is wrongly not
/// acknowledged is sent again, one that is wrongly acknowledged is lost.
pub(super) fn acknowledging(provider: Provider) -> &'static [u16] {
    success_of(provider, "drives.write")
}

/// Returns the statuses by which a provider answers a read of a drive.
pub(super) fn reading(provider: Provider) -> &'static [u16] {
    success_of(provider, "drives.read")
}

fn success_of(provider: Provider, id: &str) -> &'static [u16] {
    let row = catalogue::calls(provider).iter().find(|call: &&Call| call.id == id);
    row.map_or(&[], |call| call.success)
}

/// Refuses a reply with any other status.
pub(crate) fn status(status: u16, expected: &[u16], headers: &HeaderMap) -> Result<()> {
    if expected.contains(&status) {
        return Ok(());
    }
    let expected: Vec<String> = expected.iter().map(u16::to_string).collect();
    let media = media_type(headers);
    let with = if media.is_empty() { String::new() } else { format!(" ({media})") };
    let error = Error::new(
        Kind::Protocol,
        format!("unexpected status {status}{with}, expected {}", expected.join(" or ")),
    );
    Err(if is_page(&media) { error.hint(PORTAL) } else { error.hint(OTHER_SERVER) })
}

/// Refuses an HTML page.
pub(crate) fn no_page(status: u16, headers: &HeaderMap) -> Result<()> {
    let media = media_type(headers);
    if !is_page(&media) {
        return Ok(());
    }
    Err(Error::new(Kind::Protocol, format!("unexpected reply: status {status} with a web page ({media})"))
        .hint(PORTAL))
}

/// Refuses an encoded reply. No encoding is requested, and the decoded size would be unbounded.
pub(crate) fn plain(headers: &HeaderMap) -> Result<()> {
    let encoding = text(headers, header::CONTENT_ENCODING.as_str());
    let encoding = encoding.trim();
    if encoding.is_empty() || encoding.eq_ignore_ascii_case("identity") {
        return Ok(());
    }
    Err(Error::new(Kind::Protocol, format!("unexpected Content-Encoding {encoding:?}: none was requested"))
        .hint("a proxy may have replied: check the remote's url and the network"))
}

/// Refuses a reply with a body where none is expected.
pub(crate) fn empty(status: u16, headers: &HeaderMap) -> Result<()> {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        let what = format!("unexpected reply: status {status} with a body of unknown length");
        return Err(Error::new(Kind::Protocol, what).hint(OTHER_SERVER));
    }
    match text(headers, header::CONTENT_LENGTH.as_str()).trim() {
        "" | "0" => Ok(()),
        length => Err(Error::new(
            Kind::Protocol,
            format!("unexpected reply: status {status} with a body of {length:?} bytes").replace('"', ""),
        )
        .hint(OTHER_SERVER)),
    }
}

/// The most values in a reply, counted by separators: those of 6,500 drives with 20 keys each. Parsed and
/// printed, a value takes up to 400 bytes.
const MOST_VALUES: usize = 1 << 17;

/// Refuses a reply with more values than the limit before it is parsed.
pub(crate) fn values(body: &[u8]) -> Result<()> {
    let separators = match body.trim_ascii_start().first() {
        Some(b'{' | b'[') => body.iter().filter(|byte| matches!(byte, b',' | b'{' | b'[')).count(),
        Some(b'<') => body.split(|byte| *byte == b'<').count(),
        _ => body.split(|byte| *byte == b'\n').count(),
    };
    if separators <= MOST_VALUES {
        return Ok(());
    }
    Err(Error::new(Kind::Protocol, format!("the reply has more than the limit of {MOST_VALUES} values")))
}

/// Converts the error of a failed exchange.
pub(super) fn transport_error(error: &reqwest::Error) -> Error {
    let mut causes = Vec::new();
    let mut next: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    // The URL is left out: the caller names the request, messages stay short, and the URL may be a
    // credential.
    let without_url = || match error.url() {
        Some(url) => {
            error.to_string().replace(&format!(" for url ({url})"), "").replace(url.as_str(), "the URL")
        }
        None => error.to_string(),
    };
    let why = if causes.is_empty() { without_url() } else { causes.join(": ") };
    let certificate = why.contains("certificate");
    let (kind, what) = match error {
        e if e.is_builder() => (Kind::Usage, "cannot build the request"),
        // Another attempt would meet the same certificate.
        e if e.is_connect() && certificate => (Kind::Refused, "the server's certificate is not trusted"),
        e if e.is_connect() => (Kind::Connection, "cannot connect"),
        e if e.is_timeout() => (Kind::Timeout, "the connection timed out"),
        e if e.is_body() || e.is_decode() => (Kind::Connection, "the connection broke"),
        _ => (Kind::Connection, "the connection broke"),
    };
    let unsent = kind == Kind::Connection && error.is_connect();
    let cause = error;
    let error = Error::new(kind, format!("{what}: {why}"));
    if unsent {
        return error.hint(match proxy_variable(cause.url()) {
            Some(name) => format!(
                "nothing was sent: the connection goes through the proxy that `{name}` names; check it, or except this host with `NO_PROXY`"
            ),
            None => "nothing was sent: check the remote's url and the network".to_owned(),
        });
    }
    if certificate && kind == Kind::Refused {
        return error.hint("to trust your own certificate authority, set `ca_file` in the remote");
    }
    error
}

/// The variable of the environment that names the proxy for a URL, if one is set. Its value is not shown: it may hold a
/// password.
fn proxy_variable(url: Option<&Url>) -> Option<&'static str> {
    let url = url.filter(|url| !is_loopback(url))?;
    let of_scheme = match url.scheme() {
        "https" => ["HTTPS_PROXY", "https_proxy"],
        _ => ["HTTP_PROXY", "http_proxy"],
    };
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    of_scheme.into_iter().chain(["ALL_PROXY", "all_proxy"]).find(is_set)
}

const PORTAL: &str = "a captive portal or a proxy seems to answer: log in to the network with a browser, \
                      or check the remote's url, then run the same command again";

const OTHER_SERVER: &str = "another server or a proxy may have replied: check the remote's url and the network, \
                            then run the same command again";

/// Returns the media type in lower case, without parameters and without characters that media types do not
/// have.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = text(headers, header::CONTENT_TYPE.as_str());
    let name = value.split(';').next().unwrap_or_default().trim();
    let known = |c: &char| c.is_ascii_alphanumeric() || "!#$&-^_.+/".contains(*c);
    name.chars().filter(known).take(100).collect::<String>().to_ascii_lowercase()
}

fn is_page(media: &str) -> bool {
    matches!(media, "text/html" | "application/xhtml+xml")
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    #[test]
    fn a_write_is_acknowledged_by_what_the_catalogue_has() {
        for provider in [Provider::OpenHosting, Provider::Crosspeer, Provider::CloudSigma] {
            assert_eq!((acknowledging(provider), reading(provider)), (&[204][..], &[200][..]), "{provider}");
        }
        assert!(acknowledging(Provider::Joyent).is_empty());
        let page = headers("content-type", "Text/HTML; charset=x");
        let error = status(200, &[204], &page).unwrap_err();
        assert!(!error.kind().is_retryable() && error.hint_text().is_some_and(|h| h.contains("portal")));
        assert_eq!(error.to_string(), "unexpected status 200 (text/html), expected 204");
        assert!(status(204, &[204], &page).is_ok());
    }

    #[test]
    fn pages_encodings_and_bodies_are_told() {
        assert!(no_page(200, &headers("content-type", "application/xhtml+xml")).is_err());
        assert!(no_page(200, &headers("content-type", "text/plain")).is_ok());
        assert!(no_page(200, &HeaderMap::new()).is_ok());
        assert!(plain(&headers("content-encoding", "Identity")).is_ok());
        assert!(
            plain(&headers("content-encoding", "gzip, br")).unwrap_err().to_string().contains("gzip, br")
        );
        assert!(empty(204, &headers("content-length", "0")).is_ok());
        assert!(empty(204, &headers("transfer-encoding", "chunked")).is_err());
        assert!(empty(204, &headers("content-length", "9")).unwrap_err().to_string().contains("9 bytes"));
        for (one, more) in [("a 1\n", ""), ("{\"a\":1},", "["), ("<a/>", "<list>")] {
            assert!(values((more.to_owned() + &one.repeat(1000)).as_bytes()).is_ok());
            assert!(values((more.to_owned() + &one.repeat(MOST_VALUES + 1)).as_bytes()).is_err(), "{one}");
        }
    }
}
