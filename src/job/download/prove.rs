//! Checks that a file still holds what an earlier run wrote to it, and that the drive still holds the same.
//!
//! The file is local, so reading it costs no request. Chunks that may not have reached the disk are digested
//! again, and all chunks if there is any doubt. Chunks that were not synced and have the right digest are
//! also written again. A page whose write failed once is clean in memory but missing on the disk, and only a
//! new write lets the next sync report that.

use super::Object;
use crate::chunk::{AckedChunk, Geometry};
use crate::digest::Algorithm;
use crate::disk::file::PartDisk;
use crate::disk::{LocalRead, LocalWrite, ReadAt};
use crate::engine::Context;
use crate::engine::ledger::Ledger;
use crate::engine::resume::{
    Coverage, Proof, choose_chunks, choose_places, differing_chunks, differing_places, peek,
};
use crate::error::{Error, Kind, Result};
use crate::job::resumable::{changed_since, still_settled, tell_lost};
use crate::journal::Journal;
use crate::stop::Stop;
use std::sync::Arc;

/// What an earlier run recorded.
pub(super) struct Noted<'a> {
    /// The acknowledged chunks, in the order of acknowledgement.
    pub(super) acked: &'a [AckedChunk],
    /// Those that were not followed by a sync.
    pub(super) unsynced: Vec<u64>,
}

/// Revokes, in `ledger` and `journal`, every chunk that the file no longer holds.
///
/// # Errors
/// [`Kind::Changed`] if the drive changed, and not the file.
pub(super) async fn earlier_run(
    proof: &Proof,
    noted: &Noted<'_>,
    ledger: &mut Ledger,
    to: &PartDisk,
    object: &Object<Arc<dyn ReadAt>>,
    journal: &mut Journal,
    context: &Context,
) -> Result<()> {
    // A file that lost its length has lost bytes.
    let whole = to.take_up(&context.stop).await?;
    if noted.acked.is_empty() {
        return Ok(());
    }
    let all: Vec<u64> = noted.acked.iter().map(|chunk| chunk.index).collect();
    let sample = || choose_chunks(noted.acked, &uuid::Uuid::new_v4().to_string());
    let here = match proof.extent {
        Coverage::None if whole => Vec::new(),
        Coverage::Sample if whole => sample(),
        _ => all.clone(),
    };
    let mut lost = in_file(&here, &noted.unsynced, ledger, to, context).await?;
    if !lost.is_empty() && here.len() < all.len() {
        // The sample shows that the file does not match the journal.
        lost = in_file(&all, &noted.unsynced, ledger, to, context).await?;
    }
    for index in &lost {
        ledger.revoke(*index);
    }
    let left: Vec<AckedChunk> = still_settled(noted.acked, ledger);
    same_source(proof, &left, ledger, to, object, context).await?;
    if !lost.is_empty() {
        tell_lost(lost.len(), "in the file", context);
        journal.replace(&left)?;
    }
    Ok(())
}

/// Digests chunks of the file again, and rewrites those of `unsynced`. Returns the chunks that do not match
/// the ledger.
async fn in_file(
    indices: &[u64],
    unsynced: &[u64],
    ledger: &Ledger,
    to: &PartDisk,
    context: &Context,
) -> Result<Vec<u64>> {
    let mut expected: Vec<(AckedChunk, bool)> = Vec::new();
    let rewrite: std::collections::BTreeSet<u64> = unsynced.iter().copied().collect();
    let read: std::collections::BTreeSet<u64> =
        indices.iter().copied().chain(unsynced.iter().copied()).collect();
    for index in read {
        expected.extend(ledger.chunk(index).map(|chunk| (chunk, rewrite.contains(&index))));
    }
    let (file, geometry, algorithm) = (to.clone(), ledger.geometry(), ledger.algorithm());
    let stop = context.stop.clone();
    tokio::task::spawn_blocking(move || digest_again(&file, geometry, algorithm, &expected, &stop))
        .await
        .unwrap_or_else(|_| Err(Error::new(Kind::Io, "the thread that reads the file has died")))
}

fn digest_again(
    file: &PartDisk,
    geometry: Geometry,
    algorithm: Algorithm,
    expected: &[(AckedChunk, bool)],
    stop: &Stop,
) -> Result<Vec<u64>> {
    let mut lost = Vec::new();
    let mut buffer = Vec::new();
    for (chunk, rewrite) in expected {
        if stop.is_asked() {
            return Err(Error::new(
                Kind::Interrupted,
                "stopped while reading what the interrupted run wrote",
            ));
        }
        let offset = geometry.offset(chunk.index);
        let read = file.read_into(offset, chunk.len, &mut buffer);
        if read.is_err() || algorithm.digest(&buffer) != chunk.digest {
            lost.push(chunk.index);
        } else if *rewrite {
            // The chunk is acknowledged already, so the new write needs no acknowledgement.
            let _ = file.write(offset, &buffer)?;
        }
    }
    Ok(lost)
}

/// Fails if the drive no longer holds what the file has of it.
async fn same_source(
    proof: &Proof,
    acked: &[AckedChunk],
    ledger: &Ledger,
    here: &PartDisk,
    object: &Object<Arc<dyn ReadAt>>,
    context: &Context,
) -> Result<()> {
    let changed = |index: u64| {
        changed_since(&object.id, "it reads differently now").offset(ledger.geometry().offset(index))
    };
    let all: Vec<u64> = acked.iter().map(|chunk| chunk.index).collect();
    let differ = match proof.extent {
        Coverage::None => return Ok(()),
        // The user asked for it.
        Coverage::All if proof.is_asked() => differing_chunks(&object.disk, ledger, &all, context).await?,
        _ if object.tells_changes() => return Ok(()),
        Coverage::Sample | Coverage::All => {
            let seed = uuid::Uuid::new_v4().to_string();
            let peek = |offset, len| peek(here, offset, len);
            let places = choose_places(ledger.geometry(), &all, &seed, peek);
            let mut differ = differing_places(&places, here, &*object.disk, context).await?;
            let whole = choose_chunks(acked, &seed);
            differ.extend(differing_chunks(&object.disk, ledger, &whole, context).await?);
            differ
        }
    };
    differ.first().map_or(Ok(()), |index| Err(changed(*index)))
}
