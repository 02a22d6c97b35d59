//! The threads that work on chunks: digest, compare, compress, and read or write what is on this machine.
//!
//! Nobody joins them: what they have to say, a panic too, comes out of a channel, and they end when nobody gives them any
//! more. Neither channel has a bound; the pipeline counts what is in them.

use super::Context;
use super::pipeline::{Content, Hand, Loaded, Origin, Worked};
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
    /// So many zeros.
    Hole(u64),
    /// Bytes that were fetched.
    Fetched(Buffer),
    /// So many bytes on this machine, which the worker reads: of the source, or of what an earlier run has kept.
    Here { len: u64, permit: Permit, kept: bool },
}

/// The threads of one pipeline.
pub(super) struct Workers<T> {
    tasks: Sender<(u64, Task)>,
    results: mpsc::UnboundedReceiver<(u64, Result<Worked<T>>)>,
}

/// What every worker has a handle of.
#[derive(Clone)]
struct Shop {
    source: Option<Arc<dyn ReadAt>>,
    kept: Option<Arc<dyn ReadAt>>,
    tap: Option<Arc<Tap>>,
    buffers: Buffers,
    meters: Arc<Meters>,
    geometry: Geometry,
}

impl<T: Send + 'static> Workers<T> {
    /// Starts a thread for each of `hands`. `source` and `kept` are disks of this machine; `stock` is how many buffers are kept, and
    /// one for each thread is.
    pub(super) fn start(
        hands: Vec<Hand<T>>,
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
        let buffers = Buffers::new(stock.max(hands.len()));
        let shop = Shop { source, kept, tap, buffers, meters, geometry };
        for (i, hand) in hands.into_iter().enumerate() {
            let (shop, input, output) = (shop.clone(), input.clone(), output.clone());
            std::thread::Builder::new()
                .name(format!("work-{i}"))
                .spawn(move || work(&shop, hand, &input, &output))
                .map_err(|e| Error::io("starting a thread", e))?;
        }
        Ok(Self { tasks, results })
    }

    /// Hands over a chunk.
    pub(super) fn take(&self, index: u64, task: Task) {
        // Without workers the channel of results has ended, which is noticed there.
        let _ = self.tasks.send((index, task));
    }

    /// What comes next of them; `None` once all have died.
    pub(super) async fn next(&mut self) -> Option<(u64, Result<Worked<T>>)> {
        self.results.recv().await
    }
}

fn work<T>(
    shop: &Shop,
    mut hand: Hand<T>,
    input: &Receiver<(u64, Task)>,
    output: &mpsc::UnboundedSender<(u64, Result<Worked<T>>)>,
) {
    loop {
        let Ok((index, task)) = input.recv() else { return };
        let worked = catch_unwind(AssertUnwindSafe(|| {
            let loaded = shop.load(index, task)?;
            let start = Instant::now();
            let worked = hand(loaded);
            Meters::since(&shop.meters.encoding_ns, start);
            worked
        }));
        let died = worked.is_err();
        let worked = worked.unwrap_or_else(|_| {
            Err(Error::new(Kind::Io, "a working thread has died; this is a bug in diskferry"))
        });
        if let (Err(_), Some(tap)) = (&worked, &shop.tap) {
            // Those that wait for their turn need not wait for this chunk.
            tap.give_up();
        }
        if output.send((index, worked)).is_err() || died {
            return;
        }
    }
}

impl Shop {
    /// Has the bytes of a chunk here, and lets the tap have them in their turn.
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
            return Err(Error::new(Kind::Io, "there is nothing to read here; this is a bug in diskferry"));
        };
        let mut bytes = self.buffers.take_any(usize::try_from(len).unwrap_or(usize::MAX));
        local.read_into(self.geometry.offset(index), len, &mut bytes)?;
        local.glance()?;
        Ok(bytes)
    }
}
