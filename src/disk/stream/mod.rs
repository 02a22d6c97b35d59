//! Images that are read as a stream: standard input, an appliance without ranges, the output of a
//! decompressor.

pub mod pipe;
pub mod unpack;
pub(in crate::disk) mod unpack_guard;
pub(in crate::disk) mod unpack_tar;
pub mod xz_index;
pub mod zstd_frames;

use super::vhd::Behind;
use super::{Attempt, Buffer, DiskInfo, Identity, ReadStream};
use crate::error::{Error, Kind, Result};
use pipe::{Failure, PipeReader};
use std::fmt;
use std::io::Read;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::SystemTime;
use tokio::sync::oneshot;

/// A stream before it is read.
pub struct Stream {
    input: Input,
    info: DiskInfo,
}

struct Input {
    bytes: Box<dyn Read + Send>,
    /// The name in messages.
    name: String,
    /// The size in bytes, if known.
    size: Option<u64>,
    /// Whether its size is what the user declared.
    is_declared: bool,
    /// Whether zeros follow if the input ends before its size.
    padded: bool,
    /// What follows the input.
    behind: Option<Behind>,
    /// The cause of a failed read, if the input knows it.
    failure: Failure,
}

impl Stream {
    /// Creates the stream of standard input with `size` bytes.
    pub fn stdin(size: u64) -> Result<Self> {
        let failure = Failure::default();
        Self::new(Box::new(std::io::stdin()), "standard input", size, Identity::Stream { size }, failure)
    }

    /// Creates a stream of `size` bytes from a pipe.
    pub fn piped(input: PipeReader, name: &str, size: u64, identity: Identity) -> Result<Self> {
        let failure = input.failure();
        Self::new(Box::new(input), name, size, identity, failure)
    }

    /// Pads the stream with zeros if it ends before its size.
    #[must_use]
    pub fn padded(mut self) -> Self {
        self.input.padded = true;
        self
    }

    /// Turns the image into a fixed VHD; see [`Behind::new`].
    pub fn with_footer(mut self, id: [u8; 16], made: SystemTime) -> Result<Self> {
        let Some(size) = self.input.size else {
            return Err(Error::usage(format!("the size of {} is unknown", self.input.name)));
        };
        let behind = Behind::new(&self.input.name, size, id, made)?;
        self.info.size = size + behind.len();
        self.input.behind = Some(behind);
        Ok(self)
    }

    /// Decompresses the stream. The size is that of the decompressed image.
    pub fn unpacked(self) -> Result<Self> {
        let Self { input, info } = self;
        let name = input.name.clone();
        let failure = input.failure.clone();
        let reader = unpack::unpack_from(input.bytes, failure)?;
        let input = Input { failure: reader.failure(), bytes: Box::new(reader), name, ..input };
        Ok(Self { input, info })
    }

    /// Creates a stream of unknown size from a pipe.
    pub fn endless(input: PipeReader, name: &str) -> Self {
        let failure = input.failure();
        let input = Input {
            bytes: Box::new(input),
            name: name.to_owned(),
            size: None,
            is_declared: false,
            padded: false,
            behind: None,
            failure,
        };
        Self { input, info: DiskInfo { stable: false, ..DiskInfo::new(name, 0) } }
    }

    /// Creates a stream of `size` bytes; 0 is refused.
    fn new(
        bytes: Box<dyn Read + Send>,
        name: &str,
        size: u64,
        identity: Identity,
        failure: Failure,
    ) -> Result<Self> {
        if size == 0 {
            return Err(Error::new(Kind::Source, "an image of 0 bytes is empty"));
        }
        let input = Input {
            bytes,
            name: name.to_owned(),
            size: Some(size),
            is_declared: matches!(identity, Identity::Stream { .. }),
            padded: false,
            behind: None,
            failure,
        };
        let info = DiskInfo { identity: Some(identity), stable: false, ..DiskInfo::new(name, size) };
        Ok(Self { input, info })
    }

    /// Returns the properties of the stream.
    pub fn info(&self) -> &DiskInfo {
        &self.info
    }

    /// Reads up to `len` of the first bytes and puts them back. Blocks until they arrive.
    pub fn head(mut self, len: usize) -> Result<(Self, Vec<u8>)> {
        let mut head = Vec::new();
        let read = (&mut self.input.bytes).take(len as u64).read_to_end(&mut head);
        read.map_err(|e| self.input.failed(e).offset(0))?;
        let again = std::io::Cursor::new(head.clone());
        self.input.bytes = Box::new(again.chain(self.input.bytes));
        Ok((self, head))
    }

    /// Starts the reader thread. It is not joined, because it may wait for its input forever.
    pub fn start(self) -> Result<StreamReader> {
        let (requests, asked) = channel();
        let Self { input, info } = self;
        let thread = std::thread::Builder::new().name("read".to_owned()).spawn(move || input.serve(&asked));
        thread.map_err(|e| Error::io("cannot start a thread", e))?;
        Ok(StreamReader { info, requests })
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("info", &self.info).finish_non_exhaustive()
    }
}

/// A stream that is being read.
#[derive(Debug)]
pub struct StreamReader {
    info: DiskInfo,
    requests: Sender<Request>,
}

#[derive(Debug)]
struct Request {
    len: u64,
    into: Buffer,
    answer: oneshot::Sender<Result<Buffer>>,
}

impl ReadStream for StreamReader {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn next(&mut self, len: u64, into: Buffer) -> Attempt<Buffer> {
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.send(Request { len, into, answer });
        Box::pin(async move {
            let died = || Error::new(Kind::Io, "the reader thread panicked; this is a bug in diskferry");
            sent.map_err(|_| died())?;
            answered.await.unwrap_or_else(|_| Err(died()))
        })
    }
}

impl Input {
    fn serve(mut self, asked: &Receiver<Request>) {
        let mut at = 0;
        for Request { len, mut into, answer } in asked {
            let read = self.read(at, len, &mut into);
            let failed = read.is_err();
            at += read.as_ref().copied().unwrap_or(0);
            // If nobody takes the bytes, or after an error, everything that follows has lost its place.
            if answer.send(read.map(|_| into)).is_err() || failed {
                return;
            }
        }
    }

    /// Appends the next `len` bytes, at offset `at`, or those up to the end. Returns how many.
    fn read(&mut self, at: u64, len: u64, into: &mut Vec<u8>) -> Result<u64> {
        let (Some(size), Some(behind)) = (self.size, &self.behind) else {
            return self.read_input(at, len, into);
        };
        let end = at.saturating_add(len).min(size + behind.len());
        let follows = at.max(size) - size..end.max(size) - size;
        if at < size {
            self.read_input(at, end.min(size) - at, into)?;
        }
        if let Some(behind) = &self.behind {
            behind.append(follows, into);
        }
        Ok(end.saturating_sub(at))
    }

    /// Appends the next `len` bytes of the input. The last bytes of a stream of known size are returned only
    /// once its end was reached.
    fn read_input(&mut self, at: u64, len: u64, into: &mut Vec<u8>) -> Result<u64> {
        let read = (&mut self.bytes).take(len).read_to_end(into);
        let got = read.map_err(|e| self.failed(e).offset(at))? as u64;
        let Some(size) = self.size else { return Ok(got) };
        if got < len && self.padded {
            into.resize(into.len() + usize::try_from(len - got).unwrap_or_default(), 0);
            return Ok(len);
        }
        if got < len {
            return Err(self.too_short(size, at + got));
        }
        if at + got < size {
            return Ok(got);
        }
        match (&mut self.bytes).take(1).read_to_end(&mut Vec::new()) {
            Ok(0) => Ok(got),
            Ok(_) => Err(self.too_long(size)),
            Err(e) => Err(self.failed(e)),
        }
    }

    fn failed(&self, error: std::io::Error) -> Error {
        self.failure.behind(error, &format!("cannot read {}", self.name))
    }

    fn too_short(&self, size: u64, got: u64) -> Error {
        let text = format!("{} ended early: expected {size} bytes, got {got}", self.name);
        Error::new(Kind::Source, text).hint(if self.is_declared {
            format!(
                "run it again with `--size-at-most {size}` in place of `--size` to pad it with zeros, or with \
                 `--size {got} --restart` to take it as it is"
            )
        } else {
            format!("if the image has {got} bytes, start over with `--size {got} --restart`")
        })
    }

    fn too_long(&self, size: u64) -> Error {
        let text = format!("{} is longer than expected: it goes on after {size} bytes", self.name);
        let option = if self.padded { "--size-at-most" } else { "--size" };
        Error::new(Kind::Source, text).hint(format!("start over with a larger `{option}` and `--restart`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Buffers;

    async fn read(bytes: &'static [u8], size: u64) -> (usize, Result<()>) {
        let identity = Identity::Stream { size };
        let stream = Stream::new(Box::new(bytes), "it", size, identity, Failure::default()).unwrap();
        let (stream, head) = stream.head(3).unwrap();
        assert_eq!(head, bytes[..3]);
        let mut stream = stream.start().unwrap();
        let (buffers, mut all) = (Buffers::new(2), Vec::new());
        while (all.len() as u64) < size {
            match stream.next(4.min(size - all.len() as u64), buffers.take(4)).await {
                Ok(piece) => all.extend_from_slice(&piece),
                Err(error) => return (all.len(), Err(error)),
            }
        }
        assert!(all == bytes[..all.len()]);
        (all.len(), Ok(()))
    }

    #[tokio::test]
    async fn only_the_declared_size_will_do() {
        assert!(matches!(read(b"0123456789", 10).await, (10, Ok(()))));
        let (_, short) = read(b"012345678", 10).await;
        assert!(short.unwrap_err().to_string().contains("expected 10 bytes, got 9"));
        let (got, long) = read(b"0123456789x", 10).await;
        assert!(long.unwrap_err().to_string().contains("goes on after 10 bytes"));
        assert_eq!(got, 8, "the last bytes come only once nothing follows");
        assert!(Stream::stdin(0).is_err());
    }

    #[tokio::test]
    async fn a_stream_of_unknown_size_ends_with_a_short_piece() {
        let (writer, reader) = pipe::pipe();
        let mut stream = Stream::endless(reader, "it").start().unwrap();
        writer.send(bytes::Bytes::from_static(b"012345")).await;
        writer.end(Ok(())).await;
        let buffers = Buffers::new(2);
        // Requested ahead, as the engine does.
        let (first, second) = (stream.next(4, buffers.take(4)), stream.next(4, buffers.take(4)));
        assert_eq!(
            (first.await.unwrap().as_slice(), second.await.unwrap().as_slice()),
            (&b"0123"[..], &b"45"[..])
        );
        assert!(stream.next(4, buffers.take(4)).await.unwrap().is_empty());
    }
}
