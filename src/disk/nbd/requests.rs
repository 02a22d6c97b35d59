//! Splits reads, writes and status queries of any offset and length into requests that respect a server's
//! block sizes.

use super::SEND_AGAIN;
use super::assembly::Assembly;
use super::connection::Connection;
use super::durability::Covers;
use super::failure::{Refusal, violation};
use super::pool::Pool;
use super::protocol::{BlockSizes, Command};
use super::statuses::{Statuses, append};
use super::table::{EdgeGuard, Outcome, Payload, Request, longest_request};
use crate::disk::{Buffer, Buffers, Extent};
use crate::error::{Error, Kind, Result};
use bytes::{Bytes, BytesMut};
use std::ops::Range;
use std::sync::Arc;

/// How much is zeroed by one request: what a server that has to write the zeros does in a second or two.
const ZEROED: u64 = 128 << 20;

/// How much one block status request covers.
const ASKED: u64 = 1 << 30;

/// The most block status requests for one window. Beyond that the server returns too little per request, and
/// the rest counts as data.
const MOST_QUESTIONS: u32 = 1 << 14;

/// Makes the requests of a disk.
#[derive(Clone)]
pub(super) struct Requests {
    pool: Arc<Pool>,
    /// Held while a part of a block is changed.
    edges: Arc<tokio::sync::Mutex<()>>,
}

/// The data of a write.
pub(super) enum Contents {
    Bytes(Bytes),
    Zeros,
}

impl Contents {
    /// Copies the data of a part of the range.
    fn fill(&self, at: usize, into: &mut [u8]) {
        match self {
            Contents::Bytes(bytes) => into.copy_from_slice(&bytes[at..at + into.len()]),
            Contents::Zeros => into.fill(0),
        }
    }
}

impl Requests {
    /// Creates the requests for an export.
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool, edges: Arc::default() }
    }

    /// Returns the connections.
    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn block(&self) -> BlockSizes {
        self.pool.export().block
    }

    /// Appends `len` bytes from `offset` to `into`.
    pub(super) async fn read(&self, offset: u64, len: u64, mut into: Buffer) -> Result<Buffer> {
        if len == 0 {
            return Ok(into);
        }
        let block = self.block();
        let (base, aligned) = (into.len(), outwards(offset..offset + len, block.minimum));
        let mut at = aligned.start;
        while at < aligned.end {
            let piece = longest_request(block).min(narrow(aligned.end - at));
            into = self.read_aligned(at, piece, into).await?;
            at += u64::from(piece);
        }
        let before = to_usize(offset - aligned.start);
        if before > 0 {
            into.drain(base..base + before);
        }
        into.truncate(base + to_usize(len));
        Ok(into)
    }

    async fn read_aligned(&self, offset: u64, length: u32, into: Buffer) -> Result<Buffer> {
        let payload = Payload::Data(Assembly::new(into, offset, length as usize));
        let request =
            Request { command: Command::Read, offset, length, body: Bytes::new(), payload, guard: None };
        match self.ask(request).await? {
            Payload::Data(assembly) => Ok(assembly.into_buffer()),
            _ => Err(violation("a reply of another type than requested")),
        }
    }

    /// Writes a range. Returns false if the server can write zeros only as data.
    pub(super) async fn write(&self, offset: u64, len: u64, contents: &Contents) -> Result<bool> {
        if matches!(contents, Contents::Zeros) && !self.pool.export().features.write_zeroes() {
            return Ok(false);
        }
        if len == 0 {
            return Ok(true);
        }
        let (range, minimum) = (offset..offset + len, self.block().minimum);
        let inside = inwards(&range, minimum);
        if inside == range {
            return self.write_aligned(range, 0, contents, None).await;
        }
        let guard = Arc::new(Arc::clone(&self.edges).lock_owned().await);
        for edge in edges(&range, minimum) {
            self.write_edge(&range, edge, contents, &guard).await?;
        }
        let from = to_usize(inside.start.saturating_sub(offset));
        self.write_aligned(inside, from, contents, Some(&guard)).await
    }

    /// Writes whole blocks. `from` is the position of the first byte in `contents`.
    async fn write_aligned(
        &self,
        range: Range<u64>,
        from: usize,
        contents: &Contents,
        guard: Option<&EdgeGuard>,
    ) -> Result<bool> {
        if range.is_empty() {
            return Ok(true);
        }
        let (offset, len) = (range.start, range.end - range.start);
        match contents {
            Contents::Bytes(bytes) => {
                let body = bytes.slice(from..from + to_usize(len));
                self.write_bytes(offset, body, guard).await?;
            }
            Contents::Zeros => {
                let (command, mut at) = (Command::WriteZeroes, offset);
                while at < range.end {
                    let length = narrow((range.end - at).min(ZEROED));
                    match self.change(command, at, length, Bytes::new(), guard).await? {
                        Ok(()) => at += u64::from(length),
                        Err(refusal) if refusal.leaves_writing() => return Ok(false),
                        Err(refusal) => return Err(self.refused(&refusal, command)),
                    }
                }
            }
        }
        Ok(true)
    }

    /// Writes a part of a block: reads it, changes it and writes it back.
    async fn write_edge(
        &self,
        range: &Range<u64>,
        block: Range<u64>,
        contents: &Contents,
        guard: &EdgeGuard,
    ) -> Result<()> {
        let len = to_usize(block.end - block.start);
        let read = self.read_aligned(block.start, narrow(len as u64), Buffers::new(0).take(len)).await?;
        let part = range.start.max(block.start)..range.end.min(block.end);
        let mut bytes = BytesMut::from(&read[..]);
        let at = to_usize(part.start - block.start);
        let into = &mut bytes[at..at + to_usize(part.end - part.start)];
        contents.fill(to_usize(part.start - range.start), into);
        self.write_bytes(block.start, bytes.freeze(), Some(guard)).await
    }

    async fn write_bytes(&self, offset: u64, body: Bytes, guard: Option<&EdgeGuard>) -> Result<()> {
        let length = narrow(body.len() as u64);
        let written = self.change(Command::Write, offset, length, body, guard).await?;
        written.map_err(|refusal| self.refused(&refusal, Command::Write))
    }

    /// Sends a request that changes the export. Returns whether the server carried it out.
    async fn change(
        &self,
        command: Command,
        offset: u64,
        length: u32,
        body: Bytes,
        guard: Option<&EdgeGuard>,
    ) -> Result<Result<(), Refusal>> {
        let request =
            Request { command, offset, length, body, payload: Payload::None, guard: guard.cloned() };
        let connection = self.pool.connection().await?;
        match connection.ask(request).await {
            Outcome::Done(_) => Ok(Ok(())),
            Outcome::Refused(refusal) => Ok(Err(refusal)),
            Outcome::Failed(error) => Err(error),
        }
    }

    /// Flushes a connection: its own acknowledged writes, or those of others if `covers` is `None`.
    ///
    /// A refused flush must not be repeated. What could not be made safe may be lost, and a second flush need
    /// not report it (fsync(2) reports an error once).
    pub(super) async fn flush(&self, connection: &Connection, covers: Option<Covers>) -> Result<()> {
        let (command, payload) = (Command::Flush, covers.map_or(Payload::None, Payload::Safe));
        let request = Request { command, offset: 0, length: 0, body: Bytes::new(), payload, guard: None };
        match connection.ask(request).await {
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(refusal) => {
                let error = self.refused(&refusal, command);
                if !error.kind().is_retryable() {
                    return Err(error);
                }
                Err(error.with_kind(Kind::Io).hint(SEND_AGAIN))
            }
            Outcome::Failed(error) => Err(error),
        }
    }

    /// Returns what the server reports about a range; the rest counts as data.
    pub(super) async fn extents(&self, window: Range<u64>) -> Result<Vec<Extent>> {
        let minimum = u64::from(self.block().minimum);
        let end = outwards(window.clone(), self.block().minimum).end;
        let (mut extents, mut done) = (Vec::new(), window.start);
        for _ in 0..MOST_QUESTIONS {
            // A server that stopped in the middle of a block is asked for the whole block again.
            let (from, before) = (done / minimum * minimum, done);
            for extent in self.statuses(from..end.min(from + ASKED)).await? {
                let range = extent.range.start.max(done)..extent.range.end.min(window.end);
                if !range.is_empty() {
                    done = range.end;
                    append(&mut extents, range, extent.zero);
                }
            }
            if done == window.end || done == before {
                break;
            }
        }
        if done < window.end {
            append(&mut extents, done..window.end, false);
        }
        Ok(extents)
    }

    async fn statuses(&self, asked: Range<u64>) -> Result<Vec<Extent>> {
        let (offset, length) = (asked.start, narrow(asked.end - asked.start));
        let connection = self.pool.connection().await?;
        // The id is valid for this connection only.
        let (Some(context), bitmap) = (connection.export().allocation, connection.export().bitmap) else {
            return Ok(vec![Extent { range: asked, zero: false }]);
        };
        let payload = Payload::Statuses(Statuses::new(context, bitmap, asked));
        let (command, body) = (Command::BlockStatus, Bytes::new());
        let request = Request { command, offset, length, body, payload, guard: None };
        match self.ask_on(&connection, request).await? {
            Payload::Statuses(statuses) => Ok(statuses.into_extents()),
            _ => Err(violation("a reply of another type than requested")),
        }
    }

    async fn ask(&self, request: Request) -> Result<Payload> {
        let connection = self.pool.connection().await?;
        self.ask_on(&connection, request).await
    }

    async fn ask_on(&self, connection: &Connection, request: Request) -> Result<Payload> {
        let command = request.command;
        match connection.ask(request).await {
            Outcome::Done(payload) => Ok(payload),
            Outcome::Refused(refusal) => Err(self.refused(&refusal, command)),
            Outcome::Failed(error) => Err(error),
        }
    }

    fn refused(&self, refusal: &Refusal, command: Command) -> Error {
        refusal.error(command, &self.pool.export().name)
    }
}

/// Returns the smallest range of whole blocks that contains `range`. It is on the disk, whose size is a
/// multiple of the minimum block size.
fn outwards(range: Range<u64>, minimum: u32) -> Range<u64> {
    let minimum = u64::from(minimum);
    range.start / minimum * minimum..range.end.div_ceil(minimum) * minimum
}

/// Returns the largest range of whole blocks in `range`.
fn inwards(range: &Range<u64>, minimum: u32) -> Range<u64> {
    let minimum = u64::from(minimum);
    let (start, end) = (range.start.div_ceil(minimum) * minimum, range.end / minimum * minimum);
    start..end.max(start)
}

/// Returns the blocks, at most two, that `range` covers in part.
fn edges(range: &Range<u64>, minimum: u32) -> impl Iterator<Item = Range<u64>> + use<> {
    let minimum = u64::from(minimum);
    let (first, last) = (range.start / minimum * minimum, range.end / minimum * minimum);
    let head = (range.start > first).then_some(first);
    let tail = (range.end > last && head != Some(last)).then_some(last);
    head.into_iter().chain(tail).map(move |start| start..start + minimum)
}

/// Converts a length that fits a request.
fn narrow(len: u64) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Converts the length of something in memory.
fn to_usize(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_into_whole_blocks_and_its_edges() {
        let cut = |range: Range<u64>| {
            let edges: Vec<u64> = edges(&range, 512).map(|block| block.start).collect();
            (outwards(range.clone(), 512), inwards(&range, 512), edges)
        };
        assert_eq!(cut(512..1024), (512..1024, 512..1024, vec![]));
        assert_eq!(cut(500..1500), (0..1536, 512..1024, vec![0, 1024]));
        assert_eq!(cut(500..1024), (0..1024, 512..1024, vec![0]));
        assert_eq!(cut(512..1025), (512..1536, 512..1024, vec![1024]));
        assert_eq!(cut(1..2), (0..512, 512..512, vec![0]));
        assert_eq!(cut(0..2), (0..512, 0..0, vec![0]));
        assert_eq!(cut(500..512), (0..512, 512..512, vec![0]));
        assert_eq!(cut(500..600), (0..1024, 512..512, vec![0, 512]));
    }
}
