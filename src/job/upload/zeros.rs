//! Which zeros need not be written, and the proof of it.
//!
//! A new drive may not read as zero: drives are encrypted unless told otherwise (`encryption:cipher`, "aes-xts-plain (the
//! default)", Open Hosting API, "Create a Drive"). So zeros are first left out, and once everything else is written, the
//! places at which they were left out are read: an image without zeros costs no reads, and what is read is what matters. If
//! something else than zeros is found there, they are written after all.

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

/// What is known of a drive before the first chunk of a run is written.
pub(super) struct Blank<'a> {
    pub(super) drive: &'a DriveRecord,
    /// Whether it is documented that a new one reads as zero.
    pub(super) documented: bool,
    /// Whether no run of this transfer can have written to it.
    pub(super) untouched: bool,
    /// Whether something speaks against what an earlier run noted.
    pub(super) doubted: bool,
}

/// Which zeros are left out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Skipping {
    /// Those in holes that the source is known to have.
    pub(super) holes: bool,
    /// Those that are found by reading it.
    pub(super) zeros: bool,
    /// Whether the places are read at the end, at least one for every so many bytes.
    probed_every: Option<u64>,
}

impl Skipping {
    /// Whether all zeros are written.
    pub(super) fn nothing(self) -> bool {
        !self.holes && !self.zeros
    }
}

impl Upload {
    /// Decides which zeros are left out. What is decided is in the journal when this returns.
    ///
    /// On a drive that an earlier run wrote to, only the holes of a file that is still the same are: no run can have written
    /// there, while a chunk that was on its way when the run was killed may hold anything.
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

/// Proves that the drive reads as zero in the chunks that were left out, by reading places of them, or writes them.
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
    // From here on no run may leave any out.
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

/// The chunks that a journal which replaces another has.
fn acked_of(ledger: &Ledger) -> Vec<AckedChunk> {
    (0..ledger.geometry().chunks()).filter_map(|index| ledger.chunk(index)).collect()
}
