//! The writing half of a connection. Requests are sent in order, several headers and bodies with one call,
//! and no body is copied.

use super::connection::Shared;
use super::protocol::Command;
use super::socket::Writing;
use crate::meters::Meters;
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{UnboundedReceiver, error::TryRecvError};
use tokio::time::Instant;

/// The most requests sent with one call.
const BATCH: usize = 16;

/// A request to send.
pub(super) struct Outgoing {
    pub(super) header: [u8; 28],
    pub(super) body: Bytes,
    pub(super) cookie: u64,
}

impl Outgoing {
    fn len(&self) -> usize {
        self.header.len() + self.body.len()
    }
}

/// Sends requests.
pub(super) struct Writer {
    socket: Writing,
    queue: UnboundedReceiver<Outgoing>,
    shared: Arc<Shared>,
    /// The requests to send next; the first may be partly sent.
    batch: VecDeque<Outgoing>,
    /// How many bytes of the first request were sent.
    left: usize,
}

impl Writer {
    /// Creates a writer of the requests in `queue`.
    pub(super) fn new(socket: Writing, queue: UnboundedReceiver<Outgoing>, shared: Arc<Shared>) -> Self {
        Self { socket, queue, shared, batch: VecDeque::with_capacity(BATCH), left: 0 }
    }

    /// Sends requests until the queue closes, then disconnects.
    pub(super) async fn run(mut self) -> io::Result<()> {
        while self.fill().await? {
            let allowed = self.allowance().await;
            self.write(allowed).await?;
        }
        let goodbye = Command::Disconnect.header(0, 0, 0);
        self.socket.write_all(&goodbye).await?;
        self.socket.shutdown().await
    }

    /// Takes requests from the queue and waits if it is empty. Returns false at its end.
    async fn fill(&mut self) -> io::Result<bool> {
        loop {
            while self.batch.len() < BATCH {
                match self.queue.try_recv() {
                    Ok(next) => self.push(next),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(!self.batch.is_empty()),
                }
            }
            if !self.batch.is_empty() {
                return Ok(true);
            }
            // Flush before waiting, because TLS may buffer data.
            self.socket.flush().await?;
            match self.queue.recv().await {
                Some(next) => self.push(next),
                None => return Ok(false),
            }
        }
    }

    /// Adds a request, unless no caller waits for it and it was not begun.
    fn push(&mut self, next: Outgoing) {
        if self.shared.is_wanted(next.cookie) {
            self.batch.push_back(next);
        }
    }

    /// Waits for the bandwidth limit. Returns how many bytes may be sent.
    async fn allowance(&self) -> usize {
        let Some(limiter) = &self.shared.context.bandwidth.up else { return usize::MAX };
        let all: usize = self.batch.iter().map(Outgoing::len).sum();
        let piece = (all - self.left).min(limiter.piece());
        let until = limiter.take(piece);
        let wait = until.saturating_duration_since(Instant::now());
        Meters::time(&self.shared.context.meters.throttled_ns, wait);
        let _held = self.shared.gauge.hold();
        tokio::time::sleep_until(until).await;
        piece
    }

    /// Sends up to `allowed` bytes of the batch.
    async fn write(&mut self, mut allowed: usize) -> io::Result<()> {
        while allowed > 0 && !self.batch.is_empty() {
            let mut slices = [IoSlice::new(&[]); 2 * BATCH];
            let (mut count, mut skip, mut room) = (0, self.left, allowed);
            for bytes in self.batch.iter().flat_map(|request| [&request.header[..], &request.body[..]]) {
                let skipped = skip.min(bytes.len());
                skip -= skipped;
                let bytes = &bytes[skipped..];
                let len = bytes.len().min(room);
                if len > 0 {
                    slices[count] = IoSlice::new(&bytes[..len]);
                    (count, room) = (count + 1, room - len);
                }
            }
            let written = self.socket.write_vectored(&slices[..count]).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.shared.gauge.moved(written);
            self.advance(written);
            allowed -= written;
        }
        Ok(())
    }

    /// Removes sent bytes from the batch.
    fn advance(&mut self, mut written: usize) {
        while written > 0
            && let Some(first) = self.batch.front()
        {
            let (head, len) = (first.header.len(), first.len());
            let now = (self.left + written).min(len);
            let body = now.max(head) - self.left.max(head);
            self.shared.sent(first.cookie, body, now == len);
            written -= now - self.left;
            self.left = now;
            if now == len {
                self.batch.pop_front();
                self.left = 0;
            }
        }
    }
}
