//! Sends only the chunks that differ from the drive's contents.
//!
//! The contents of the drive are known from the record of the last transfer, if that can be trusted, or are
//! read back. Before the first write, they are recorded under the new generation, together with the id of the
//! writing transfer. A chunk that still matches this record was never written by that transfer, so a later
//! run of the same transfer may build on the record. No other transfer may.

use super::{Delta, Image, Upload};
use crate::chunk::Geometry;
use crate::disk::ReadAt;
use crate::disk::store::{Facts, MakeCopy, Writable};
use crate::engine::Context;
use crate::engine::ledger::Ledger;
use crate::engine::resume::Resume;
use crate::engine::syncing::flush;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::job::contents::{self, Trust};
use crate::job::resumable::Resumable;
use crate::job::{Access, RemoteStore, Settings, usable};
use crate::journal::{Contents, Destination};
use std::sync::Arc;

/// What a delta builds on.
pub(super) struct Basis {
    pub(super) trust: Trust,
    /// The contents by the record, if it is trusted.
    held: Option<Ledger>,
    /// The base of the new drive, if the record is that of the base.
    base: Option<String>,
}

/// The contents of a drive before anything is sent to it.
pub(super) struct Before {
    pub(super) held: Ledger,
    /// Whether the contents come from the record, and not from reading the drive.
    pub(super) trusted: bool,
}

/// What is known without reading the drive.
pub(super) struct Known<'a> {
    pub(super) found: &'a Resumable,
    pub(super) facts: Option<&'a Facts>,
    pub(super) base: Option<&'a Facts>,
    /// The generation of the drive as a destination.
    pub(super) generation: Option<&'a str>,
}

impl Upload {
    /// Refuses options that contradict each other, before any request.
    pub fn check(&self, far: &RemoteStore) -> Result<()> {
        match &self.delta {
            Delta::Off => Ok(()),
            _ if self.zeros == super::Zeros::Skip => {
                Err(Error::usage("`--zeros skip` cannot be used with `--delta` or `--base`")
                    .hint("leave out `--zeros`: zeros that the drive holds are not sent"))
            }
            Delta::Drive if self.drive.is_none() => Err(Error::usage(
                "`--delta` needs a drive to compare with, and none is named",
            )
            .hint("name a drive, as in `REMOTE:DRIVE`, or one to copy first, as in `--base REMOTE:DRIVE`")),
            Delta::Base(_) if self.drive.is_some() => {
                Err(Error::usage("`--base` is for a new drive, and an existing one is named")
                    .hint("use `--delta` to send what differs from that drive"))
            }
            Delta::Drive => Ok(()),
            Delta::Base(_) => copies(far).map(drop),
        }
    }

    /// Returns the properties of the drive to copy, if there is one.
    pub(super) async fn base(&self, far: &RemoteStore, context: &Context) -> Result<Option<Facts>> {
        let Delta::Base(base) = &self.delta else { return Ok(None) };
        usable(base, Access::Read, far, context).await.map(Some)
    }

    /// Decides what a delta builds on. Returns `None` for any other transfer.
    pub(super) fn basis(
        &self,
        image: &Image,
        known: &Known<'_>,
        far: &RemoteStore,
        geometry: Geometry,
        settings: &Settings,
    ) -> Option<Basis> {
        // A copy is untouched until a run claims it. The journal's record of a claim may be lost with its
        // end, so the destination is checked, too.
        let claimed = known.found.replay.as_ref().is_some_and(|replay| replay.generation.is_some());
        let untouched = !claimed && known.generation.is_none();
        match (&self.delta, known.base, known.facts) {
            (Delta::Off, ..) => None,
            (_, Some(base), _) if untouched => Some(of_base(base, far, geometry, settings)),
            (_, _, Some(facts)) => Some(of_drive(image, known, facts, far, geometry, settings)),
            _ => None,
        }
    }
}

fn of_drive(
    image: &Image,
    known: &Known<'_>,
    facts: &Facts,
    far: &RemoteStore,
    geometry: Geometry,
    settings: &Settings,
) -> Basis {
    let record = settings.contents.load(&destination(far, facts));
    let wanted = (geometry, settings.digest);
    let marks = far.store.info().marks;
    let transfer = known.found.replay.as_ref().map(|replay| replay.header.transfer.as_str());
    let ours = record
        .as_ref()
        .and_then(|record| record.seen.changing.as_deref())
        .is_some_and(|changing| transfer == Some(changing));
    let trust = if ours {
        // If the source has no reliable identity, it may have had other contents when a chunk was written
        // that is missing from the journal.
        let stable = image.bytes.disk().is_some_and(|disk| disk.info().stable);
        let unusable = contents::unusable(record.as_ref(), known.generation, wanted)
            .or_else(|| known.found.difference_found())
            .or_else(|| (!stable).then(|| "the image may have changed since the interrupted run".to_owned()));
        Trust::decide(settings.resume, unusable, known.found.written_elsewhere(facts, marks))
    } else {
        Trust::of(record.as_ref(), known.generation, (facts, marks), wanted, settings.resume)
    };
    Basis { held: of_record(record.as_ref(), &trust, geometry, settings), trust, base: None }
}

fn of_record(
    record: Option<&Contents>,
    trust: &Trust,
    geometry: Geometry,
    settings: &Settings,
) -> Option<Ledger> {
    record.filter(|_| trust.trusted).map(|record| contents::known(record, geometry, settings.digest))
}

fn of_base(base: &Facts, far: &RemoteStore, geometry: Geometry, settings: &Settings) -> Basis {
    let destination = destination(far, base);
    let record = settings.contents.load(&destination);
    let generation = settings.destinations.generation(&destination);
    let asked = (base, far.store.info().marks);
    let wanted = (geometry, settings.digest);
    let trust = Trust::of(record.as_ref(), generation.as_deref(), asked, wanted, settings.resume);
    Basis {
        held: of_record(record.as_ref(), &trust, geometry, settings),
        trust,
        base: Some(base.disk.clone()),
    }
}

/// Returns the remote's interface for making copies.
pub(super) fn copies(far: &RemoteStore) -> Result<&dyn MakeCopy> {
    let noun = far.store.info().noun;
    far.store.create().and_then(|create| create.copies()).ok_or_else(|| {
        Error::usage(format!("`{}:` cannot copy {noun}s, which `--base` needs", far.remote)).hint(format!(
            "copy the {noun} by other means, then use `diskferry upload --delta IMAGE {}:{}`",
            far.remote,
            noun.to_uppercase()
        ))
    })
}

/// Returns a disk of a remote as a destination.
pub(super) fn destination(far: &RemoteStore, facts: &Facts) -> Destination {
    Destination::disk(&far.account, &facts.disk, far.store.info().noun)
}

impl Basis {
    /// Returns what the drive holds: by the record, if a sample of the chunks matches it, otherwise by
    /// reading the drive. Chunks that are settled in `ledger` are known already.
    pub(super) async fn hold(
        mut self,
        source: Option<&Arc<dyn ReadAt>>,
        disk: &Writable,
        ledger: &Ledger,
        far: &RemoteStore,
        settings: &Settings,
        context: &Context,
    ) -> Result<Before> {
        let (geometry, algorithm) = (ledger.geometry(), ledger.algorithm());
        if let Some(base) = self.base.as_ref().filter(|_| self.trust.trusted) {
            // The base may have been written to before it was copied.
            let now = far.store.facts(base).await?;
            self = of_base(&now, far, geometry, settings);
            if !self.trust.trusted {
                self.trust.tell(&disk.back.info().name, context);
            }
        }
        if let Some(held) = self.held {
            let asked_for = settings.resume == Resume::Trust;
            if asked_for || contents::sample_holds(&held, ledger, source, &disk.back, context).await? {
                return Ok(Before { held, trusted: true });
            }
            let text = format!(
                "{} does not hold what the last transfer noted: reading it back",
                disk.back.info().name
            );
            (context.observer)(&Event::Warning(text));
        }
        if disk.to.info().volatile {
            // The data that is read may come from an earlier run's writes that were never flushed.
            context.stop.unless_asked(flush(&*disk.to, &context.retry)).await?;
        }
        let mut held = Ledger::new(geometry, algorithm);
        contents::read_back(&disk.back, &mut held, ledger, context).await?;
        Ok(Before { held, trusted: false })
    }
}
