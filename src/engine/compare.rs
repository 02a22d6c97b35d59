//! Reads chunks and compares them, for verification and for checking an earlier run.

use super::copy::finish;
use super::ledger::Ledger;
use super::pipeline::{Content, Item, Loaded, Origin, Pipeline, Source, WorkFn, Worked};
use super::sample::places;
use super::tap::Tap;
use super::{Context, plan};
use crate::chunk::{DigestedChunk, Geometry};
use crate::digest::Algorithm;
use crate::disk::zero::is_zero;
use crate::disk::{Buffer, Buffers, ReadAt};
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Stage};
use crate::record::ChunkOutcome;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// How much of the destination to read back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Amount {
    /// Nothing. Every write was acknowledged.
    #[default]
    None,
    /// One per cent of the chunks, chosen at random, and at least [`LEAST`].
    Sample,
    /// Every chunk.
    Full,
}

/// The smallest number of chunks in a sample.
pub const LEAST: u64 = 8;

impl Amount {
    /// Returns the name that the command line uses.
    pub fn name(self) -> &'static str {
        match self {
            Amount::None => "none",
            Amount::Sample => "sample",
            Amount::Full => "full",
        }
    }

    /// Returns the chunks to read back, in order. The same `seed` gives the same choice.
    pub fn choose(self, chunks: u64, seed: &str) -> Vec<u64> {
        let wanted = match self {
            Amount::None => 0,
            Amount::Sample => chunks.div_ceil(100).max(LEAST).min(chunks),
            Amount::Full => chunks,
        };
        if wanted == chunks {
            return (0..chunks).collect();
        }
        let mut chosen = BTreeSet::new();
        let mut random = places(seed, chunks);
        while (chosen.len() as u64) < wanted {
            chosen.extend(random.next());
        }
        chosen.into_iter().collect()
    }
}

impl std::str::FromStr for Amount {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Amount::None, Amount::Sample, Amount::Full].into_iter().find(|v| v.name() == text).ok_or_else(|| {
            Error::usage(format!("expected `none`, `sample` or `full`, got `{text}`"))
                .hint("`--verify full` reads everything back")
        })
    }
}

/// The result of a comparison.
#[derive(Debug, Default)]
pub struct Compared {
    /// How many chunks were compared.
    pub chunks: u64,
    /// The chunks that differ, in order.
    pub differ: Vec<u64>,
}

impl Compared {
    /// Returns the error that names the differing offsets, or `None` if nothing differs.
    pub fn into_error(self, geometry: Geometry, what: &str) -> Option<Error> {
        if self.differ.is_empty() {
            return None;
        }
        let offsets: Vec<String> =
            self.differ.iter().take(20).map(|i| geometry.offset(*i).to_string()).collect();
        let more = match self.differ.len() - offsets.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(Error::new(
            Kind::Differ,
            format!(
                "{what}: {} of {} chunks compared differ, at offsets {}{more}",
                self.differ.len(),
                self.chunks,
                offsets.join(", ")
            ),
        ))
    }
}

/// Reads chunks and compares them with the digests in a ledger.
pub async fn with_digests(
    disk: &Arc<dyn ReadAt>,
    ledger: &Ledger,
    indices: &[u64],
    context: &Context,
) -> Result<Compared> {
    let algorithm = ledger.algorithm();
    let mut compared = Compared::default();
    let work_fn = move |chunk: Loaded| {
        let Content::Bytes(bytes) = &chunk.content else { return Err(unread()) };
        Ok(Worked::Done((digested(&chunk, bytes, algorithm), true)))
    };
    let note = |chunk: DigestedChunk, _: bool| {
        compared.chunks += 1;
        let same = ledger.get(chunk.index) == Some(chunk.digest);
        if !same {
            compared.differ.push(chunk.index);
        }
        context.note(chunk.index, if same { ChunkOutcome::Verified } else { ChunkOutcome::Differs });
    };
    run(disk, ledger.geometry(), indices, context, work_fn, note).await?;
    compared.differ.sort_unstable();
    Ok(compared)
}

/// Reads chunks and compares them byte by byte with those of `original`, a local disk. Also notes their
/// digests in `ledger`.
pub async fn with_original(
    disk: &Arc<dyn ReadAt>,
    original: &Arc<dyn ReadAt>,
    ledger: &mut Ledger,
    indices: &[u64],
    context: &Context,
) -> Result<Compared> {
    let (geometry, algorithm) = (ledger.geometry(), ledger.algorithm());
    let mut compared = Compared::default();
    let here = Here { disk: Arc::clone(original), buffers: Buffers::new(context.workers) };
    let work_fn = move |chunk: Loaded| {
        let Content::Bytes(there) = &chunk.content else { return Err(unread()) };
        let bytes = here.read(chunk.offset, there.len())?;
        let same = bytes.as_slice() == there.as_slice();
        Ok(Worked::Done((digested(&chunk, &bytes, algorithm), same)))
    };
    let note = |chunk: DigestedChunk, same: bool| {
        compared.chunks += 1;
        if !same {
            compared.differ.push(chunk.index);
        }
        context.note(chunk.index, if same { ChunkOutcome::Verified } else { ChunkOutcome::Differs });
        ledger.settle(&chunk.known());
    };
    run(disk, geometry, indices, context, work_fn, note).await?;
    if let Some(local) = original.local() {
        local.check_unchanged()?;
    }
    compared.differ.sort_unstable();
    Ok(compared)
}

/// Reads chunks and notes their digests in `ledger`, for a disk of unknown contents.
pub async fn digests(
    disk: &Arc<dyn ReadAt>,
    ledger: &mut Ledger,
    indices: &[u64],
    context: &Context,
) -> Result<()> {
    let (geometry, algorithm) = (ledger.geometry(), ledger.algorithm());
    let work_fn = move |chunk: Loaded| {
        let Content::Bytes(bytes) = &chunk.content else { return Err(unread()) };
        Ok(Worked::Done((digested(&chunk, bytes, algorithm), true)))
    };
    let note = |chunk: DigestedChunk, _: bool| ledger.settle(&chunk.known());
    run(disk, geometry, indices, context, work_fn, note).await
}

/// Returns the SHA-256 of the first bytes of a disk, as many as `geometry` covers.
pub async fn whole(disk: &Arc<dyn ReadAt>, geometry: Geometry, context: &Context) -> Result<String> {
    let tap = Arc::<Tap>::default();
    let holes = plan::holes(&**disk, geometry, context).await?;
    let items = (0..geometry.chunks()).map(|index| {
        let from = if holes.get(index) { Origin::Hole } else { Origin::Source };
        Item { index, from }
    });
    // SHA-256 needs the bytes in order, so more than one thread would not help.
    let work_fns: Vec<WorkFn<()>> = vec![Box::new(|_| Ok(Worked::Done(())))];
    let pipeline = Pipeline {
        geometry,
        source: Source::At(Arc::clone(disk)),
        kept: None,
        work_fns,
        tap: Some(Arc::clone(&tap)),
        to: None,
        room: 1,
        rung: None,
    };
    let failures = pipeline.run(items, context, |(), _| Ok(())).await?;
    match failures.into_error(0, geometry.chunks()) {
        Some(error) => Err(error.context("digesting the image")),
        None => finish(&tap, geometry.chunks()),
    }
}

/// Reads of the local disk in a comparison.
#[derive(Clone)]
struct Here {
    disk: Arc<dyn ReadAt>,
    buffers: Buffers,
}

impl Here {
    fn read(&self, offset: u64, len: usize) -> Result<Buffer> {
        let local = self.disk.local().ok_or_else(unread)?;
        let mut bytes = self.buffers.take_any(len);
        local.read_into(offset, len as u64, &mut bytes)?;
        Ok(bytes)
    }
}

fn unread() -> Error {
    Error::new(Kind::Io, "there is nothing to compare; this is a bug in diskferry")
}

fn digested(chunk: &Loaded, bytes: &[u8], algorithm: Algorithm) -> DigestedChunk {
    DigestedChunk {
        index: chunk.index,
        len: bytes.len() as u64,
        digest: algorithm.digest(bytes),
        zero: is_zero(bytes),
    }
}

async fn run(
    disk: &Arc<dyn ReadAt>,
    geometry: Geometry,
    indices: &[u64],
    context: &Context,
    work_fn: impl FnMut(Loaded) -> Result<Worked<(DigestedChunk, bool)>> + Clone + Send + 'static,
    mut note: impl FnMut(DigestedChunk, bool),
) -> Result<()> {
    (context.observer)(&Event::Stage(Stage::Verify));
    let mut left = indices.len() as u64;
    let pipeline = Pipeline {
        geometry,
        source: Source::At(Arc::clone(disk)),
        kept: None,
        work_fns: (0..context.width(2 * geometry.chunk_size()))
            .map(|_| Box::new(work_fn.clone()) as WorkFn<_>)
            .collect(),
        tap: None,
        to: None,
        // The window has to hold the chunks of both sides.
        room: 2,
        rung: None,
    };
    let items = indices.iter().map(|index| Item { index: *index, from: Origin::Source });
    let done = |(chunk, same): (DigestedChunk, bool), _| {
        left -= 1;
        context.meters.verified.fetch_add(chunk.len, Relaxed);
        note(chunk, same);
        Ok(())
    };
    let failures = pipeline.run(items, context, done).await?;
    match failures.into_error(left, indices.len() as u64) {
        Some(error) => Err(error.context("reading back")),
        None if left > 0 => Err(Error::new(Kind::Incomplete, format!("{left} chunks not read back"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_hundredth_and_at_least_eight() {
        assert_eq!(Amount::Sample.choose(5, "s"), [0, 1, 2, 3, 4]);
        assert_eq!(Amount::Sample.choose(100, "s").len(), 8);
        assert_eq!(Amount::Sample.choose(10_000, "s").len(), 100);
        assert_eq!(Amount::Sample.choose(10_000, "s"), Amount::Sample.choose(10_000, "s"));
        assert_ne!(Amount::Sample.choose(10_000, "s"), Amount::Sample.choose(10_000, "t"));
        assert_eq!(Amount::Full.choose(3, "s"), [0, 1, 2]);
        assert!(Amount::None.choose(3, "s").is_empty());
    }
}
