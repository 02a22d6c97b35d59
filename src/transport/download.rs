//! Bodies that are taken as they come, as long as they are: the one long GET of an appliance, or a range of it.

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

/// How many redirects are followed, one after the other.
const REDIRECTS: usize = 5;

/// Redirects, which are answers here.
const MOVED: [u16; 5] = [301, 302, 303, 307, 308];

/// What a range request may be answered with beside success: nothing lies there.
const UNSATISFIABLE: u16 = 416;

/// The longest body that is taken into memory.
const LONGEST_FETCH: usize = 64 << 20;

/// Which part of a resource is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// The first byte; without it everything is asked for.
    pub(crate) from: Option<u64>,
    /// The last byte; without it everything from the first.
    pub(crate) to: Option<u64>,
    /// What it must still be, or everything is sent instead (RFC 9110, 13.1.5).
    pub(crate) validator: Option<&'a str>,
}

/// A reply whose body is still to come.
pub(crate) struct Incoming {
    answer: Answer,
}

impl Client {
    /// One attempt at a GET. Redirects are followed, without the credentials: where the bytes are kept is none of the
    /// account's business, and would learn its signature.
    pub(crate) async fn open(&self, url: &Url, wanted: &Wanted<'_>) -> Result<Incoming> {
        let mut headers = octets();
        // The end of what has no length is not known; a part of it has a deadline.
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
    /// One attempt at everything that is at a path, redirects followed; for what is known to be small.
    pub(crate) async fn fetch(&self, path: &str) -> Result<Bytes> {
        let mut reply = self.open(&self.url(path), &Wanted::default()).await?;
        let mut body = Vec::new();
        while let Some(piece) = reply.piece().await? {
            if body.len() + piece.len() > LONGEST_FETCH {
                return Err(Error::new(Kind::Refused, "the reply is too long to be taken into memory")
                    .hint("`diskferry download` takes what is of any size"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.into())
    }
}

impl Incoming {
    /// The status code.
    pub(crate) fn status(&self) -> u16 {
        self.answer.status()
    }

    /// A header, empty if it is not there.
    pub(crate) fn header(&self, name: &header::HeaderName) -> String {
        text(self.answer.headers(), name.as_str())
    }

    /// How long the body is, if that was said.
    pub(crate) fn length(&self) -> Option<u64> {
        self.answer.length()
    }

    /// The next piece of the body; `None` at its end. A body that ends before its announced length is an error.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>> {
        self.answer.piece().await
    }
}

/// Where a redirect leads. From https it must not lead into the clear, and from elsewhere not to this machine or its
/// link, where services answer whoever can reach them (RFC 3927, RFC 4291 section 2.5.6; the metadata of cloud hosts).
fn target(from: &Url, location: &str) -> Result<Url> {
    let wrong = |why: &str| Error::new(Kind::Protocol, format!("the server redirects {why}"));
    let to = from.join(location).map_err(|e| wrong("to an address that makes no sense").source(e))?;
    if is_inside(&to) && !(is_loopback(from) && is_loopback(&to)) {
        return Err(wrong(&format!(
            "to {}, an address inside this machine or network",
            to.host_str().unwrap_or("")
        ))
        .hint("the server's answer is wrong, or somebody has changed it"));
    }
    match to.scheme() {
        "https" => Ok(to),
        "http" if from.scheme() == "http" => Ok(to),
        "http" => Err(wrong("from https to plain http, where anybody could change the bytes")),
        other => Err(wrong(&format!("to {other}:, which is not the web"))),
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
    let value = HeaderValue::from_str(value)
        .map_err(|_| Error::new(Kind::Protocol, format!("the server's {value:?} cannot be sent back")))?;
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
