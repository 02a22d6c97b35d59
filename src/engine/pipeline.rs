//! The one loop that moves chunks: read, work, write, acknowledge.
//!
//! This task keeps reads and writes in flight, and hands chunks to the workers in between. What is on this machine is read
//! and written by the worker itself. Every chunk has a permit of the [`Window`](crate::disk::Window) from before its read
//! until its end. Permits are taken in the order of the image, so that a chunk whose turn it is never waits for one that
//! comes after it.
//!
//! Once a stop is asked for, or nothing better can come, nothing new is begun and reads are dropped; what the workers have
//! and what is being written is waited for, until the stop is over.

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
    /// From any place.
    At(Arc<dyn ReadAt>),
    /// In order, once.
    Stream(Box<dyn ReadStream>),
}

/// A chunk that is to be moved.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Its place in the image, from 0.
    pub index: u64,
    /// Where its bytes are.
    pub from: Origin,
}

/// Where the bytes of a chunk are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the source.
    Source,
    /// In what an earlier run has kept of it.
    Kept,
    /// Nowhere: it is known to hold nothing but zeros.
    Hole,
}

/// A chunk whose bytes are here, for a worker.
pub struct Loaded {
    /// Its place in the image, from 0.
    pub index: u64,
    /// Its byte offset.
    pub offset: u64,
    /// Where its bytes were.
    pub from: Origin,
    /// Its bytes.
    pub content: Content,
}

/// The bytes of a chunk.
pub enum Content {
    /// So many zeros that nobody had to read.
    Zeros(u64),
    /// Bytes that belong to whoever has them; they carry their permit.
    Bytes(Buffer),
}

/// What a worker has made of a chunk.
pub enum Worked<T> {
    /// All there is to do.
    Done(T),
    /// Something to be written; zeros where there is no body.
    Write(T, Range<u64>, Option<Body>),
}

/// How a chunk was written.
pub struct Written {
    /// That it was.
    pub receipt: Receipt,
    /// Whether the disk has a way to make zeros that moves none.
    pub as_hole: bool,
    /// Bytes on the wire.
    pub wire: u64,
}

/// What one worker does with a chunk.
pub type Hand<T> = Box<dyn FnMut(Loaded) -> Result<Worked<T>> + Send>;

/// Chunks on their way from a disk, through workers, maybe to another disk.
pub struct Pipeline<T> {
    /// How the image is cut.
    pub geometry: Geometry,
    /// Where chunks come from.
    pub source: Source,
    /// Where those are that an earlier run has kept; on this machine.
    pub kept: Option<Arc<dyn ReadAt>>,
    /// The workers, a thread each.
    pub hands: Vec<Hand<T>>,
    /// Takes the bytes of every chunk in order.
    pub tap: Option<Arc<Tap>>,
    /// Where chunks go, unless the workers write them.
    pub to: Option<Arc<dyn WriteAt>>,
    /// How strongly the workers compress, where that may be moved.
    pub rung: Option<Rung>,
    /// How many bytes of the window a byte of a chunk takes: two where a worker makes a body of it.
    pub room: u64,
}

/// How long a chunk waits for room while nothing is in flight. A far end that answers writes before it has read them leaves
/// their bodies, and the room that they take, to connections that may never end.
const STUCK: Duration = Duration::from_secs(30);

/// How often the connections are looked at while the far end holds things up: the system writes down all that it has, also
/// those of others, which takes milliseconds.
const LOOK: Duration = Duration::from_millis(500);

impl<T: Send + 'static> Pipeline<T> {
    /// Moves `items`, which come in the order of the image. `done` gets what the workers made of each chunk, on this task, and
    /// how it was written if it was. See [`Failures`] for what becomes of errors.
    pub async fn run(
        self,
        items: impl Iterator<Item = Item>,
        context: &Context,
        mut done: impl FnMut(T, Option<Written>) -> Result<()>,
    ) -> Result<Failures> {
        let Self { geometry, source, kept, hands, tap, to, room, rung } = self;
        let width = hands.len().max(1);
        let local = match &source {
            Source::At(disk) if disk.local().is_some() => Some(Arc::clone(disk)),
            _ => None,
        };
        let buffers = if room == 1 { stock(geometry, context) } else { 0 };
        let mut workers =
            Workers::start(hands, geometry, local.clone(), kept, tap.clone(), buffers, context)?;
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
            let far_end_holds_up = std::ptr::eq(held_up_by, &raw const context.meters.far_ns);
            let start = Instant::now();
            let stuck = flow.is_stuck();
            tokio::select! {
                biased;
                () = context.stop.asked(), if !flow.interrupted => {
                    flow.interrupt();
                    // What goes to a stream cannot be gone on with, so nothing is waited for.
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
                    // The last worker has died, and has said so.
                    None => flow.working = 0,
                },
                Some((index, read)) = flow.reads.next(), if !flow.reads.is_empty() => flow.fetched(index, read),
                permit = async { match &mut flow.waiting { Some((_, permit)) => permit.await, None => Permit::default() } },
                    if flow.waiting.is_some() => if let Some((item, _)) = flow.waiting.take() { flow.read(item, permit) },
                _ = looks.tick(), if far_end_holds_up && !flow.writes.is_empty() => look(&context.meters),
                // Those that share the window may only be slow.
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

/// How many buffers are kept for the next chunks where chunks are written from the buffers that they were read into: as many as
/// the window lets be in use at a time, so that none is made anew, cleared and mapped page by page. A chunk of which a body is
/// made gives its buffer back at once, and the room that it has then is the body's.
fn stock(geometry: Geometry, context: &Context) -> usize {
    let chunks = context.window.capacity() / context.sharers as u64 / geometry.chunk_size().max(1);
    usize::try_from(chunks).unwrap_or(usize::MAX).min(MAX_CONCURRENCY)
}

/// Notes whether the line has something to carry.
fn look(meters: &Meters) {
    match queues::unacknowledged() {
        Some(0) => meters.looks_empty.fetch_add(1, Relaxed),
        Some(_) => meters.looks_queued.fetch_add(1, Relaxed),
        None => 0,
    };
}

fn full(context: &Context) -> Error {
    Error::new(
        Kind::Unavailable,
        format!(
            "the far end answers writes without reading them: their bodies fill the {} MiB that there are for chunks",
            context.window.capacity() >> 20
        ),
    )
}
