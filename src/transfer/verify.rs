//! Reading a drive back and comparing.

use super::Context;
use super::fetch::fetch;
use super::ledger::Ledger;
use super::sample::places;
use crate::chunk::{AckedChunk, FetchedChunk, Geometry};
use crate::encode::buffer::Buffers;
use crate::encode::digest::Algorithm;
use crate::encode::zero::is_zero;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Stage};
use crate::source::FileSource;
use crate::transport::Readable;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

/// How much is read back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Nothing: every write was acknowledged.
    #[default]
    None,
    /// A hundredth of the chunks, at random, and at least [`LEAST`].
    Sample,
    /// Everything.
    Full,
}

/// The fewest chunks of a sample.
pub const LEAST: u64 = 8;

impl Verify {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Verify::None => "none",
            Verify::Sample => "sample",
            Verify::Full => "full",
        }
    }

    /// The chunks to read back, in order; `seed` makes the choice repeatable.
    pub fn choose(self, chunks: u64, seed: &str) -> Vec<u64> {
        let wanted = match self {
            Verify::None => 0,
            Verify::Sample => chunks.div_ceil(100).max(LEAST).min(chunks),
            Verify::Full => chunks,
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

impl std::str::FromStr for Verify {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Verify::None, Verify::Sample, Verify::Full]
            .into_iter()
            .find(|v| v.name() == text)
            .ok_or_else(|| Error::usage(format!("there is no verification {text:?}: none, sample or full")))
    }
}

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Compared {
    /// How many chunks were compared.
    pub chunks: u64,
    /// Those that differ, in order.
    pub differ: Vec<u64>,
}

impl Compared {
    /// The error that names what differs; `None` if nothing does.
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

/// Reads chunks back and compares them with the digests in a ledger.
pub async fn with_digests<D: Readable>(
    disk: &D,
    ledger: &Ledger,
    indices: &[u64],
    context: &Context,
) -> Result<Compared> {
    let algorithm = ledger.algorithm();
    let mut compared = Compared::default();
    run(
        disk,
        ledger.geometry(),
        indices,
        context,
        move |chunk| Ok((chunk.landed(algorithm.digest(&chunk.bytes), false), true)),
        |chunk, _| {
            compared.chunks += 1;
            if ledger.get(chunk.index) != Some(chunk.digest) {
                compared.differ.push(chunk.index);
            }
        },
    )
    .await?;
    compared.differ.sort_unstable();
    Ok(compared)
}

/// Reads chunks and compares them, byte by byte, with a file; also notes the file's digests in `ledger`.
pub async fn with_file<D: Readable>(
    disk: &D,
    file: &FileSource,
    ledger: &mut Ledger,
    indices: &[u64],
    context: &Context,
) -> Result<Compared> {
    let algorithm = ledger.algorithm();
    let mut compared = Compared::default();
    let (source, buffers) = (file.clone(), Buffers::new());
    run(
        disk,
        ledger.geometry(),
        indices,
        context,
        move |chunk| compare(&source, &chunk, algorithm, &buffers),
        |chunk, same| {
            compared.chunks += 1;
            if !same {
                compared.differ.push(chunk.index);
            }
            ledger.settle(&chunk);
        },
    )
    .await?;
    file.check()?;
    compared.differ.sort_unstable();
    Ok(compared)
}

fn compare(
    file: &FileSource,
    chunk: &FetchedChunk,
    algorithm: Algorithm,
    buffers: &Buffers,
) -> Result<(AckedChunk, bool)> {
    let here = file.read(chunk.offset, chunk.bytes.len() as u64, buffers)?;
    let same = here.as_slice() == chunk.bytes.as_slice();
    let acked = chunk.landed(algorithm.digest(&here), is_zero(&here));
    Ok((acked, same))
}

async fn run<D: Readable>(
    disk: &D,
    geometry: Geometry,
    indices: &[u64],
    context: &Context,
    compare: impl Fn(FetchedChunk) -> Result<(AckedChunk, bool)> + Send + Sync + 'static,
    mut note: impl FnMut(AckedChunk, bool),
) -> Result<()> {
    (context.observer)(&Event::Stage(Stage::Verify));
    let mut left = indices.len() as u64;
    let failures =
        fetch(disk, geometry, indices.iter().copied(), context, context.workers, compare, |(c, same)| {
            left -= 1;
            context.meters.verified.fetch_add(c.len, Relaxed);
            note(c, same);
            Ok(())
        })
        .await?;
    match failures.into_error(left, indices.len() as u64) {
        Some(error) => Err(error.context("reading back")),
        None if left > 0 => Err(Error::new(Kind::Incomplete, format!("{left} chunks were not read back"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_a_hundredth_and_at_least_eight() {
        assert_eq!(Verify::Sample.choose(5, "s"), [0, 1, 2, 3, 4]);
        assert_eq!(Verify::Sample.choose(100, "s").len(), 8);
        assert_eq!(Verify::Sample.choose(10_000, "s").len(), 100);
        assert_eq!(Verify::Sample.choose(10_000, "s"), Verify::Sample.choose(10_000, "s"));
        assert_ne!(Verify::Sample.choose(10_000, "s"), Verify::Sample.choose(10_000, "t"));
        assert_eq!(Verify::Full.choose(3, "s"), [0, 1, 2]);
        assert!(Verify::None.choose(3, "s").is_empty());
    }
}
