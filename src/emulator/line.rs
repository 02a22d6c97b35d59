//! The TCP connection under an exchange. It can be closed or reset at any point, and is no faster than the
//! rate that all connections share.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

/// Lets an exchange end its connection, and learn that its reply was sent.
#[derive(Default)]
pub(super) struct Line {
    end: AtomicU8,
    ended: Notify,
    /// Called once, after the next flush.
    flushed: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

const CLOSED: u8 = 1;
const RESET: u8 = 2;
const HEADERS: u8 = 3;
const INTERIM: u8 = 4;

/// What a connection sends without end after HTTP has released it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endless {
    /// Header lines of a reply.
    Headers,
    /// Interim replies (RFC 9110, section 15.2.1).
    Interim,
}

impl Line {
    /// Closes the connection: the peer reads an end of file after what was sent.
    pub(super) fn close(&self) {
        self.end(CLOSED);
    }

    /// Resets the connection: the peer gets an error, whatever it is doing.
    pub(super) fn reset(&self) {
        self.end(RESET);
    }

    /// Takes the connection from HTTP and fills it without end.
    pub(super) fn fill(&self, with: Endless) {
        self.end(match with {
            Endless::Headers => HEADERS,
            Endless::Interim => INTERIM,
        });
    }

    /// Returns what the connection is to be filled with.
    pub(super) fn filling(&self) -> Option<Endless> {
        match self.end.load(Ordering::Relaxed) {
            HEADERS => Some(Endless::Headers),
            INTERIM => Some(Endless::Interim),
            _ => None,
        }
    }

    /// Calls `call` once everything written before has been handed to the operating system.
    pub(super) fn after_flush(&self, call: Box<dyn FnOnce() + Send>) {
        *self.flushed.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
    }

    fn flushed(&self) {
        let call = self.flushed.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(call) = call {
            call();
        }
    }

    fn end(&self, how: u8) {
        self.end.store(how, Ordering::Relaxed);
        self.ended.notify_one();
    }

    /// Waits until an end of the connection was requested.
    pub(super) async fn ended(&self) {
        self.ended.notified().await;
    }
}

impl Endless {
    /// Fills a connection until the peer closes it.
    pub(super) async fn send(self, stream: &mut (impl AsyncWrite + Unpin)) {
        let (first, piece, pause) = match self {
            // As fast as the client reads: it has to stop by itself.
            Endless::Headers => ("HTTP/1.1 200 OK\r\n", "X-Endless: header\r\n".repeat(50), 1),
            // Slowly: bytes arrive all the time, but never a reply.
            Endless::Interim => ("", "HTTP/1.1 100 Continue\r\n\r\n".to_owned(), 50),
        };
        let mut sent = stream.write_all(first.as_bytes()).await;
        while sent.is_ok() {
            sent = stream.write_all(piece.as_bytes()).await;
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
}

/// One of two handles of a stream: HTTP has one, the connection the other.
pub(super) struct Handle<S>(Arc<Mutex<S>>);

impl<S> Handle<S> {
    pub(super) fn new(stream: S) -> Self {
        Handle(Arc::new(Mutex::new(stream)))
    }

    /// Returns another handle.
    pub(super) fn again(&self) -> Self {
        Handle(Arc::clone(&self.0))
    }

    fn with<T>(&self, call: impl FnOnce(Pin<&mut S>) -> T) -> T
    where
        S: Unpin,
    {
        call(Pin::new(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Handle<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(cx, buf))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Handle<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.with(|stream| stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}

/// A rate that all connections and both directions share.
#[derive(Debug)]
pub(super) struct Pace {
    rate: u64,
    /// When the bytes moved so far will be paid for.
    paid: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(rate: u64) -> Self {
        Pace { rate, paid: Mutex::new(Instant::now()) }
    }

    pub(super) fn rate(&self) -> u64 {
        self.rate
    }

    /// Accounts for bytes that were moved, and returns the time before which nothing more may move.
    fn spend(&self, bytes: usize) -> Instant {
        let nanos = u128::from(bytes as u64) * 1_000_000_000 / u128::from(self.rate);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        *paid = (*paid).max(Instant::now()) + cost;
        *paid
    }

    /// Returns how much is written at once: a fiftieth of a second's worth, so that connections take turns.
    pub(super) fn step(&self) -> usize {
        usize::try_from(self.rate / 50).unwrap_or(usize::MAX).clamp(1 << 10, 64 << 10)
    }
}

/// The socket as HTTP sees it.
pub(super) struct Socket {
    stream: TcpStream,
    line: Arc<Line>,
    pace: Option<Arc<Pace>>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, line: Arc<Line>, pace: Option<Arc<Pace>>) -> Self {
        Socket { stream, line, pace, pause: None }
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }

    fn spend(&mut self, bytes: usize) {
        if let Some(pace) = self.pace.as_ref().filter(|_| bytes > 0) {
            self.pause = Some(Box::pin(tokio::time::sleep_until(pace.spend(bytes))));
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.line.end.load(Ordering::Relaxed) == RESET {
            // Without lingering, closing sends RST. If this fails, the peer sees an end of file, which is a
            // fault too.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_pause(cx));
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        self.spend(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_pause(cx));
        let step = self.pace.as_ref().map_or(usize::MAX, |pace| pace.step());
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &buf[..buf.len().min(step)]))?;
        self.spend(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.pace.is_some() {
            let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
            return self.poll_write(cx, first);
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.line.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
