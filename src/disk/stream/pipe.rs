//! A pipe of bytes from one part of the pipeline to another.
//!
//! A task or a thread feeds the writing end, at most a few pieces ahead. The reading end is an ordinary
//! [`Read`], for decoders and sources that know nothing of tasks. The end of the stream is explicit: if the
//! writer dies, the reader gets an error and not a short stream.

use crate::error::{Error, Kind};
use bytes::{Buf, Bytes};
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// The most pieces that wait to be read. A piece is what the network or a decoder returns at once, at most
/// 256 KiB.
const WAITING: usize = 16;

/// A piece, the end (`None`), or the reason why there is no more.
type Piece = Result<Option<Bytes>, Error>;

/// The writing end.
#[derive(Clone, Debug)]
pub struct PipeWriter(Sender<Piece>);

/// The reading end, for a thread that may block.
#[derive(Debug)]
pub struct PipeReader {
    pieces: Receiver<Piece>,
    now: Bytes,
    ended: bool,
    failure: Failure,
}

/// The reason why a stream ended early. It is kept here because decoders wrap or replace the error of a
/// [`Read`].
#[derive(Clone, Debug, Default)]
pub struct Failure(Arc<Mutex<Option<Error>>>);

/// Creates a pipe.
pub fn pipe() -> (PipeWriter, PipeReader) {
    let (sender, pieces) = channel(WAITING);
    (PipeWriter(sender), PipeReader { pieces, now: Bytes::new(), ended: false, failure: Failure::default() })
}

impl PipeWriter {
    /// Sends a piece from a task. Returns false if the reader is gone.
    pub async fn send(&self, piece: Bytes) -> bool {
        piece.is_empty() || self.0.send(Ok(Some(piece))).await.is_ok()
    }

    /// Ends the stream, or reports why it cannot continue.
    pub async fn end(self, outcome: Result<(), Error>) {
        // If the reader is gone, it needs no end.
        let _ = self.0.send(outcome.map(|()| None)).await;
    }

    /// Waits until the reader is gone.
    pub async fn closed(&self) {
        self.0.closed().await;
    }

    /// Like [`PipeWriter::send`], from a thread.
    pub fn send_blocking(&self, piece: Bytes) -> bool {
        piece.is_empty() || self.0.blocking_send(Ok(Some(piece))).is_ok()
    }

    /// Returns whether the reader is gone.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Like [`PipeWriter::end`], from a thread.
    pub fn end_blocking(self, outcome: Result<(), Error>) {
        let _ = self.0.blocking_send(outcome.map(|()| None));
    }
}

impl PipeReader {
    /// Returns a handle to the reason of a failure, which outlives the reader.
    pub fn failure(&self) -> Failure {
        self.failure.clone()
    }
}

impl Failure {
    /// Returns the writer's error if there is one, otherwise `error` with the context `what`.
    pub fn behind(&self, error: std::io::Error, what: &str) -> Error {
        self.take().unwrap_or_else(|| Error::new(Kind::Source, what).source(error))
    }

    /// Takes the writer's error.
    pub fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Stores the error and returns one for the reader to fail with.
    pub(in crate::disk) fn set(&self, error: Error) -> std::io::Error {
        let text = error.to_string();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        std::io::Error::other(text)
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.now.is_empty() {
            if self.ended {
                return Ok(0);
            }
            match self.pieces.blocking_recv() {
                Some(Ok(Some(piece))) => self.now = piece,
                Some(Ok(None)) => self.ended = true,
                Some(Err(error)) => return Err(self.failure.set(error)),
                None => {
                    let died =
                        Error::new(Kind::Io, "the stream's writer panicked; this is a bug in diskferry");
                    return Err(self.failure.set(died));
                }
            }
        }
        let step = buffer.len().min(self.now.len());
        self.now.copy_to_slice(&mut buffer[..step]);
        Ok(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_out_as_one_stream() {
        let (writer, mut reader) = pipe();
        let thread = std::thread::spawn(move || {
            for piece in [&b"ab"[..], b"", b"cde"] {
                assert!(writer.send_blocking(Bytes::from_static(piece)));
            }
            writer.end_blocking(Ok(()));
        });
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        thread.join().unwrap();
        assert_eq!(all, b"abcde");
    }

    #[test]
    fn a_stream_that_is_not_ended_is_an_error() {
        let (writer, mut reader) = pipe();
        assert!(writer.send_blocking(Bytes::from_static(b"ab")));
        drop(writer);
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(reader.failure().behind(error, "x").to_string().contains("panicked"));
        let (writer, mut reader) = pipe();
        writer.end_blocking(Err(Error::new(Kind::Auth, "no")));
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(reader.failure().behind(error, "x").kind(), Kind::Auth);
    }
}
