//! Checks that a drive still holds what an earlier run wrote to it.

use super::ImageBytes;
use crate::chunk::AckedChunk;
use crate::disk::ReadAt;
use crate::engine::Context;
use crate::engine::ledger::Ledger;
use crate::engine::resume::{
    Coverage, Proof, choose_chunks, choose_places, differing_chunks, differing_places, peek,
};
use crate::error::Result;
use crate::event::Event;
use crate::job::resumable::changed_since;
use std::sync::Arc;

/// Returns the reason to compare everything if the source can only be read in order.
pub(super) fn unreadable_at_places(image: &ImageBytes) -> Option<String> {
    matches!(image, ImageBytes::Stream(_))
        .then(|| "the image comes as a stream, so no sample can be compared with it".to_owned())
}

/// Revokes every chunk of `acked` in `ledger` that the drive no longer holds.
///
/// # Errors
/// [`Kind::Changed`](crate::error::Kind::Changed) if the source changed, and not the drive.
pub(super) async fn earlier_run(
    proof: &Proof,
    acked: &[AckedChunk],
    ledger: &mut Ledger,
    original: Option<&Arc<dyn ReadAt>>,
    disk: &Arc<dyn ReadAt>,
    context: &Context,
) -> Result<()> {
    let all: Vec<u64> = acked.iter().map(|chunk| chunk.index).collect();
    let compared: Vec<u64> = match proof.extent {
        Coverage::None => return Ok(()),
        Coverage::Sample => choose_chunks(acked, &uuid::Uuid::new_v4().to_string()),
        Coverage::All => all.clone(),
    };
    let elsewhere = original.filter(|original| original.local().is_none());
    if let Some(original) = elsewhere
        && original.info().evidence.writes.is_none()
    {
        // If the source counts its writes, it is already known that there were none.
        same_as(original, ledger, &compared, context).await?;
    }
    let mut differ = differing_chunks(disk, ledger, &compared, context).await?;
    if proof.extent == Coverage::Sample {
        if differ.is_empty()
            && let Some(original) = original
        {
            differ = at_places(ledger, &all, original, disk, context).await?;
            if let (Some(original), false) = (elsewhere, differ.is_empty()) {
                same_as(original, ledger, &differ, context).await?;
            }
        }
        if !differ.is_empty() {
            let text =
                "the drive no longer holds what the interrupted run wrote: comparing everything".to_owned();
            (context.observer)(&Event::Warning(text));
            differ = differing_chunks(disk, ledger, &all, context).await?;
        }
    }
    for index in differ {
        ledger.revoke(index);
    }
    Ok(())
}

/// Returns the chunks of `all` in which a small place differs.
async fn at_places(
    ledger: &Ledger,
    all: &[u64],
    original: &Arc<dyn ReadAt>,
    disk: &Arc<dyn ReadAt>,
    context: &Context,
) -> Result<Vec<u64>> {
    let seed = uuid::Uuid::new_v4().to_string();
    let places = choose_places(ledger.geometry(), all, &seed, |offset, len| peek(&**original, offset, len));
    differing_places(&places, &**original, &**disk, context).await
}

/// Fails if any of these chunks of the source differs from what an earlier run read.
async fn same_as(
    original: &Arc<dyn ReadAt>,
    ledger: &Ledger,
    indices: &[u64],
    context: &Context,
) -> Result<()> {
    match differing_chunks(original, ledger, indices, context).await?.first() {
        None => Ok(()),
        Some(index) => Err(changed_since(&original.info().name, "it reads differently now")
            .offset(ledger.geometry().offset(*index))),
    }
}
