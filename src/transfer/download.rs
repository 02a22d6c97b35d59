//! A drive into a file, or onto a stream.

use super::Context;
use super::fetch::{fetch, fetch_chunk};
use super::ledger::Ledger;
use super::syncing::{self, Syncing};
use super::threads;
use super::whole::Whole;
use crate::chunk::{AckedChunk, FetchedChunk};
use crate::encode::buffer::Buffers;
use crate::encode::digest::{Algorithm, hex};
use crate::encode::zero::is_zero;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Stage};
use crate::journal::Journal;
use crate::sink::PartFile;
use crate::transport::Readable;
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::mpsc;

/// What a download has done.
#[derive(Debug, Default)]
pub struct Downloaded {
    /// Chunks fetched that hold data.
    pub sent: u64,
    /// Chunks fetched that hold nothing but zeros.
    pub zero: u64,
    /// The SHA-256 of the whole image, if it was asked for.
    pub sha256: Option<String>,
}

impl Downloaded {
    fn count(&mut self, chunk: &AckedChunk) {
        if chunk.zero {
            self.zero += 1;
        } else {
            self.sent += 1;
        }
    }
}

/// Fetches what `ledger` misses into a file, which is synced but keeps its temporary name. `whole`: whether the SHA-256
/// of the whole image is wanted.
pub async fn to_file<D: Readable>(
    disk: &D,
    part: &PartFile,
    whole: bool,
    journal: &Journal,
    ledger: &mut Ledger,
    context: &Context,
) -> Result<Downloaded> {
    (context.observer)(&Event::Stage(Stage::Transfer));
    let (geometry, algorithm) = (ledger.geometry(), ledger.algorithm());
    let whole = if whole {
        Some(Whole::of_file(part.file().clone(), geometry, ledger.settled_bits())?)
    } else {
        None
    };
    let syncing = Syncing::start(journal.syncer(Some(part.file().clone())), syncing::DOWNLOAD)?;
    let missing: Vec<u64> = ledger.missing().collect();
    let mut done = Downloaded::default();
    let sink = part.clone();
    let land = move |chunk: FetchedChunk| {
        let zero = sink.write(chunk.offset, &chunk.bytes)?;
        Ok(chunk.landed(algorithm.digest(&chunk.bytes), zero))
    };
    let failures =
        fetch(disk, geometry, missing, context, landing_threads(algorithm, context), land, |chunk| {
            journal.acknowledge(&chunk)?;
            ledger.settle(&chunk);
            done.count(&chunk);
            context.meters.image.fetch_add(chunk.len, Relaxed);
            if let Some(whole) = &whole {
                whole.landed(chunk.index);
            }
            if syncing.has_failed() {
                return Err(Error::new(Kind::Io, "the file or its journal cannot be synced"));
            }
            Ok(())
        })
        .await?;
    (context.observer)(&Event::Stage(Stage::Finish));
    let synced = syncing.finish(&context.stop).await;
    let left = ledger.missing().count() as u64;
    if let Some(error) = failures.into_error(left, geometry.chunks()) {
        // A sync that failed is the cause of what failed after it.
        return Err(if error.kind() == Kind::Io { synced.err().unwrap_or(error) } else { error });
    }
    synced?;
    if left > 0 {
        return Err(Error::new(Kind::Incomplete, format!("{left} of {} chunks are left", geometry.chunks())));
    }
    if let Some(whole) = whole {
        done.sha256 = Some(whole.finish(&context.stop).await?);
    }
    Ok(done)
}

/// One thread writes as fast as any disk takes it, and costs half of what several do; SHA-256 needs them all.
fn landing_threads(algorithm: Algorithm, context: &Context) -> usize {
    match algorithm {
        Algorithm::Blake3 => 1,
        Algorithm::Sha256 => context.workers,
    }
}

/// Fetches everything, in order, onto a stream. Several chunks are fetched at a time, so memory holds that many; there is
/// nothing to resume from, so a stop ends it at once.
pub async fn to_stream<D: Readable>(
    disk: &D,
    out: Box<dyn Write + Send>,
    whole: bool,
    ledger: &mut Ledger,
    context: &Context,
) -> Result<Downloaded> {
    (context.observer)(&Event::Stage(Stage::Transfer));
    let mut done = Downloaded::default();
    tokio::select! {
        biased;
        streamed = stream_out(disk, out, whole, ledger, context, &mut done) => done.sha256 = streamed?,
        () = context.stop.asked() => {
            return Err(Error::new(Kind::Interrupted, "stopped; what goes to a stream cannot be resumed"));
        }
    }
    let (left, total) = (ledger.missing().count(), ledger.geometry().chunks());
    if left > 0 {
        return Err(Error::new(Kind::Io, format!("{left} of {total} chunks were not written")));
    }
    Ok(done)
}

/// Gives the digest of it all, if it is wanted.
async fn stream_out<D: Readable>(
    disk: &D,
    out: Box<dyn Write + Send>,
    whole: bool,
    ledger: &mut Ledger,
    context: &Context,
    done: &mut Downloaded,
) -> Result<Option<String>> {
    let (geometry, algorithm) = (ledger.geometry(), ledger.algorithm());
    let (to_write, queue) = mpsc::channel(2);
    let (report, mut written) = mpsc::unbounded_channel();
    let mut writer = threads::spawn("writing", move || write_out(out, queue, algorithm, whole, &report))?;
    let buffers = Buffers::new();
    let mut chunks = stream::iter(0..geometry.chunks())
        .map(|index| fetch_chunk(disk, geometry, index, context, &buffers))
        .buffered(context.concurrency);
    let mut note = |chunk: AckedChunk| {
        done.count(&chunk);
        context.meters.image.fetch_add(chunk.len, Relaxed);
        ledger.settle(&chunk);
    };
    loop {
        tokio::select! {
            Some(chunk) = written.recv() => note(chunk),
            next = chunks.next() => match next {
                None => break,
                // The writer is gone; it says why below.
                Some(chunk) => if to_write.send(chunk?).await.is_err() { break },
            },
        }
    }
    drop(to_write);
    while let Some(chunk) = written.recv().await {
        note(chunk);
    }
    writer.wait().await
}

fn write_out(
    mut out: Box<dyn Write + Send>,
    mut queue: mpsc::Receiver<FetchedChunk>,
    algorithm: Algorithm,
    whole: bool,
    report: &mpsc::UnboundedSender<AckedChunk>,
) -> Result<Option<String>> {
    let mut sha = whole.then(Sha256::new);
    while let Some(chunk) = queue.blocking_recv() {
        let failed = |e| Error::io("writing to standard output", e).offset(chunk.offset);
        out.write_all(&chunk.bytes).map_err(failed)?;
        if let Some(sha) = &mut sha {
            sha.update(chunk.bytes.as_slice());
        }
        let acked = chunk.landed(algorithm.digest(&chunk.bytes), is_zero(&chunk.bytes));
        if report.send(acked).is_err() {
            break;
        }
    }
    out.flush().map_err(|e| Error::io("writing to standard output", e))?;
    Ok(sha.map(|sha| hex(&sha.finalize())))
}
