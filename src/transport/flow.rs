//! Bodies under the bandwidth limit that record their progress, so that a stalled connection is noticed.

use super::limit::Limiter;
use crate::meters::Meters;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// How much of a body is handed to the connection at a time: about a socket buffer's worth, so that the trace
/// follows the network and not this process's memory.
const PIECE: usize = 256 << 10;

/// The progress of an exchange.
#[derive(Clone, Debug)]
pub struct Trace {
    start: Instant,
    last_ms: Arc<AtomicU64>,
    sent_ms: Arc<AtomicU64>,
    /// Bytes that this exchange has transferred.
    moved: Arc<AtomicU64>,
    meters: Arc<Meters>,
}

/// Removes an exchange's bytes from those in flight when the exchange ends, for whatever reason.
pub struct Partial(Trace);

impl Partial {
    /// Notes that bytes of the reply's body arrived.
    pub fn moved(&self, bytes: usize) {
        self.0.moved(bytes);
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let moved = self.0.moved.swap(u64::MAX / 2, Relaxed);
        self.0.meters.partial.fetch_sub(moved, Relaxed);
    }
}

impl Trace {
    /// Creates a trace that starts now.
    pub fn new(meters: Arc<Meters>) -> Self {
        Self {
            start: Instant::now(),
            last_ms: Arc::default(),
            sent_ms: Arc::new(AtomicU64::new(u64::MAX)),
            moved: Arc::default(),
            meters,
        }
    }

    /// Returns a guard to hold for as long as the exchange lasts.
    pub fn partial(&self) -> Partial {
        Partial(self.clone())
    }

    /// Notes that bytes of a body were transferred.
    pub fn moved(&self, bytes: usize) {
        self.touch();
        self.meters.wire.fetch_add(bytes as u64, Relaxed);
        // The body may still be polled for a moment after its exchange was abandoned.
        if self.moved.fetch_add(bytes as u64, Relaxed) < u64::MAX / 2 {
            self.meters.partial.fetch_add(bytes as u64, Relaxed);
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Notes activity.
    pub fn touch(&self) {
        self.last_ms.store(self.now_ms(), Relaxed);
    }

    /// Notes that the whole request was handed to the connection.
    fn sent(&self) {
        self.sent_ms.store(self.now_ms(), Relaxed);
    }

    /// Returns the time of the last activity.
    pub fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.last_ms.load(Relaxed))
    }

    /// Returns how long sending the request took, and how long ago that ended. Until it ends only the first
    /// grows.
    pub fn split(&self) -> (Duration, Duration) {
        let all = self.start.elapsed();
        match self.sent_ms.load(Relaxed) {
            u64::MAX => (all, Duration::ZERO),
            ms => {
                let sending = Duration::from_millis(ms).min(all);
                (sending, all.saturating_sub(sending))
            }
        }
    }
}

/// A request body of known length under the bandwidth limit.
pub struct PacedBody {
    rest: Bytes,
    limiter: Option<Arc<Limiter>>,
    waiting: Option<Pin<Box<Sleep>>>,
    trace: Trace,
}

impl PacedBody {
    /// Creates a body of `bytes`.
    pub fn new(bytes: Bytes, limiter: Option<Arc<Limiter>>, trace: Trace) -> Self {
        if bytes.is_empty() {
            trace.sent();
        }
        Self { rest: bytes, limiter, waiting: None, trace }
    }
}

impl Body for PacedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            return Poll::Ready(None);
        }
        let piece = this.limiter.as_ref().map_or(PIECE, |limiter| limiter.piece()).min(this.rest.len());
        if let Some(limiter) = &this.limiter {
            if this.waiting.is_none() {
                let until = limiter.take(piece);
                Meters::time(
                    &this.trace.meters.throttled_ns,
                    until.saturating_duration_since(Instant::now()),
                );
                this.waiting = Some(Box::pin(tokio::time::sleep_until(until)));
            }
            if let Some(waiting) = &mut this.waiting {
                // A body that the limit holds back is not stalled.
                this.trace.touch();
                ready!(waiting.as_mut().poll(cx));
            }
            this.waiting = None;
        }
        let frame = this.rest.split_to(piece);
        this.trace.moved(piece);
        if this.rest.is_empty() {
            this.trace.sent();
        }
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        // The size is exact, so that the request has a Content-Length and is not chunked.
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
