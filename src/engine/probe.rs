//! Probes whether a new drive reads as zero where nothing was written.
//!
//! It may not. Drives are encrypted by default (`encryption:cipher`, "aes-xts-plain (the default)", Open
//! Hosting API, "Create a Drive"), and a sector that was never written need not decrypt to zeros. One place
//! that does not read as zero settles it. If one per cent of the ranges holds stale data, 460 random places
//! miss it with a probability of one per cent (0.99^460). `--verify full` reads the rest too.

use super::Context;
use super::resume::{MOST_PLACES, PLACE, read_place};
use super::sample::places;
use crate::disk::ReadAt;
use crate::disk::zero::is_zero;
use crate::error::Result;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::ops::Range;

/// The smallest number of places to read.
const PLACES: u64 = 460;

/// Returns whether the byte ranges `within` of a drive read as zero at random places.
///
/// The places are spread evenly. Ranges that are not much longer than the places are read whole. At least one
/// place is read per `every` bytes.
pub async fn reads_as_zero(
    disk: &dyn ReadAt,
    within: &[Range<u64>],
    every: u64,
    seed: &str,
    context: &Context,
) -> Result<bool> {
    let reads = choose(within, every, seed)
        .into_iter()
        .map(|(offset, len)| async move { Ok(is_zero(&read_place(disk, offset, len, context).await?)) });
    stream::iter(reads).buffer_unordered(context.small_at_once()).try_all(|zero| async move { zero }).await
}

/// Returns the offsets and lengths of the places. The ranges, laid end to end, are cut into equal strides,
/// and one place is drawn in each.
fn choose(within: &[Range<u64>], every: u64, seed: &str) -> Vec<(u64, u64)> {
    let total: u64 = within.iter().map(|range| range.end - range.start).sum();
    let wanted = total.div_ceil(every.max(1)).clamp(PLACES, MOST_PLACES as u64);
    let stride = total.div_ceil(wanted).max(PLACE);
    let mut random = places(seed, u64::MAX);
    let mut chosen = Vec::new();
    let (mut ranges, mut before) = (within.iter(), 0);
    let mut range = ranges.next();
    for start in (0..total).step_by(usize::try_from(stride).unwrap_or(usize::MAX)) {
        let room = stride.min(total - start).saturating_sub(PLACE);
        let at = start + random.next().unwrap_or(0) % (room + 1) / 512 * 512;
        while let Some(current) = range
            && at >= before + (current.end - current.start)
        {
            before += current.end - current.start;
            range = ranges.next();
        }
        let Some(current) = range else { break };
        let offset = current.start + (at - before);
        chosen.push((offset, PLACE.min(current.end - offset)));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_lie_in_the_ranges_and_are_spread_over_them() {
        let within = [1 << 20..3 << 20, 100 << 20..200 << 20, 1 << 30..(1 << 30) + 100];
        let chosen = choose(&within, u64::MAX, "seed");
        assert!((455..=461).contains(&chosen.len()), "{}", chosen.len());
        for (offset, len) in &chosen {
            assert!(
                *len > 0 && within.iter().any(|r| r.start <= *offset && offset + len <= r.end),
                "{offset}"
            );
        }
        // Every twentieth part of the long range is probed.
        for part in 0..20 {
            let from = (100 << 20) + part * (5 << 20);
            assert!(chosen.iter().any(|(offset, _)| (from..from + (5 << 20)).contains(offset)), "{part}");
        }
        assert_ne!(chosen, choose(&within, u64::MAX, "another"));
        assert!(choose(&[], 1, "seed").is_empty());
    }

    #[test]
    fn a_short_range_is_read_whole_and_a_dense_one_often_enough() {
        let chosen = choose(std::slice::from_ref(&(0..10_000)), u64::MAX, "seed");
        assert_eq!(chosen, [(0, 4096), (4096, 4096), (8192, 1808)]);
        // One place for each of a thousand chunks.
        let chosen = choose(std::slice::from_ref(&(0..1000 << 16)), 1 << 16, "seed");
        let chunks: std::collections::BTreeSet<u64> = chosen.iter().map(|(offset, _)| offset >> 16).collect();
        assert_eq!(chunks.len(), 1000);
    }

    /// A drive with one per cent of stale data, in one piece at any position, is detected in at least 99 of
    /// 100 cases.
    #[test]
    fn one_per_cent_of_stale_data_is_found() {
        let size: u64 = 8 << 30;
        let stale = size / 100;
        let missed = (0..200_u64)
            .filter(|case| {
                let from = case * 7_919 * 4096 % (size - stale);
                let range = from..from + stale;
                !choose(std::slice::from_ref(&(0..size)), u64::MAX, &format!("{case}"))
                    .iter()
                    .any(|(at, _)| range.contains(at))
            })
            .count();
        assert!(missed <= 2, "{missed} of 200 missed");
    }
}
