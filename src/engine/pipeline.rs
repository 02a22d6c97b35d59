//! The loop that moves chunks: read, work, write, acknowledge.
//!
//! The task keeps reads and writes in flight and hands chunks to the worker threads in between. Workers read
//! and write local disks themselves. Every chunk holds a permit of the [`Window`](crate::disk::Window) from
//! before its read until it is done. Permits are taken in image order, so a chunk never waits for one that
//! comes after it.
//!
//! After a stop request or a fatal error nothing new starts and reads are dropped. Chunks that are with the
//! workers or being written are waited for, until the stop's second phase gives those up too.

use super::encode::codec::Rung;
use super::failures::Failures;
use super::flow::Flow;
use super::pace::Pace;
use super::tap::Tap;
use super::workers::Workers;
use super::{Context, MAX_CONCURRENCY, queues};
use crate::chunk::Geometry;
use crate::disk::{Body, Buffer, Permit, ReadAt, ReadStream, Receipt, WriteAt};
use crate::error::{Error, Kind, Result};
use crate::meters::Meters;
use futures_util::StreamExt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Where chunks come from.
pub enum Source {
    /// A disk that can be read at any offset.
    At(Arc<dyn ReadAt>),
    /// A stream, read once and in order.
    Stream(Box<dyn ReadStream>),
}

/// A chunk to move.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// The index of the chunk in the image.
    pub index: u64,
    /// Where to read its bytes.
    pub from: Origin,
}

/// Where the bytes of a chunk are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the source.
    Source,
    /// From the copy that an earlier run kept.
    Kept,
    /// Not read: the chunk is known to be zero.
    Hole,
}

/// A chunk whose bytes are in memory, ready for a worker.
pub struct Loaded {
    /// The index of the chunk in the image.
    pub index: u64,
    /// The offset in bytes.
    pub offset: u64,
    /// Where its bytes were read.
    pub from: Origin,
    /// The bytes.
    pub content: Content,
}

/// The bytes of a chunk.
pub enum Content {
    /// This number of zero bytes, which were not read.
    Zeros(u64),
    /// Bytes in a buffer that holds its permit of the window.
    Bytes(Buffer),
}

/// What a worker made of a chunk.
pub enum Worked<T> {
    /// The chunk is done.
    Done(T),
    /// The chunk is to be written to a range. Without a body the range is zeroed.
    Write(T, Range<u64>, Option<Body>),
}

/// How a chunk was written.
pub struct Written {
    /// The disk's acknowledgement.
    pub receipt: Receipt,
    /// Whether the disk made zeros without transferring any.
    pub as_hole: bool,
    /// Bytes sent over the network.
    pub wire: u64,
}

/// The work that one worker thread does on each chunk.
pub type WorkFn<T> = Box<dyn FnMut(Loaded) -> Result<Worked<T>> + Send>;

/// Chunks on their way from a disk through the workers, and optionally to another disk.
pub struct Pipeline<T> {
    /// How the image is cut into chunks.
    pub geometry: Geometry,
    /// Where chunks come from.
    pub source: Source,
    /// A local disk with the chunks that an earlier run kept.
    pub kept: Option<Arc<dyn ReadAt>>,
    /// The work, one closure for each worker thread.
    pub work_fns: Vec<WorkFn<T>>,
    /// Receives the bytes of every chunk in order.
    pub tap: Option<Arc<Tap>>,
    /// Where chunks go, unless the workers write them.
    pub to: Option<Arc<dyn WriteAt>>,
    /// The compression level of the workers, if it may be changed.
    pub rung: Option<Rung>,
    /// Window bytes taken per chunk byte: two if a worker encodes the chunk into a body of its own.
    pub room: u64,
}

/// How long a chunk may wait for room while no request is in flight. A server that replies to writes before
/// it reads them leaves their bodies, and the room these take, with connections that may never end.
const STUCK: Duration = Duration::from_secs(30);

/// How often the connections are checked while requests hold things up. `/proc/net/tcp` lists all connections
/// of the machine, so reading it takes milliseconds.
const LOOK: Duration = Duration::from_millis(500);

impl<T: Send + 'static> Pipeline<T> {
    /// Moves `items`, which must be in image order.
    ///
    /// `done` is called on this task with the result of each chunk's work and, if it was written, with how.
    /// See [`Failures`] for the treatment of errors.
    pub async fn run(
        self,
        items: impl Iterator<Item = Item>,
        context: &Context,
        mut done: impl FnMut(T, Option<Written>) -> Result<()>,
    ) -> Result<Failures> {
        let Self { geometry, source, kept, work_fns, tap, to, room, rung } = self;
        let width = work_fns.len().max(1);
        let local = match &source {
            Source::At(disk) if disk.local().is_some() => Some(Arc::clone(disk)),
            _ => None,
        };
        let buffers = if room == 1 { stock(geometry, context) } else { 0 };
        let mut workers =
            Workers::start(work_fns, geometry, local.clone(), kept, tap.clone(), buffers, context)?;
        let mut flow = Flow::new(geometry, source, to, buffers, context);
        flow.in_order = tap.is_some() || flow.writes_in_order();
        (flow.is_local, flow.width, flow.room) = (local.is_some(), width, room);
        let mut items = items.fuse();
        let mut pace = rung.map(Pace::new);
        let mut looks = tokio::time::interval_at(tokio::time::Instant::now() + LOOK, LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut busy = context.window.busy();
        for governor in [&context.reads, &context.writes] {
            governor.begin(context.meters.round_trip());
        }
        loop {
            flow.begin(&mut items, &workers);
            if flow.is_over() {
                break;
            }
            let requests = flow.reads.len() + flow.writes.len();
            context.meters.in_flight.store(requests as u64, Relaxed);
            busy.set(requests + flow.working);
            let held_up_by = flow.held_up_by(&context.meters);
            let far_end_holds_up = std::ptr::eq(held_up_by, &raw const context.meters.requests_ns);
            let start = Instant::now();
            let stuck = flow.is_stuck();
            tokio::select! {
                biased;
                () = context.stop.asked(), if !flow.interrupted => {
                    flow.interrupt();
                    // Output to a stream cannot be resumed, so nothing is waited for.
                    if flow.writes_in_order() { break }
                }
                () = context.stop.over() => {
                    flow.interrupt();
                    break;
                }
                Some((chunk, written)) = flow.writes.next(), if !flow.writes.is_empty() => {
                    let noted = written.and_then(|written| {
                        flow.failures.success();
                        context.writes.answered(written.wire, flow.writes.len() + 1 >= flow.most_writes());
                        done(chunk, Some(written))
                    });
                    flow.note(noted);
                }
                worked = workers.next(), if flow.working > 0 => match worked {
                    Some((index, worked)) => {
                        let noted = flow.worked(index, worked).and_then(|chunk| match chunk {
                            Some(chunk) => done(chunk, None),
                            None => Ok(()),
                        });
                        flow.note(noted);
                    }
                    // The last worker panicked and has reported that.
                    None => flow.working = 0,
                },
                Some((index, read)) = flow.reads.next(), if !flow.reads.is_empty() => flow.fetched(index, read),
                permit = async { match &mut flow.waiting { Some((_, permit)) => permit.await, None => Permit::default() } },
                    if flow.waiting.is_some() => if let Some((item, _)) = flow.waiting.take() { flow.read(item, permit) },
                _ = looks.tick(), if far_end_holds_up && !flow.writes.is_empty() => look(&context.meters),
                // Other transfers that share the window may just be slow.
                () = tokio::time::sleep(STUCK), if stuck => if context.window.is_idle() { flow.note(Err(full(context))) },
            }
            let spent = start.elapsed();
            Meters::time(held_up_by, spent);
            if let Some(pace) = &mut pace {
                pace.note(flow.waits_for(), spent);
            }
        }
        context.meters.in_flight.store(0, Relaxed);
        if let (Some(tap), true) = (&tap, flow.ends()) {
            tap.give_up();
        }
        Ok(flow.failures)
    }
}

/// Returns how many spare buffers to keep where chunks are written from the buffers they were read into: as
/// many as the window admits, so that no new one is allocated, cleared and mapped page by page. If a chunk is
/// encoded, its buffer is returned at once and its room belongs to the body.
fn stock(geometry: Geometry, context: &Context) -> usize {
    let chunks = context.window.capacity() / context.sharers as u64 / geometry.chunk_size().max(1);
    usize::try_from(chunks).unwrap_or(usize::MAX).min(MAX_CONCURRENCY)
}

/// Records whether the network has data to send.
fn look(meters: &Meters) {
    match queues::unacknowledged() {
        Some(0) => meters.samples_empty.fetch_add(1, Relaxed),
        Some(_) => meters.samples_queued.fetch_add(1, Relaxed),
        None => 0,
    };
}

fn full(context: &Context) -> Error {
    Error::new(
        Kind::Unavailable,
        format!(
            "the remote answers writes without reading them: their bodies fill the {} MiB for chunks",
            context.window.capacity() >> 20
        ),
    )
}
