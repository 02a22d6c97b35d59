//! Checks what an earlier run noted before a later run builds on it.
//!
//! A journal says what was true when it was written. The destination's generation tells whether anybody on
//! this machine wrote to it since, and its write counters, if it has any, whether anybody elsewhere did.
//! Beyond that a sample is read: a small place in each chunk, which finds any write of whole chunks, and some
//! chunks in full. If there is any doubt, every chunk is compared.

use super::Context;
use super::compare::with_digests;
use super::ledger::Ledger;
use super::sample::places;
use crate::chunk::{AckedChunk, Geometry};
use crate::disk::zero::is_zero;
use crate::disk::{Buffers, ReadAt};
use crate::error::{Error, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How much of an earlier run's work to check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resume {
    /// A sample if nothing contradicts the journal, otherwise everything.
    #[default]
    Auto,
    /// Nothing: the user vouches for it.
    Trust,
    /// Everything.
    Full,
}

impl std::str::FromStr for Resume {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Resume::Auto),
            "trust" => Ok(Resume::Trust),
            "full" => Ok(Resume::Full),
            _ => Err(Error::usage(format!("expected `auto`, `trust` or `full`, got `{text}`"))
                .hint("`--resume full` compares everything that an earlier run has done")),
        }
    }
}

/// How to check the chunks of an earlier run, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The amount to check.
    pub extent: Coverage,
    /// The reason, as shown to the user.
    pub why: String,
    asked: bool,
}

/// How many of an earlier run's chunks to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// None.
    None,
    /// A small place in each chunk, and some chunks in full.
    Sample,
    /// Every chunk in full.
    All,
}

impl Coverage {
    /// Returns the name shown in plans.
    pub fn name(self) -> &'static str {
        match self {
            Coverage::None => "trust",
            Coverage::Sample => "sample",
            Coverage::All => "full",
        }
    }
}

impl Proof {
    /// Decides by the user's choice and by `doubts`, the reasons not to trust the journal.
    pub fn decide(asked: Resume, doubts: impl IntoIterator<Item = Option<String>>) -> Self {
        let doubt = doubts.into_iter().flatten().next();
        let (extent, why) = match (asked, doubt) {
            (Resume::Trust, _) => (Coverage::None, "asked for".to_owned()),
            (Resume::Full, _) => (Coverage::All, "asked for".to_owned()),
            (Resume::Auto, Some(why)) => (Coverage::All, why),
            (Resume::Auto, None) => (Coverage::Sample, "nothing speaks against the journal".to_owned()),
        };
        Self { extent, why, asked: asked != Resume::Auto }
    }

    /// Returns the proof for a transfer that no earlier run can have begun.
    pub fn nothing() -> Self {
        Self { extent: Coverage::None, why: String::new(), asked: false }
    }

    /// Returns whether the user asked for exactly this coverage.
    pub fn is_asked(&self) -> bool {
        self.asked
    }
}

/// The length of a place in bytes: a page, whatever the sector size.
pub const PLACE: u64 = 4096;

/// The most places that are read, one per chunk: enough for 16 GiB at the default chunk size. With a round
/// trip of 100 ms and eight requests in flight they take less than a minute.
pub const MOST_PLACES: usize = 4096;

/// How many chunks of a sample are chosen at random, and how many because they were acknowledged last: a
/// destination that was reset to an older state lacks the most recent writes.
const WHOLE_RANDOM: usize = 4;
const WHOLE_RECENT: usize = 4;

/// How many places of a chunk are tried before one that holds only zeros is taken.
const TRIES: usize = 4;

/// A small piece of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The index of the chunk.
    pub index: u64,
    /// The offset in the image, in bytes.
    pub offset: u64,
    /// The length in bytes.
    pub len: u64,
}

/// Chooses a place in each of `indices`, or in [`MOST_PLACES`] of them.
///
/// `peek` returns the expected contents if that costs no request. A place with data is preferred, since it
/// proves more than zeros.
pub fn choose_places(
    geometry: Geometry,
    indices: &[u64],
    seed: &str,
    peek: impl Fn(u64, u64) -> Option<Vec<u8>>,
) -> Vec<Place> {
    let chosen: Vec<u64> = if indices.len() <= MOST_PLACES {
        indices.to_vec()
    } else {
        let seed = format!("{seed} chunks");
        let wanted = places(&seed, indices.len() as u64);
        let mut some = BTreeSet::new();
        for at in wanted {
            some.insert(indices[usize::try_from(at).unwrap_or(0)]);
            if some.len() == MOST_PLACES {
                break;
            }
        }
        some.into_iter().collect()
    };
    let mut random = places(seed, u64::MAX);
    chosen
        .into_iter()
        .map(|index| {
            let (start, len) = (geometry.offset(index), geometry.len(index));
            let mut place = Place { index, offset: start, len: PLACE.min(len) };
            for step in random.by_ref().take(TRIES) {
                place.offset = start + step % len.div_ceil(PLACE).max(1) * PLACE;
                place.len = PLACE.min(start + len - place.offset);
                if peek(place.offset, place.len).is_none_or(|bytes| !is_zero(&bytes)) {
                    break;
                }
            }
            place
        })
        .collect()
}

/// Chooses the chunks of a sample that are compared in full: the first, the last, the most recently
/// acknowledged, and some at random. `acked` is in the order of acknowledgement.
pub fn choose_chunks(acked: &[AckedChunk], seed: &str) -> Vec<u64> {
    let indices = || acked.iter().map(|chunk| chunk.index);
    let recent = indices().rev().take(WHOLE_RECENT);
    let random = places(seed, acked.len() as u64)
        .filter_map(|at| acked.get(usize::try_from(at).ok()?).map(|chunk| chunk.index))
        .take(if acked.is_empty() { 0 } else { WHOLE_RANDOM });
    let chosen: BTreeSet<u64> =
        indices().min().into_iter().chain(indices().max()).chain(recent).chain(random).collect();
    chosen.into_iter().collect()
}

/// Reads places of two disks and returns the chunks whose places differ, in order.
pub async fn differing_places(
    all: &[Place],
    one: &dyn ReadAt,
    other: &dyn ReadAt,
    context: &Context,
) -> Result<Vec<u64>> {
    let reads = all.iter().map(|place| async move {
        let first = read_place(one, place.offset, place.len, context).await?;
        let same = first == read_place(other, place.offset, place.len, context).await?;
        Ok::<_, Error>((!same).then_some(place.index))
    });
    let found: Vec<Option<u64>> =
        stream::iter(reads).buffer_unordered(context.small_at_once()).try_collect().await?;
    let mut differ: Vec<u64> = found.into_iter().flatten().collect();
    differ.sort_unstable();
    Ok(differ)
}

/// Reads a small piece of a disk. The read is retried.
pub async fn read_place(disk: &dyn ReadAt, offset: u64, len: u64, context: &Context) -> Result<Vec<u8>> {
    let buffers = Buffers::new(0);
    let attempt = async || {
        let into = buffers.take(usize::try_from(len).unwrap_or(0));
        disk.read_at(offset, len, into).await
    };
    let read = context.retry.run("reading back a sample", Some(offset), attempt).await?;
    Ok(read.to_vec())
}

/// Returns the contents of a small piece of a disk if that costs no request.
pub fn peek(disk: &dyn ReadAt, offset: u64, len: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    disk.local()?.read_into(offset, len, &mut bytes).ok()?;
    Some(bytes)
}

/// Reads chunks in full and returns those whose digest differs from the ledger's, in order.
pub async fn differing_chunks(
    disk: &Arc<dyn ReadAt>,
    ledger: &Ledger,
    indices: &[u64],
    context: &Context,
) -> Result<Vec<u64>> {
    if indices.is_empty() {
        return Ok(Vec::new());
    }
    let compared = with_digests(disk, ledger, indices, context).await;
    // These chunks count as resumed, not as verified.
    context.meters.verified.store(0, std::sync::atomic::Ordering::Relaxed);
    Ok(compared?.differ)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Algorithm;

    #[test]
    fn any_doubt_means_everything_unless_the_user_says_otherwise() {
        let doubt = || [None, Some("it was touched".to_owned())];
        let proof = Proof::decide(Resume::Auto, doubt());
        assert_eq!((proof.extent, proof.why.as_str()), (Coverage::All, "it was touched"));
        assert_eq!(Proof::decide(Resume::Auto, [None, None]).extent, Coverage::Sample);
        assert_eq!(Proof::decide(Resume::Trust, doubt()).extent, Coverage::None);
        assert_eq!(Proof::decide(Resume::Full, [None]).extent, Coverage::All);
    }

    #[test]
    fn every_chunk_has_a_place_inside_it() {
        let geometry = Geometry::new(10 * 65536 + 5000, 65536);
        let indices: Vec<u64> = (0..11).collect();
        let all = choose_places(geometry, &indices, "seed", |_, _| None);
        assert_eq!(all.iter().map(|p| p.index).collect::<Vec<_>>(), indices);
        for place in &all {
            let start = geometry.offset(place.index);
            assert!(place.offset >= start && place.len > 0);
            assert!(place.offset + place.len <= start + geometry.len(place.index), "{place:?}");
        }
        assert_ne!(all, choose_places(geometry, &indices, "other", |_, _| None));
        let many: Vec<u64> = (0..10_000).collect();
        let geometry = Geometry::new(10_000 * 65536, 65536);
        assert_eq!(choose_places(geometry, &many, "seed", |_, _| None).len(), MOST_PLACES);
    }

    #[test]
    fn a_place_that_holds_something_is_preferred() {
        let geometry = Geometry::new(1 << 20, 1 << 20);
        // Half of the chunk is zeros.
        let peek =
            |offset: u64, len: u64| Some(vec![u8::from(offset >= 1 << 19); usize::try_from(len).unwrap()]);
        let held = (0..100)
            .filter(|seed| choose_places(geometry, &[0], &format!("{seed}"), peek)[0].offset >= 1 << 19)
            .count();
        assert!(held > 80, "{held} of 100");
    }

    #[test]
    fn the_ends_and_the_most_recent_chunks_are_always_compared() {
        let acked: Vec<AckedChunk> = [5, 90, 7, 1, 33, 60, 61, 62, 63, 20]
            .into_iter()
            .map(|index| AckedChunk { index, len: 1, digest: Algorithm::Blake3.digest(b""), zero: false })
            .collect();
        let chosen = choose_chunks(&acked, "seed");
        for index in [1, 90, 61, 62, 63, 20] {
            assert!(chosen.contains(&index), "{index} of {chosen:?}");
        }
        assert!(choose_chunks(&[], "seed").is_empty());
    }
}
