//! One run that makes backups in a store.

use super::chunks::Chunks;
use super::index::Index;
use super::lease::Lease;
use super::name::{SnapshotId, SnapshotName, When};
use super::store::{BackupStore, Properties};
use crate::digest::{Algorithm, Digest};
use crate::disk::chunks::{IndexDisk, StoreDisk};
use crate::engine::copy::Held;
use crate::engine::ledger::Ledger;
use crate::error::{Error, Kind, Result};
use crate::event::Event;
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Times of backups that are ahead of the clock by no more than these seconds are those of backups that were made within one second, or
/// of a clock that was set since.
const AHEAD: u64 = 3600;

/// So many characters of a drive's id tell it from others of its name.
const ID_PART: usize = 8;

/// A run that makes backups: it has a lease of the store, so that nobody deletes chunks meanwhile.
///
/// For each drive: a [`StoreDisk`] takes the chunks in a [`Copy`](crate::engine::copy::Copy) with a ledger of SHA-256 digests, with
/// `held: Some(session.held())` and without skipping holes or zeros; [`Session::commit`] then writes the index. Several drives may
/// do so at once.
pub struct Session {
    store: BackupStore,
    chunks: Chunks,
    lease: Lease,
    /// Indexes of which it is not known whether they were written.
    open: AtomicUsize,
    /// The names that drives of this run have, each with its drive.
    names: Mutex<HashMap<SnapshotName, String>>,
}

impl Session {
    /// Waits until nobody deletes chunks, and learns which chunks there are.
    pub(super) async fn begin(store: BackupStore) -> Result<Self> {
        let lease = Lease::wait(store.place(), store.retry()).await?;
        let store = lease.over(&store);
        store.mark().await?;
        let chunks = Chunks::new(Arc::clone(store.place()));
        chunks.look(store.retry()).await?;
        Ok(Self { store, chunks, lease, open: AtomicUsize::new(0), names: Mutex::default() })
    }

    /// The store.
    pub fn store(&self) -> &BackupStore {
        &self.store
    }

    /// The name under which a drive has its backups: its own, unless the newest backup of that name, or another drive of this run,
    /// says that it is another drive's. Then a part of its id is in the name.
    pub async fn name_for(&self, name: &str, drive: &str) -> Result<SnapshotName> {
        let own = SnapshotName::for_drive(if name.trim().is_empty() { drive } else { name.trim() });
        let newest = self.store.snapshots_of(&own).await?.pop();
        let known = match &newest {
            Some(id) => self.store.properties(id).await?,
            None => None,
        };
        let is_another = known.is_some_and(|known| !known.drive.is_empty() && known.drive != drive);
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_another && names.entry(own.clone()).or_insert_with(|| drive.to_owned()) == drive {
            return Ok(own);
        }
        let part: String = drive.chars().take(ID_PART).collect();
        Ok(SnapshotName::for_drive(&format!("{own}-{part}")))
    }

    /// A disk that puts the chunks of one image into the store.
    pub fn disk(&self, name: &SnapshotName, size: u64, chunk_size: u64) -> Arc<StoreDisk> {
        let name = format!("{name} in {}", self.store.name());
        Arc::new(StoreDisk::new(name, size, chunk_size, self.chunks.clone()))
    }

    /// Which chunks the store has.
    pub fn held(&self) -> Arc<dyn Held> {
        Arc::new(self.chunks.clone())
    }

    /// An image of chunks that the store has; `name` says in messages which.
    pub async fn disk_of(&self, name: &str, index: Index) -> Result<IndexDisk> {
        IndexDisk::open(self.store.place(), name, index, self.store.retry()).await
    }

    /// Which of these chunks are not in the store: those that an earlier run wrote may have been deleted since, as no index has
    /// them. A run that resumes asks before it believes its journal, and takes these chunks back.
    pub async fn missing(&self, digests: &HashSet<Digest>) -> Result<HashSet<Digest>> {
        self.chunks.missing(digests, self.store.retry()).await
    }

    /// Makes the backup: checks that every chunk of the ledger is in the store, makes them safe, and writes the properties and then
    /// the index. Returns under which name: that of `when`, or of a later second where the name has a backup of that one or of one soon
    /// after it, so that the newest backup is the one that was made last.
    ///
    /// # Errors
    /// `Incomplete` if chunks are missing, in the ledger or in the store. No index is written then.
    pub async fn commit(
        &self,
        name: &SnapshotName,
        when: When,
        ledger: &Ledger,
        properties: &Properties,
    ) -> Result<SnapshotId> {
        let geometry = ledger.geometry();
        if ledger.algorithm() != Algorithm::Sha256 {
            return Err(Error::usage("a store keeps chunks under SHA-256 digests"));
        }
        let digests: Vec<Digest> = (0..geometry.chunks()).filter_map(|index| ledger.get(index)).collect();
        let missing = geometry.chunks() - digests.len() as u64;
        if missing > 0 {
            return Err(incomplete(missing, geometry.chunks()));
        }
        let index = Index::fixed(geometry.image_size(), geometry.chunk_size(), &digests)?;
        let wanted: HashSet<Digest> = digests.into_iter().collect();
        self.prove(&wanted).await?;
        let when = self.time_for(name, when).await?;
        // Whoever drops this here, or fails, does not know whether the index comes.
        self.open.fetch_add(1, Relaxed);
        let id = self.write(name, when, &index, properties).await?;
        // A machine that slept between the proof and the index has proved nothing.
        if !self.lease.confirm().await? {
            self.chunks.forget();
            if let Err(error) = self.prove(&wanted).await {
                self.remove(&id).await?;
                self.open.fetch_sub(1, Relaxed);
                return Err(error);
            }
        }
        self.open.fetch_sub(1, Relaxed);
        Ok(id)
    }

    /// Fails unless all these chunks are there and safe.
    async fn prove(&self, wanted: &HashSet<Digest>) -> Result<()> {
        let retry = self.store.retry();
        let sync = async || self.store.place().sync().await;
        retry.run_settled("syncing the store", None, sync).await?;
        if !self.lease.confirm().await? {
            self.chunks.forget();
        }
        let missing = self.missing(wanted).await?;
        if missing.is_empty() { Ok(()) } else { Err(incomplete(missing.len() as u64, wanted.len() as u64)) }
    }

    /// The time that makes a backup the newest of its name. Backups that were made within one second are ahead of the clock; once a prune
    /// has removed the first of them, `when` is free and yet older than the last. A time that is far ahead is left alone: it would be
    /// that of all later backups, too.
    async fn time_for(&self, name: &SnapshotName, when: When) -> Result<When> {
        let Some(newest) = self.store.snapshots_of(name).await?.pop() else { return Ok(when) };
        let ahead = newest.when.seconds().saturating_sub(when.seconds());
        if newest.when >= when && ahead <= AHEAD {
            return Ok(newest.when.next());
        }
        if newest.when.seconds() > When::now().seconds().saturating_add(AHEAD) {
            let what = format!(
                "the backup {name}@{} is of the future: until then it counts as the newest of {name}; remove it if a clock was wrong",
                newest.when
            );
            (self.store.retry().observer)(&Event::Warning(what));
        }
        Ok(when)
    }

    async fn write(
        &self,
        name: &SnapshotName,
        when: When,
        index: &Index,
        properties: &Properties,
    ) -> Result<SnapshotId> {
        let mut id = SnapshotId { name: name.clone(), when };
        let index = Bytes::from(index.to_bytes());
        // Properties without an index are of a run that was killed here: the next second is as good.
        loop {
            let properties = properties.to_bytes(id.when)?;
            if self.create(&id.properties_key(), properties).await?
                && self.create(&id.index_key(), index.clone()).await?
            {
                return Ok(id);
            }
            id.when = id.when.next();
        }
    }

    /// Creates an object; `false` if there is another one. An attempt whose answer was lost has made it: the next one finds it.
    async fn create(&self, key: &str, bytes: Bytes) -> Result<bool> {
        let (place, retry) = (self.store.place(), self.store.retry());
        let mut attempts = 0;
        let create = async || {
            attempts += 1;
            place.create(key, bytes.clone()).await
        };
        let what = format!("writing {key} to the store");
        if retry.run_settled(&what, None, create).await? {
            return Ok(true);
        }
        if attempts == 1 {
            return Ok(false);
        }
        let get = async || place.get(key, bytes.len() as u64).await;
        Ok(retry.run(&what, None, get).await.is_ok_and(|there| there == bytes))
    }

    /// Removes a backup that has lost its chunks. A stop does not keep it from trying once.
    async fn remove(&self, id: &SnapshotId) -> Result<()> {
        let (place, retry) = (self.store.place(), self.store.retry());
        for key in [id.index_key(), id.properties_key()] {
            let delete = async || place.delete(&key).await;
            match retry.run_settled("removing a backup that has lost its chunks", None, delete).await {
                Err(_) if retry.stop.is_asked() => retry.stop.unless_over(place.delete(&key)).await?,
                removed => removed?,
            }
        }
        Ok(())
    }

    /// Ends the run: a prune may delete chunks again that no index has, once the disks of the session are dropped too. If a [`Session::commit`] failed or was dropped while it wrote
    /// to an object store, the prune has to wait until that cannot arrive any more.
    pub async fn end(self) -> Result<()> {
        if self.open.load(Relaxed) > 0 {
            return Ok(());
        }
        self.lease.end().await
    }
}

fn incomplete(missing: u64, total: u64) -> Error {
    let s = if total == 1 { "" } else { "s" };
    Error::new(Kind::Incomplete, format!("{missing} of {total} chunk{s} of the backup are not in the store"))
        .hint("run the same command again: it writes what is missing")
}
