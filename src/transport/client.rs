//! The client of one remote of the five APIs: signs requests, makes one attempt each and classifies errors.

use super::check;
use super::http::{Answer, Http, Outbound};
pub use super::http::{DEFAULT_IDLE, Options};
pub(crate) use super::message::TEXT;
pub use super::message::{ApiRequest, Reply};
use super::standard;
use crate::auth::{Auth, Outgoing};
use crate::error::{Error, Result};
use crate::meters::Meters;
use crate::provider::{Provider, reply};
use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use std::sync::Arc;
use std::time::Duration;

/// The client of one remote.
#[derive(Clone, Debug)]
pub struct Client {
    http: Http,
    provider: Provider,
    auth: Auth,
}

impl Client {
    /// Creates a client for the API at `base`. The path of `base` is kept; a final slash does not matter.
    pub fn new(
        provider: Provider,
        base: Url,
        auth: Auth,
        options: &Options,
        meters: Arc<Meters>,
    ) -> Result<Self> {
        Ok(Self { http: Http::new(base, options, meters)?, provider, auth })
    }

    /// Returns a client with other credentials.
    #[must_use]
    pub fn with_auth(&self, auth: Auth) -> Self {
        Self { auth, ..self.clone() }
    }

    /// Returns a client with other counters that shares the connections.
    #[must_use]
    pub fn counted(&self, meters: Arc<Meters>) -> Self {
        Self { http: self.http.counted(meters), ..self.clone() }
    }

    /// Returns the URL of a path below the remote's URL.
    pub fn url(&self, path: &str) -> Url {
        self.http.url(path)
    }

    /// Returns the provider.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// Makes one attempt at a call with a small body and reads the complete reply.
    pub async fn call(&self, sending: &ApiRequest<'_>) -> Result<Reply> {
        let mut headers = HeaderMap::new();
        if !sending.body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(sending.content_type));
        }
        if let Some(accept) = sending.accept {
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        }
        let outbound = Outbound {
            method: sending.method.clone(),
            url: self.url(sending.path),
            headers,
            body: sending.body.clone(),
            expected: 0,
        };
        let mut answer = self.exchange(outbound, sending.answers).await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        check::plain(&headers)?;
        if !sending.page {
            check::no_page(status, &headers)?;
        }
        let content_type = check::media_type(&headers);
        let body = answer.whole().await?;
        check::values(&body)?;
        if sending.method != Method::HEAD {
            standard::check_digest(&headers, &body)?;
        }
        Ok(Reply { status, headers, content_type, body: body.into() })
    }

    /// Makes one attempt at writing a body to a path. Only the reply that the provider's manual specifies for
    /// a write counts as success.
    pub async fn write(&self, path: &str, body: Bytes, gzip: bool) -> Result<()> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let outbound = Outbound { method: Method::POST, url: self.url(path), headers, body, expected: 0 };
        // The expected reply has no body. The body of a reply with another status is not waited for.
        let answer = self.exchange(outbound, &[]).await?;
        check::status(answer.status(), check::acknowledging(self.provider), answer.headers())?;
        check::empty(answer.status(), answer.headers())
    }

    /// Makes one attempt at reading exactly `len` bytes from a path and appends them to `into`.
    pub async fn read(&self, path: &str, len: u64, into: &mut Vec<u8>) -> Result<()> {
        let mut answer = self.exchange(get(self.url(path), octets(), len), &[]).await?;
        let (status, headers) = (answer.status(), answer.headers());
        check::status(status, check::reading(self.provider), headers)?;
        check::no_page(status, headers)?;
        check::plain(headers)?;
        answer.exactly(len, into).await
    }

    /// Signs and sends a request and waits for the head of the reply. An error status that is not among
    /// `answers` becomes an error.
    pub(super) async fn exchange(&self, mut outbound: Outbound, answers: &[u16]) -> Result<Answer> {
        let Outbound { method, url, headers, body, .. } = &mut outbound;
        standard::request_headers(self.provider, headers);
        let form = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == FORM).then_some(&**body);
        self.auth.sign(Outgoing { method, url, form }, headers).await?;
        let path = url.path().to_owned();
        let mut answer = self.http.send(outbound).await?;
        let said = text(answer.headers(), "x-elastic-error");
        let status = answer.status();
        if said.is_empty() && ((200..300).contains(&status) || answers.contains(&status)) {
            return Ok(answer);
        }
        Err(self.error_reply(&path, &mut answer).await)
    }

    async fn error_reply(&self, path: &str, answer: &mut Answer) -> Error {
        let body = answer.error_text().await;
        let headers = answer.headers();
        let elastic = text(headers, "x-elastic-error");
        let told = reply::Told {
            status: answer.status(),
            x_elastic_error: (!elastic.is_empty()).then_some(&*elastic),
            retry_after: retry_after(headers),
            request_id: standard::request_id(headers),
            body: &body,
        };
        let error = reply::classify(self.provider, path, told);
        if (300..400).contains(&answer.status()) {
            let location = text(headers, header::LOCATION.as_str());
            let location: String = location.chars().take(200).flat_map(char::escape_default).collect();
            return error.hint(format!("the remote may have moved to {location}: check its url"));
        }
        error
    }
}

/// The longest Retry-After that is honoured; longer values are reduced to it.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// Returns a GET whose reply is expected to have `expected` bytes, for the deadline.
pub(super) fn get(url: Url, headers: HeaderMap, expected: u64) -> Outbound {
    Outbound { method: Method::GET, url, headers, body: Bytes::new(), expected }
}

/// Returns the headers of a request for unencoded bytes.
pub(crate) fn octets() -> HeaderMap {
    HeaderMap::from_iter([
        (header::ACCEPT, HeaderValue::from_static("application/octet-stream, */*;q=0.1")),
        (header::ACCEPT_ENCODING, HeaderValue::from_static("identity")),
    ])
}

/// The media type whose body OAuth signs.
const FORM: &str = "application/x-www-form-urlencoded";

/// Returns a header as text, or an empty string if it is missing.
pub(crate) fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).unwrap_or_default()
}

/// Returns Retry-After in seconds (RFC 9110, 10.2.3). Its other form, a date, is used by none of these
/// servers.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = text(headers, header::RETRY_AFTER.as_str()).trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}
