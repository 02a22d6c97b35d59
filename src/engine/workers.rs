//! The threads that work on chunks: digest, compare, compress, and read or write local disks.
//!
//! The threads are not joined. Results and panics come out of a channel, and the threads end when their task
//! channel closes. Neither channel is bounded; the pipeline counts what is in them.

use super::Context;
use super::pipeline::{Content, Loaded, Origin, WorkFn, Worked};
use super::tap::Tap;
use crate::chunk::Geometry;
use crate::disk::{Buffer, Buffers, Permit, ReadAt};
use crate::error::{Error, Kind, Result};
use crate::meters::Meters;
use crossbeam_channel::{Receiver, Sender};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// A chunk for a worker.
pub(super) enum Task {
    /// A hole of this many bytes.
    Hole(u64),
    /// Bytes that were fetched.
    Fetched(Buffer),
    /// A chunk of this many bytes that the worker reads from a local disk: the source, or what an earlier run
    /// kept.
    Here { len: u64, permit: Permit, kept: bool },
}

/// The threads of one pipeline.
pub(super) struct Workers<T> {
    tasks: Sender<(u64, Task)>,
    results: mpsc::UnboundedReceiver<(u64, Result<Worked<T>>)>,
}

/// The state that all workers share.
#[derive(Clone)]
struct Shared {
    source: Option<Arc<dyn ReadAt>>,
    kept: Option<Arc<dyn ReadAt>>,
    tap: Option<Arc<Tap>>,
    buffers: Buffers,
    meters: Arc<Meters>,
    geometry: Geometry,
}

impl<T: Send + 'static> Workers<T> {
    /// Starts a thread for each of `work_fns`. `source` and `kept` are local disks. `stock` is the number of
    /// spare buffers, at least one for each thread.
    pub(super) fn start(
        work_fns: Vec<WorkFn<T>>,
        geometry: Geometry,
        source: Option<Arc<dyn ReadAt>>,
        kept: Option<Arc<dyn ReadAt>>,
        tap: Option<Arc<Tap>>,
        stock: usize,
        context: &Context,
    ) -> Result<Self> {
        let (tasks, input) = crossbeam_channel::unbounded();
        let (output, results) = mpsc::unbounded_channel();
        let meters = Arc::clone(&context.meters);
        let buffers = Buffers::new(stock.max(work_fns.len()));
        let shared = Shared { source, kept, tap, buffers, meters, geometry };
        for (i, work_fn) in work_fns.into_iter().enumerate() {
            let (shared, input, output) = (shared.clone(), input.clone(), output.clone());
            std::thread::Builder::new()
                .name(format!("work-{i}"))
                .spawn(move || work(&shared, work_fn, &input, &output))
                .map_err(|e| Error::io("starting a thread", e))?;
        }
        Ok(Self { tasks, results })
    }

    /// Gives a chunk to a worker.
    pub(super) fn take(&self, index: u64, task: Task) {
        // If all workers are gone, the closed result channel tells so.
        let _ = self.tasks.send((index, task));
    }

    /// Waits for the next result. Returns `None` once all threads are gone.
    pub(super) async fn next(&mut self) -> Option<(u64, Result<Worked<T>>)> {
        self.results.recv().await
    }
}

fn work<T>(
    shared: &Shared,
    mut work_fn: WorkFn<T>,
    input: &Receiver<(u64, Task)>,
    output: &mpsc::UnboundedSender<(u64, Result<Worked<T>>)>,
) {
    loop {
        let Ok((index, task)) = input.recv() else { return };
        let worked = catch_unwind(AssertUnwindSafe(|| {
            let loaded = shared.load(index, task)?;
            let start = Instant::now();
            let worked = work_fn(loaded);
            Meters::since(&shared.meters.encoding_ns, start);
            worked
        }));
        let died = worked.is_err();
        let worked = worked.unwrap_or_else(|_| {
            Err(Error::new(Kind::Io, "a worker thread panicked; this is a bug in diskferry"))
        });
        if let (Err(_), Some(tap)) = (&worked, &shared.tap) {
            // Threads that wait for their turn need not wait for this chunk.
            tap.give_up();
        }
        if output.send((index, worked)).is_err() || died {
            return;
        }
    }
}

impl Shared {
    /// Reads the bytes of a chunk if necessary and passes them to the tap in their turn.
    fn load(&self, index: u64, task: Task) -> Result<Loaded> {
        let (content, from) = match task {
            Task::Hole(len) => (Content::Zeros(len), Origin::Hole),
            Task::Fetched(bytes) => (Content::Bytes(bytes), Origin::Source),
            Task::Here { len, permit, kept } => {
                let (disk, from) =
                    if kept { (&self.kept, Origin::Kept) } else { (&self.source, Origin::Source) };
                let start = Instant::now();
                let bytes = self.read(disk.as_deref(), index, len)?;
                Meters::since(&self.meters.reading_ns, start);
                (Content::Bytes(bytes.under(permit)), from)
            }
        };
        if let Some(tap) = &self.tap {
            match &content {
                Content::Zeros(len) => tap.update_zeros(index, *len),
                Content::Bytes(bytes) => tap.update(index, bytes),
            }
        }
        Ok(Loaded { index, offset: self.geometry.offset(index), from, content })
    }

    fn read(&self, disk: Option<&dyn ReadAt>, index: u64, len: u64) -> Result<Buffer> {
        let Some(local) = disk.and_then(ReadAt::local) else {
            return Err(Error::new(Kind::Io, "there is no local disk to read; this is a bug in diskferry"));
        };
        let mut bytes = self.buffers.take_any(usize::try_from(len).unwrap_or(usize::MAX));
        local.read_into(self.geometry.offset(index), len, &mut bytes)?;
        local.check_unchanged()?;
        Ok(bytes)
    }
}
