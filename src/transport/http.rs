//! HTTP to one server: one attempt at an exchange, under deadlines and the bandwidth limit. What its answers mean is known
//! above: by [`Client`](super::client::Client) for the five APIs, by a disk for a server that has nothing else.

use super::check;
use super::flow::{PacedBody, Partial, Trace};
use super::limit::Bandwidth;
use super::patience::{Patience, Progress, from_now};
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

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(15);

/// The default of how long nothing may move on a connection.
pub const DEFAULT_IDLE: Duration = Duration::from_secs(30);

/// The longest reply to a call that is read: a list of twenty thousand drives. What it is parsed to takes several times as
/// much memory.
const LONGEST_REPLY: usize = 16 << 20;

/// The most that is read of what a server says with an error.
const LONGEST_ERROR: usize = 64 << 10;

/// How exchanges are to behave.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long nothing may move on a connection before it is given up.
    pub idle: Duration,
    /// Bytes a second, all connections together, both ways.
    pub bandwidth: Bandwidth,
    /// A certificate authority of the remote's own, in PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Connections that are kept open between requests.
    pub connections: usize,
    /// The unix socket on which the server listens, where it is on this machine and has one.
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

/// The way to one server. Clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    inner: Arc<Inner>,
    meters: Arc<Meters>,
    /// Secrets in the paths of URLs, which are in no log.
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
    patience: Patience,
}

/// A request.
pub(crate) struct Outbound {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// How long the body of its answer will be, for the deadline; `u64::MAX` where only its end will tell.
    pub(crate) expected: u64,
}

/// The head of an answer, whatever it says; its body is still to come.
pub(crate) struct Answer {
    http: Http,
    response: Response,
    deadline: tokio::time::Instant,
    partial: Partial,
    progress: Progress,
}

impl Http {
    /// To the server at `base`, whose path is kept and whose last slash does not matter.
    pub(crate) fn new(base: Url, options: &Options, meters: Arc<Meters>) -> Result<Self> {
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
            patience: Patience::new(options.idle, options.bandwidth.clone()),
        };
        Ok(Self { inner: Arc::new(inner), meters, secrets: Redactor::default() })
    }

    /// The same, over the same connections, with other counters.
    #[must_use]
    pub(crate) fn counted(&self, meters: Arc<Meters>) -> Self {
        Self { meters, ..self.clone() }
    }

    /// The same, with what `secrets` knows hidden in the URLs that are logged: for a server whose paths are credentials.
    #[must_use]
    pub(crate) fn hiding(self, secrets: Redactor) -> Self {
        Self { secrets, ..self }
    }

    /// The URL of a path below the server's own.
    pub(crate) fn url(&self, path: &str) -> Url {
        address::join(&self.inner.base, path)
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(&self, outbound: Outbound) -> Result<Answer> {
        self.send_to_work(outbound, Duration::ZERO).await
    }

    /// The same for a request that the server has to work for, and does not answer, for up to `work` longer than it has for
    /// any other.
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
                // Left out for an empty body otherwise, and these servers want it ("Empty POST", Crosspeer API).
                request = request.header(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
        }
        let deadline = from_now(inner.patience.attempt(len, expected).saturating_add(work));
        let sending = self.watched(len, work, &trace, deadline, request.send());
        let response = sending.await?.map_err(|e| check::transport_error(&e));
        let (moving, waiting) = trace.split();
        Meters::time(&self.meters.moving_ns, moving);
        Meters::time(&self.meters.waiting_ns, waiting);
        let response = response?;
        // What the server worked for says nothing of the line.
        if len > 0 && work.is_zero() {
            inner.patience.learn(len, moving + waiting);
        }
        Ok(Answer { http: self.clone(), response, deadline, partial, progress: Progress::default() })
    }

    /// Waits for an exchange while it shows signs of life.
    async fn watched<T>(
        &self,
        len: u64,
        work: Duration,
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
            if now >= trace.last() + patience.after_sending(len).saturating_add(work) || now >= deadline {
                patience.doubt();
                return Err(self.stalled());
            }
        }
    }

    /// Waits until so many bytes may have come.
    async fn pace(&self, bytes: usize) {
        if let Some(limiter) = &self.inner.bandwidth.down {
            let until = limiter.take(bytes);
            let now = tokio::time::Instant::now();
            Meters::time(&self.meters.throttled_ns, until.saturating_duration_since(now));
            tokio::time::sleep_until(until).await;
        }
    }

    fn stalled(&self) -> Error {
        let idle = self.inner.patience.idle();
        Error::new(Kind::Timeout, format!("the connection stalled (next to nothing moved for {idle:?})"))
    }
}

impl Answer {
    /// The status code.
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// The headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// How long the body is, if that was said.
    pub(crate) fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next piece of the body, as long as it comes along and its deadline is not over.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let (start, idle) = (Instant::now(), self.http.inner.patience.idle());
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

    /// The next piece of a body of any length, under the bandwidth limit; `None` at its end. A body that ends before its
    /// announced length is an error.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>> {
        let piece = self.next().await?;
        if let Some(piece) = &piece {
            self.partial.moved(piece.len());
            self.http.pace(piece.len()).await;
        }
        Ok(piece)
    }

    /// The whole body, which has a limit.
    pub(crate) async fn whole(&mut self) -> Result<Vec<u8>> {
        self.at_most(LONGEST_REPLY).await
    }

    /// The whole body, which is no longer than `limit` bytes.
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
                format!("the server answers with {announced} bytes where {len} were asked for"),
            ));
        }
        while let Some(piece) = self.piece().await? {
            left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
                Error::new(
                    Kind::Protocol,
                    format!("the server answers with more than the {len} bytes asked for"),
                )
            })?;
            into.extend_from_slice(&piece);
        }
        Meters::since(&self.http.meters.moving_ns, start);
        if left > 0 {
            return Err(Error::new(
                Kind::ShortReply,
                format!("the reply has {} bytes where {len} were asked for", len - left),
            ));
        }
        Ok(())
    }

    /// What the server says with an error, as far as it comes: one that is cut short is still that error.
    pub(crate) async fn said(&mut self) -> String {
        let mut body = Vec::new();
        let until = from_now(self.http.inner.patience.idle()).min(self.deadline);
        while body.len() < LONGEST_ERROR
            && let Ok(Ok(Some(piece))) = tokio::time::timeout_at(until, self.response.chunk()).await
        {
            body.extend_from_slice(&piece[..piece.len().min(LONGEST_ERROR - body.len())]);
        }
        String::from_utf8_lossy(&body).into_owned()
    }
}
