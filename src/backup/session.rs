//! A run that makes backups in a store.

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

/// How far, in seconds, the time of a backup may be ahead of the clock. Backups made within one second are
/// numbered ahead, and a clock may have been adjusted.
const AHEAD: u64 = 3600;

/// How many characters of a drive's id distinguish it from others of its name.
const ID_PART: usize = 8;

/// A run that makes backups. It has a lease of the store, so that nobody deletes chunks meanwhile.
///
/// For each drive a [`StoreDisk`] takes the chunks in a [`Copy`](crate::engine::copy::Copy) with a ledger of
/// SHA-256 digests, `held: Some(session.held())`, and without skipping holes or zeros. [`Session::commit`]
/// then writes the index. Several drives may be backed up at once.
pub struct Session {
    store: BackupStore,
    chunks: Chunks,
    lease: Lease,
    /// The number of indexes that may or may not have been written.
    open: AtomicUsize,
    /// The names used in this run, each with the id of its drive.
    names: Mutex<HashMap<SnapshotName, String>>,
}

impl Session {
    /// Waits until nobody deletes chunks, and lists the existing chunks.
    pub(super) async fn begin(store: BackupStore) -> Result<Self> {
        let lease = Lease::wait(store.place(), store.retry()).await?;
        let store = lease.over(&store);
        store.mark().await?;
        let chunks = Chunks::new(Arc::clone(store.place()));
        chunks.look(store.retry()).await?;
        Ok(Self { store, chunks, lease, open: AtomicUsize::new(0), names: Mutex::default() })
    }

    /// Returns the store.
    pub fn store(&self) -> &BackupStore {
        &self.store
    }

    /// Returns the name under which to keep a drive's backups.
    ///
    /// It is the drive's own name, unless the newest backup of that name or another drive of this run has
    /// another id. Then part of the drive's id is appended.
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

    /// Returns a disk that writes the chunks of an image to the store.
    pub fn disk(&self, name: &SnapshotName, size: u64, chunk_size: u64) -> Arc<StoreDisk> {
        let name = format!("{name} in {}", self.store.name());
        Arc::new(StoreDisk::new(name, size, chunk_size, self.chunks.clone()))
    }

    /// Returns which chunks the store has.
    pub fn held(&self) -> Arc<dyn Held> {
        Arc::new(self.chunks.clone())
    }

    /// Returns an image of chunks in the store. `name` is used in messages.
    pub async fn disk_of(&self, name: &str, index: Index) -> Result<IndexDisk> {
        IndexDisk::open(self.store.place(), name, index, self.store.retry()).await
    }

    /// Returns which of these chunks are not in the store. Chunks of an earlier run may have been deleted,
    /// since no index needs them. A run that resumes calls this before it relies on its journal.
    pub async fn missing(&self, digests: &HashSet<Digest>) -> Result<HashSet<Digest>> {
        self.chunks.missing(digests, self.store.retry()).await
    }

    /// Makes the backup: checks that every chunk of the ledger is in the store, syncs, and writes the
    /// properties and then the index.
    ///
    /// Returns the id of the backup. Its time is `when`, or later if the name already has a backup at that
    /// time or shortly after, so that the newest backup is always the one made last.
    /// after it, so that the newest backup is the one that was made last.
    ///
    /// `Incomplete` if chunks are missing in the ledger or in the store. The index is not written then.
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
            return Err(Error::usage("a store needs SHA-256 digests"));
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
        // If this is dropped or fails, the index may or may not be written.
        self.open.fetch_add(1, Relaxed);
        let id = self.write(name, when, &index, properties).await?;
        // If the lease lapsed after the check (the machine slept), the chunks may be gone.
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

    /// Fails unless all these chunks exist and are safe.
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

    /// Returns the time that makes a backup the newest of its name.
    ///
    /// Backups made within one second are numbered ahead of the clock. Once a prune removes the first of
    /// them, `when` is free although it is older than the last. A time far in the future is ignored;
    /// otherwise all later backups would follow it.
    async fn time_for(&self, name: &SnapshotName, when: When) -> Result<When> {
        let Some(newest) = self.store.snapshots_of(name).await?.pop() else { return Ok(when) };
        let ahead = newest.when.seconds().saturating_sub(when.seconds());
        if newest.when >= when && ahead <= AHEAD {
            return Ok(newest.when.next());
        }
        if newest.when.seconds() > When::now().seconds().saturating_add(AHEAD) {
            let what = format!(
                "the backup {name}@{} has a time in the future and counts as the newest of {name} until then; remove it if a clock was wrong",
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
        // Properties without an index are left of a killed run; use the next second.
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

    /// Creates an object. Returns `false` if a different one exists. If the reply to an attempt was lost, the
    /// next attempt finds the object.
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

    /// Removes a backup whose chunks are gone. After a stop it is still tried once.
    async fn remove(&self, id: &SnapshotId) -> Result<()> {
        let (place, retry) = (self.store.place(), self.store.retry());
        for key in [id.index_key(), id.properties_key()] {
            let delete = async || place.delete(&key).await;
            match retry.run_settled("removing a backup whose chunks are missing", None, delete).await {
                Err(_) if retry.stop.is_asked() => retry.stop.unless_over(place.delete(&key)).await?,
                removed => removed?,
            }
        }
        Ok(())
    }

    /// Ends the run. Once the disks of the session are dropped as well, a prune may delete chunks again.
    ///
    /// If a [`Session::commit`] failed or was dropped while it wrote to an object store, the lease is left to
    /// expire, because the write may still arrive.
    pub async fn end(self) -> Result<()> {
        if self.open.load(Relaxed) > 0 {
            return Ok(());
        }
        self.lease.end().await
    }
}

fn incomplete(missing: u64, total: u64) -> Error {
    let s = if total == 1 { "" } else { "s" };
    Error::new(Kind::Incomplete, format!("{missing} of {total} chunk{s} of the backup not in the store"))
        .hint("run the same command again to write the missing chunks")
}
