//! Finds the journal that an earlier run of a command left, and checks whether it can be resumed.

use super::{OnChange, Settings};
use crate::chunk::{AckedChunk, Geometry};
use crate::digest::Algorithm;
use crate::disk::Evidence;
use crate::disk::store::Facts;
use crate::engine::Context;
use crate::engine::ledger::Ledger;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::journal::{self, Claim, Directory, DriveRecord, Header, Journal, Replay};
use crate::record::ChunkOutcome;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

/// The journal of an earlier run, if there is one.
pub(super) struct Resumable {
    journal: Option<Journal>,
    pub(super) replay: Option<Replay>,
    path: PathBuf,
}

impl Resumable {
    /// Looks for the journal of this command. With [`Settings::restart`] the journal is ignored, and a disk
    /// that the earlier run created is reported as left over.
    ///
    /// # Errors
    /// [`Kind::Changed`] if the image changed, [`Kind::Journal`] if anything else of the command differs.
    pub(super) fn find(settings: &Settings, header: &Header, context: &Context) -> Result<Self> {
        let id = Directory::id(header);
        let path = settings.journals.path(&id)?;
        if settings.restart {
            let old = if path.exists() { journal::peek(&path).ok() } else { None };
            if let Some(Replay { drive: Some(old), header: was, generation, .. }) = old
                && old.created
            {
                (context.observer)(&Event::Leftover {
                    remote: was.remote,
                    disk: old.drive,
                    transfer: was.transfer,
                    generation,
                    may_succeed: true,
                });
            }
            return Ok(Self { journal: None, replay: None, path });
        }
        let (journal, replay) = if settings.dry_run {
            (None, if path.exists() { Some(journal::peek(&path)?) } else { None })
        } else {
            Journal::open(&path)?.map_or((None, None), |(journal, replay)| (Some(journal), Some(replay)))
        };
        if let Some(replay) = &replay {
            if let Some(how) = replay.header.image_change(header) {
                return Err(changed_since("the image", &how));
            }
            if let Some(why) = replay.header.difference(header) {
                return Err(Error::new(
                    Kind::Journal,
                    format!("cannot resume the interrupted transfer: {why}"),
                )
                .hint(format!(
                    "start over with {}; `diskferry transfers show {id}` shows the interrupted transfer",
                    settings.restarting()
                )));
            }
            if replay.torn_bytes > 0 {
                let text = format!(
                    "the journal ended in the middle of a record: {} ignored",
                    crate::units::counted(replay.torn_bytes, "byte")
                );
                (context.observer)(&Event::Warning(text));
            }
        }
        Ok(Self { journal, replay, path })
    }

    /// Returns the ledger of the chunks that the earlier run acknowledged.
    pub(super) fn ledger(&self, geometry: Geometry, algorithm: Algorithm) -> Ledger {
        let mut ledger = Ledger::new(geometry, algorithm);
        if let Some(replay) = &self.replay {
            ledger.fill(&replay.acked);
        }
        ledger
    }

    /// Returns the chunks that the earlier run acknowledged and that fit `ledger`, in the order of
    /// acknowledgement.
    pub(super) fn acked(&self, ledger: &Ledger) -> Vec<AckedChunk> {
        let all = self.replay.as_ref().map_or(&[][..], |replay| &replay.acked);
        all.iter().filter(|chunk| ledger.chunk(chunk.index) == Some(**chunk)).copied().collect()
    }

    /// Returns whether there is a journal of an earlier run.
    pub(super) fn is_resumed(&self) -> bool {
        self.replay.is_some()
    }

    /// Returns the drive that the earlier run recorded.
    pub(super) fn drive(&self) -> Option<&DriveRecord> {
        self.replay.as_ref()?.drive.as_ref()
    }

    /// Returns the journal, creating it if there is none.
    pub(super) fn journal(self, header: Header) -> Result<Journal> {
        match self.journal {
            Some(journal) => Ok(journal),
            None => Journal::create(&self.path, header),
        }
    }

    /// Returns whether an earlier comparison found a difference.
    pub(super) fn compares_all(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.header.compare_all)
    }

    /// Returns the reason to doubt a journal whose transfer found a difference.
    pub(super) fn difference_found(&self) -> Option<String> {
        self.compares_all().then(|| "an earlier comparison found a difference".to_owned())
    }

    /// Returns the reason to doubt that the destination is unchanged by other runs on this machine. `claim`
    /// is the lock on the destination.
    pub(super) fn written_here(&self, claim: Option<&Claim>) -> Option<String> {
        let (replay, claim) = (self.replay.as_ref()?, claim?);
        (replay.generation.as_deref() != claim.generation())
            .then(|| "another run on this machine has written to it since".to_owned())
    }

    /// Returns the reason to doubt that the destination drive is unchanged from elsewhere. `marks` says
    /// whether each run marks the drive.
    pub(super) fn written_elsewhere(&self, now: &Facts, marks: bool) -> Option<String> {
        let replay = self.replay.as_ref()?;
        if marks && now.mark.as_deref() != Some(replay.header.transfer.as_str()) {
            return Some("the drive carries the mark of another transfer".to_owned());
        }
        let Evidence { writes, tag, .. } = &now.evidence;
        if writes.is_none() && tag.is_none() {
            return None;
        }
        match &replay.evidence {
            None => Some(
                "the interrupted run ended before it could note what the drive says of its writes".to_owned(),
            ),
            Some(then) if (&then.writes, &then.tag) == (writes, tag) => None,
            Some(_) => Some("the far end says that it was written to since".to_owned()),
        }
    }

    /// Returns how the source changed since the transfer began, if its evidence shows that.
    pub(super) fn source_changed(&self, now: &Evidence) -> Option<String> {
        let then = self.replay.as_ref()?.source.as_ref()?;
        (then != now).then(|| "it was written to since then".to_owned())
    }
}

/// Counts the chunks that an earlier run moved, and returns their number.
pub(super) fn count_resumed(ledger: &Ledger, context: &Context) -> u64 {
    let bytes = ledger.settled_bytes();
    context.meters.image.store(bytes, Relaxed);
    context.meters.resumed.store(bytes, Relaxed);
    if context.record.is_some() {
        let all = 0..ledger.geometry().chunks();
        all.filter(|index| ledger.is_settled(*index))
            .for_each(|index| context.note(index, ChunkOutcome::Resumed));
    }
    ledger.settled()
}

/// Returns the chunks of `acked` that are still settled, for a journal that replaces the old one.
pub(super) fn still_settled(acked: &[AckedChunk], ledger: &Ledger) -> Vec<AckedChunk> {
    acked.iter().filter(|chunk| ledger.is_settled(chunk.index)).copied().collect()
}

/// Returns the error for a source that changed since the interrupted run.
pub(super) fn changed_since(what: &str, how: &str) -> Error {
    Error::new(Kind::Changed, format!("{what} changed since the interrupted run: {how}"))
}

/// Returns settings that start over, if `error` says that the source changed since the interrupted run and
/// [`OnChange::Restart`] is set.
///
/// # Errors
/// Returns `error` in every other case. If the source changed, its hint names both ways to start over.
pub(super) fn start_over(error: Error, settings: &Settings, context: &Context) -> Result<Settings> {
    if error.kind() != Kind::Changed {
        return Err(error);
    }
    if settings.on_change == OnChange::Refuse || settings.restart {
        return Err(error.hint(format!(
            "start over with {}; `--on-change restart` does so without asking, for scripts",
            settings.restarting()
        )));
    }
    (context.observer)(&Event::Warning(format!("{error}: starting over")));
    Ok(Settings { restart: true, ..settings.clone() })
}

/// Warns that chunks must be transferred again.
pub(super) fn tell_lost(chunks: usize, place: &str, context: &Context) {
    let (s, are) = if chunks == 1 { ("", "is") } else { ("s", "are") };
    let text = format!(
        "{chunks} chunk{s} of the interrupted run {are} no longer {place} and will be transferred again"
    );
    (context.observer)(&Event::Warning(text));
}
