//! Reading back what was written, and comparing it with the source as it is.

use crate::chunk::AckedChunk;
use crate::digest::Algorithm;
use crate::disk::ReadAt;
use crate::engine::Context;
use crate::engine::compare::{Amount, Compared, with_digests, with_original};
use crate::engine::ledger::Ledger;
use crate::error::Result;
use crate::job::Far;
use crate::journal::Journal;
use std::sync::Arc;

/// What is read back.
pub(super) struct Comparison<'a> {
    /// What is compared: a stream cannot be read again, and its digests, as this run read it, stand for it.
    pub(super) original: Option<&'a Arc<dyn ReadAt>>,
    pub(super) asked: Amount,
    /// Whether chunks of zeros were written like all others, and not skipped.
    pub(super) zeros_written: bool,
}

impl Comparison<'_> {
    /// Reads back what was asked for, and everything once a comparison has found a difference; returns how many chunks
    /// that were. A difference takes chunks back, so that the same command sends them again and then compares everything.
    pub(super) async fn run(
        &self,
        far: &Far,
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
        // A new choice each time: another run has to look at other chunks.
        let chosen = amount.choose(ledger.geometry().chunks(), &uuid::Uuid::new_v4().to_string());
        let here = self.original.filter(|original| original.local().is_some());
        let compared = match here {
            Some(original) => with_original(disk, original, ledger, &chosen, context).await?,
            None => with_digests(disk, ledger, &chosen, context).await?,
        };
        let chunks = compared.chunks;
        self.refuse_difference(compared, &disk.info().name, ledger, journal)?;
        if let (None, Some(original)) = (here, self.original) {
            // Both ends are compared with what has passed, and so with each other.
            let compared = with_digests(original, ledger, &chosen, context).await?;
            self.refuse_difference(compared, &original.info().name, ledger, journal)?;
        }
        Ok(chunks)
    }

    /// Compares by a checksum that the far end computes, where it does so in the same way as this transfer: nothing is read
    /// back. Returns how many chunks that were; `None` where there is none, or where it differs, since only reading says where.
    async fn by_checksum(
        &self,
        far: &Far,
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
        // What is known of the source may be of an earlier run. A stream cannot be read again.
        if let Some(original) = self.original {
            let all: Vec<u64> = (0..geometry.chunks()).collect();
            let compared = with_digests(original, ledger, &all, context).await?;
            self.refuse_difference(compared, &original.info().name, ledger, journal)?;
        }
        Ok(Some(geometry.chunks()))
    }

    /// Takes the chunks back that differ, and names them.
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

/// The chunks that are done and not in `differ`, without those of zeros unless `zeros`: these may have been skipped.
pub(super) fn chunks_but(differ: &[u64], ledger: &Ledger, zeros: bool) -> Vec<AckedChunk> {
    (0..ledger.geometry().chunks())
        .filter(|index| differ.binary_search(index).is_err())
        .filter_map(|index| ledger.chunk(index).filter(|chunk| zeros || !chunk.zero))
        .collect()
}
