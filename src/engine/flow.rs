//! The state of a running pipeline: where each chunk is, and what may start next.

use super::Context;
use super::attempts::{read_chunk, write_chunk};
use super::failures::Failures;
use super::pace::Waits;
use super::pipeline::{Item, Origin, Source, Worked, Written};
use super::workers::{Task, Workers};
use crate::chunk::Geometry;
use crate::disk::{Body, Buffer, Buffers, Permit, ReadAt, Wire, WriteAt};
use crate::error::{Error, Kind, Result};
use crate::meters::Meters;
use crate::record::ChunkOutcome;
use futures_util::future::{BoxFuture, LocalBoxFuture};
use futures_util::stream::FuturesUnordered;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The smallest number of spare buffers for fetched chunks.
const FETCHED_KEPT: usize = 4;

/// The number of stream reads that are requested ahead.
const STREAM_AHEAD: usize = 2;

/// A chunk and the result of its write.
type Wrote<T> = (T, Result<Written>);

/// The state of a running pipeline.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, and several hold at a time")]
pub(super) struct Flow<'a, T> {
    pub(super) context: &'a Context,
    pub(super) geometry: Geometry,
    pub(super) source: Source,
    pub(super) to: Option<Arc<dyn WriteAt>>,
    pub(super) is_local: bool,
    pub(super) in_order: bool,
    pub(super) width: usize,
    pub(super) room: u64,
    pub(super) buffers: Buffers,
    /// Bodies of zeros by length.
    pub(super) zeros: HashMap<u64, Body>,
    /// The chunk that waits for its permit.
    pub(super) waiting: Option<(Item, BoxFuture<'static, Permit>)>,
    pub(super) reads: FuturesUnordered<LocalBoxFuture<'a, (u64, Result<Buffer>)>>,
    /// Chunks that wait for a worker.
    pub(super) arrived: BTreeMap<u64, Task>,
    /// The order in which chunks go to the workers, if it matters.
    pub(super) turns: VecDeque<u64>,
    /// The number of chunks with the workers.
    pub(super) working: usize,
    /// Chunks that wait to be written.
    pub(super) ready: BTreeMap<u64, (T, Range<u64>, Option<Body>)>,
    /// The order in which chunks are written, if it matters.
    pub(super) write_turns: VecDeque<u64>,
    pub(super) writes: FuturesUnordered<LocalBoxFuture<'a, Wrote<T>>>,
    pub(super) failures: Failures,
    /// Whether a chunk is missing where the order matters.
    pub(super) broken: bool,
    pub(super) interrupted: bool,
    /// Whether no more chunks will be read.
    pub(super) all_read: bool,
}

impl<'a, T: Send + 'static> Flow<'a, T> {
    pub(super) fn new(
        geometry: Geometry,
        source: Source,
        to: Option<Arc<dyn WriteAt>>,
        stock: usize,
        context: &'a Context,
    ) -> Self {
        Self {
            context,
            geometry,
            source,
            to,
            is_local: false,
            in_order: false,
            width: 1,
            room: 1,
            buffers: Buffers::new(stock.max(context.kept(FETCHED_KEPT))),
            zeros: HashMap::new(),
            waiting: None,
            reads: FuturesUnordered::new(),
            arrived: BTreeMap::new(),
            turns: VecDeque::new(),
            working: 0,
            ready: BTreeMap::new(),
            write_turns: VecDeque::new(),
            writes: FuturesUnordered::new(),
            failures: Failures::default(),
            broken: false,
            interrupted: false,
            all_read: false,
        }
    }

    pub(super) fn writes_in_order(&self) -> bool {
        self.to.as_ref().is_some_and(|to| to.info().in_order)
    }

    pub(super) fn ends(&self) -> bool {
        self.broken || self.failures.ends()
    }

    pub(super) fn is_over(&self) -> bool {
        let moving = !self.writes.is_empty() || self.working > 0;
        let coming = !self.all_read
            || self.waiting.is_some()
            || !self.reads.is_empty()
            || !self.arrived.is_empty()
            || !self.ready.is_empty();
        !moving && (self.ends() || !coming)
    }

    pub(super) fn interrupt(&mut self) {
        self.interrupted = true;
        self.failures.interrupt();
    }

    pub(super) fn note(&mut self, done: Result<()>) {
        if let Err(error) = done {
            if let (Some(record), Some(offset)) = (&self.context.record, error.at_offset())
                && error.kind() != Kind::Interrupted
            {
                record.chunk(offset / self.geometry.chunk_size(), ChunkOutcome::Failed);
            }
            self.failures.note(error);
            self.broken |= self.in_order;
        }
    }

    /// Starts everything there is room for: writes first, then work, then reads.
    pub(super) fn begin(&mut self, items: &mut impl Iterator<Item = Item>, workers: &Workers<T>) {
        if self.ends() {
            // Chunks whose write has not started are given up.
            self.waiting = None;
            self.reads.clear();
            self.arrived.clear();
            self.ready.clear();
            return;
        }
        loop {
            while let Some((chunk, range, body)) = self.next_ready() {
                self.write(chunk, range, body);
            }
            while self.may_work()
                && let Some((index, task)) = self.next_arrived()
            {
                self.write_turns.extend(self.writes_in_order().then_some(index));
                self.working += 1;
                workers.take(index, task);
            }
            if self.waiting.is_some() || self.all_read || !self.may_read() {
                return;
            }
            match items.next() {
                None => self.all_read = true,
                Some(item) => self.admit(item),
            }
        }
    }

    /// Admits a chunk. Requests a permit unless the chunk has no bytes to read.
    fn admit(&mut self, item: Item) {
        if self.in_order {
            self.turns.push_back(item.index);
        }
        if item.from == Origin::Hole {
            self.arrived.insert(item.index, Task::Hole(self.geometry.len(item.index)));
            return;
        }
        let bytes = self.geometry.len(item.index).saturating_mul(self.room);
        match self.context.window.try_acquire(bytes) {
            Some(permit) => self.read(item, permit),
            None => self.waiting = Some((item, Box::pin(self.context.window.clone().acquire(bytes)))),
        }
    }

    pub(super) fn read(&mut self, item: Item, permit: Permit) {
        let (index, context, geometry) = (item.index, self.context, self.geometry);
        let len = geometry.len(index);
        let buffers = self.buffers.clone();
        match &mut self.source {
            _ if self.is_local || item.from == Origin::Kept => {
                self.arrived.insert(index, Task::Here { len, permit, kept: item.from == Origin::Kept });
            }
            Source::At(disk) => {
                let disk = Arc::clone(disk);
                self.reads.push(Box::pin(async move {
                    let read = read_chunk(&*disk, geometry, index, context, &buffers).await;
                    (index, read.map(|bytes| bytes.under(permit)))
                }));
            }
            Source::Stream(stream) => {
                let into = buffers.take(usize::try_from(len).unwrap_or(usize::MAX)).under(permit);
                let next = stream.next(len, into);
                self.reads.push(Box::pin(async move { (index, context.stop.unless_asked(next).await) }));
            }
        }
    }

    pub(super) fn fetched(&mut self, index: u64, read: Result<Buffer>) {
        match read {
            Ok(bytes) => {
                let all = self.reads.len() + self.arrived.len() + 1 >= self.context.reads.level();
                self.context.reads.answered(bytes.len() as u64, all && !self.all_read);
                if self.to.is_none() {
                    // If chunks are also written to a remote, only the write counts as a success.
                    self.failures.success();
                }
                if (bytes.len() as u64) < self.geometry.len(index) {
                    // Only a stream of unknown length returns less than was asked for.
                    self.all_read = true;
                }
                if bytes.is_empty() {
                    self.turns.retain(|turn| *turn != index);
                } else {
                    self.arrived.insert(index, Task::Fetched(bytes));
                }
            }
            Err(error) => {
                if matches!(self.source, Source::Stream(_)) {
                    // The stream has ended; the reads requested ahead would only report that.
                    self.reads.clear();
                    self.all_read = true;
                }
                self.note(Err(error));
            }
        }
    }

    /// Takes the result of a worker. Returns the chunk if there is nothing to write.
    pub(super) fn worked(&mut self, index: u64, worked: Result<Worked<T>>) -> Result<Option<T>> {
        self.working -= 1;
        match worked? {
            Worked::Done(chunk) => {
                self.write_turns.retain(|turn| *turn != index);
                Ok(Some(chunk))
            }
            Worked::Write(chunk, range, body) => {
                self.ready.insert(index, (chunk, range, body));
                Ok(None)
            }
        }
    }

    fn write(&mut self, chunk: T, range: Range<u64>, body: Option<Body>) {
        let Some(to) = self.to.clone() else {
            return self.note(Err(Error::new(
                Kind::Io,
                "there is no destination to write to; this is a bug in diskferry",
            )));
        };
        let zeros = match &body {
            Some(_) => None,
            None => match self.zeros_of(&*to, range.end - range.start) {
                Ok(body) => Some(body),
                Err(error) => return self.note(Err(error)),
            },
        };
        let (context, watched) = (self.context, self.watched());
        let index = self.geometry.touching(range.clone()).start;
        self.writes.push(Box::pin(async move {
            let written = write_chunk(&*to, watched.as_deref(), context, index, range, body, zeros).await;
            (chunk, written)
        }));
    }

    /// Returns the source whose changes are checked when a write fails.
    fn watched(&self) -> Option<Arc<dyn ReadAt>> {
        match &self.source {
            Source::At(disk) if self.is_local => Some(Arc::clone(disk)),
            _ => None,
        }
    }

    fn zeros_of(&mut self, to: &dyn WriteAt, len: u64) -> Result<Body> {
        if let Some(body) = self.zeros.get(&len) {
            return Ok(body.clone());
        }
        let body = super::encode::zeros(len, to.info().wire == Wire::Gzip)?;
        self.zeros.insert(len, body.clone());
        Ok(body)
    }

    fn next_arrived(&mut self) -> Option<(u64, Task)> {
        if !self.in_order {
            return self.arrived.pop_first();
        }
        let next = *self.turns.front()?;
        let task = self.arrived.remove(&next)?;
        self.turns.pop_front();
        Some((next, task))
    }

    fn next_ready(&mut self) -> Option<(T, Range<u64>, Option<Body>)> {
        if self.writes.len() >= self.most_writes() {
            return None;
        }
        if !self.writes_in_order() {
            return self.ready.pop_first().map(|(_, chunk)| chunk);
        }
        let chunk = self.ready.remove(self.write_turns.front()?)?;
        self.write_turns.pop_front();
        Some(chunk)
    }

    pub(super) fn most_writes(&self) -> usize {
        let most = self.to.as_ref().map_or(0, |to| to.info().writers);
        self.context.writes.level().min(most)
    }

    /// Returns how many chunks may be read from a remote at a time.
    fn most_reads(&self) -> usize {
        let most = match &self.source {
            Source::At(disk) => disk.info().readers,
            Source::Stream(_) => STREAM_AHEAD,
        };
        self.context.reads.level().min(most)
    }

    fn may_work(&self) -> bool {
        // One more than there are workers, so that none waits for this task, and no more than can soon be
        // written.
        self.working <= self.width && self.ready.len() <= self.width
    }

    fn may_read(&self) -> bool {
        match &self.source {
            // The workers read; only the next chunks are queued here.
            _ if self.is_local => self.arrived.len() < 2,
            Source::At(_) => self.reads.len() + self.arrived.len() < self.most_reads(),
            Source::Stream(_) => self.reads.len() + self.arrived.len() < STREAM_AHEAD,
        }
    }

    /// Returns the clock of the current bottleneck: the requests, if no more may be in flight or if they hold
    /// all the room; else the workers, if all are busy; else the source.
    pub(super) fn held_up_by<'m>(&self, meters: &'m Meters) -> &'m AtomicU64 {
        let reads = matches!(self.source, Source::At(_)) && !self.is_local;
        let full = if self.to.is_some() {
            self.writes.len() >= self.most_writes()
        } else {
            reads && self.reads.len() >= self.most_reads()
        };
        // If no worker is busy, the source is what the requests wait for. Local disks are read by the
        // workers.
        let idle = self.working == 0 && (self.waiting.is_some() || self.all_read || self.is_local);
        // The writes in flight hold the room that the next chunk needs.
        let held = self.waiting.is_some() && self.working < self.width && !self.writes.is_empty();
        if (full || idle || held) && self.writes_in_order() && !self.writes.is_empty() {
            &meters.sink_ns
        } else if full || idle || held {
            &meters.requests_ns
        } else if self.working >= self.width || self.is_local {
            &meters.work_ns
        } else {
            &meters.source_ns
        }
    }

    /// Returns the current bottleneck, as far as the compression level affects it.
    pub(super) fn waits_for(&self) -> Waits {
        let line_is_full =
            self.writes.len() >= self.most_writes() || (self.waiting.is_some() && self.working == 0);
        match (self.working > 0, line_is_full) {
            (false, true) => Waits::Line,
            (true, false) if self.working >= self.width => Waits::Workers,
            _ => Waits::Neither,
        }
    }

    /// Returns whether the next chunk waits for room that nothing in flight will release.
    pub(super) fn is_stuck(&self) -> bool {
        self.waiting.is_some()
            && self.reads.is_empty()
            && self.writes.is_empty()
            && self.working == 0
            && self.arrived.is_empty()
            && self.ready.is_empty()
    }
}
