//! Bytes handed from one part of the pipeline to another that reads them as a stream.
//!
//! The writing end is fed by a task or a thread, a few pieces ahead at most; the reading end is an ordinary
//! [`Read`], for decoders and sources that know nothing of tasks. The end of the stream is said, never
//! guessed: a writer that dies leaves an error, not a short stream that looks whole.

use crate::error::{Error, Kind};
use bytes::{Buf, Bytes};
use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Pieces that may wait to be read. They are as long as what the network or a decoder gives at once, 256 KiB
/// at most.
const WAITING: usize = 16;

/// One piece, the end (`None`), or why there is no more.
type Piece = Result<Option<Bytes>, Error>;

/// The end that is written to.
#[derive(Clone, Debug)]
pub struct PipeWriter(Sender<Piece>);

/// The end that is read from, on a thread that may wait.
#[derive(Debug)]
pub struct PipeReader {
    pieces: Receiver<Piece>,
    now: Bytes,
    ended: bool,
    failure: Failure,
}

/// Why the stream ended early. Decoders wrap the error that a [`Read`] gives them, or replace it; this keeps
/// it.
#[derive(Clone, Debug, Default)]
pub struct Failure(Arc<Mutex<Option<Error>>>);

/// A new pipe.
pub fn pipe() -> (PipeWriter, PipeReader) {
    let (sender, pieces) = channel(WAITING);
    (PipeWriter(sender), PipeReader { pieces, now: Bytes::new(), ended: false, failure: Failure::default() })
}

impl PipeWriter {
    /// Hands on a piece, from a task; false if nobody reads any more.
    pub async fn send(&self, piece: Bytes) -> bool {
        piece.is_empty() || self.0.send(Ok(Some(piece))).await.is_ok()
    }

    /// Ends the stream, or says why it cannot go on.
    pub async fn end(self, outcome: Result<(), Error>) {
        // A reader that is gone needs no end.
        let _ = self.0.send(outcome.map(|()| None)).await;
    }

    /// Returns when nobody reads any more.
    pub async fn closed(&self) {
        self.0.closed().await;
    }

    /// The same as [`PipeWriter::send`], from a thread.
    pub fn send_blocking(&self, piece: Bytes) -> bool {
        piece.is_empty() || self.0.blocking_send(Ok(Some(piece))).is_ok()
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// The same as [`PipeWriter::end`], from a thread.
    pub fn end_blocking(self, outcome: Result<(), Error>) {
        let _ = self.0.blocking_send(outcome.map(|()| None));
    }
}

impl PipeReader {
    /// Where the reason of a failure can be looked up, whatever becomes of the reader.
    pub fn failure(&self) -> Failure {
        self.failure.clone()
    }
}

impl Failure {
    /// The error that stands behind one of reading: the writer's own if there is one, else `error` as `what`
    /// failed.
    pub fn behind(&self, error: std::io::Error, what: &str) -> Error {
        self.take().unwrap_or_else(|| Error::new(Kind::Source, what).source(error))
    }

    /// The writer's error, once.
    pub fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Keeps the error, and gives one for the reader to fail with.
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
                        Error::new(Kind::Io, "the stream's writer has died; this is a bug in diskferry");
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
        assert!(reader.failure().behind(error, "x").to_string().contains("died"));
        let (writer, mut reader) = pipe();
        writer.end_blocking(Err(Error::new(Kind::Auth, "no")));
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(reader.failure().behind(error, "x").kind(), Kind::Auth);
    }
}
