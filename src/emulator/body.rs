//! The bodies of requests and replies.
//!
//! [`Watched`] is a request's body: it counts its bytes and can reset the connection halfway. What its reader
//! leaves unread can be drained, so that a client that is still sending sees the reply instead of a reset.
//! [`Cut`] is a reply's body that ends or stalls early, and [`Announced`] is one that reports its end.

use super::line::Line;
use axum::body::{Body, Bytes};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// The most that is drained so that a client sees its reply. A chunk is 4 MiB; a client that sends more than
/// this after a refused request loses its connection.
const DRAIN: u64 = 64 << 20;

/// Access to a request's body from outside its reader.
#[derive(Default)]
pub(super) struct Watch {
    seen: AtomicU64,
    rest: Mutex<Option<Body>>,
}

impl Watch {
    /// Returns the number of bytes that have arrived.
    pub(super) fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Reads and discards what the body's reader left unread.
    pub(super) async fn drain(&self) {
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut rest) = rest else { return };
        let mut drained = 0;
        while let Some(Ok(frame)) = rest.frame().await {
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            self.seen.fetch_add(bytes, Ordering::Relaxed);
            drained += bytes;
            if drained > DRAIN {
                return;
            }
        }
    }
}

/// A request's body that is counted, and drained after use.
pub(super) struct Watched {
    inner: Body,
    /// Frames that were read before the reader asked for them.
    ahead: VecDeque<Result<Bytes, axum::Error>>,
    watch: Arc<Watch>,
    /// Resets the connection once this many bytes have arrived.
    reset: Option<(u64, Arc<Line>)>,
    done: bool,
}

impl Watched {
    pub(super) fn new(inner: Body, watch: Arc<Watch>) -> Self {
        Watched { inner, ahead: VecDeque::new(), watch, reset: None, done: false }
    }

    /// Reads ahead until `more` returns false for the bytes that arrived. The reader still gets all of them.
    pub(super) async fn read_ahead(&mut self, mut more: impl FnMut(&[u8]) -> bool) {
        while !self.done && !self.inner.is_end_stream() {
            match self.inner.frame().await {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    self.watch.seen.fetch_add(data.len() as u64, Ordering::Relaxed);
                    let more = more(&data);
                    self.ahead.push_back(Ok(data));
                    if !more {
                        return;
                    }
                }
                Some(Err(error)) => {
                    self.ahead.push_back(Err(error));
                    self.done = true;
                }
                None => self.done = true,
            }
        }
    }

    /// Resets the connection after half of the body.
    pub(super) fn reset_half_way(mut self, line: Arc<Line>) -> Self {
        let half = self.size_hint().lower() / 2;
        self.reset = Some((half, line));
        self
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = match self.ahead.pop_front() {
            Some(ahead) => Some(ahead.map(Frame::data)),
            None if self.done => None,
            None => {
                let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
                match &frame {
                    Some(Ok(frame)) => {
                        let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                        self.watch.seen.fetch_add(bytes, Ordering::Relaxed);
                    }
                    None | Some(Err(_)) => self.done = true,
                }
                frame
            }
        };
        if let Some((after, line)) = &self.reset
            && (self.done || self.watch.seen() >= *after)
        {
            line.reset();
            return Poll::Pending; // Never woken: the connection is dropped with everything on it.
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.reset.is_none() && self.ahead.is_empty() && (self.done || self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let ahead: usize = self.ahead.iter().flatten().map(Bytes::len).sum();
        let rest = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + ahead as u64);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + ahead as u64);
        }
        hint
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.done && !self.inner.is_end_stream() {
            let rest = std::mem::take(&mut self.inner);
            *self.watch.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
    }
}

/// How long the first half of a reply has to be sent before the connection is closed. On a slow connection
/// this may not be enough, and the reply is cut shorter still.
const SETTLE: Duration = Duration::from_millis(2);

/// A reply's body that ends or stalls after its first half.
pub(super) struct Cut {
    inner: Body,
    announced: SizeHint,
    left: u64,
    then: Then,
}

enum Then {
    Close(Arc<Line>, Option<Pin<Box<Sleep>>>),
    Stall,
}

impl Cut {
    /// Closes the connection after half of the body.
    pub(super) fn close(inner: Body, line: Arc<Line>) -> Self {
        Self::new(inner, Then::Close(line, None))
    }

    /// Sends nothing after half of the body and keeps the connection open.
    pub(super) fn stall(inner: Body) -> Self {
        Self::new(inner, Then::Stall)
    }

    fn new(inner: Body, then: Then) -> Self {
        let announced = inner.size_hint();
        Cut { inner, left: announced.lower() / 2, announced, then }
    }
}

impl http_body::Body for Cut {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.left > 0 {
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(mut data) = frame.into_data() else { continue };
                    let keep = usize::try_from(self.left).unwrap_or(usize::MAX);
                    data.truncate(keep);
                    self.left -= data.len() as u64;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.left = 0,
            }
        }
        match &mut self.then {
            // The bytes written so far are flushed during this wait. An error at once would discard them.
            Then::Close(line, wait) => {
                let wait = wait.get_or_insert_with(|| Box::pin(tokio::time::sleep(SETTLE)));
                ready!(wait.as_mut().poll(cx));
                line.close();
                Poll::Pending
            }
            Then::Stall => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.announced
    }
}

/// A reply's body that reports when it has been sent.
pub(super) struct Announced {
    inner: Body,
    line: Arc<Line>,
    tell: Option<Box<dyn FnOnce() + Send>>,
}

impl Announced {
    /// Calls `tell` once the last byte has been handed to the operating system.
    pub(super) fn new(inner: Body, line: Arc<Line>, tell: Box<dyn FnOnce() + Send>) -> Self {
        Announced { inner, line, tell: Some(tell) }
    }
}

impl http_body::Body for Announced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if (frame.is_none() || self.inner.is_end_stream())
            && let Some(tell) = self.tell.take()
        {
            // The frame is returned before anything is flushed.
            self.line.after_flush(tell);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
