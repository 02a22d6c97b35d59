//! Replies as long as a drive or an appliance, streamed a piece at a time.

use super::drives::PIECE;
use axum::BoxError;
use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::task::{JoinHandle, spawn_blocking};

/// The part of an object that has not been read yet.
pub(super) struct Reading {
    read: Box<dyn FnMut(u64, usize) -> io::Result<Bytes> + Send>,
    at: u64,
    end: u64,
}

impl Reading {
    /// Creates a reader from one byte up to, but not including, another. `read` returns that many bytes at an
    /// offset.
    pub(super) fn new(
        read: impl FnMut(u64, usize) -> io::Result<Bytes> + Send + 'static,
        at: u64,
        end: u64,
    ) -> Self {
        Reading { read: Box::new(read), at, end }
    }

    fn left(&self) -> u64 {
        self.end - self.at
    }

    /// Reads one piece, and returns it with the rest.
    pub(super) fn next(mut self) -> io::Result<(Bytes, Reading)> {
        let len = usize::try_from(self.left()).map_or(PIECE, |left| left.min(PIECE));
        let bytes = (self.read)(self.at, len)?;
        self.at += len as u64;
        Ok((bytes, self))
    }
}

/// Returns a body of what was read and what remains.
pub(super) fn streamed(first: Bytes, rest: Reading) -> Body {
    Body::new(ReadBody::new(first, rest))
}

/// Streams a range. The next piece is read while one is sent, so a reply takes the memory of two pieces
/// whatever its length.
struct ReadBody {
    ready: Option<Bytes>,
    next: Option<JoinHandle<io::Result<(Bytes, Reading)>>>,
    reading: Option<Reading>,
    left: u64,
}

impl ReadBody {
    fn new(first: Bytes, reading: Reading) -> Self {
        let left = first.len() as u64 + reading.left();
        ReadBody { ready: Some(first), next: None, reading: Some(reading), left }
    }
}

impl http_body::Body for ReadBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let piece = match (self.ready.take(), &mut self.next) {
            (Some(piece), _) => piece,
            (None, Some(next)) => {
                let (piece, reading) = ready!(Pin::new(next).poll(cx))??;
                self.reading = Some(reading);
                piece
            }
            (None, None) => return Poll::Ready(None),
        };
        self.next = self
            .reading
            .take()
            .filter(|reading| reading.left() > 0)
            .map(|reading| spawn_blocking(move || reading.next()));
        self.left -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
