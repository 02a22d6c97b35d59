//! Creates the drive of an upload, empty or as a copy of another.
//!
//! However a run ends, no second drive is created: a later run finds the first one by the transfer's id. A
//! copy counts once it is complete and the drive is in the journal. Until then, a later run waits for the
//! copy or starts it again.

use super::delta::copies;
use crate::disk::store::{CreateError, DiskToMake, Facts};
use crate::engine::Context;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::job::RemoteStore;
use crate::journal::{Claim, Destination, Destinations, Journal};
use std::time::Duration;
use tokio::time::Instant;

/// The first pause between two queries of a running copy. Each further pause is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause. Nobody needs to know to the second when an hour-long copy is complete.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long to wait for a copy that reports no progress. It may be queued for a long time.
const STUCK: Duration = Duration::from_hours(1);

/// Creates the drive, or finds the one that an earlier run created.
///
/// The earlier run may have ended before it recorded the drive, or the record may be lost with the end of the
/// journal. `is_resumed` says whether there may be such a drive, and `keys` are the properties of a new one.
/// Returns the journal, unless nothing was created, in which case the journal is removed.
pub(super) async fn make(
    journal: Journal,
    is_resumed: bool,
    keys: &[(String, String)],
    destinations: &Destinations,
    far: &RemoteStore,
    context: &Context,
) -> Result<(Facts, Journal, Claim)> {
    let header = journal.header().clone();
    let new =
        header.new_drive.ok_or_else(|| Error::usage("the journal names neither a drive nor a new one"))?;
    let store = far.store.create().ok_or_else(|| Error::usage("no drive can be created there"))?;
    let create = DiskToMake {
        name: &new.name,
        size: new.size,
        // From the command, because a journal keeps no secrets.
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
            // Nothing was created, now or earlier, so there is nothing to resume.
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

/// Lets the remote copy the base, and waits until the copy is complete. `was_there` says whether an earlier
/// run created the drive. That run may have started the copy, too.
async fn copy(
    made: Facts,
    was_there: bool,
    base: &str,
    far: &RemoteStore,
    context: &Context,
) -> Result<Facts> {
    let (copy, original) = (far.called(&made.disk), far.called(base));
    (context.observer)(&Event::Note(format!("creating {copy} as a copy of {original}")));
    if was_there && made.busy.is_some() {
        return wait(&made.disk, far, context).await;
    }
    // It is unknown whether an earlier run started the copy. Starting it again is harmless, because nothing
    // else was written.
    copies(far)?.fill(&made.disk, base).await?;
    wait(&made.disk, far, context).await
}

/// Waits until a copy is complete.
async fn wait(disk: &str, far: &RemoteStore, context: &Context) -> Result<Facts> {
    let (mut pause, mut told, mut since) = (FIRST_PAUSE, None, Instant::now());
    loop {
        let facts = far.store.facts(disk).await?;
        let Some(busy) = &facts.busy else { return Ok(facts) };
        if told.as_ref() != Some(busy) {
            (told, since) = (Some(busy.clone()), Instant::now());
        } else if since.elapsed() > STUCK {
            return Err(Error::new(Kind::Timeout, format!("{} makes no progress: {busy}", far.called(disk))));
        }
        let waiting = async {
            tokio::time::sleep(pause).await;
            Ok(())
        };
        context.stop.unless_asked(waiting).await?;
        pause = (pause + pause / 2).min(LONGEST_PAUSE);
    }
}

/// Turns an error of a create into one that can be resumed: the outcome is unknown, and the next run looks
/// for the drive.
fn goes_on(error: Error) -> Error {
    incomplete(error).hint("run the same command again: it looks for the drive before it creates one")
}

/// Turns an error of a copy into one that can be resumed: the drive exists, and the next run finds it.
fn goes_on_copying(error: Error) -> Error {
    // A request that was refused will be refused again.
    if !error.kind().is_retryable() && error.kind() != Kind::Interrupted {
        return error.context("copying the base");
    }
    incomplete(error)
        .context("copying the base")
        .hint("the copy continues on the server; run the same command again: it waits for that copy")
}

fn incomplete(error: Error) -> Error {
    let kind = if error.kind() == Kind::Interrupted { Kind::Interrupted } else { Kind::Incomplete };
    error.with_kind(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::store::{Create, Store, StoreFuture, StoreInfo, Writable, no_checksum};
    use crate::disk::{Identity, ReadAt};
    use crate::engine::tests::context;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::sync::{Arc, Mutex};

    /// A store that reports the next state of its copy at each query, and repeats the last one. It counts the
    /// queries.
    struct Copying(Mutex<Vec<Option<&'static str>>>, AtomicUsize);

    impl Store for Copying {
        fn info(&self) -> StoreInfo {
            StoreInfo { noun: "drive", marks: false, gzip: false, vhd: false, destroys: false }
        }

        fn facts<'a>(&'a self, disk: &'a str) -> StoreFuture<'a, Facts> {
            self.1.fetch_add(1, Relaxed);
            let mut left = self.0.lock().unwrap();
            let now = if left.len() > 1 { left.remove(0) } else { left[0] };
            let busy = now.map(str::to_owned);
            Box::pin(async move { Ok(Facts { disk: disk.to_owned(), busy, ..Facts::default() }) })
        }

        fn read<'a>(&'a self, _: &'a Facts, _: Option<Identity>) -> StoreFuture<'a, Arc<dyn ReadAt>> {
            Box::pin(async { Err(Error::usage("nobody reads it")) })
        }

        fn write<'a>(&'a self, _: &'a Facts, _: &'a str) -> StoreFuture<'a, Writable> {
            Box::pin(async { Err(Error::usage("nobody writes to it")) })
        }

        fn mark<'a>(&'a self, _: &'a str, _: &'a str) -> StoreFuture<'a, ()> {
            Box::pin(async { Ok(()) })
        }

        fn checksum<'a>(&'a self, _: &'a str, _: u64) -> StoreFuture<'a, Option<String>> {
            no_checksum()
        }

        fn written_since<'a>(
            &'a self,
            _disk: &'a str,
            _bitmap: Option<&'a str>,
        ) -> StoreFuture<'a, Option<Vec<std::ops::Range<u64>>>> {
            Box::pin(async { Ok(None) })
        }

        fn describe<'a>(&'a self, _: &'a str) -> StoreFuture<'a, Vec<(&'static str, String)>> {
            Box::pin(async { Ok(Vec::new()) })
        }

        fn create(&self) -> Option<&dyn Create> {
            None
        }
    }

    fn far(looks: &[Option<&'static str>]) -> (RemoteStore, Arc<Copying>) {
        let store = Arc::new(Copying(Mutex::new(looks.to_vec()), AtomicUsize::new(0)));
        (RemoteStore { remote: "oh".into(), account: String::new(), store: store.clone() }, store)
    }

    #[tokio::test(start_paused = true)]
    async fn a_copy_is_waited_for_as_long_as_it_comes_further() {
        let (done, store) = far(&[Some("queued"), Some("queued"), Some("1%"), Some("99%"), None]);
        assert_eq!(wait("d", &done, &context()).await.unwrap().busy, None);
        assert_eq!(store.1.load(Relaxed), 5);
        let start = Instant::now();
        let (stuck, store) = far(&[Some("1%"), Some("2%")]);
        let error = goes_on_copying(wait("d", &stuck, &context()).await.unwrap_err());
        assert_eq!(error.kind(), Kind::Incomplete, "{error}");
        assert!(error.to_string().contains("drive d makes no progress: 2%"), "{error}");
        assert!(error.hint_text().is_some_and(|hint| hint.contains("run the same command again")), "{error}");
        let waited = start.elapsed();
        assert!(waited > STUCK && waited < STUCK * 2, "{waited:?}");
        // The pauses bound the number of queries.
        assert!(store.1.load(Relaxed) < 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_waiting_at_once() {
        let (never, _) = far(&[Some("queued")]);
        let (stopper, stop) = crate::stop::pair();
        let context = Context { stop, ..context() };
        let waiting = wait("d", &never, &context);
        let stopping = async {
            tokio::time::sleep(Duration::from_mins(1)).await;
            stopper.stop();
        };
        let start = Instant::now();
        let (ended, ()) = tokio::join!(waiting, stopping);
        assert_eq!(goes_on_copying(ended.unwrap_err()).kind(), Kind::Interrupted);
        assert_eq!(start.elapsed(), Duration::from_mins(1));
        // A refusal remains a refusal.
        let refused = goes_on_copying(Error::new(Kind::Refused, "no"));
        assert_eq!(refused.kind(), Kind::Refused, "{refused}");
    }
}
