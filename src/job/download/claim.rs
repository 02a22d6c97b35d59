//! Claims the journal, the file and its name for a download, and checks what an earlier run did.

use super::{Claimed, Disk, Download, Object, header, journal_of, plan, prove};
use crate::chunk::{AckedChunk, Geometry};
use crate::disk::Evidence;
use crate::disk::file::{PartDisk, PartFile};
use crate::engine::Context;
use crate::engine::ledger::Ledger;
use crate::engine::resume::Proof;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Plan};
use crate::job::resumable::{Resumable, changed_since, count_resumed};
use crate::job::{Settings, announce, once_free};
use crate::journal::{Destination, DriveRecord, Header, Journal};
use std::path::Path;

impl Download {
    /// Takes the journal and the file, announces the plan, and checks what an earlier run did. Returns `None`
    /// for a dry run.
    pub(super) async fn claim(
        &self,
        file: &Path,
        object: &Object<Disk>,
        geometry: Geometry,
        settings: &Settings,
        generation: Option<&str>,
        context: &Context,
    ) -> Result<Option<Claimed>> {
        let claim = if settings.dry_run {
            None
        } else {
            Some(once_free(context, || settings.destinations.claim(&Destination::file(file))).await?)
        };
        let header = header(file, object, settings);
        if settings.restart && !settings.dry_run {
            forget(file, &header, settings)?;
        }
        let found = once_free(context, || Resumable::find(settings, &header, context)).await?;
        let known = found.replay.as_ref().and_then(|replay| replay.part);
        let part = known.map(|known| PartFile::resume(file, known)).transpose()?.flatten();
        // An earlier run may have ended right after it renamed the file. The journal does not list the chunks
        // that a delta left unchanged, so a delta treats such a file as the one to compare with.
        let part = part.filter(|part| !self.delta || !part.is_named());
        if part.as_ref().is_none_or(|part| !part.is_named()) {
            self.check_free(file)?;
        }
        let mut ledger = match &part {
            Some(_) => found.ledger(geometry, settings.digest),
            None => Ledger::new(geometry, settings.digest),
        };
        let acked = found.acked(&ledger);
        let starts_over =
            part.is_none() && found.replay.as_ref().is_some_and(|replay| !replay.acked.is_empty());
        if starts_over && !self.delta {
            let text = format!(
                "{} of the interrupted run is gone: starting over",
                PartFile::path_of(file).display()
            );
            (context.observer)(&Event::Warning(text));
        }
        let touched = part.as_ref().map(PartFile::evidence).transpose()?;
        if part.as_ref().is_some_and(PartFile::is_named) && was_changed(&found, touched.as_ref()) {
            // The file is complete and in use by now. Not even its length is corrected.
            return Err(changed_since_named(file));
        }
        let proof = Proof::decide(
            settings.resume,
            [found.difference_found(), found.written_here(claim.as_ref()), changed(&found, touched.as_ref())],
        );
        let basis = self.basis(file, part.is_some(), object, generation, geometry, (settings, context));
        let plan = plan(&file.display().to_string(), object, settings, context, &ledger, &proof);
        let (delta, delta_why) = basis
            .as_ref()
            .map_or_else(Default::default, |basis| (basis.trust.name().to_owned(), basis.trust.why.clone()));
        announce(Plan { delta, delta_why, ..plan }, context);
        let Some(mut claim) = claim else { return Ok(None) };
        if let Some(how) = found.source_changed(&object.evidence()).filter(|_| !acked.is_empty()) {
            return Err(changed_since(&object.id, &how));
        }
        let synced = found.replay.as_ref().map_or(0, |replay| replay.synced);
        // Until a run has claimed the file, the initial copy may be incomplete.
        let begun = part.is_some() && found.replay.as_ref().is_some_and(|replay| replay.generation.is_some());
        let mut journal = found.journal(header)?;
        if starts_over {
            // The acknowledgements were for another file and do not apply to the new one.
            journal.replace(&[])?;
        }
        let to = match part {
            Some(part) => {
                let to = object.form.disk(part, object.size)?;
                // A file is synced before it gets its final name.
                let unsynced =
                    if to.part().is_named() { Vec::new() } else { unsynced(&acked, synced, &ledger) };
                let noted = prove::Noted { acked: &acked, unsynced };
                prove::earlier_run(&proof, &noted, &mut ledger, &to, object, &mut journal, context).await?;
                to
            }
            None => begin(file, object, object.evidence(), &mut journal, settings)?,
        };
        if to.part().is_named() && ledger.missing().next().is_some() {
            return Err(changed_since_named(file));
        }
        let resumed = count_resumed(&ledger, context);
        let before = match basis {
            Some(basis) => {
                if !begun && file.exists() {
                    to.copy_from(file, &context.stop).await?;
                }
                Some(basis.apply(&to, &mut ledger, object, settings, context).await?)
            }
            None => None,
        };
        let (held, unchanged) = before.map_or((None, 0), |before| (Some(before.held), before.unchanged));
        // From here on, the file is written to, and later runs must be able to see that.
        journal.claim(claim.raise()?)?;
        Ok(Some(Claimed { journal, claim, to, ledger, held, resumed, unchanged }))
    }
}

/// Removes the temporary file of a journal that is about to be replaced, so that it is not in the way.
pub(in crate::job) fn forget(file: &Path, header: &Header, settings: &Settings) -> Result<()> {
    let known = journal_of(header, settings)?.and_then(|replay| replay.part);
    known.map_or(Ok(()), |known| PartFile::discard(file, known))
}

/// Creates the temporary file and records it in the journal.
pub(in crate::job) fn begin<D>(
    file: &Path,
    object: &Object<D>,
    evidence: Evidence,
    journal: &mut Journal,
    settings: &Settings,
) -> Result<PartDisk> {
    let part = PartFile::create(file, |part| settings.journals.owner(part))?;
    journal.set_drive(DriveRecord { drive: object.id.clone(), created: false, skip_zeros: false })?;
    journal.set_source(evidence)?;
    // The file gets its length only after it is recorded. An empty file that no journal knows may be reused.
    journal.set_part(part.record()?)?;
    let to = object.form.disk(part, object.size)?;
    to.begin()?;
    Ok(to)
}

/// Returns whether the file differs from what an earlier run recorded at its end.
fn was_changed(found: &Resumable, now: Option<&Evidence>) -> bool {
    let noted = found.replay.as_ref().and_then(|replay| replay.evidence.as_ref());
    noted.zip(now).is_some_and(|(then, now)| then.modified != now.modified)
}

fn changed_since_named(file: &Path) -> Error {
    Error::new(Kind::Exists, format!("{} changed since it was downloaded", file.display()))
        .hint("`--restart --force` downloads it again")
}

/// Returns the reason to doubt that the file is unmodified since the earlier run.
fn changed(found: &Resumable, now: Option<&Evidence>) -> Option<String> {
    let replay = found.replay.as_ref()?;
    match (&replay.evidence, now) {
        (Some(then), Some(now)) if then.modified == now.modified => None,
        (None, _) => Some("the interrupted run ended before it could note the file's times".to_owned()),
        _ => Some("the file was modified since".to_owned()),
    }
}

/// Returns the settled chunks that were acknowledged after the last sync.
fn unsynced(acked: &[AckedChunk], synced: usize, ledger: &Ledger) -> Vec<u64> {
    acked.iter().skip(synced).map(|chunk| chunk.index).filter(|index| ledger.is_settled(*index)).collect()
}
