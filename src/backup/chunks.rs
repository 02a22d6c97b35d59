//! The chunks of a store: which ones exist, and how to add one.

use super::index::{chunk_key, digest_of_key};
use super::place::Place;
use crate::digest::{Algorithm, Digest, ZeroDigests};
use crate::disk::Attempt;
use crate::disk::file::on_a_thread;
use crate::engine::copy::Held;
use crate::error::{Error, Kind, Result};
use crate::transport::retry::Retry;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most chunks of an object store that are remembered, 34 MiB as the table of a `HashSet`. Chunks beyond
/// that are written again.
const MOST_KNOWN: usize = (1 << 20) / 8 * 7;

/// The chunks of a store, for one [session](super::Session).
#[derive(Clone)]
pub struct Chunks(Arc<Inner>);

struct Inner {
    place: Arc<dyn Place>,
    /// The chunks that are known to exist, for a store where each check takes a request.
    known: Mutex<HashSet<Digest>>,
    zeros: ZeroDigests,
}

impl Chunks {
    /// Creates the chunks of a place. None is known yet.
    pub fn new(place: Arc<dyn Place>) -> Self {
        let zeros = ZeroDigests::new(Algorithm::Sha256);
        Self(Arc::new(Inner { place, known: Mutex::default(), zeros }))
    }

    /// Returns the place.
    pub fn place(&self) -> &Arc<dyn Place> {
        &self.0.place
    }

    /// Lists the existing chunks, if checking each one would take a request.
    pub async fn look(&self, retry: &Retry) -> Result<()> {
        if self.0.place.directory().is_some() {
            return Ok(());
        }
        let mut from = None;
        loop {
            let list = async || self.0.place.list("", from.clone()).await;
            let page = retry.run("listing the chunks of the store", None, list).await?;
            let mut known = self.known();
            for digest in page.entries.iter().filter_map(|entry| digest_of_key(&entry.key)) {
                if known.len() >= MOST_KNOWN {
                    return Ok(());
                }
                known.insert(digest);
            }
            from = page.next;
            if from.is_none() {
                return Ok(());
            }
        }
    }

    /// Drops what is known, because chunks may have been deleted.
    pub fn forget(&self) {
        self.known().clear();
    }

    fn known(&self) -> MutexGuard<'_, HashSet<Digest>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a chunk is known to exist. Checks a directory, but sends no request.
    pub fn has(&self, digest: &Digest) -> bool {
        match self.0.place.directory() {
            Some(directory) => directory.has(&chunk_key(digest)),
            None => self.known().contains(digest),
        }
    }

    /// Stores a chunk unless it is known to exist. `frame` is a zstd frame with its bytes.
    pub fn put(&self, digest: Digest, frame: Bytes) -> Attempt<()> {
        let this = self.clone();
        Box::pin(async move {
            let place = &this.0.place;
            if place.directory().is_some() {
                // If another process stores the same chunk, it has the same bytes.
                return place.put(&chunk_key(&digest), frame).await;
            }
            if !this.has(&digest) {
                place.put(&chunk_key(&digest), frame).await?;
                this.remember(digest);
            }
            Ok(())
        })
    }

    fn remember(&self, digest: Digest) {
        let mut known = self.known();
        if known.len() < MOST_KNOWN {
            known.insert(digest);
        }
    }

    /// Stores the chunk of `len` zeros unless it is known to exist.
    pub fn put_zeros(&self, len: u64) -> Attempt<()> {
        let this = self.clone();
        Box::pin(async move {
            let here = this.clone();
            let missing = on_a_thread(move || {
                let digest = here.0.zeros.of(len);
                if here.has(&digest) {
                    return Ok(None);
                }
                let len = usize::try_from(len).map_err(|_| Error::usage("the chunk size is too large"))?;
                let frame = zstd::bulk::compress(&vec![0; len], 1)
                    .map_err(|e| Error::new(Kind::Io, "cannot compress a chunk").source(e))?;
                Ok(Some((digest, Bytes::from(frame))))
            });
            match missing.await? {
                Some((digest, frame)) => this.put(digest, frame).await,
                None => Ok(()),
            }
        })
    }

    /// Returns the digest of a chunk of `len` zeros.
    pub fn digest_of_zeros(&self, len: u64) -> Digest {
        self.0.zeros.of(len)
    }

    /// Returns which of these chunks do not exist, in no particular order. Sends a request for each that is
    /// not known.
    pub async fn missing(&self, digests: &HashSet<Digest>, retry: &Retry) -> Result<HashSet<Digest>> {
        if self.0.place.directory().is_some() {
            let (this, digests) = (self.clone(), digests.clone());
            let look =
                on_a_thread(move || Ok(digests.into_iter().filter(|digest| !this.has(digest)).collect()));
            return retry.stop.unless_asked(look).await;
        }
        let unknown: Vec<Digest> = digests.iter().filter(|digest| !self.has(digest)).copied().collect();
        let look = |digest: Digest| async move {
            let key = chunk_key(&digest);
            let head = async || self.0.place.head(&key).await;
            let there = retry.run("looking up a chunk in the store", None, head).await?.is_some();
            if there {
                self.remember(digest);
            }
            Ok::<_, Error>((!there).then_some(digest))
        };
        let asked = futures_util::stream::iter(unknown).map(look).buffer_unordered(self.0.place.requests());
        asked.try_filter_map(|missing| async move { Ok(missing) }).try_collect().await
    }
}

impl Held for Chunks {
    /// A store keeps a chunk once, whichever images contain it.
    fn holds(&self, _index: u64, digest: &Digest) -> bool {
        self.has(digest)
    }
}
