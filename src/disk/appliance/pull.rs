//! The long GET of an appliance as a stream that survives broken connections: it reconnects and continues.
//!
//! If the server supports ranges, only the rest is requested. Otherwise the whole is requested again; bytes
//! that were already received are compared by a digest and not passed on twice.

use super::{Access, Appliance};
use crate::digest::hex;
use crate::disk::stream::pipe::{PipeReader, PipeWriter, pipe};
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;

/// A pull that is ready to run: the stream, and the work that feeds it.
pub struct Pull {
    /// The stream, to be read on a thread.
    pub reader: PipeReader,
    /// Feeds the stream; runs concurrently with its reader ([`beside`]). Returns the BLAKE3 digest of the
    /// complete stream in hexadecimal, or `None` if it was not read to its end. The reader reports why it
    /// broke.
    pub feeding: Pin<Box<dyn Future<Output = Option<String>>>>,
}

/// Prepares a pull. `count` tells whether the stream's bytes measure the progress.
pub fn pull(appliance: &Appliance, access: &Access, count: bool) -> Pull {
    let (writer, reader) = pipe();
    let run = Run {
        appliance: appliance.clone(),
        access: access.clone(),
        count,
        at: 0,
        digest: blake3::Hasher::new(),
        reported: false,
    };
    let feeding = Box::pin(async move {
        let pulled = tokio::select! {
            pulled = run.run(&writer) => pulled,
            // The reader may go away while the server is silent.
            () = writer.closed() => return None,
        };
        let (digest, outcome) = match pulled {
            Ok(digest) => (digest, Ok(())),
            Err(error) => (None, Err(error)),
        };
        writer.end(outcome).await;
        digest
    });
    Pull { reader, feeding }
}

/// Runs `reading` to its end while `feeding` feeds it. Also returns the digest of the stream, if it was read
/// to its end. Once `reading` has ended, feeding stops, and a thread that still waits for bytes sees a broken
/// pipe.
pub fn beside<T>(
    reading: impl Future<Output = T>,
    mut feeding: Pin<Box<dyn Future<Output = Option<String>>>>,
) -> impl Future<Output = (T, Option<String>)> {
    let mut reading = Box::pin(reading);
    async move {
        let mut digest = None;
        let mut feeds = true;
        loop {
            tokio::select! {
                biased;
                fed = &mut feeding, if feeds => (digest, feeds) = (fed, false),
                done = &mut reading => return (done, digest),
            }
        }
    }
}

struct Run {
    appliance: Appliance,
    access: Access,
    count: bool,
    /// The number of bytes passed on.
    at: u64,
    /// The digest of these bytes.
    digest: blake3::Hasher,
    /// Whether the user was told that the pull starts over.
    reported: bool,
}

/// How a connection ended.
enum PullEnd {
    /// With the last byte.
    Whole,
    /// The reader went away.
    Unwanted,
    /// Early, but with progress: the next attempt counts as a first one.
    Broken(Error),
}

impl Run {
    /// Pulls to the end. Returns the digest unless the reader went away.
    async fn run(mut self, writer: &PipeWriter) -> Result<Option<String>> {
        let what = format!("reading {}", self.appliance.name());
        let retry = self.appliance.retry().clone();
        loop {
            let from = self.at;
            match retry.run(&what, Some(from), async || self.attempt(writer).await).await? {
                PullEnd::Whole => return Ok(Some(hex(self.digest.finalize().as_bytes()))),
                PullEnd::Unwanted => return Ok(None),
                PullEnd::Broken(error) => retry.report_retry(&what, Some(self.at), &error),
            }
        }
    }

    async fn attempt(&mut self, writer: &PipeWriter) -> Result<PullEnd> {
        let from = self.at;
        if from > 0
            && matches!(self.access, Access::Whole { .. })
            && !std::mem::replace(&mut self.reported, true)
        {
            let text = format!(
                "the connection broke after {from} bytes: reading {} again from its start and comparing the part already received",
                self.appliance.name()
            );
            (self.appliance.retry().observer)(&Event::Warning(text));
        }
        let (mut reply, start) = self.appliance.open_at(from, &self.access).await?;
        let mut again = Reread::new(from - start);
        loop {
            let piece = match reply.piece().await {
                Ok(Some(piece)) => piece,
                Ok(None) if again.left > 0 => return Err(self.changed()),
                Ok(None) => return self.ended(from),
                Err(error) if error.kind().is_retryable() && self.at > from => {
                    return Ok(PullEnd::Broken(error));
                }
                Err(error) => return Err(error),
            };
            let new = again.pass(&piece);
            if again.left == 0 && again.differs(&self.digest) {
                return Err(self.changed());
            }
            let piece = piece.slice(piece.len() - new..);
            if self.access.size().is_some_and(|size| self.at + new as u64 > size) {
                return Err(Error::new(
                    Kind::Protocol,
                    format!(
                        "the reply has more than the announced {} bytes",
                        self.access.size().unwrap_or(0)
                    ),
                ));
            }
            self.digest.update(&piece);
            self.at += new as u64;
            if self.count {
                self.appliance.retry().meters.image.fetch_add(new as u64, Relaxed);
            }
            if !writer.send(piece).await {
                return Ok(PullEnd::Unwanted);
            }
        }
    }

    /// Checks whether a body that ended was complete.
    fn ended(&self, from: u64) -> Result<PullEnd> {
        let Some(size) = self.access.size().filter(|size| *size != self.at) else {
            return Ok(PullEnd::Whole);
        };
        let short =
            Error::new(Kind::ShortReply, format!("the reply ended after {} of {size} bytes", self.at));
        if self.at > from { Ok(PullEnd::Broken(short)) } else { Err(short) }
    }

    fn changed(&self) -> Error {
        Error::new(Kind::Source, format!("{} changed during the transfer", self.appliance.name()))
            .offset(self.at)
            .hint("start over with `--restart`")
    }
}

/// Bytes that are received again and were already passed on.
struct Reread {
    left: u64,
    digest: Option<blake3::Hasher>,
}

impl Reread {
    fn new(left: u64) -> Self {
        Self { left, digest: (left > 0).then(blake3::Hasher::new) }
    }

    /// Compares the known part of a piece. Returns how many bytes at its end are new.
    fn pass(&mut self, piece: &[u8]) -> usize {
        let known = usize::try_from(self.left).unwrap_or(usize::MAX).min(piece.len());
        if let Some(digest) = &mut self.digest {
            digest.update(&piece[..known]);
        }
        self.left -= known as u64;
        piece.len() - known
    }

    /// Returns whether the reread bytes differ from the first ones. Called once all of them came.
    fn differs(&mut self, first: &blake3::Hasher) -> bool {
        self.digest.take().is_some_and(|again| again.finalize() != first.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// The thread that reads sees the end of a pull whose reading task gave up, and does not wait forever.
    #[tokio::test]
    async fn feeding_ends_with_the_reading() {
        let (writer, mut reader) = pipe();
        let feeding = Box::pin(async move {
            writer.send(bytes::Bytes::from_static(b"some")).await;
            std::future::pending().await
        });
        let thread = std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
        let (done, digest) = beside(async { 7 }, feeding).await;
        assert_eq!((done, digest), (7, None));
        assert!(thread.join().unwrap().is_err(), "a stream that was given up looks whole");
    }

    #[tokio::test]
    async fn the_digest_is_there_when_the_stream_was_read_to_its_end() {
        let (writer, mut reader) = pipe();
        let feeding = Box::pin(async move {
            writer.end(Ok(())).await;
            Some("digest".to_owned())
        });
        let reading = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new()));
        let (read, digest) = beside(reading, feeding).await;
        assert_eq!((read.unwrap().unwrap(), digest.as_deref()), (0, Some("digest")));
    }

    #[test]
    fn what_comes_again_is_compared_once_and_not_handed_on() {
        let mut first = blake3::Hasher::new();
        first.update(b"abcdef");
        let mut again = Reread::new(6);
        assert_eq!(again.pass(b"abcd"), 0);
        assert_eq!(again.pass(b"efgh"), 2);
        assert!(again.left == 0 && !again.differs(&first) && !again.differs(&blake3::Hasher::new()));
        let mut other = Reread::new(6);
        assert_eq!(other.pass(b"abcdeX"), 0);
        assert!(other.differs(&first));
        let mut fresh = Reread::new(0);
        assert_eq!(fresh.pass(b"abc"), 3);
        assert!(!fresh.differs(&first));
    }
}
