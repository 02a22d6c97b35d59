//! The bytes of one write. They are complete before any is applied, so a broken connection changes nothing.
//!
//! Up to [`MEMORY`] they are in memory, beyond that in an unnamed file.

use super::contents::PIECE;
use crate::emulator::answer::Refusal;
use axum::body::Bytes;
use flate2::bufread::MultiGzDecoder;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Seek, Write};
use std::path::PathBuf;

/// The most memory that one write may take, in bytes. The chunks of all clients that we know are 4 or 5 MiB.
const MEMORY: u64 = 16 << 20;

/// Bytes to write to a drive.
#[derive(Debug)]
pub(crate) struct Payload {
    pieces: Vec<Bytes>,
    spool: Option<File>,
    len: u64,
    dir: PathBuf,
}

impl Payload {
    /// Creates an empty payload that spools to a file in `dir` once it is large.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Payload { pieces: Vec::new(), spool: None, len: 0, dir }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether one more piece of this size will be written to a file, which takes time.
    pub(crate) fn spools(&self, more: usize) -> bool {
        self.spool.is_some() || self.len + more as u64 > MEMORY
    }

    /// Appends bytes.
    pub(crate) fn push(&mut self, piece: Bytes) -> io::Result<()> {
        self.len += piece.len() as u64;
        if self.spool.is_none() && self.len <= MEMORY {
            self.pieces.push(piece);
            return Ok(());
        }
        let spool = match &mut self.spool {
            Some(spool) => spool,
            None => self.spool.insert(tempfile::tempfile_in(&self.dir)?),
        };
        for piece in self.pieces.drain(..) {
            spool.write_all(&piece)?;
        }
        spool.write_all(&piece)
    }

    /// Passes the bytes on in order, a list of pieces at a time.
    pub(super) fn each(self, mut take: impl FnMut(&[Bytes]) -> io::Result<()>) -> io::Result<()> {
        let Some(mut spool) = self.spool else { return take(&self.pieces) };
        spool.rewind()?;
        let mut left = self.len;
        while left > 0 {
            let len = left.min(PIECE as u64);
            let mut piece = Vec::with_capacity(PIECE);
            if (&mut spool).take(len).read_to_end(&mut piece)? as u64 != len {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            left -= len;
            take(&[piece.into()])?;
        }
        Ok(())
    }

    /// Unpacks gzip with all its members. Refuses the data as soon as it exceeds `room` bytes, whatever its
    /// full size would be.
    pub(crate) fn gunzip(self, room: u64) -> Result<Payload, Refusal> {
        let mut plain = Payload::new(self.dir.clone());
        let mut decoder = MultiGzDecoder::new(self.reader()?);
        loop {
            let mut piece = vec![0; PIECE];
            let (len, outcome) = fill(&mut decoder, &mut piece);
            outcome.map_err(broken)?;
            if len == 0 {
                return Ok(plain);
            }
            if plain.len + len as u64 > room {
                return Err(Refusal::full("The drive is too small for this write"));
            }
            piece.truncate(len);
            plain.push(piece.into())?;
        }
    }

    fn reader(self) -> io::Result<Box<dyn BufRead>> {
        Ok(match self.spool {
            Some(mut spool) => {
                spool.rewind()?;
                Box::new(BufReader::with_capacity(PIECE, spool))
            }
            None => Box::new(Pieces(self.pieces.into())),
        })
    }
}

/// Reads until the buffer is full, the source ends or it fails. The bytes read before an error are in the
/// buffer.
pub(super) fn fill(source: &mut impl Read, buffer: &mut [u8]) -> (usize, io::Result<()>) {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (filled, Err(error)),
        }
    }
    (filled, Ok(()))
}

fn broken(error: io::Error) -> Refusal {
    // The decoder's own errors are of these kinds; any other comes from the disk.
    match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::InvalidData | ErrorKind::UnexpectedEof => {
            Refusal::usage(format!("The body is not whole gzip data: {error}"))
        }
        _ => error.into(),
    }
}

/// Reads pieces one after the other without copying them.
struct Pieces(VecDeque<Bytes>);

impl BufRead for Pieces {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.0.front().is_some_and(Bytes::is_empty) {
            self.0.pop_front();
        }
        Ok(self.0.front().map_or(&[], |piece| piece))
    }

    fn consume(&mut self, amount: usize) {
        if let Some(piece) = self.0.front_mut() {
            // More than the piece has cannot have been consumed.
            let _ = piece.split_to(amount.min(piece.len()));
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let now = self.fill_buf()?;
        let len = now.len().min(buffer.len());
        buffer[..len].copy_from_slice(&now[..len]);
        self.consume(len);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn payload(bytes: &[u8], step: usize) -> Payload {
        let mut payload = Payload::new(std::env::temp_dir());
        bytes.chunks(step).for_each(|piece| payload.push(Bytes::copy_from_slice(piece)).unwrap());
        payload
    }

    fn all(payload: Payload) -> Vec<u8> {
        let mut bytes = Vec::new();
        payload
            .each(|pieces| {
                bytes.extend(pieces.concat());
                Ok(())
            })
            .unwrap();
        bytes
    }

    #[test]
    fn members_follow_each_other() {
        let both = [gzip(b"one "), gzip(b"two")].concat();
        for step in [1, 7, 1000] {
            assert_eq!(all(payload(&both, step).gunzip(7).unwrap()), b"one two");
        }
    }

    #[test]
    fn broken_gzip_is_refused() {
        let whole = gzip(&[9; 10_000]);
        let mut wrong_sum = whole.clone();
        let at = wrong_sum.len() - 6;
        wrong_sum[at] ^= 1;
        for broken in [&whole[..whole.len() - 1], &whole[..5], b"", b"plain text, no gzip", &wrong_sum] {
            assert!(payload(broken, 100).gunzip(1 << 20).is_err(), "{}", broken.len());
        }
    }

    #[test]
    fn unpacking_stops_where_the_room_ends() {
        let bomb = gzip(&vec![0; 40 << 20]);
        assert!(payload(&bomb, 1000).gunzip((40 << 20) - 1).is_err());
        assert_eq!(payload(&bomb, 1000).gunzip(40 << 20).unwrap().len(), 40 << 20);
    }

    #[test]
    fn large_payloads_go_through_a_file_unchanged() {
        let bytes: Vec<u8> = (0..(20 << 20)).map(|i: u32| (i / 1000).to_le_bytes()[0]).collect();
        let spooled = payload(&bytes, 1 << 20);
        assert!(spooled.spool.is_some());
        assert!(all(spooled) == bytes);
    }
}
