//! Copies a stream of unknown length into a file or to standard output.

use super::Context;
use super::copy::{Copied, finish};
use super::copy_work::CopyWork;
use super::encode::codec::Compression;
use super::ledger::{Bits, Ledger};
use super::pipeline::{Item, Origin, Source};
use super::tap::Tap;
use crate::chunk::{AckedChunk, Geometry};
use crate::digest::Algorithm;
use crate::disk::WriteAt;
use crate::disk::stream::StreamReader;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Stage};
use std::sync::Arc;

/// The result of copying a stream.
#[derive(Debug)]
pub struct StreamCopied {
    /// Every chunk with its digest.
    pub ledger: Ledger,
    /// Chunks that hold data.
    pub data: u64,
    /// Chunks of zeros.
    pub zero: u64,
    /// The SHA-256 of the whole stream, if it was asked for.
    pub sha256: Option<String>,
}

/// How to cut and digest a stream.
#[derive(Clone, Copy, Debug)]
pub struct DigestOptions {
    /// Chunk size in bytes.
    pub chunk_size: u64,
    /// The algorithm of chunk digests.
    pub digest: Algorithm,
    /// Whether to compute the SHA-256 of the whole stream.
    pub sha256: bool,
}

/// Copies a stream to its end. An empty stream is an error. A stop ends the copy at once, because a stream
/// cannot be resumed.
pub async fn copy_stream(
    stream: StreamReader,
    to: Arc<dyn WriteAt>,
    options: DigestOptions,
    context: &Context,
) -> Result<StreamCopied> {
    (context.observer)(&Event::Stage(Stage::Transfer));
    let geometry = Geometry::new(u64::MAX, options.chunk_size);
    let tap = options.sha256.then(Arc::<Tap>::default);
    let settled = Arc::new(Bits::new(0));
    let work_fns = CopyWork {
        blank: Arc::default(),
        held: None,
        to: Arc::clone(&to),
        compression: Compression::None,
        settled: &settled,
        skip_holes: false,
        skip_zeros: false,
    };
    let pipeline = work_fns.pipeline(
        Source::Stream(Box::new(stream)),
        None,
        options.digest,
        geometry,
        tap.clone(),
        context,
    )?;
    let mut chunks: Vec<AckedChunk> = Vec::new();
    let items = (0..geometry.chunks()).map(|index| Item { index, from: Origin::Source });
    let mut done = Copied::default();
    let note = |step, written| {
        let (chunk, hole) = super::copy::arrived(step, written)?;
        done.count(hole);
        chunks.push(chunk);
        Ok(())
    };
    let moving = pipeline.run(items, context, note);
    let failures = context.stop.unless_asked(moving).await?;
    // The total is unknown, so the number of missing chunks is too.
    if let Some(error) = failures.into_cause() {
        return Err(error);
    }
    chunks.sort_unstable_by_key(|chunk| chunk.index);
    let size = chunks.iter().map(|chunk| chunk.len).sum();
    if size == 0 {
        return Err(Error::new(Kind::Source, "the image is empty"));
    }
    let mut ledger = Ledger::new(Geometry::checked(size, options.chunk_size)?, options.digest);
    ledger.fill(&chunks);
    if ledger.missing().next().is_some() {
        return Err(Error::new(Kind::Io, "a chunk of the stream is missing; this is a bug in diskferry"));
    }
    context.stop.unless_asked(to.flush()).await?;
    let sha256 = tap.map(|tap| finish(&tap, chunks.len() as u64)).transpose()?;
    Ok(StreamCopied { ledger, data: done.sent, zero: done.zero, sha256 })
}
