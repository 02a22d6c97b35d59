//! Reading back what was written, and comparing it with the source as it is.

use crate::chunk::AckedChunk;
use crate::disk::ReadAt;
use crate::engine::Context;
use crate::engine::compare::{Compared, Verify, with_digests, with_original};
use crate::engine::ledger::Ledger;
use crate::error::Result;
use crate::journal::Journal;
use std::sync::Arc;

/// What is read back.
pub(super) struct Comparison<'a> {
    /// What is compared: a stream cannot be read again, and its digests, as this run read it, stand for it.
    pub(super) original: Option<&'a Arc<dyn ReadAt>>,
    pub(super) asked: Verify,
    /// Whether chunks of zeros were written like all others, and not skipped.
    pub(super) zeros_written: bool,
}

impl Comparison<'_> {
    /// Reads back what was asked for, and everything once a comparison has found a difference; returns how many chunks
    /// that were. A difference takes chunks back, so that the same command sends them again and then compares everything.
    pub(super) async fn run(
        &self,
        disk: &Arc<dyn ReadAt>,
        ledger: &mut Ledger,
        journal: &mut Journal,
        context: &Context,
    ) -> Result<u64> {
        let amount = if journal.header().compare_all { Verify::Full } else { self.asked };
        if amount == Verify::None {
            return Ok(0);
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
                .hint("run the same command again: it sends these chunks anew, then compares everything")),
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
