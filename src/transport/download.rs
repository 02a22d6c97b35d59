//! Streams the bodies of long GETs: an appliance or a range of it.

use super::address::is_loopback;
use super::check;
use super::client::{Client, get, octets, text};
use super::http::Answer;
use crate::auth::Auth;
use crate::error::{Error, Kind, Result};
use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{self, HeaderMap, HeaderValue};
use std::net::Ipv4Addr;
use url::Host;

/// The most redirects that are followed in a row.
const REDIRECTS: usize = 5;

/// The status codes of redirects.
const MOVED: [u16; 5] = [301, 302, 303, 307, 308];

/// The status of a range request for a range that does not exist (416).
const UNSATISFIABLE: u16 = 416;

/// The longest body that is read into memory.
const LONGEST_FETCH: usize = 64 << 20;

/// The part of a resource to request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// The first byte; `None` requests everything.
    pub(crate) from: Option<u64>,
    /// The last byte; `None` requests everything from the first.
    pub(crate) to: Option<u64>,
    /// The validator that has to match, otherwise the whole resource is sent (RFC 9110, 13.1.5).
    pub(crate) validator: Option<&'a str>,
}

/// A reply whose body has not been read.
pub(crate) struct Incoming {
    answer: Answer,
}

impl Client {
    /// Makes one attempt at a GET. Redirects are followed without the credentials: the server that stores the
    /// bytes must not see the account's signature.
    pub(crate) async fn open(&self, url: &Url, wanted: &Wanted<'_>) -> Result<Incoming> {
        let mut headers = octets();
        // A body of unknown length has no deadline as a whole; a range has one.
        let mut expected = u64::MAX;
        if let Some(from) = wanted.from {
            expected = wanted.to.map_or(expected, |to| to.saturating_sub(from).saturating_add(1));
            let to = wanted.to.map(|to| to.to_string()).unwrap_or_default();
            set(&mut headers, header::RANGE, &format!("bytes={from}-{to}"))?;
            if let Some(validator) = wanted.validator {
                set(&mut headers, header::IF_RANGE, validator)?;
            }
        }
        let answers: Vec<u16> = MOVED.into_iter().chain([UNSATISFIABLE]).collect();
        let (mut client, mut url) = (self.clone(), url.clone());
        for _ in 0..=REDIRECTS {
            let answer = client.exchange(get(url.clone(), headers.clone(), expected), &answers).await?;
            let status = answer.status();
            if !MOVED.contains(&status) {
                check::no_page(status, answer.headers())?;
                check::plain(answer.headers())?;
                return Ok(Incoming { answer });
            }
            url = target(&url, &text(answer.headers(), header::LOCATION.as_str()))?;
            client = client.with_auth(Auth::None);
        }
        Err(Error::new(Kind::Protocol, format!("the server redirects more than {REDIRECTS} times")))
    }
}

impl Client {
    /// Makes one attempt at reading everything at a path and follows redirects. Meant for small resources.
    pub(crate) async fn fetch(&self, path: &str) -> Result<Bytes> {
        let mut reply = self.open(&self.url(path), &Wanted::default()).await?;
        let mut body = Vec::new();
        while let Some(piece) = reply.piece().await? {
            if body.len() + piece.len() > LONGEST_FETCH {
                return Err(Error::new(Kind::Refused, "the reply is larger than the 64 MiB limit")
                    .hint("use `diskferry download` for a resource of any size"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.into())
    }
}

impl Incoming {
    /// Returns the status code.
    pub(crate) fn status(&self) -> u16 {
        self.answer.status()
    }

    /// Returns a header, or an empty string if it is missing.
    pub(crate) fn header(&self, name: &header::HeaderName) -> String {
        text(self.answer.headers(), name.as_str())
    }

    /// Returns the length of the body, if the server announced one.
    pub(crate) fn length(&self) -> Option<u64> {
        self.answer.length()
    }

    /// Returns the next piece of the body, or `None` at its end. A body that ends before its announced length
    /// is an error.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>> {
        self.answer.piece().await
    }
}

/// Returns the target of a redirect. A redirect from https to http is refused, and so is one from elsewhere to this machine or its
/// link, where services reply to whoever can reach them (RFC 3927, RFC 4291 section 2.5.6; the metadata of cloud hosts).
fn target(from: &Url, location: &str) -> Result<Url> {
    let wrong = |why: &str| Error::new(Kind::Protocol, format!("the server redirects {why}"));
    let to = from.join(location).map_err(|e| wrong("to an invalid URL").source(e))?;
    if is_inside(&to) && !(is_loopback(from) && is_loopback(&to)) {
        return Err(wrong(&format!(
            "to {}, an address inside this machine or network",
            to.host_str().unwrap_or("")
        ))
        .hint("the server is wrong, or somebody has changed its reply"));
    }
    match to.scheme() {
        "https" => Ok(to),
        "http" if from.scheme() == "http" => Ok(to),
        "http" => Err(wrong("from https to plain http, which does not protect the data")),
        other => Err(wrong(&format!("to the unsupported scheme `{other}:`"))),
    }
}

/// Whether an address is of this machine or of its link alone, by its very form.
fn is_inside(url: &Url) -> bool {
    let v4 = |ip: Ipv4Addr| ip.is_loopback() || ip.is_link_local() || ip.is_unspecified();
    match url.host() {
        Some(Host::Ipv4(ip)) => v4(ip),
        Some(Host::Ipv6(ip)) => {
            ip.is_loopback()
                || ip.is_unicast_link_local()
                || ip.is_unspecified()
                || ip.to_ipv4_mapped().is_some_and(v4)
        }
        Some(Host::Domain(_)) => is_loopback(url),
        None => false,
    }
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) -> Result<()> {
    let value = HeaderValue::from_str(value).map_err(|_| {
        Error::new(Kind::Protocol, format!("the server's {value:?} is not a valid header value"))
    })?;
    headers.insert(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn a_redirect_stays_on_the_web_and_out_of_the_clear() {
        let to = |from: &str, location: &str| target(&from.parse().unwrap(), location).map(|u| u.to_string());
        assert_eq!(to("https://a/x", "/y").unwrap(), "https://a/y");
        assert_eq!(to("http://a/x", "http://b:81/y?z").unwrap(), "http://b:81/y?z");
        assert_eq!(to("http://a/x", "https://b/").unwrap(), "https://b/");
        for (from, location) in
            [("https://a/", "http://a/y"), ("http://a/", "file:///etc/passwd"), ("http://a/", "http://[")]
        {
            assert!(to(from, location).is_err(), "{location}");
        }
    }

    #[test]
    fn a_redirect_does_not_lead_inside() {
        let to = |from: &str, location: &str| target(&from.parse().unwrap(), location).map(|u| u.to_string());
        for inside in [
            "http://127.0.0.1/",
            "http://localhost:8080/",
            "http://169.254.169.254/latest/meta-data",
            "http://0.0.0.0/",
            "http://[::1]/",
            "http://[fe80::1]/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            let error = to("http://api.example.org/", inside).unwrap_err();
            assert!(error.to_string().contains("inside"), "{inside}: {error}");
        }
        // The emulator's own, and a store in a company's network.
        assert!(to("http://127.0.0.1:8704/x", "http://127.0.0.1:8704/blobs/1").is_ok());
        assert!(to("http://127.0.0.1:8704/x", "http://169.254.169.254/").is_err());
        assert!(to("http://api.example.org/", "http://10.1.2.3/x").is_ok());
    }
}
