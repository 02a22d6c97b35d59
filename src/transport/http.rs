//! HTTP to one server: one attempt at an exchange, under deadlines and the bandwidth limit.
//!
//! The layers above interpret the replies: [`Client`](super::client::Client) for the five APIs, and the disks
//! for other servers.

use super::check;
use super::deadlines::{Deadlines, Progress, from_now};
use super::flow::{PacedBody, Partial, Trace};
use super::limit::Bandwidth;
use crate::error::{Error, Kind, Result};
use crate::meters::Meters;
use crate::provider::catalogue::secret::{self, Redactor};
use crate::transport::address;
use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url};
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(15);

/// The default idle deadline of a connection.
pub const DEFAULT_IDLE: Duration = Duration::from_secs(30);

/// The longest reply to a call that is read, enough for a list of twenty thousand drives. Parsed, it takes
/// several times as much memory.
const LONGEST_REPLY: usize = 16 << 20;

/// The longest body that is sent without waiting for an acknowledgement, so that its reply takes one round
/// trip: the ten segments of a new connection hold 14 KB (RFC 6928, section 2).
const SMALL: u64 = 8 << 10;

/// The most that is read of an error reply.
const LONGEST_ERROR: usize = 64 << 10;

/// The settings of a client.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a connection may be idle before it is abandoned.
    pub idle: Duration,
    /// The bandwidth limits, shared by all connections.
    pub bandwidth: Bandwidth,
    /// A certificate authority to trust, in PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// How many connections are kept open between requests.
    pub connections: usize,
    /// The Unix socket of a local server, if it listens on one.
    pub socket: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            idle: DEFAULT_IDLE,
            bandwidth: Bandwidth::default(),
            ca_pem: None,
            connections: 8,
            socket: None,
        }
    }
}

/// An HTTP client for one server. Clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    inner: Arc<Inner>,
    meters: Arc<Meters>,
    /// Secrets in the paths of URLs, which are not logged.
    secrets: Redactor,
}

/// The certificates of a `ca_file`: one at least.
fn authorities(pem: &[u8]) -> Result<Vec<reqwest::Certificate>> {
    let certificates = reqwest::Certificate::from_pem_bundle(pem)
        .map_err(|e| no_authority("the remote's ca_file is not a certificate in PEM").source(e))?;
    if certificates.is_empty() {
        return Err(no_authority("the remote's ca_file has no certificate in PEM"));
    }
    Ok(certificates)
}

fn no_authority(message: &str) -> Error {
    Error::usage(message).hint("ca_file names a PEM file: `-----BEGIN CERTIFICATE-----` and what follows it")
}

#[derive(Debug)]
struct Inner {
    http: reqwest::Client,
    base: Url,
    bandwidth: Bandwidth,
    deadlines: Deadlines,
}

/// A request.
pub(crate) struct Outbound {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The expected length of the reply's body, for the deadline; `u64::MAX` if unknown.
    pub(crate) expected: u64,
}

/// The head of a reply of any status, whose body has not been read.
pub(crate) struct Answer {
    http: Http,
    response: Response,
    deadline: tokio::time::Instant,
    partial: Partial,
    progress: Progress,
}

impl Http {
    /// Creates a client for the server at `base`. The path of `base` is kept; a final slash does not matter.
    pub(crate) fn new(base: Url, options: &Options, meters: Arc<Meters>) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("diskferry/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(CONNECT.min(options.idle.max(Duration::from_secs(1))))
            .pool_max_idle_per_host(options.connections.max(1))
            // These APIs do not redirect, and following a redirect would pass the credentials to another
            // server.
            .redirect(reqwest::redirect::Policy::none())
            // Retrying is left to the retry layer, which counts.
            .retry(reqwest::retry::never());
        if address::is_loopback(&base) {
            builder = builder.no_proxy();
        }
        if let Some(socket) = &options.socket {
            builder = builder.unix_socket(socket.clone());
        }
        if let Some(pem) = &options.ca_pem {
            builder = builder.tls_certs_merge(authorities(pem)?);
        }
        let http = builder.build().map_err(|e| match &options.ca_pem {
            // Nothing else of what it is built from comes from outside.
            Some(_) => no_authority("the remote's ca_file cannot be used").source(e),
            None => Error::new(Kind::Io, "cannot set up the HTTP client").source(e),
        })?;
        let inner = Inner {
            http,
            base,
            bandwidth: options.bandwidth.clone(),
            deadlines: Deadlines::new(options.idle, options.bandwidth.clone()),
        };
        Ok(Self { inner: Arc::new(inner), meters, secrets: Redactor::default() })
    }

    /// Returns a client with other counters that shares the connections.
    #[must_use]
    pub(crate) fn counted(&self, meters: Arc<Meters>) -> Self {
        Self { meters, ..self.clone() }
    }

    /// Hides what `secrets` matches in the URLs that are logged, for a server whose paths are credentials.
    #[must_use]
    pub(crate) fn hiding(self, secrets: Redactor) -> Self {
        Self { secrets, ..self }
    }

    /// Returns the URL of a path below the server's URL.
    pub(crate) fn url(&self, path: &str) -> Url {
        address::join(&self.inner.base, path)
    }

    /// Sends a request and waits for the head of the reply.
    pub(crate) async fn send(&self, outbound: Outbound) -> Result<Answer> {
        self.send_to_work(outbound, Duration::ZERO).await
    }

    /// Like [`Http::send`], but for a request that the server may take up to `work` longer to process before
    /// it replies.
    pub(crate) async fn send_to_work(&self, outbound: Outbound, work: Duration) -> Result<Answer> {
        let Outbound { method, url, headers, body, expected } = outbound;
        let inner = &*self.inner;
        let len = body.len() as u64;
        let shown = secret::url(&url);
        tracing::debug!(%method, url = %self.secrets.redact(&shown), bytes = body.len(), "request");
        let trace = Trace::new(Arc::clone(&self.meters));
        let partial = trace.partial();
        let limiter = if len > 0 { inner.bandwidth.up.clone() } else { None };
        let body = PacedBody::new(body, limiter, trace.clone());
        let bodiless = method == Method::GET || method == Method::HEAD;
        let mut request = inner.http.request(method, url).headers(headers);
        if !bodiless {
            request = request.body(reqwest::Body::wrap(body));
            if len == 0 {
                // An empty body has no Content-Length by default, but these servers require it ("Empty POST",
                // Crosspeer API).
                request = request.header(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
        }
        let start = Instant::now();
        let deadline = from_now(inner.deadlines.attempt(len, expected).saturating_add(work));
        let sending = self.watched(len, work, &trace, deadline, request.send());
        let response = sending.await?.map_err(|e| check::transport_error(&e));
        let (moving, waiting) = trace.split();
        Meters::time(&self.meters.moving_ns, moving);
        Meters::time(&self.meters.waiting_ns, waiting);
        let response = response?;
        // The time that the server takes to process a request says nothing about the line.
        if work.is_zero() {
            if len <= SMALL {
                self.meters.note_round_trip(start.elapsed());
            }
            if len > 0 {
                inner.deadlines.learn(len, moving + waiting);
            }
        }
        Ok(Answer { http: self.clone(), response, deadline, partial, progress: Progress::default() })
    }

    /// Waits for an exchange as long as it shows signs of life.
    async fn watched<T>(
        &self,
        len: u64,
        work: Duration,
        trace: &Trace,
        deadline: tokio::time::Instant,
        exchange: impl Future<Output = T>,
    ) -> Result<T> {
        let deadlines = &self.inner.deadlines;
        // Checked more often than the idle deadline, because the deadline may change: see `deadlines`.
        let tick = (deadlines.idle() / 4).max(Duration::from_millis(10));
        tokio::pin!(exchange);
        loop {
            if let Ok(done) = tokio::time::timeout(tick, &mut exchange).await {
                return Ok(done);
            }
            let now = tokio::time::Instant::now();
            if now >= trace.last() + deadlines.after_sending(len).saturating_add(work) || now >= deadline {
                deadlines.doubt();
                return Err(self.stalled());
            }
        }
    }

    /// Waits until the bandwidth limit allows `bytes` to be received.
    async fn pace(&self, bytes: usize) {
        if let Some(limiter) = &self.inner.bandwidth.down {
            let until = limiter.take(bytes);
            let now = tokio::time::Instant::now();
            Meters::time(&self.meters.throttled_ns, until.saturating_duration_since(now));
            tokio::time::sleep_until(until).await;
        }
    }

    fn stalled(&self) -> Error {
        let idle = self.inner.deadlines.idle();
        Error::new(Kind::Timeout, format!("the connection stalled: almost no data for {idle:?}"))
    }
}

impl Answer {
    /// Returns the status code.
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// Returns the headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Returns the length of the body, if the server announced one.
    pub(crate) fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// Returns the next piece of the body, within its deadlines.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let (start, idle) = (Instant::now(), self.http.inner.deadlines.idle());
        let until = from_now(idle).min(self.deadline);
        let Ok(piece) = tokio::time::timeout_at(until, self.response.chunk()).await else {
            return Err(self.http.stalled());
        };
        let piece = piece.map_err(|e| check::transport_error(&e))?;
        let bytes = piece.as_ref().map_or(0, Bytes::len);
        if piece.is_some() && !self.progress.goes_on(bytes, start.elapsed(), idle) {
            return Err(self.http.stalled());
        }
        Ok(piece)
    }

    /// Returns the next piece of a body of any length, under the bandwidth limit, or `None` at its end. A
    /// body that ends before its announced length is an error.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>> {
        let piece = self.next().await?;
        if let Some(piece) = &piece {
            self.partial.moved(piece.len());
            self.http.pace(piece.len()).await;
        }
        Ok(piece)
    }

    /// Reads the complete body, up to the default limit.
    pub(crate) async fn whole(&mut self) -> Result<Vec<u8>> {
        self.at_most(LONGEST_REPLY).await
    }

    /// Reads the complete body, up to `limit` bytes.
    pub(crate) async fn at_most(&mut self, limit: usize) -> Result<Vec<u8>> {
        let too_large = || {
            let limit = limit >> 10;
            let (limit, unit) = if limit < 1 << 10 { (limit, "KiB") } else { (limit >> 10, "MiB") };
            Error::new(Kind::Protocol, format!("the reply is larger than the {limit} {unit} limit"))
        };
        if self.length().is_some_and(|announced| announced > limit as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(piece) = self.next().await? {
            if body.len() + piece.len() > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// Appends a body of exactly `len` bytes to `into`.
    pub(crate) async fn exactly(&mut self, len: u64, into: &mut Vec<u8>) -> Result<()> {
        let start = Instant::now();
        let mut left = len;
        if let Some(announced) = self.length()
            && announced > len
        {
            return Err(Error::new(
                Kind::Protocol,
                format!("the reply has {announced} bytes, expected {len}"),
            ));
        }
        while let Some(piece) = self.piece().await? {
            left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
                Error::new(Kind::Protocol, format!("the reply has more than the expected {len} bytes"))
            })?;
            into.extend_from_slice(&piece);
        }
        Meters::since(&self.http.meters.moving_ns, start);
        if left > 0 {
            return Err(Error::new(
                Kind::ShortReply,
                format!("the reply has {} bytes, expected {len}", len - left),
            ));
        }
        Ok(())
    }

    /// Returns the text of an error reply, as far as it arrives. A truncated text is still that error.
    pub(crate) async fn error_text(&mut self) -> String {
        let mut body = Vec::new();
        let until = from_now(self.http.inner.deadlines.idle()).min(self.deadline);
        while body.len() < LONGEST_ERROR
            && let Ok(Ok(Some(piece))) = tokio::time::timeout_at(until, self.response.chunk()).await
        {
            body.extend_from_slice(&piece[..piece.len().min(LONGEST_ERROR - body.len())]);
        }
        String::from_utf8_lossy(&body).into_owned()
    }
}
