//! Proving that a drive still holds what an earlier run wrote to it.

use super::verification::Original;
use crate::chunk::AckedChunk;
use crate::error::Result;
use crate::event::Event;
use crate::job::resumable::changed_since;
use crate::source::Source;
use crate::transfer::Context;
use crate::transfer::ledger::Ledger;
use crate::transfer::resume::{
    Extent, Place, Proof, choose_chunks, choose_places, differing_chunks, differing_places, read_place,
};
use crate::transport::Readable;

/// The reason to compare everything where the source can only be read in order.
pub(super) fn unreadable_at_places(source: &Source) -> Option<String> {
    matches!(source, Source::Stream(_))
        .then(|| "the image comes as a stream, so no sample can be compared with it".to_owned())
}

/// Takes back, in `ledger`, every chunk of `acked` that the drive does not hold any more.
///
/// # Errors
/// [`Kind::Source`](crate::error::Kind::Source) if it is the source that changed.
pub(super) async fn earlier_run<D: Readable>(
    proof: &Proof,
    acked: &[AckedChunk],
    ledger: &mut Ledger,
    original: &Original,
    disk: &D,
    context: &Context,
) -> Result<()> {
    let all: Vec<u64> = acked.iter().map(|chunk| chunk.index).collect();
    let compared: Vec<u64> = match proof.extent {
        Extent::None => return Ok(()),
        Extent::Sample => choose_chunks(acked, &uuid::Uuid::new_v4().to_string()),
        Extent::All => all.clone(),
    };
    if let Original::Remote(remote) = original
        && !remote.counts()
    {
        // Of a source that counts its writes it is known already that there were none.
        remote.same_as(ledger, &compared, context).await?;
    }
    let mut differ = differing_chunks(disk, ledger, &compared, context).await?;
    if proof.extent == Extent::Sample {
        if differ.is_empty() {
            let places = places_of(ledger, &all, original);
            differ = at_places(&places, original, disk, context).await?;
            if let (Original::Remote(remote), false) = (original, differ.is_empty()) {
                remote.same_as(ledger, &differ, context).await?;
            }
        }
        if !differ.is_empty() {
            let text =
                "the drive no longer holds what the earlier run wrote: comparing everything".to_owned();
            (context.observer)(&Event::Warning(text));
            differ = differing_chunks(disk, ledger, &all, context).await?;
        }
    }
    for index in differ {
        ledger.revoke(index);
    }
    Ok(())
}

fn places_of(ledger: &Ledger, all: &[u64], original: &Original) -> Vec<Place> {
    let seed = uuid::Uuid::new_v4().to_string();
    choose_places(ledger.geometry(), all, &seed, |offset, len| match original {
        Original::File(file) => file.read_small(offset, len).ok(),
        Original::Remote(_) | Original::Stream => None,
    })
}

async fn at_places<D: Readable>(
    places: &[Place],
    original: &Original,
    disk: &D,
    context: &Context,
) -> Result<Vec<u64>> {
    let there = async |offset, len| read_place(disk, offset, len, context).await;
    match original {
        Original::File(file) => {
            let here = async |offset, len| file.read_small(offset, len);
            differing_places(places, here, there, context).await
        }
        Original::Remote(remote) => {
            let here = async |offset, len| read_place(&remote.disk, offset, len, context).await;
            differing_places(places, here, there, context).await
        }
        Original::Stream => Ok(Vec::new()),
    }
}

impl super::verification::RemoteOriginal {
    /// Fails if some of these chunks are not what an earlier run read.
    async fn same_as(&self, ledger: &Ledger, indices: &[u64], context: &Context) -> Result<()> {
        match differing_chunks(&self.disk, ledger, indices, context).await?.first() {
            None => Ok(()),
            Some(index) => Err(changed_since(&self.disk.name(), "it reads differently now")
                .offset(ledger.geometry().offset(*index))),
        }
    }
}
