//! Making the drive of an upload, once, and finding out where its zeros need not be written.

use super::{Upload, Zeros};
use crate::disk::ReadAt;
use crate::disk::elastic::drives::{CreateError, DriveInfo, DriveToMake};
use crate::engine::ledger::{Bits, Ledger};
use crate::engine::{Context, plan, probe};
use crate::error::{Error, Result};
use crate::job::Far;
use crate::journal::{Claim, Destination, Destinations, DriveRecord, Journal};
use std::sync::Arc;

/// Makes the drive, or finds the one that an earlier run has made without having come to note it, or whose note was lost
/// with the journal's end. `is_resumed`: whether there may be such a one; `keys`: those that the drive is made with. The journal is given back, unless nothing was made and it has gone.
pub(super) async fn make(
    journal: Journal,
    is_resumed: bool,
    keys: &[(String, String)],
    destinations: &Destinations,
    far: &Far,
) -> Result<(DriveInfo, Journal, Claim)> {
    let header = journal.header().clone();
    let new = header.new_drive.ok_or_else(|| Error::usage("there is neither a drive nor a name for one"))?;
    let create = DriveToMake {
        name: &new.name,
        size: new.size,
        // As the command gives them: a journal keeps no secrets.
        keys,
        transfer: &header.transfer,
        before: &new.before,
    };
    let found = if is_resumed { far.drives.find_made(&create).await? } else { None };
    let made = if let Some(found) = found {
        found
    } else {
        match far.drives.create(&create).await {
            Ok(made) => made,
            // Nothing was made, now or before: there is nothing to go on with.
            Err(CreateError::Refused(error)) if !is_resumed && !error.kind().is_retryable() => {
                journal.remove()?;
                return Err(error);
            }
            Err(CreateError::Refused(error) | CreateError::Unknown(error)) => return Err(goes_on(error)),
        }
    };
    let claim = destinations.claim(&Destination::drive(&far.account, &made.drive))?;
    Ok((made, journal, claim))
}

/// What the server has made of the create is not known; the next run asks.
fn goes_on(error: Error) -> Error {
    use crate::error::Kind;
    let kind = if error.kind() == Kind::Interrupted { Kind::Interrupted } else { Kind::Incomplete };
    error.with_kind(kind).hint("run the same command again: it looks for the drive before it makes another")
}

/// What there is to know of a drive before its first chunk is written.
pub(super) struct Blank<'a> {
    pub(super) drive: &'a DriveRecord,
    /// Whether no run of this transfer can have written to it.
    pub(super) untouched: bool,
    /// Whether something speaks against what an earlier run noted.
    pub(super) doubted: bool,
}

impl Upload {
    /// Decides which zeros need not be written: those in holes that the source is known to have, and those that are
    /// found by reading it. What is decided is in the journal when this returns.
    ///
    /// On a drive that an earlier run wrote to, only the holes of a file that is still the same are skipped: no run
    /// can have written there, while a chunk that was on its way when the run was killed may hold anything.
    pub(super) async fn zeros_to_skip(
        &self,
        blank: Blank<'_>,
        source: Option<&Arc<dyn ReadAt>>,
        disk: &dyn ReadAt,
        ledger: &Ledger,
        journal: &mut Journal,
        context: &Context,
    ) -> Result<(bool, bool)> {
        match self.zeros {
            Zeros::Skip => return Ok((true, true)),
            Zeros::Write => return Ok((false, false)),
            Zeros::Auto if !blank.drive.created => return Ok((false, false)),
            Zeros::Auto => {}
        }
        let seed = uuid::Uuid::new_v4().to_string();
        let holes = match source {
            Some(source) => plan::holes(&**source, ledger.geometry(), context).await?,
            None => Bits::new(0),
        };
        let plan::Ranges { holes, rest } = plan::split(&holes, ledger.geometry());
        if blank.untouched {
            let mut zero = true;
            for within in [&holes, &rest] {
                zero = zero && probe::reads_as_zero(disk, within, u64::MAX, &seed, context).await?;
            }
            if zero {
                journal.set_drive(DriveRecord { skip_zeros: true, ..blank.drive.clone() })?;
            }
            return Ok((zero, zero));
        }
        if !blank.drive.skip_zeros {
            return Ok((false, false));
        }
        let every = ledger.geometry().chunk_size();
        let zero = !blank.doubted
            && source.is_some_and(|source| source.info().stable && source.local().is_some())
            && probe::reads_as_zero(disk, &holes, every, &seed, context).await?;
        if !zero {
            journal.write_zeros(&acked_of(ledger))?;
        }
        Ok((zero, false))
    }
}

/// The chunks that a journal which replaces another has.
fn acked_of(ledger: &Ledger) -> Vec<crate::chunk::AckedChunk> {
    (0..ledger.geometry().chunks()).filter_map(|index| ledger.chunk(index)).collect()
}
