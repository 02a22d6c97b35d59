//! Reads back what was written and compares it with the source as it is now.

use crate::chunk::AckedChunk;
use crate::digest::Algorithm;
use crate::disk::ReadAt;
use crate::engine::Context;
use crate::engine::compare::{Amount, Compared, with_digests, with_original};
use crate::engine::ledger::Ledger;
use crate::error::Result;
use crate::job::RemoteStore;
use crate::journal::Journal;
use std::sync::Arc;

/// How to compare the drive with the source.
pub(super) struct Comparison<'a> {
    /// The source. `None` for a stream, which cannot be read again; the digests from when this run read it
    /// take its place.
    pub(super) original: Option<&'a Arc<dyn ReadAt>>,
    pub(super) asked: Amount,
    /// Whether chunks of zeros were written like all others, and not skipped.
    pub(super) zeros_written: bool,
}

impl Comparison<'_> {
    /// Reads back as much as was asked for, or everything if an earlier comparison found a difference.
    /// Returns the number of chunks compared.
    ///
    /// Chunks that differ are revoked in the journal: the same command then sends them again and compares
    /// everything.
    pub(super) async fn run(
        &self,
        far: &RemoteStore,
        disk: &Arc<dyn ReadAt>,
        ledger: &mut Ledger,
        journal: &mut Journal,
        context: &Context,
    ) -> Result<u64> {
        let amount = if journal.header().compare_all { Amount::Full } else { self.asked };
        if amount == Amount::None {
            return Ok(0);
        }
        if amount == Amount::Full
            && let Some(chunks) = self.by_checksum(far, disk, ledger, journal, context).await?
        {
            return Ok(chunks);
        }
        // The choice is random, so that another run compares other chunks.
        let chosen = amount.choose(ledger.geometry().chunks(), &uuid::Uuid::new_v4().to_string());
        let here = self.original.filter(|original| original.local().is_some());
        let compared = match here {
            Some(original) => with_original(disk, original, ledger, &chosen, context).await?,
            None => with_digests(disk, ledger, &chosen, context).await?,
        };
        let chunks = compared.chunks;
        self.refuse_difference(compared, &disk.info().name, ledger, journal)?;
        if let (None, Some(original)) = (here, self.original) {
            // The drive and the source are each compared with the digests of what was transferred, and so
            // with each other.
            let compared = with_digests(original, ledger, &chosen, context).await?;
            self.refuse_difference(compared, &original.info().name, ledger, journal)?;
        }
        Ok(chunks)
    }

    /// Compares by a checksum that the remote computes, if it computes it in the same way as this transfer.
    /// Nothing is read back from the drive.
    ///
    /// Returns the number of chunks compared. Returns `None` if there is no checksum, or if it differs: only
    /// reading shows which chunks differ.
    async fn by_checksum(
        &self,
        far: &RemoteStore,
        disk: &Arc<dyn ReadAt>,
        ledger: &Ledger,
        journal: &mut Journal,
        context: &Context,
    ) -> Result<Option<u64>> {
        let geometry = ledger.geometry();
        let id = journal.drive().map(|drive| drive.drive.clone());
        let (Algorithm::Sha256, Some(id)) = (ledger.algorithm(), id) else { return Ok(None) };
        if disk.info().size != geometry.image_size() {
            return Ok(None);
        }
        let Some(theirs) = far.store.checksum(&id, geometry.chunk_size()).await? else { return Ok(None) };
        if theirs != ledger.digest().to_string() {
            return Ok(None);
        }
        // The digests may be from an earlier run, so the source is read again. A stream cannot be read again.
        if let Some(original) = self.original {
            let all: Vec<u64> = (0..geometry.chunks()).collect();
            let compared = with_digests(original, ledger, &all, context).await?;
            self.refuse_difference(compared, &original.info().name, ledger, journal)?;
        }
        Ok(Some(geometry.chunks()))
    }

    /// Fails if chunks differ: revokes them in the journal and names them.
    fn refuse_difference(
        &self,
        compared: Compared,
        what: &str,
        ledger: &Ledger,
        journal: &mut Journal,
    ) -> Result<()> {
        if !compared.differ.is_empty() {
            journal.distrust(&chunks_but(&compared.differ, ledger, self.zeros_written))?;
        }
        match compared.into_error(ledger.geometry(), what) {
            None => Ok(()),
            Some(error) => Err(error
                .hint("run the same command again: it sends these chunks again, then compares everything")),
        }
    }
}

/// Returns the settled chunks that are not in `differ`. Leaves out chunks of zeros unless `zeros` is set,
/// because they may have been skipped.
pub(super) fn chunks_but(differ: &[u64], ledger: &Ledger, zeros: bool) -> Vec<AckedChunk> {
    (0..ledger.geometry().chunks())
        .filter(|index| differ.binary_search(index).is_err())
        .filter_map(|index| ledger.chunk(index).filter(|chunk| zeros || !chunk.zero))
        .collect()
}
