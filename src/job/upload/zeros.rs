//! Decides which zeros need not be written, and proves that they read as zero.
//!
//! A new drive may not read as zero, because drives are encrypted unless told otherwise (`encryption:cipher`,
//! "aes-xts-plain (the default)", Open Hosting API, "Create a Drive"). So zeros are skipped at first. Once
//! everything else is written, the skipped places are sampled. This costs no reads for an image without
//! zeros, and reads only where zeros were skipped. If a place does not read as zero, the zeros are written
//! after all.

use super::{Delta, Upload, Zeros};
use crate::chunk::AckedChunk;
use crate::disk::ReadAt;
use crate::disk::store::Writable;
use crate::disk::zero::ZeroDisk;
use crate::engine::copy::{Copied, Copy};
use crate::engine::encode::codec::Compression;
use crate::engine::ledger::{Bits, Ledger};
use crate::engine::pipeline::Source;
use crate::engine::{Context, plan, probe, syncing};
use crate::error::Result;
use crate::event::Event;
use crate::journal::{DriveRecord, Journal};
use std::sync::Arc;

/// What is known of a drive before a run writes its first chunk.
pub(super) struct Blank<'a> {
    pub(super) drive: &'a DriveRecord,
    /// Whether a new drive is documented to read as zero.
    pub(super) documented: bool,
    /// Whether no run of this transfer can have written to the drive.
    pub(super) untouched: bool,
    /// Whether there is a reason to doubt what an earlier run recorded.
    pub(super) doubted: bool,
}

/// Which zeros to skip.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Skipping {
    /// Skip the known holes of the source.
    pub(super) holes: bool,
    /// Skip zeros that are found by reading the source.
    pub(super) zeros: bool,
    /// If set, the skipped places are sampled at the end, at least one place per this many bytes.
    probed_every: Option<u64>,
}

impl Skipping {
    /// Returns whether all zeros are written.
    pub(super) fn nothing(self) -> bool {
        !self.holes && !self.zeros
    }
}

impl Upload {
    /// Decides which zeros to skip, and records the decision in the journal.
    ///
    /// On a drive that an earlier run wrote to, only the holes of an unchanged local file are skipped. No run
    /// can have written there. Elsewhere, a chunk that was in flight when a run was killed may have left
    /// anything.
    pub(super) fn zeros_to_skip(
        &self,
        blank: &Blank<'_>,
        source: Option<&Arc<dyn ReadAt>>,
        ledger: &Ledger,
        journal: &mut Journal,
    ) -> Result<Skipping> {
        match self.zeros {
            Zeros::Skip => return Ok(Skipping { holes: true, zeros: true, probed_every: None }),
            Zeros::Write => return Ok(Skipping::default()),
            Zeros::Auto if !blank.drive.created || self.delta != Delta::Off => return Ok(Skipping::default()),
            Zeros::Auto => {}
        }
        if blank.untouched {
            journal.set_drive(DriveRecord { skip_zeros: true, ..blank.drive.clone() })?;
            let probed_every = (!blank.documented).then_some(u64::MAX);
            return Ok(Skipping { holes: true, zeros: true, probed_every });
        }
        if !blank.drive.skip_zeros {
            return Ok(Skipping::default());
        }
        let same_file = source.is_some_and(|source| source.info().stable && source.local().is_some());
        if blank.doubted || !same_file {
            journal.write_zeros(&acked_of(ledger))?;
            return Ok(Skipping::default());
        }
        let every = ledger.geometry().chunk_size();
        Ok(Skipping { holes: true, zeros: false, probed_every: (!blank.documented).then_some(every) })
    }
}

/// Checks that the skipped chunks read as zero by sampling them, and writes them if they do not.
pub(super) async fn prove(
    skipping: &mut Skipping,
    copied: &mut Copied,
    disk: &Writable,
    ledger: &mut Ledger,
    journal: &mut Journal,
    schedule: syncing::Schedule,
    context: &Context,
) -> Result<()> {
    let Some(every) = skipping.probed_every else { return Ok(()) };
    let within = plan::ranges(&copied.skipped, ledger.geometry());
    let seed = uuid::Uuid::new_v4().to_string();
    if probe::reads_as_zero(&*disk.back, &within, every, &seed, context).await? {
        return Ok(());
    }
    let left_out: Vec<u64> = copied.skipped.ones().collect();
    let text = format!(
        "{} does not read as zero where nothing was written: also writing the zeros of {} chunks",
        disk.back.info().name,
        left_out.len()
    );
    (context.observer)(&Event::Warning(text));
    for index in &left_out {
        ledger.revoke(*index);
        if let Some(record) = &context.record {
            record.take_back_zero(*index);
        }
    }
    // From here on, no run may skip zeros.
    journal.write_zeros(&acked_of(ledger))?;
    *skipping = Skipping::default();
    let bytes = left_out.iter().map(|index| ledger.geometry().len(*index)).sum();
    context.meters.image.fetch_sub(bytes, std::sync::atomic::Ordering::Relaxed);
    let copy = Copy {
        from: Source::At(Arc::new(ZeroDisk::new(ledger.geometry().image_size()))),
        to: Arc::clone(&disk.to),
        kept: None,
        held: None,
        there: None,
        compression: Compression::Auto,
        skip_holes: false,
        skip_zeros: false,
        sha256: false,
    };
    let written = copy.run(journal, schedule, ledger, context).await?;
    copied.zero -= left_out.len() as u64;
    copied.sent += written.sent;
    copied.zero += written.zero;
    copied.skipped = Bits::new(0);
    Ok(())
}

/// Returns the settled chunks, for a journal that replaces another.
fn acked_of(ledger: &Ledger) -> Vec<AckedChunk> {
    (0..ledger.geometry().chunks()).filter_map(|index| ledger.chunk(index)).collect()
}
