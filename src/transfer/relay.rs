//! Chunks from one remote on their way to another: several reads at a time, handed to the encoders as they come.
//!
//! The reads are driven all the time, also while a fetched chunk waits for an encoder: a reply that nobody takes would
//! look like a stalled line. What is fetched and not yet handed on counts as a read in flight, so memory is bounded by
//! these.

use super::Context;
use super::failures::Failures;
use super::fetch::fetch_chunk;
use super::ledger::Bits;
use super::threads::died;
use crate::chunk::{Chunk, ChunkData, FetchedChunk, Geometry};
use crate::encode::buffer::Buffers;
use crate::error::Result;
use crate::source::RemoteSource;
use crate::transport::AnyReadable;
use crossbeam_channel::Sender;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

/// Reads in flight at first. Each time that the encoders are found waiting there is one more, up to what is allowed: over a
/// long way they soon are so many, and where compressing is what takes the time no memory is filled with waiting chunks.
const FIRST_READS: usize = 2;

/// Reads that are to be handed on.
pub(super) struct Relay {
    source: RemoteSource,
    geometry: Geometry,
    settled: Arc<Bits>,
    /// Whether everything is read and handed on in order, also what is settled.
    all: bool,
    out: Sender<Result<Chunk>>,
}

impl Relay {
    /// What is `settled` is read only if `all` is wanted, as for the digest of the whole; then chunks come in order.
    pub(super) fn new(
        source: RemoteSource,
        geometry: Geometry,
        settled: Arc<Bits>,
        all: bool,
        out: Sender<Result<Chunk>>,
    ) -> Self {
        Self { source, geometry, settled, all, out }
    }

    /// Reads and hands on until everything is, nobody takes any more, or nothing more can be read; `written` ends with the
    /// writing. Gives what could not be read.
    ///
    /// A write that was answered before its body was sent leaves the body, and with it the room that it takes, to a
    /// connection that nobody may read from: without `written` a read could wait for that room for ever.
    pub(super) async fn run(self, mut written: oneshot::Receiver<()>, context: &Context) -> Failures {
        let Relay { source, geometry, settled, all: in_order, out } = self;
        let mut indices = (0..geometry.chunks()).filter(|index| in_order || !settled.get(*index));
        let buffers = Buffers::new();
        // Chunks that are anywhere between their read and the end of their write: those on one side leave room for as many
        // less on the other.
        let held = Arc::new(Semaphore::new(context.concurrency));
        let mut failures = Failures::default();
        let mut flying = FuturesUnordered::new();
        let mut fetched: BTreeMap<u64, FetchedChunk> = BTreeMap::new();
        let mut next_in_order = 0;
        let mut handing: Option<JoinHandle<bool>> = None;
        let mut room = FIRST_READS.min(context.concurrency);
        loop {
            while !failures.ends()
                && flying.len() + fetched.len() < room
                && let Some(index) = indices.next()
            {
                flying.push(fetch_under(&held, source.disk(), geometry, index, context, &buffers));
            }
            let first = fetched.first_key_value().map(|(index, _)| *index);
            if handing.is_none()
                && first.is_some_and(|index| !in_order || index == next_in_order)
                && let Some((index, chunk)) = fetched.pop_first()
            {
                next_in_order = index + 1;
                handing = Some(hand_on(chunk, out.clone()));
            }
            if flying.is_empty() && handing.is_none() {
                return failures;
            }
            tokio::select! {
                Some(chunk) = flying.next(), if !flying.is_empty() => match chunk {
                    Ok(chunk) => {
                        failures.success();
                        if fetched.is_empty() && handing.is_none() {
                            room = (room + 1).min(context.concurrency);
                        }
                        fetched.insert(chunk.index, chunk);
                    }
                    Err(error) => failures.note(error),
                },
                taken = async { match &mut handing { Some(task) => task.await, None => Ok(true) } },
                    if handing.is_some() =>
                {
                    handing = None;
                    match taken {
                        Ok(true) => {}
                        // The other side has ended, and says why.
                        Ok(false) => return failures,
                        Err(_) => {
                            failures.note(died("reading"));
                            return failures;
                        }
                    }
                }
                _ = &mut written => return failures,
                () = context.stop.asked(), if !failures.ends() => failures.interrupt(),
            }
        }
    }
}

/// Fetches a chunk once there may be one more.
async fn fetch_under(
    held: &Arc<Semaphore>,
    disk: &AnyReadable,
    geometry: Geometry,
    index: u64,
    context: &Context,
    buffers: &Buffers,
) -> Result<FetchedChunk> {
    // Who holds the others may not let go of them before a stop.
    let permit = async { Arc::clone(held).acquire_owned().await.map_err(|_| died("reading")) };
    let permit = context.stop.unless_asked(permit).await?;
    let FetchedChunk { index, offset, bytes } = fetch_chunk(disk, geometry, index, context, buffers).await?;
    Ok(FetchedChunk { index, offset, bytes: bytes.under(permit) })
}

/// Waits on another thread until an encoder takes the chunk; false if none will.
fn hand_on(chunk: FetchedChunk, out: Sender<Result<Chunk>>) -> JoinHandle<bool> {
    tokio::task::spawn_blocking(move || {
        let FetchedChunk { index, offset, bytes } = chunk;
        out.send(Ok(Chunk { index, offset, data: ChunkData::Read(bytes.freeze()) })).is_ok()
    })
}
