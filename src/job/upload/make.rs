//! Making the drive of an upload: empty, or as a copy of another.
//!
//! No second drive is made, however a run ends: the create is found again by the transfer's id. A copy counts once it is over and the
//! drive is in the journal; until then a later run waits for it, or has it begun again.

use super::delta::copies;
use crate::disk::store::{CreateError, DiskToMake, Facts};
use crate::engine::Context;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::job::Far;
use crate::journal::{Claim, Destination, Destinations, Journal};
use std::time::Duration;
use tokio::time::Instant;

/// The first pause between two looks at a copy that is under way; each next is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// No pause is longer: what takes an hour need not be known to the second.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A copy that tells no progress for so long is no longer waited for. A queue may be long.
const STUCK: Duration = Duration::from_hours(1);

/// Makes the drive, or finds the one that an earlier run has made without having come to note it, or whose note was lost
/// with the journal's end. `is_resumed`: whether there may be such a one; `keys`: those that the drive is made with. The
/// journal is given back, unless nothing was made and it has gone.
pub(super) async fn make(
    journal: Journal,
    is_resumed: bool,
    keys: &[(String, String)],
    destinations: &Destinations,
    far: &Far,
    context: &Context,
) -> Result<(Facts, Journal, Claim)> {
    let header = journal.header().clone();
    let new = header.new_drive.ok_or_else(|| Error::usage("there is neither a drive nor a name for one"))?;
    let store = far.store.create().ok_or_else(|| Error::usage("no drive can be made there"))?;
    let create = DiskToMake {
        name: &new.name,
        size: new.size,
        // As the command gives them: a journal keeps no secrets.
        keys,
        transfer: &header.transfer,
        before: &new.before,
    };
    let found = if is_resumed { store.find_made(&create).await? } else { None };
    let was_there = found.is_some();
    let made = if let Some(found) = found {
        found
    } else {
        let making = match &new.base {
            Some(base) => copies(far)?.make_copy(&create, base),
            None => store.make(&create),
        };
        match making.await {
            Ok(made) => made,
            // Nothing was made, now or before: there is nothing to go on with.
            Err(CreateError::Refused(error)) if !is_resumed && !error.kind().is_retryable() => {
                journal.remove()?;
                return Err(error);
            }
            Err(CreateError::Refused(error) | CreateError::Unknown(error)) => return Err(goes_on(error)),
        }
    };
    let claim = destinations.claim(&Destination::disk(&far.account, &made.disk, far.store.info().noun))?;
    let made = match &new.base {
        Some(base) => copy(made, was_there, base, far, context).await.map_err(goes_on_copying)?,
        None => made,
    };
    Ok((made, journal, claim))
}

/// Has the far end copy the base, and waits until it has. `was_there`: whether an earlier run made the drive, which may have
/// begun the copy, too.
async fn copy(made: Facts, was_there: bool, base: &str, far: &Far, context: &Context) -> Result<Facts> {
    let (copy, original) = (far.called(&made.disk), far.called(base));
    (context.observer)(&Event::Note(format!("{copy} is made as a copy of {original}")));
    if was_there && made.busy.is_some() {
        return wait(&made.disk, far, context).await;
    }
    // Whether an earlier run's copy was ever begun is not known, and a second one harms nothing: nothing else was written.
    copies(far)?.fill(&made.disk, base).await?;
    wait(&made.disk, far, context).await
}

/// Waits until a copy is over.
async fn wait(disk: &str, far: &Far, context: &Context) -> Result<Facts> {
    let (mut pause, mut told, mut since) = (FIRST_PAUSE, None, Instant::now());
    loop {
        let facts = far.store.facts(disk).await?;
        let Some(busy) = &facts.busy else { return Ok(facts) };
        if told.as_ref() != Some(busy) {
            (told, since) = (Some(busy.clone()), Instant::now());
        } else if since.elapsed() > STUCK {
            return Err(Error::new(
                Kind::Timeout,
                format!("{} has come no further: {busy}", far.called(disk)),
            ));
        }
        let waiting = async {
            tokio::time::sleep(pause).await;
            Ok(())
        };
        context.stop.unless_asked(waiting).await?;
        pause = (pause + pause / 2).min(LONGEST_PAUSE);
    }
}

/// What the server has made of the create is not known; the next run asks.
fn goes_on(error: Error) -> Error {
    incomplete(error).hint("run the same command again: it looks for the drive before it makes another")
}

/// The drive is there; the next run finds it.
fn goes_on_copying(error: Error) -> Error {
    // What is refused now is refused again.
    if !error.kind().is_retryable() && error.kind() != Kind::Interrupted {
        return error.context("copying the base");
    }
    incomplete(error)
        .context("copying the base")
        .hint("the copy goes on at the far end; run the same command again: it waits for it and makes no other drive")
}

fn incomplete(error: Error) -> Error {
    let kind = if error.kind() == Kind::Interrupted { Kind::Interrupted } else { Kind::Incomplete };
    error.with_kind(kind)
}
