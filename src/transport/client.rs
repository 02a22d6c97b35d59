//! The HTTP client of one remote: requests with its credentials, one attempt each, errors classified.

use super::check;
use super::flow::{PacedBody, Partial, Trace};
use super::limit::Bandwidth;
pub(crate) use super::message::TEXT;
pub use super::message::{Reply, Sending};
use super::patience::{Patience, Progress, from_now};
use super::standard;
use crate::auth::{Auth, Outgoing};
use crate::config;
use crate::error::{Error, Kind, Result};
use crate::meters::Meters;
use crate::provider::catalogue::secret;
use crate::provider::{Provider, reply};
use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url};
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(15);

/// The default of how long nothing may move on a connection.
pub const DEFAULT_IDLE: Duration = Duration::from_secs(30);

/// The longest reply to a call that is read: a list of twenty thousand drives. What it is parsed to takes several times as
/// much memory.
const LONGEST_REPLY: usize = 16 << 20;

/// The most that is read of what a server says with an error.
const LONGEST_ERROR: usize = 64 << 10;

/// How a client is to behave.
#[derive(Debug)]
pub struct Options {
    /// How long nothing may move on a connection before it is given up.
    pub idle: Duration,
    /// Bytes a second, all connections together, both ways.
    pub bandwidth: Bandwidth,
    /// A certificate authority of the remote's own, in PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Connections that are kept open between requests.
    pub connections: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { idle: DEFAULT_IDLE, bandwidth: Bandwidth::default(), ca_pem: None, connections: 8 }
    }
}

/// The client of one remote.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
    auth: Auth,
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    provider: Provider,
    base: Url,
    bandwidth: Bandwidth,
    patience: Patience,
    meters: Arc<Meters>,
}

impl Client {
    /// A client for the API at `base`, whose path is kept and whose last slash does not matter.
    pub fn new(
        provider: Provider,
        base: Url,
        auth: Auth,
        options: &Options,
        meters: Arc<Meters>,
    ) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("diskferry/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT.min(options.idle.max(Duration::from_secs(1))))
            .pool_max_idle_per_host(options.connections.max(1))
            // These APIs do not redirect; a redirect would carry the credentials who knows where.
            .redirect(reqwest::redirect::Policy::none())
            // There is one retry layer, and it counts.
            .retry(reqwest::retry::never());
        if config::is_loopback(&base) {
            builder = builder.no_proxy();
        }
        if let Some(pem) = &options.ca_pem {
            let certificate = reqwest::Certificate::from_pem(pem)
                .map_err(|e| Error::usage("the remote's ca_file is no certificate").source(e))?;
            builder = builder.tls_certs_merge([certificate]);
        }
        let http =
            builder.build().map_err(|e| Error::new(Kind::Io, "setting up the HTTP client").source(e))?;
        let inner = Inner {
            http,
            provider,
            base,
            bandwidth: options.bandwidth.clone(),
            patience: Patience::new(options.idle, options.bandwidth.clone()),
            meters,
        };
        Ok(Self { inner: Arc::new(inner), auth })
    }

    /// The same client with other credentials.
    #[must_use]
    pub fn with_auth(&self, auth: Auth) -> Self {
        Self { inner: Arc::clone(&self.inner), auth }
    }

    /// The URL of a path below the remote's own.
    pub fn url(&self, path: &str) -> Url {
        config::join(&self.inner.base, path)
    }

    /// Whose API it is.
    pub fn provider(&self) -> Provider {
        self.inner.provider
    }

    /// One attempt at a call with a small body, the reply read whole.
    pub async fn call(&self, sending: &Sending<'_>) -> Result<Reply> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(sending.content_type));
        if let Some(accept) = sending.accept {
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        }
        let url = self.url(sending.path);
        let (mut response, deadline, _) =
            self.exchange(&sending.method, url, headers, sending.body.clone(), 0, sending.answers).await?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        check::plain(&headers)?;
        if !sending.page {
            check::no_page(status, &headers)?;
        }
        let content_type = check::media_type(&headers);
        let (mut body, mut progress) = (Vec::new(), Progress::default());
        while let Some(piece) = self.next_piece(&mut response, &mut progress, deadline).await? {
            if body.len() + piece.len() > LONGEST_REPLY {
                let limit = LONGEST_REPLY >> 20;
                return Err(Error::new(
                    Kind::Protocol,
                    format!("the reply is larger than the {limit} MiB limit"),
                ));
            }
            body.extend_from_slice(&piece);
        }
        check::values(&body)?;
        if sending.method != Method::HEAD {
            standard::check_digest(&headers, &body)?;
        }
        Ok(Reply { status, headers, content_type, body: body.into() })
    }

    /// One attempt at writing a body to a path. It has succeeded if the server gives the answer that its manual has for
    /// a write, and nothing else.
    pub async fn write(&self, path: &str, body: Bytes, gzip: bool) -> Result<()> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        if gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        // The reply is a head alone. One of another status may have a body, which is not waited for.
        let (response, ..) = self.exchange(&Method::POST, self.url(path), headers, body, 0, &[]).await?;
        let (status, headers) = (response.status().as_u16(), response.headers());
        check::status(status, check::acknowledging(self.provider()), headers)?;
        check::empty(status, headers)
    }

    /// One attempt at reading exactly `len` bytes from a path, appended to `into`.
    pub async fn read(&self, path: &str, len: u64, into: &mut Vec<u8>) -> Result<()> {
        let (mut response, deadline, partial) =
            self.exchange(&Method::GET, self.url(path), octets(), Bytes::new(), len, &[]).await?;
        let (status, headers) = (response.status().as_u16(), response.headers());
        check::status(status, check::reading(self.provider()), headers)?;
        check::no_page(status, headers)?;
        check::plain(headers)?;
        let start = Instant::now();
        let mut left = len;
        if let Some(announced) = response.content_length()
            && announced > len
        {
            return Err(Error::new(
                Kind::Protocol,
                format!("the server answers with {announced} bytes where {len} were asked for"),
            ));
        }
        let mut progress = Progress::default();
        while let Some(piece) = self.next_piece(&mut response, &mut progress, deadline).await? {
            partial.moved(piece.len());
            left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
                Error::new(
                    Kind::Protocol,
                    format!("the server answers with more than the {len} bytes asked for"),
                )
            })?;
            into.extend_from_slice(&piece);
            self.pace(piece.len()).await;
        }
        Meters::since(&self.inner.meters.moving_ns, start);
        if left > 0 {
            return Err(Error::new(
                Kind::ShortReply,
                format!("the reply has {} bytes where {len} were asked for", len - left),
            ));
        }
        Ok(())
    }

    /// Sends a request and waits for the head of its reply; a reply that is an error becomes one. Also says when the
    /// attempt has to be over, by the length of its body and of the `expected` reply, and gives what is to be held until
    /// its last byte has come.
    pub(super) async fn exchange(
        &self,
        method: &Method,
        url: Url,
        mut headers: HeaderMap,
        body: Bytes,
        expected: u64,
        answers: &[u16],
    ) -> Result<(Response, tokio::time::Instant, Partial)> {
        let inner = &*self.inner;
        let len = body.len() as u64;
        tracing::debug!(%method, url = secret::url(&url), bytes = body.len(), "request");
        standard::request_headers(inner.provider, &mut headers);
        let form = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == FORM).then_some(&*body);
        self.auth.sign(Outgoing { method, url: &url, form }, &mut headers).await?;
        let path = url.path().to_owned();
        let trace = Trace::new(Arc::clone(&inner.meters));
        let partial = trace.partial();
        let limiter = if len > 0 { inner.bandwidth.up.clone() } else { None };
        let body = PacedBody::new(body, limiter, trace.clone());
        let mut request = inner.http.request(method.clone(), url).headers(headers);
        if *method != Method::GET && *method != Method::HEAD {
            request = request.body(reqwest::Body::wrap(body));
            if len == 0 {
                // Left out for an empty body otherwise, and these servers want it ("Empty POST", Crosspeer API).
                request = request.header(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
        }
        let deadline = from_now(inner.patience.attempt(len, expected));
        let sending = self.watched(len, &trace, deadline, request.send());
        let response = sending.await?.map_err(|e| check::transport_error(&e));
        let (moving, waiting) = trace.split();
        Meters::time(&inner.meters.moving_ns, moving);
        Meters::time(&inner.meters.waiting_ns, waiting);
        let response = response?;
        if len > 0 {
            inner.patience.learn(len, moving + waiting);
        }
        let said = text(response.headers(), "x-elastic-error");
        let status = response.status();
        if said.is_empty() && (status.is_success() || answers.contains(&status.as_u16())) {
            return Ok((response, deadline, partial));
        }
        Err(self.error_reply(&path, response, deadline).await)
    }

    /// Waits for an exchange while it shows signs of life.
    async fn watched<T>(
        &self,
        len: u64,
        trace: &Trace,
        deadline: tokio::time::Instant,
        exchange: impl Future<Output = T>,
    ) -> Result<T> {
        let patience = &self.inner.patience;
        // Looked at more often than the idle deadline, because what is waited for may change: see `patience`.
        let tick = (patience.idle() / 4).max(Duration::from_millis(10));
        tokio::pin!(exchange);
        loop {
            if let Ok(done) = tokio::time::timeout(tick, &mut exchange).await {
                return Ok(done);
            }
            let now = tokio::time::Instant::now();
            if now >= trace.last() + patience.after_sending(len) || now >= deadline {
                patience.doubt();
                return Err(self.stalled());
            }
        }
    }

    /// The next piece of a reply's body, as long as it comes along and its deadline is not over.
    async fn next_piece(
        &self,
        response: &mut Response,
        progress: &mut Progress,
        deadline: tokio::time::Instant,
    ) -> Result<Option<Bytes>> {
        let (start, idle) = (Instant::now(), self.inner.patience.idle());
        let Ok(piece) = tokio::time::timeout_at(from_now(idle).min(deadline), response.chunk()).await else {
            return Err(self.stalled());
        };
        let piece = piece.map_err(|e| check::transport_error(&e))?;
        let bytes = piece.as_ref().map_or(0, Bytes::len);
        if piece.is_some() && !progress.goes_on(bytes, start.elapsed(), idle) {
            return Err(self.stalled());
        }
        Ok(piece)
    }

    /// The same for a body of any length, under the bandwidth limit.
    pub(super) async fn next_of_stream(
        &self,
        response: &mut Response,
        progress: &mut Progress,
        deadline: tokio::time::Instant,
        partial: &Partial,
    ) -> Result<Option<Bytes>> {
        let piece = self.next_piece(response, progress, deadline).await?;
        if let Some(piece) = &piece {
            partial.moved(piece.len());
            self.pace(piece.len()).await;
        }
        Ok(piece)
    }

    /// Waits until so many bytes may have come.
    async fn pace(&self, bytes: usize) {
        if let Some(limiter) = &self.inner.bandwidth.down {
            let until = limiter.take(bytes);
            let now = tokio::time::Instant::now();
            Meters::time(&self.inner.meters.throttled_ns, until.saturating_duration_since(now));
            tokio::time::sleep_until(until).await;
        }
    }

    fn stalled(&self) -> Error {
        let idle = self.inner.patience.idle();
        Error::new(Kind::Timeout, format!("the connection stalled (next to nothing moved for {idle:?})"))
    }

    async fn error_reply(&self, path: &str, mut response: Response, deadline: tokio::time::Instant) -> Error {
        let status = response.status();
        let elastic = text(response.headers(), "x-elastic-error");
        let request_id = standard::request_id(response.headers()).map(str::to_owned);
        let retry_after = retry_after(response.headers());
        let location = text(response.headers(), header::LOCATION.as_str());
        let mut body = Vec::new();
        // What the server says is worth having, but an error reply that is cut short is still that error.
        let until = from_now(self.inner.patience.idle()).min(deadline);
        while body.len() < LONGEST_ERROR
            && let Ok(Ok(Some(piece))) = tokio::time::timeout_at(until, response.chunk()).await
        {
            body.extend_from_slice(&piece[..piece.len().min(LONGEST_ERROR - body.len())]);
        }
        let elastic = (!elastic.is_empty()).then_some(&*elastic);
        let body = String::from_utf8_lossy(&body);
        let told = reply::Told {
            status: status.as_u16(),
            x_elastic_error: elastic,
            retry_after,
            request_id: request_id.as_deref(),
            body: &body,
        };
        let error = reply::classify(self.inner.provider, path, told);
        if status.is_redirection() {
            let location: String = location.chars().take(200).flat_map(char::escape_default).collect();
            return error.hint(format!("the address of the remote may have moved to {location}"));
        }
        error
    }
}

/// A server that names a longer wait is taken to have named this.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// The headers of a request for bytes, as they are.
pub(super) fn octets() -> HeaderMap {
    HeaderMap::from_iter([
        (header::ACCEPT, HeaderValue::from_static("application/octet-stream, */*;q=0.1")),
        (header::ACCEPT_ENCODING, HeaderValue::from_static("identity")),
    ])
}

/// The media type whose body OAuth signs.
const FORM: &str = "application/x-www-form-urlencoded";

pub(super) fn text(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).unwrap_or_default()
}

/// Retry-After in seconds (RFC 9110, 10.2.3). Its other form, a date, is not used by any of these servers.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = text(headers, header::RETRY_AFTER.as_str()).trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER))
}
