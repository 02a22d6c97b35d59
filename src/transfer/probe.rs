//! Whether a new drive reads as zero where nothing was written.
//!
//! It may not: drives are encrypted unless told otherwise (`encryption:cipher`, "aes-xts-plain (the default)", Open
//! Hosting API, "Create a Drive"), and a sector that was never written need not decrypt to zeros. One sector that does
//! not read as zero settles it. That all of some dozens do is as sure as a look from outside can be: encryption spares
//! no sector, and a reused disk would have to show zeros in every one of them. `--verify full` reads the rest too.

use super::Context;
use super::sample::places;
use crate::encode::zero::is_zero;
use crate::error::Result;
use crate::transport::Readable;
use futures_util::{StreamExt, TryStreamExt, stream};

/// How many places are looked at, the first and the last of the drive among them.
const PLACES: usize = 32;

/// How much is read at each: a page, whatever the sector size.
const LEN: u64 = 4096;

/// Reads a drive of `size` bytes, to which nothing was written yet, at random places.
pub async fn reads_as_zero<D: Readable>(disk: &D, size: u64, seed: &str, context: &Context) -> Result<bool> {
    let steps = size.div_ceil(LEN);
    let mut offsets: Vec<u64> = [0, steps.saturating_sub(1)]
        .into_iter()
        .chain(places(seed, steps).take(PLACES - 2))
        .map(|step| step * LEN)
        .collect();
    offsets.sort_unstable();
    offsets.dedup();
    let reads = offsets.into_iter().map(|offset| async move {
        let len = LEN.min(size - offset);
        let mut bytes = Vec::new();
        context
            .retry
            .run("reading the new drive", Some(offset), async || {
                bytes.clear();
                disk.read_at(offset, len, &mut bytes).await
            })
            .await?;
        Ok(is_zero(&bytes))
    });
    stream::iter(reads).buffer_unordered(context.concurrency).try_all(|zero| async move { zero }).await
}
