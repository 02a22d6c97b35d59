//! Chunks from a remote drive, several at a time, each handed to a few threads as soon as it is whole.

use super::Context;
use super::failures::Failures;
use super::threads::died;
use crate::chunk::{FetchedChunk, Geometry};
use crate::encode::buffer::Buffers;
use crate::error::{Error, Result};
use crate::meters::Meters;
use crate::transport::Readable;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use tokio::sync::mpsc;

/// Fetched chunks that may wait for a thread, for each thread: enough that none idles between two.
const WAITING: usize = 2;

/// Fetches chunks and puts each through `land` on one of `threads` threads; `done` gets what `land` made of it, on this
/// one. Chunks come in any order. When a stop is asked for the reads end at once; what the threads have is waited for until
/// the stop is over. An error of `land` or `done` ends the fetching; see [`Failures`] for those of reads.
pub async fn fetch<D: Readable, T: Send + 'static>(
    disk: &D,
    geometry: Geometry,
    indices: impl IntoIterator<Item = u64>,
    context: &Context,
    threads: usize,
    land: impl Fn(FetchedChunk) -> Result<T> + Send + Sync + 'static,
    mut done: impl FnMut(T) -> Result<()>,
) -> Result<Failures> {
    let (landing, arrived) = crossbeam_channel::unbounded::<FetchedChunk>();
    let (report, mut landed) = mpsc::unbounded_channel::<Result<T>>();
    let land = Arc::new(land);
    for i in 0..threads.max(1) {
        let (arrived, report, land) = (arrived.clone(), report.clone(), Arc::clone(&land));
        std::thread::Builder::new()
            .name(format!("land-{i}"))
            .spawn(move || {
                for chunk in arrived {
                    let landed = catch_unwind(AssertUnwindSafe(|| land(chunk)));
                    if report.send(landed.unwrap_or_else(|_| Err(died("landing")))).is_err() {
                        return;
                    }
                }
            })
            .map_err(|e| Error::io("starting a thread", e))?;
    }
    drop((arrived, report));

    let buffers = Buffers::new();
    let mut indices = indices.into_iter().peekable();
    let mut failures = Failures::default();
    let mut flying = FuturesUnordered::new();
    // Chunks with the threads. The channel itself is unbounded; this is what bounds it.
    let mut with_threads = 0;
    loop {
        while !failures.ends()
            && flying.len() < context.concurrency
            && with_threads < WAITING * threads.max(1)
            && let Some(index) = indices.next()
        {
            flying.push(fetch_chunk(disk, geometry, index, context, &buffers));
        }
        if flying.is_empty() && with_threads == 0 {
            break;
        }
        context.meters.in_flight.store(flying.len() as u64, Relaxed);
        let held_up = with_threads >= WAITING * threads.max(1) && flying.len() < context.concurrency;
        let start = Instant::now();
        tokio::select! {
            Some(fetched) = flying.next(), if !flying.is_empty() => match fetched {
                Ok(chunk) => {
                    failures.success();
                    with_threads += 1;
                    // The threads end only after this channel does.
                    let _ = landing.send(chunk);
                }
                Err(error) => failures.note(error),
            },
            Some(result) = landed.recv(), if with_threads > 0 => {
                with_threads -= 1;
                if let Err(error) = result.and_then(&mut done) {
                    failures.note(error);
                }
            },
            () = context.stop.asked(), if !failures.ends() => failures.interrupt(),
            () = context.stop.over() => {
                failures.interrupt();
                break;
            }
            else => break,
        }
        if held_up {
            let slots = u32::try_from(context.concurrency).unwrap_or(u32::MAX);
            Meters::time(&context.meters.landing_ns, start.elapsed() * slots);
        }
    }
    context.meters.in_flight.store(0, Relaxed);
    if indices.peek().is_some() && context.stop.is_asked() {
        failures.interrupt();
    }
    Ok(failures)
}

/// Fetches one chunk, in as many reads as the drive wants.
pub async fn fetch_chunk<D: Readable>(
    disk: &D,
    geometry: Geometry,
    index: u64,
    context: &Context,
    buffers: &Buffers,
) -> Result<FetchedChunk> {
    let (offset, len) = (geometry.offset(index), geometry.len(index));
    let mut bytes = buffers.take(usize::try_from(len).unwrap_or(usize::MAX));
    let mut at = offset;
    while at < offset + len {
        let step = disk.read_limit().min(offset + len - at);
        let whole = bytes.len();
        context
            .retry
            .run("reading a chunk", Some(at), async || {
                bytes.truncate(whole);
                disk.read_at(at, step, &mut bytes).await
            })
            .await
            .map_err(|e| e.context(disk.name()))?;
        at += step;
    }
    Ok(FetchedChunk { index, offset, bytes })
}
