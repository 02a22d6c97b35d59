//! An image into a drive.
//!
//! A thread (of a file or a stream) or a relay (of another remote) feeds chunks, workers encode them, and this task keeps a
//! bounded number of writes in flight; an acknowledged chunk goes into the journal and the ledger. Everything between them
//! is bounded, so memory does not depend on the image. No thread is joined: this task also hears the request to stop, and
//! the threads end when nobody takes what they have.

use super::Context;
use super::failures::Failures;
use super::ledger::Ledger;
use super::stages::Stages;
use super::syncing::{self, Syncing};
use super::threads::died;
use crate::chunk::{AckedChunk, Body, EncodedChunk};
use crate::encode;
use crate::encode::codec::Compression;
use crate::encode::digest::ZeroDigests;
use crate::encode::ordered::ImageDigest;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Stage};
use crate::journal::Journal;
use crate::meters::Meters;
use crate::source::{Source, Watch};
use crate::stop::stopped;
use crate::transport::{RemoteDisk, WriteBody};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// An upload that is about to run.
pub struct Upload<'a, D> {
    /// Where to.
    pub disk: &'a D,
    /// Where from.
    pub source: Source,
    /// How chunks are compressed, as far as the drive takes gzip.
    pub compression: Compression,
    /// Whether the drive is known to read as zero in the holes of the source.
    pub skip_holes: bool,
    /// Whether it is known to read as zero wherever nothing was written.
    pub skip_zeros: bool,
    /// Whether the SHA-256 of the whole image is wanted.
    pub whole: bool,
}

/// What an upload has done.
#[derive(Debug, Default)]
pub struct Uploaded {
    /// Chunks written.
    pub sent: u64,
    /// Chunks of zeros that were skipped.
    pub zero: u64,
    /// The SHA-256 of the whole image, if it was asked for.
    pub sha256: Option<String>,
}

impl<D: RemoteDisk> Upload<'_, D> {
    /// Runs until every chunk is settled in `ledger`, or as far as it comes. In any case the journal is synced.
    pub async fn run(self, journal: &Journal, ledger: &mut Ledger, context: &Context) -> Result<Uploaded> {
        (context.observer)(&Event::Stage(Stage::Transfer));
        let compression = if self.disk.takes_gzip() { self.compression } else { Compression::None };
        let watch = self.source.watch();
        if let Some(why) = watch.blind() {
            (context.observer)(&Event::Note(why));
        }
        let whole = self.whole.then(Arc::<ImageDigest>::default);
        let mut done = Uploaded::default();
        let source = if self.skip_holes {
            let (source, settled) = settle_holes(self.source, ledger, context).await?;
            done.zero = settled;
            source
        } else {
            self.source
        };
        let Stages { relay, mut encoded } =
            Stages::start(source, whole.as_ref(), compression, ledger, context)?;
        let syncing = Syncing::start(journal.syncer(None), syncing::UPLOAD)?;
        let mut sending = Sending {
            disk: self.disk,
            watch: &watch,
            context,
            zeros: HashMap::new(),
            skip_zeros: self.skip_zeros,
            done,
        };
        let (writing, written) = oneshot::channel();
        let sent = async {
            let failures = sending.run(&mut encoded, journal, ledger, &syncing).await;
            // Or whoever waits to hand on a chunk, or to read another, would wait for ever.
            drop((encoded, writing));
            failures
        };
        let failures = match relay {
            None => sent.await,
            Some(relay) => {
                let (failures, unread) = tokio::join!(sent, relay.run(written, context));
                failures.and(unread)
            }
        };
        let mut done = sending.done;
        syncing.finish(&context.stop).await?;
        let (missing, total) = (ledger.missing().count() as u64, ledger.geometry().chunks());
        // A changed image explains every other failure.
        watch.check()?;
        if let Some(error) = failures.into_error(missing, total) {
            return Err(error);
        }
        if missing > 0 {
            return Err(Error::new(Kind::Incomplete, format!("{missing} of {total} chunks are left")));
        }
        (context.observer)(&Event::Stage(Stage::Finish));
        if let Some(whole) = whole {
            let sha256 = whole.finish(total).ok_or_else(|| {
                Error::new(Kind::Io, "the digest of the image is not complete; this is a bug in diskferry")
            })?;
            done.sha256 = Some(sha256);
        }
        context.stop.unless_asked(watch.check_last()).await?;
        Ok(done)
    }
}

/// How many chunks are settled before others on this thread get a turn.
const SETTLED_AT_ONCE: usize = 1 << 14;

/// Settles the chunks that lie in holes, before anything else: a terabyte of them costs milliseconds here, and seconds on
/// the way through the pipeline. Gives the source back, and how many there were.
async fn settle_holes(source: Source, ledger: &mut Ledger, context: &Context) -> Result<(Source, u64)> {
    let geometry = ledger.geometry();
    let finding = tokio::task::spawn_blocking(move || {
        let holes = source.holes(geometry);
        holes.map(|holes| (source, holes))
    });
    let finding = async { finding.await.unwrap_or_else(|_| Err(died("reading"))) };
    let (source, holes) = context.stop.unless_asked(finding).await?;
    let zeros = ZeroDigests::new(ledger.algorithm());
    let mut settled = 0;
    for (n, index) in holes.into_iter().flatten().enumerate() {
        if n % SETTLED_AT_ONCE == 0 {
            tokio::task::yield_now().await;
            if context.stop.is_asked() {
                return Err(stopped());
            }
        }
        if ledger.is_settled(index) {
            continue;
        }
        let len = geometry.len(index);
        ledger.settle(&AckedChunk { index, len, digest: zeros.of(len), zero: true });
        context.meters.image.fetch_add(len, Relaxed);
        settled += 1;
    }
    Ok((source, settled))
}

/// The writes in flight and what is left to be written.
struct Sending<'a, D> {
    disk: &'a D,
    watch: &'a Watch,
    context: &'a Context,
    /// Wire forms of zeros, by length.
    zeros: HashMap<u64, WriteBody>,
    skip_zeros: bool,
    done: Uploaded,
}

impl<D: RemoteDisk> Sending<'_, D> {
    async fn run(
        &mut self,
        encoded: &mut mpsc::Receiver<Result<EncodedChunk>>,
        journal: &Journal,
        ledger: &mut Ledger,
        syncing: &Syncing,
    ) -> Failures {
        let context = self.context;
        let (disk, watch) = (self.disk, self.watch);
        let mut failures = Failures::default();
        let mut flying = FuturesUnordered::new();
        let mut more = true;
        while more || !flying.is_empty() {
            if failures.ends() {
                more = false;
                if flying.is_empty() {
                    break;
                }
            }
            let room = more && flying.len() < context.concurrency;
            context.meters.in_flight.store(flying.len() as u64, Relaxed);
            let start = Instant::now();
            tokio::select! {
                biased;
                () = context.stop.asked(), if !failures.ends() => failures.interrupt(),
                Some(written) = flying.next(), if !flying.is_empty() => match written {
                    Ok(chunk) => {
                        failures.success();
                        self.done.sent += 1;
                        let noted = self.acknowledge(&chunk, journal, ledger);
                        if let Err(error) = noted {
                            failures.note(error);
                        } else if syncing.has_failed() {
                            failures.note(Error::new(Kind::Io, "the journal cannot be synced"));
                        }
                    }
                    Err(error) => failures.note(error),
                },
                next = encoded.recv(), if room => match next {
                    None => more = false,
                    Some(next) => match next.and_then(|chunk| self.dispatch(chunk, ledger)) {
                        Ok(Some((chunk, body))) => {
                            context.meters.flying_image.fetch_add(chunk.len, Relaxed);
                            context.meters.flying_wire.fetch_add(body.1.bytes.len() as u64, Relaxed);
                            flying.push(write(disk, watch, context, chunk, body));
                        }
                        Ok(None) => {}
                        Err(error) => failures.note(error),
                    },
                },
            }
            if room {
                Meters::since(&context.meters.starved_ns, start);
            }
        }
        context.meters.in_flight.store(0, Relaxed);
        failures
    }

    /// Decides what becomes of an encoded chunk: a body to be written, or nothing to do.
    fn dispatch(
        &mut self,
        chunk: EncodedChunk,
        ledger: &mut Ledger,
    ) -> Result<Option<(AckedChunk, (u64, WriteBody))>> {
        self.watch.check()?;
        if ledger.is_settled(chunk.index) {
            // What is read again, of a stream or a device or for the digest of the whole: what was sent before must be
            // what comes now.
            if ledger.get(chunk.index) != Some(chunk.digest) {
                return Err(Error::new(Kind::Source, "the image differs from the one that was begun")
                    .offset(chunk.offset)
                    .hint("to send this one instead, start over with --restart"));
            }
            return Ok(None);
        }
        let acked = chunk.acknowledged();
        let body = match chunk.body {
            Body::Zeros(len) if self.skip_zeros => {
                ledger.settle(&acked);
                self.done.zero += 1;
                self.context.meters.image.fetch_add(len, Relaxed);
                return Ok(None);
            }
            Body::Zeros(len) => self.zeros(len)?,
            Body::Raw(bytes) => WriteBody { bytes, gzip: false },
            Body::Gzip(bytes) => WriteBody { bytes, gzip: true },
        };
        Ok(Some((acked, (chunk.offset, body))))
    }

    fn zeros(&mut self, len: u64) -> Result<WriteBody> {
        if let Some(body) = self.zeros.get(&len) {
            return Ok(body.clone());
        }
        let body = if self.disk.takes_gzip() {
            WriteBody { bytes: encode::gzip_zeros(len)?, gzip: true }
        } else {
            let zeros = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
            WriteBody { bytes: Bytes::from(zeros), gzip: false }
        };
        self.zeros.insert(len, body.clone());
        Ok(body)
    }

    fn acknowledge(&self, chunk: &AckedChunk, journal: &Journal, ledger: &mut Ledger) -> Result<()> {
        journal.acknowledge(chunk)?;
        ledger.settle(chunk);
        self.context.meters.image.fetch_add(chunk.len, Relaxed);
        Ok(())
    }
}

/// Writes one chunk. What comes back is acknowledged. A write in flight is waited for until the stop is over.
async fn write<D: RemoteDisk>(
    disk: &D,
    watch: &Watch,
    context: &Context,
    acked: AckedChunk,
    (offset, body): (u64, WriteBody),
) -> Result<AckedChunk> {
    let (meters, wire) = (&context.meters, body.bytes.len() as u64);
    let written = context
        .retry
        .run_settled("writing a chunk", Some(offset), async || {
            let written = disk.write_at(offset, body.clone()).await;
            if written.is_err() {
                // A changed image explains it, and need not be sent to its end.
                watch.check()?;
            }
            written
        })
        .await;
    meters.flying_image.fetch_sub(acked.len, Relaxed);
    meters.flying_wire.fetch_sub(wire, Relaxed);
    written.map_err(|e| e.context(disk.name()))?;
    Ok(acked)
}
