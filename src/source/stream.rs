//! A stream as a source: standard input, its size declared beforehand.

use super::Identity;
use super::pipe::{Failure, PipeReader};
use crate::chunk::{Chunk, ChunkData, Geometry};
use crate::encode::buffer::Buffers;
use crate::error::{Error, Kind, Result};
use crossbeam_channel::Sender;
use std::fmt;
use std::io::Read;

/// A stream of a declared size.
pub struct StreamSource {
    input: Box<dyn Read + Send>,
    identity: Identity,
    size: u64,
    /// What it is called in messages.
    name: String,
    /// The error behind a failed read, where the input knows it.
    failure: Failure,
}

impl StreamSource {
    /// Standard input, of `size` bytes.
    pub fn stdin(size: u64) -> Result<Self> {
        Self::new(Box::new(std::io::stdin()), "standard input", size, Identity::Stream { size })
    }

    /// What comes through a pipe: `size` bytes of `name`, known as `identity`.
    pub fn piped(input: PipeReader, name: &str, size: u64, identity: Identity) -> Result<Self> {
        let failure = input.failure();
        Ok(Self { failure, ..Self::new(Box::new(input), name, size, identity)? })
    }

    /// Any input, of `size` bytes; 0 is refused.
    fn new(input: Box<dyn Read + Send>, name: &str, size: u64, identity: Identity) -> Result<Self> {
        if size == 0 {
            return Err(Error::new(Kind::Source, "an image of 0 bytes is empty"));
        }
        Ok(Self { input, identity, size, name: name.to_owned(), failure: Failure::default() })
    }

    /// Puts something around the input, such as a digest.
    #[must_use]
    pub fn through(mut self, wrap: impl FnOnce(Box<dyn Read + Send>) -> Box<dyn Read + Send>) -> Self {
        self.input = wrap(self.input);
        self
    }

    /// Reads up to `len` of the first bytes, and puts them back.
    pub fn head(mut self, len: usize) -> Result<(Self, Vec<u8>)> {
        let mut head = Vec::new();
        (&mut self.input).take(len as u64).read_to_end(&mut head).map_err(|e| self.failed(e).offset(0))?;
        let again = std::io::Cursor::new(head.clone());
        Ok((self.through(|input| Box::new(again.chain(input))), head))
    }

    /// The declared size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// What tells this image from another: its size alone.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Sends every chunk, in order: those that are not wanted have to be compared. A stream that ends early or goes on
    /// past its declared size is an error.
    pub fn feed(mut self, geometry: Geometry, out: &Sender<Result<Chunk>>) -> Result<()> {
        let buffers = Buffers::new();
        for index in 0..geometry.chunks() {
            let offset = geometry.offset(index);
            let len = geometry.len(index);
            let mut buffer = buffers.take(usize::try_from(len).unwrap_or(usize::MAX));
            let got = (&mut self.input)
                .take(len)
                .read_to_end(&mut buffer)
                .map_err(|e| self.failed(e).offset(offset))?;
            if (got as u64) < len {
                return Err(self.wrong_size(&format!("ended after {}", offset + got as u64)));
            }
            let data = ChunkData::Read(buffer.freeze());
            if out.send(Ok(Chunk { index, offset, data })).is_err() {
                return Ok(());
            }
        }
        let mut more = [0];
        match self.input.read(&mut more) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.wrong_size("goes on past that")),
            Err(e) => Err(self.failed(e)),
        }
    }

    fn failed(&self, error: std::io::Error) -> Error {
        self.failure.behind(error, &format!("reading {} failed", self.name))
    }

    fn wrong_size(&self, how: &str) -> Error {
        Error::new(Kind::Source, format!("{} was to be {} bytes and {how}", self.name, self.size))
            .hint("give the exact size with --size")
    }
}

impl fmt::Debug for StreamSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSource").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(bytes: &'static [u8], size: u64) -> (usize, Result<()>) {
        let (tx, rx) = crossbeam_channel::unbounded();
        let source = StreamSource::new(Box::new(bytes), "it", size, Identity::Stream { size }).unwrap();
        let end = source.feed(Geometry::new(size, 4), &tx);
        drop(tx);
        (rx.into_iter().map(|c| usize::try_from(c.unwrap().len()).unwrap()).sum(), end)
    }

    #[test]
    fn only_the_declared_size_will_do() {
        assert!(matches!(feed(b"0123456789", 10), (10, Ok(()))));
        let (_, short) = feed(b"012345678", 10);
        assert!(short.unwrap_err().to_string().contains("ended after 9"));
        let (_, long) = feed(b"0123456789x", 10);
        assert!(long.unwrap_err().to_string().contains("goes on"));
        assert!(StreamSource::stdin(0).is_err());
    }
}
