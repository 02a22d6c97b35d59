//! Fetches only what differs from an existing file, and records what a drive was read to hold.
//!
//! `FILE.part` starts as a copy of the file. The file itself is unchanged until `FILE.part` takes its name.
//! Every run digests all chunks of the copy again, because what an earlier run left there is known by its
//! bytes alone.

use super::{Disk, Download, FileForm, Object, is_stream};
use crate::chunk::Geometry;
use crate::digest::Algorithm;
use crate::disk::WriteAt;
use crate::disk::file::PartDisk;
use crate::disk::format::TargetFormat;
use crate::engine::Context;
use crate::engine::ledger::Ledger;
use crate::engine::resume::Resume;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::job::Settings;
use crate::job::contents::{self, HeldChunks, Trust};
use crate::journal::Seen;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What a delta builds on.
pub(super) struct Basis {
    pub(super) trust: Trust,
    /// The contents of the drive by its record, if that is trusted.
    record: Option<Ledger>,
}

/// What the file held before anything was fetched.
pub(super) struct Before {
    pub(super) held: Arc<HeldChunks>,
    /// The number of chunks that the drive is known to hold, too.
    pub(super) unchanged: u64,
}

impl Download {
    /// Refuses a delta that is not possible, before any request.
    pub fn check_delta(&self, form: FileForm) -> Result<()> {
        if !self.delta {
            Ok(())
        } else if self.to.as_deref().is_some_and(is_stream) {
            Err(Error::usage("`--delta` needs a file to compare with, and standard output is none"))
        } else if form.format == TargetFormat::Raw {
            Ok(())
        } else {
            Err(Error::usage(format!("`--delta` is for raw files, and this is to be a {}", form.format))
                .hint("leave out `--format` or `--delta`"))
        }
    }

    /// Decides what the download builds on. Returns `None` if it fetches everything. `has_part` says whether
    /// an earlier run left a temporary file.
    pub(super) fn basis(
        &self,
        file: &Path,
        has_part: bool,
        object: &Object<Disk>,
        generation: Option<&str>,
        geometry: Geometry,
        (settings, context): (&Settings, &Context),
    ) -> Option<Basis> {
        if !self.delta {
            return None;
        }
        if !has_part && !file.exists() {
            let text = format!("{} does not exist: downloading everything", file.display());
            (context.observer)(&Event::Note(text));
            return None;
        }
        let basis = of_drive(object, generation, (geometry, settings.digest), settings)?;
        basis.trust.tell(&object.disk.info().name, context);
        Some(basis)
    }
}

fn of_drive(
    object: &Object<Disk>,
    generation: Option<&str>,
    wanted: (Geometry, Algorithm),
    settings: &Settings,
) -> Option<Basis> {
    let drive = object.drive.as_ref()?;
    let record = settings.contents.load(&drive.destination);
    let asked = (&drive.facts, drive.marks);
    let trust = Trust::of(record.as_ref(), generation, asked, wanted, settings.resume);
    let record = record.filter(|_| trust.trusted).map(|record| contents::known(&record, wanted.0, wanted.1));
    Some(Basis { trust, record })
}

impl Basis {
    /// Digests the chunks of the file that are not settled in `ledger`, and settles those that the drive is
    /// known to hold, too.
    pub(super) async fn apply(
        self,
        to: &PartDisk,
        ledger: &mut Ledger,
        object: &Object<Disk>,
        settings: &Settings,
        context: &Context,
    ) -> Result<Before> {
        // Data that cannot be written to the disk must not be taken for contents of the file.
        to.flush().await?;
        let part: Disk = Arc::new(to.clone());
        let mut here = Ledger::new(ledger.geometry(), ledger.algorithm());
        contents::read_back(&part, &mut here, ledger, context).await?;
        let mut unchanged = 0;
        if let Some(record) = self.record {
            let same = contents::common(&here, &record);
            if settings.resume == Resume::Trust || sample_holds(&here, &same, &part, object, context).await? {
                for chunk in same.into_iter().filter_map(|index| here.chunk(index)) {
                    ledger.settle(&chunk);
                    context.meters.image.fetch_add(chunk.len, Relaxed);
                    unchanged += 1;
                }
            } else {
                let what = &object.disk.info().name;
                let text = format!("{what} does not hold what the last transfer noted: fetching everything");
                (context.observer)(&Event::Warning(text));
            }
        }
        Ok(Before { held: HeldChunks::new(here), unchanged })
    }
}

/// Returns whether the drive holds a sample of the chunks that the file and the record have in common.
async fn sample_holds(
    here: &Ledger,
    same: &[u64],
    part: &Disk,
    object: &Object<Disk>,
    context: &Context,
) -> Result<bool> {
    let mut candidates = Ledger::new(here.geometry(), here.algorithm());
    same.iter().filter_map(|index| here.chunk(*index)).for_each(|chunk| candidates.settle(&chunk));
    let nothing = Ledger::new(here.geometry(), here.algorithm());
    let chosen = contents::choose(&candidates, &nothing);
    Ok(contents::places_differ(here, &chosen, part, &object.disk, context).await?.is_empty())
}

/// Records what the drive was read to hold, for a later delta. `generation` is that of the drive before
/// anything was read. The caller has checked that the drive did not change since.
pub(super) fn note(
    object: &Object<Disk>,
    generation: Option<String>,
    ledger: &Ledger,
    settings: &Settings,
    context: &Context,
) {
    let Some(drive) = &object.drive else { return };
    let evidence = object.evidence();
    // If the drive does not report writes, one during this download would go unnoticed.
    let noted = contents::tells_writes(&evidence)
        // The footer that was appended for a VHD is not on the drive.
        && object.size <= drive.facts.size
        && settings.destinations.generation(&drive.destination) == generation;
    if !noted {
        return;
    }
    let wanted = (ledger.geometry(), ledger.algorithm());
    let trusted = settings.resume == Resume::Auto
        && of_drive(object, generation.as_deref(), wanted, settings).is_some_and(|basis| basis.trust.trusted);
    let seen = Seen { generation, mark: drive.facts.mark.clone(), evidence, changing: None };
    contents::note(&drive.destination, seen, ledger, trusted, settings, context);
}
