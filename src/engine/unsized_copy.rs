//! A stream whose length is known only at its end, into a file or onto standard output.

use super::Context;
use super::copy::{Copied, finish};
use super::encode::codec::Compression;
use super::hands::CopyHands;
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

/// What has landed.
#[derive(Debug)]
pub struct Landed {
    /// Every chunk, with its digest.
    pub ledger: Ledger,
    /// Chunks that hold data.
    pub data: u64,
    /// Chunks of zeros.
    pub zero: u64,
    /// The SHA-256 of it all, if it was asked for.
    pub sha256: Option<String>,
}

/// How the stream is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Looking {
    /// Bytes a chunk.
    pub chunk_size: u64,
    /// The algorithm of chunk digests.
    pub digest: Algorithm,
    /// Whether the SHA-256 of it all is wanted.
    pub sha256: bool,
}

/// Moves a stream to its end. One without any bytes is an error. A stop ends it at once: what a stream has left cannot be
/// resumed.
pub async fn land(
    stream: StreamReader,
    to: Arc<dyn WriteAt>,
    looking: Looking,
    context: &Context,
) -> Result<Landed> {
    (context.observer)(&Event::Stage(Stage::Transfer));
    let geometry = Geometry::new(u64::MAX, looking.chunk_size);
    let tap = looking.sha256.then(Arc::<Tap>::default);
    let settled = Arc::new(Bits::new(0));
    let hands = CopyHands {
        blank: Arc::default(),
        held: None,
        to: Arc::clone(&to),
        compression: Compression::None,
        settled: &settled,
        skip_holes: false,
        skip_zeros: false,
    };
    let pipeline = hands.pipeline(
        Source::Stream(Box::new(stream)),
        None,
        looking.digest,
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
    // How many there are is not known, and so not how many are missing.
    if let Some(error) = failures.into_cause() {
        return Err(error);
    }
    chunks.sort_unstable_by_key(|chunk| chunk.index);
    let size = chunks.iter().map(|chunk| chunk.len).sum();
    if size == 0 {
        return Err(Error::new(Kind::Source, "the image is empty"));
    }
    let mut ledger = Ledger::new(Geometry::checked(size, looking.chunk_size)?, looking.digest);
    ledger.fill(&chunks);
    if ledger.missing().next().is_some() {
        return Err(Error::new(Kind::Io, "a chunk of the stream is missing; this is a bug in diskferry"));
    }
    context.stop.unless_asked(to.flush()).await?;
    let sha256 = tap.map(|tap| finish(&tap, chunks.len() as u64)).transpose()?;
    Ok(Landed { ledger, data: done.sent, zero: done.zero, sha256 })
}
