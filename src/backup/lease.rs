//! Leases of a store. Backups, restores and verifications share the store; a sweep of chunks is exclusive.
//!
//! In a directory a lease is a lock on a file, which the system releases when its holder dies.
//!
//! In an object store it is an object that its holder rewrites every minute. Whoever arrives writes its own
//! object first and then looks for others, so of two that arrive at once at least one sees the other. An
//! object that is five minutes older than one's own has expired. Only the store's clock counts: all times are
//! those at which the store says that objects were written.

use super::place::{Directory, OWN, Place};
use super::store::BackupStore;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use crate::transport::retry::Retry;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::task::AbortHandle;

/// How often a lease is renewed.
const RENEWAL: Duration = Duration::from_mins(1);

/// How long after its last renewal a lease expires.
const LOST: Duration = Duration::from_mins(5);

/// How often a waiting process checks again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The kind of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Shared: reading and adding chunks.
    Use,
    /// Exclusive: deleting chunks.
    Sweep,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Use => "use",
            Self::Sweep => "sweep",
        }
    }
}

/// The right to use a store. Release it by [`Lease::end`]; in an object store a dropped lease blocks a sweep
/// for five minutes.
#[derive(Debug)]
pub struct Lease(Holding);

#[derive(Debug)]
enum Holding {
    Directory(Directory),
    Objects(ObjectLease),
    /// A reader with read-only access to an object store cannot announce itself there.
    Unannounced,
}

impl Lease {
    /// Waits until the store may be used, and reports once that it waits. A stop ends the wait.
    pub async fn wait(place: &Arc<dyn Place>, retry: &Retry) -> Result<Self> {
        let mut said = false;
        loop {
            if let Some(lease) = Self::attempt(place, Role::Use, retry).await? {
                return Ok(lease);
            }
            if !said {
                let note = format!("waiting until a prune ends that deletes chunks in {}", place.name());
                (retry.observer)(&Event::Note(note));
                said = true;
            }
            let again = async {
                tokio::time::sleep(LOOK_AGAIN).await;
                Ok(())
            };
            retry.stop.unless_asked(again).await?;
        }
    }

    /// Takes a lease for reading. Read-only credentials suffice: the lease is then unannounced, which is
    /// reported.
    pub async fn for_reading(store: &BackupStore) -> Result<Self> {
        match Self::wait(store.place(), store.retry()).await {
            Err(error) if error.kind() == Kind::Auth => {
                let what = "writing a lease, so a prune may delete chunks while they are read";
                (store.retry().observer)(&Event::Note(format!("{}: {what}", store.name())));
                Ok(Self(Holding::Unannounced))
            }
            lease => lease,
        }
    }

    /// Takes a lease if it is available now.
    pub async fn attempt(place: &Arc<dyn Place>, role: Role, retry: &Retry) -> Result<Option<Self>> {
        if let Some(directory) = place.directory() {
            let directory = directory.clone();
            let locked =
                crate::disk::file::on_a_thread(move || directory.try_lock(role == Role::Sweep)).await?;
            return Ok(locked.map(|directory| Self(Holding::Directory(directory))));
        }
        let lease = ObjectLease::announce(place, role, retry).await?;
        Ok(lease.map(|lease| Self(Holding::Objects(lease))))
    }

    /// Returns the store under the lease: requests hold the lock of a directory until they end.
    pub fn over(&self, store: &BackupStore) -> BackupStore {
        match &self.0 {
            Holding::Directory(directory) => {
                BackupStore::new(Arc::new(directory.clone()), store.retry().clone())
            }
            Holding::Objects(_) | Holding::Unannounced => store.clone(),
        }
    }

    /// Renews the lease and returns whether it held all the time since the last call. If not, what was seen
    /// in the store before may be gone.
    pub async fn confirm(&self) -> Result<bool> {
        match &self.0 {
            Holding::Directory(_) | Holding::Unannounced => Ok(true),
            Holding::Objects(lease) => lease.confirm().await,
        }
    }

    /// Releases the lease. Drop it instead if the outcome of the last request is unknown; it then expires.
    pub async fn end(self) -> Result<()> {
        match self.0 {
            Holding::Directory(_) | Holding::Unannounced => Ok(()),
            Holding::Objects(lease) => lease.end().await,
        }
    }
}

/// A lease in an object store.
#[derive(Debug)]
struct ObjectLease {
    shared: Arc<Shared>,
    heart: AbortHandle,
}

struct Shared {
    place: Arc<dyn Place>,
    retry: Retry,
    key: String,
    state: Mutex<State>,
    /// Serializes renewals.
    renewing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    /// When the lease was last written, by the store's clock.
    written: SystemTime,
    /// Whether it expired since the last call of `confirm`.
    lapsed: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("key", &self.key).finish_non_exhaustive()
    }
}

impl ObjectLease {
    async fn announce(place: &Arc<dyn Place>, role: Role, retry: &Retry) -> Result<Option<Self>> {
        let leases = format!("{OWN}leases/");
        let key = format!("{leases}{}-{}", role.word(), uuid::Uuid::new_v4());
        let shared = Shared {
            place: Arc::clone(place),
            retry: retry.clone(),
            key,
            state: Mutex::new(State { written: SystemTime::UNIX_EPOCH, lapsed: false }),
            renewing: tokio::sync::Mutex::default(),
        };
        let written = shared.write().await?;
        shared.lock().written = written;
        let others = others(&shared, &leases).await;
        let busy = match others {
            Err(error) => {
                let _ = shared.remove(&shared.key).await;
                return Err(error);
            }
            Ok(others) => {
                let mut busy = false;
                for (key, modified) in others {
                    let sweeps = key.strip_prefix(&leases).is_some_and(|name| name.starts_with("sweep-"));
                    let lost = written.duration_since(modified).is_ok_and(|age| age >= LOST);
                    if lost {
                        // The previous holder may not have noticed yet; what it deletes now is detected at
                        // the end.
                        shared.lock().lapsed |= sweeps;
                        shared.remove(&key).await?;
                    } else {
                        busy |= sweeps || role == Role::Sweep;
                    }
                }
                busy
            }
        };
        if busy {
            shared.remove(&shared.key).await?;
            return Ok(None);
        }
        let shared = Arc::new(shared);
        let beating = Arc::clone(&shared);
        let heart = tokio::spawn(async move {
            loop {
                tokio::time::sleep(RENEWAL).await;
                // A failed renewal shows in the time that passes.
                let _ = beating.renew().await;
            }
        });
        Ok(Some(Self { shared, heart: heart.abort_handle() }))
    }

    async fn confirm(&self) -> Result<bool> {
        self.shared.renew().await?;
        Ok(!std::mem::take(&mut self.shared.lock().lapsed))
    }

    async fn end(self) -> Result<()> {
        self.heart.abort();
        // A renewal in flight would write the lease again.
        let _alone = self.shared.renewing.lock().await;
        let shared = &self.shared;
        if shared.retry.stop.is_asked() {
            // Sent even after a stop; otherwise a sweep would have to wait.
            return shared.retry.stop.unless_over(shared.place.delete(&shared.key)).await;
        }
        shared.remove(&shared.key).await
    }
}

impl Drop for ObjectLease {
    fn drop(&mut self) {
        self.heart.abort();
    }
}

/// Returns the other leases and when they were written.
async fn others(shared: &Shared, leases: &str) -> Result<Vec<(String, SystemTime)>> {
    let (mut all, mut from) = (Vec::new(), None);
    loop {
        let list = async || shared.place.list(leases, from.clone()).await;
        let page = shared.retry.run("listing the leases of the store", None, list).await?;
        let others = page.entries.into_iter().filter(|entry| entry.key != shared.key);
        all.extend(others.map(|entry| (entry.key, entry.meta.modified)));
        from = page.next;
        if from.is_none() {
            return Ok(all);
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the lease and returns the store's time of the write.
    async fn write(&self) -> Result<SystemTime> {
        let body = Bytes::from(format!("diskferry {}\n", std::process::id()));
        let what = "writing a lease to the store";
        self.retry.run_settled_apart(what, || self.place.put(&self.key, body.clone())).await?;
        let meta = self.retry.run_settled_apart(what, || self.place.head(&self.key)).await?;
        meta.map(|meta| meta.modified).ok_or_else(|| {
            let what =
                format!("an object written to {} does not exist there: {}", self.place.name(), self.key);
            Error::new(Kind::Protocol, what)
        })
    }

    /// Renews the lease and notes if it had expired.
    async fn renew(&self) -> Result<()> {
        let _alone = self.renewing.lock().await;
        let what = "looking up the lease in the store";
        let there = self.retry.run_settled_apart(what, || self.place.head(&self.key)).await?.is_some();
        let written = self.write().await?;
        let mut state = self.lock();
        let held = written.duration_since(state.written).is_ok_and(|age| age < LOST);
        state.lapsed |= !there || !held;
        state.written = written;
        Ok(())
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.retry.run_settled_apart("removing a lease from the store", || self.place.delete(key)).await
    }
}
