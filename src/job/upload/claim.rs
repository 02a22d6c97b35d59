//! Claims the journal and the disk of an upload, checks what an earlier run did, and creates the disk if
//! there is none.

use super::delta::destination;
use super::make::make;
use super::zeros::Blank;
use super::{Claimed, Image, Planned, Upload, Zeros, prove};
use crate::engine::Context;
use crate::engine::resume::{Coverage, Resume};
use crate::error::Result;
use crate::job::contents::{self, HeldChunks};
use crate::job::resumable::{changed_since, count_resumed, still_settled, tell_lost};
use crate::job::{RemoteStore, Settings};
use crate::journal::{DriveRecord, Seen};

impl Upload {
    /// Takes the journal and the drive, and checks what an earlier run did.
    pub(super) async fn claim(
        &self,
        planned: Planned,
        image: &Image,
        far: &RemoteStore,
        settings: &Settings,
        context: &Context,
    ) -> Result<Claimed> {
        let Planned { found, mut header, mut ledger, acked, facts, claim, proof, basis } = planned;
        let is_resumed = found.is_resumed();
        if let (Some(new), Some(create)) = (&mut header.new_drive, far.store.create())
            && !is_resumed
        {
            new.before = create.similar(&new.name).await?;
        }
        let evidence = image.bytes.info().evidence.clone();
        if let Some(how) = found.source_changed(&evidence) {
            return Err(changed_since(&image.from, &how));
        }
        let known = found.drive().cloned();
        let replay = found.replay.as_ref();
        let untouched = replay.is_none_or(|replay| replay.generation.is_none());
        let synced = replay.map_or(0, |replay| replay.synced);
        let mut journal = found.journal(header)?;
        if !is_resumed {
            journal.set_source(evidence)?;
        }
        let (drive, facts, mut claim) = match (known, facts, claim) {
            (Some(known), Some(facts), Some(claim)) => (known, facts, claim),
            (None, Some(facts), Some(claim)) => {
                let skip_zeros = self.zeros == Zeros::Skip;
                (DriveRecord { drive: facts.disk.clone(), created: false, skip_zeros }, facts, claim)
            }
            _ => {
                let (made, kept, claim) =
                    make(journal, is_resumed, &self.keys, &settings.destinations, far, context).await?;
                journal = kept;
                (DriveRecord { drive: made.disk.clone(), created: true, skip_zeros: false }, made, claim)
            }
        };
        let disk = match far.store.write(&facts, &journal.header().transfer).await {
            Ok(disk) => disk,
            // The disk existed before and is unchanged, so there is nothing to resume.
            Err(error) if !is_resumed && !drive.created => {
                journal.remove()?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        if journal.drive().is_none() {
            journal.set_drive(drive.clone())?;
        }
        if !acked.is_empty() {
            // Writes that were not flushed may still be lost, even if they can be read now.
            let unsafe_from = if disk.to.info().volatile { synced } else { acked.len() };
            for chunk in acked.iter().skip(unsafe_from) {
                ledger.revoke(chunk.index);
            }
            let safe = still_settled(&acked, &ledger);
            prove::earlier_run(&proof, &safe, &mut ledger, image.bytes.disk(), &disk.back, context).await?;
            let kept = still_settled(&acked, &ledger);
            if kept.len() < safe.len() {
                tell_lost(safe.len() - kept.len(), "on the drive", context);
                journal.write_zeros(&kept)?;
            } else if kept.len() < acked.len() {
                journal.replace(&kept)?;
            }
            if disk.to.info().volatile {
                // A replaced journal has no mark of what is safe at the destination.
                journal.mark_safe()?;
            }
        }
        let resumed = count_resumed(&ledger, context);
        let drive = journal.drive().cloned().unwrap_or(drive);
        let doubted = proof.extent == Coverage::All && settings.resume != Resume::Full;
        let documented = disk.to.info().fresh_is_zero;
        let blank = Blank { drive: &drive, documented, untouched, doubted };
        let skipping = self.zeros_to_skip(&blank, image.bytes.disk(), &ledger, &mut journal)?;
        let before = match basis {
            Some(basis) => {
                let source = image.bytes.disk();
                Some(basis.hold(source, &disk, &ledger, far, settings, context).await?)
            }
            None => None,
        };
        // From here on, the disk is written to, and later runs must be able to see that.
        let generation = claim.raise()?;
        if let Some(before) = &before {
            let seen = Seen {
                generation: Some(generation.clone()),
                changing: Some(journal.header().transfer.clone()),
                ..Seen::default()
            };
            contents::note(&destination(far, &facts), seen, &before.held, before.trusted, settings, context);
        }
        journal.claim(generation.clone())?;
        far.store.mark(&drive.drive, &journal.header().transfer).await?;
        let held = before.map(|before| HeldChunks::new(before.held));
        Ok(Claimed { journal, claim, generation, drive, disk, ledger, skipping, held, resumed })
    }
}
