//! A store of backups and its contents.

use super::index::{Index, LARGEST_INDEX};
use super::name::{SnapshotId, SnapshotName, When, is_chunk_directory};
use super::place::{Directory, Entry, Objects, Place};
use super::prune::{KeepRules, PruneReport};
use super::session::Session;
use super::verify::{VerifyOptions, VerifyReport};
use crate::disk::chunks::IndexDisk;
use crate::error::{Error, Kind, Result};
use crate::transport::retry::Retry;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest properties of a drive, in bytes.
const MOST_PROPERTIES: u64 = 1 << 20;

/// The store of chunks beside an index, where casync puts it by default.
const DEFAULT_STORE: &str = "default.castr";

/// The key of the object that marks a store in which diskferry made a backup.
const MARK: &str = ".diskferry/store";

/// A store of backups. Clones share it.
#[derive(Clone)]
pub struct BackupStore {
    place: Arc<dyn Place>,
    retry: Retry,
}

/// What is known of a drive besides its bytes; kept as JSON beside the index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    /// When the backup was made; set by the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// The name of the remote in the configuration.
    #[serde(default)]
    pub remote: String,
    /// The name of the provider.
    #[serde(default)]
    pub provider: String,
    /// The id of the drive at the provider.
    #[serde(default)]
    pub drive: String,
    /// The name of the drive at the provider.
    #[serde(default)]
    pub name: String,
    /// The size of the image in bytes.
    #[serde(default)]
    pub size: u64,
    /// Further properties of the drive, with which a new one is created.
    #[serde(default)]
    pub keys: BTreeMap<String, String>,
}

/// A backup in a listing.
#[derive(Clone, Debug)]
pub struct Description {
    /// The id of the backup.
    pub id: SnapshotId,
    /// The size of the image in bytes.
    pub size: u64,
    /// The number of chunks in the image.
    pub chunks: usize,
    /// The size of a chunk in bytes, or of the largest.
    pub chunk_size: u64,
    /// The properties of the drive, if there are any.
    pub properties: Option<Properties>,
}

/// What the argument of a restore selects.
pub enum Selection {
    /// Backups in a store.
    Backups {
        /// The store.
        store: BackupStore,
        /// The selected backup, the newest of a name, or the newest of each name.
        ids: Vec<SnapshotId>,
    },
    /// An index file, such as `casync make` writes, with the store of its chunks.
    Index {
        /// The store of the chunks.
        store: BackupStore,
        /// The path of the index.
        path: PathBuf,
    },
}

impl Selection {
    /// Returns the store of the chunks.
    pub fn store(&self) -> &BackupStore {
        match self {
            Self::Backups { store, .. } | Self::Index { store, .. } => store,
        }
    }
}

impl Properties {
    /// Encodes the properties as JSON for a backup made at `when`.
    pub(super) fn to_bytes(&self, when: When) -> Result<Bytes> {
        let this = Self { when: Some(when), ..self.clone() };
        let mut bytes = serde_json::to_vec_pretty(&this)
            .map_err(|e| Error::new(Kind::Io, "cannot encode the properties of a drive").source(e))?;
        bytes.push(b'\n');
        if bytes.len() as u64 > MOST_PROPERTIES {
            let what = format!("the properties of drive {} are larger than the limit of 1 MiB", self.drive);
            return Err(Error::new(Kind::Refused, what));
        }
        Ok(bytes.into())
    }
}

impl BackupStore {
    /// Opens an existing store at an address: a directory, `file://`, `s3://`, `az://` or `gs://`.
    pub async fn open(address: &str, retry: Retry) -> Result<Self> {
        Self::at(address, retry, false).await
    }

    /// Opens a store, creating a missing directory.
    pub async fn open_or_create(address: &str, retry: Retry) -> Result<Self> {
        Self::at(address, retry, true).await
    }

    async fn at(address: &str, retry: Retry, create: bool) -> Result<Self> {
        if Objects::is_address(address) {
            let place = Objects::open(
                address,
                std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
            )?;
            return Ok(Self::new(Arc::new(place), retry));
        }
        let path = directory_path(address)?;
        let open = crate::disk::file::on_a_thread(move || {
            if create { Directory::create(&path) } else { Directory::open(&path) }
        });
        let place = retry.stop.unless_asked(open).await?;
        Ok(Self::new(Arc::new(place), retry))
    }

    /// Creates a handle for the store at a place.
    pub fn new(place: Arc<dyn Place>, retry: Retry) -> Self {
        Self { place, retry }
    }

    /// Returns the name of the store in messages.
    pub fn name(&self) -> &str {
        self.place.name()
    }

    pub(crate) fn place(&self) -> &Arc<dyn Place> {
        &self.place
    }

    pub(crate) fn retry(&self) -> &Retry {
        &self.retry
    }

    /// Resolves an argument `STORE[/NAME[@WHEN]]` or the path of an index.
    ///
    /// # Errors
    /// `NotFound` if the store or backup does not exist.
    pub async fn resolve(spec: &str, retry: Retry) -> Result<Selection> {
        let path = (!Objects::is_address(spec)).then(|| directory_path(spec)).transpose()?;
        if let Some(path) = &path
            && path.is_file()
        {
            return Self::of_index(path, retry);
        }
        let (address, when) = match spec.rsplit_once('@') {
            // The argument may be the name of a directory.
            Some((address, when)) if !when.contains('/') && path.is_none_or(|path| !path.is_dir()) => {
                (address, Some(when.parse::<When>()?))
            }
            _ => (spec, None),
        };
        let address = address.trim_end_matches('/');
        let whole = Self::open(if address.is_empty() { "/" } else { address }, retry.clone()).await;
        if when.is_none()
            && let Ok(store) = &whole
            && store.is_ours().await?
        {
            return store.newest_of_each().await;
        }
        let above = address.rsplit_once('/').filter(|(above, _)| !above.is_empty() && !above.ends_with('/'));
        if let Some((above, name)) = above
            && let Ok(name) = name.parse::<SnapshotName>()
            && let Ok(store) = Self::open(above, retry).await
        {
            let ids = store.snapshots_of(&name).await?;
            let wanted = match when {
                Some(when) => ids.into_iter().find(|id| id.when == when),
                None => ids.into_iter().next_back(),
            };
            if let Some(id) = wanted {
                return Ok(Selection::Backups { store, ids: vec![id] });
            }
        }
        if when.is_some() {
            return Err(Error::new(Kind::NotFound, format!("no backup {spec}"))
                .hint("list the backups with `diskferry backups list STORE`"));
        }
        whole?.newest_of_each().await
    }

    async fn newest_of_each(&self) -> Result<Selection> {
        let mut newest = BTreeMap::new();
        for id in self.snapshots().await? {
            newest.insert(id.name.clone(), id);
        }
        if newest.is_empty() {
            return Err(Error::new(Kind::NotFound, format!("no backups in {}", self.name())));
        }
        Ok(Selection::Backups { store: self.clone(), ids: newest.into_values().collect() })
    }

    /// Returns whether diskferry ever began a backup here.
    pub(super) async fn is_ours(&self) -> Result<bool> {
        let head = async || self.place.head(MARK).await;
        Ok(self.retry.run("looking up the store", None, head).await?.is_some())
    }

    /// Marks the store: chunks that no index in it needs may be deleted.
    pub(super) async fn mark(&self) -> Result<()> {
        let words = Bytes::from_static(
            b"a store of backups made by diskferry, with chunks and indexes in casync's format\n",
        );
        let create = async || self.place.create(MARK, words.clone()).await;
        // An existing mark is as good.
        self.retry.run_settled("writing to the store", None, create).await.map(drop)
    }

    /// Returns the index at a path. Its chunks are in `default.castr` beside it, or in the store that
    /// contains it.
    fn of_index(path: &Path, retry: Retry) -> Result<Selection> {
        let beside = path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
        let above = path.canonicalize().ok().and_then(|path| Some(path.parent()?.parent()?.to_owned()));
        let stores = [Some(beside.join(DEFAULT_STORE)), Some(beside.clone()), above];
        let at = stores.into_iter().flatten().find(|at| has_chunks(at)).unwrap_or(beside);
        let store = Self::new(Arc::new(Directory::open(&at)?), retry);
        Ok(Selection::Index { store, path: path.to_owned() })
    }

    /// Lists the backups that an argument `STORE[/NAME]` selects: all of the store, or those of one name.
    pub async fn listing(spec: &str, retry: Retry) -> Result<(Self, Vec<SnapshotId>)> {
        if let Some((above, name)) = spec.trim_end_matches('/').rsplit_once('/')
            && !above.is_empty()
            && !above.ends_with('/')
            && let Ok(name) = name.parse::<SnapshotName>()
            && let Ok(store) = Self::open(above, retry.clone()).await
        {
            let ids = store.snapshots_of(&name).await?;
            if !ids.is_empty() {
                return Ok((store, ids));
            }
        }
        let store = Self::open(spec, retry).await?;
        let ids = store.snapshots().await?;
        Ok((store, ids))
    }

    /// Returns all backups, by name and time.
    pub async fn snapshots(&self) -> Result<Vec<SnapshotId>> {
        let mut all = Vec::new();
        for name in self.names().await? {
            all.extend(self.snapshots_of(&name).await?);
        }
        all.sort();
        Ok(all)
    }

    /// Returns the backups of one name, oldest first.
    pub async fn snapshots_of(&self, name: &SnapshotName) -> Result<Vec<SnapshotId>> {
        let entries = self.entries(&format!("{name}/")).await?;
        let mut ids: Vec<_> =
            entries.iter().filter_map(|entry| SnapshotId::of_index_key(&entry.key)).collect();
        ids.sort();
        Ok(ids)
    }

    async fn names(&self) -> Result<Vec<SnapshotName>> {
        let top = async || self.place.top().await;
        let top = self.retry.run("listing the store", None, top).await?;
        let names = top.directories.iter().filter(|name| !is_chunk_directory(name));
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }

    /// Returns all objects with a prefix.
    pub(super) async fn entries(&self, prefix: &str) -> Result<Vec<Entry>> {
        let (mut entries, mut from) = (Vec::new(), None);
        loop {
            let list = async || self.place.list(prefix, from.clone()).await;
            let page = self.retry.run("listing the store", None, list).await?;
            entries.extend(page.entries);
            from = page.next;
            if from.is_none() {
                return Ok(entries);
            }
        }
    }

    /// Returns the description of a backup.
    pub async fn describe(&self, id: &SnapshotId) -> Result<Description> {
        let index = self.load(id).await?;
        Ok(Description {
            id: id.clone(),
            size: index.size(),
            chunks: index.len(),
            chunk_size: index.chunk_size(),
            properties: self.properties(id).await?,
        })
    }

    /// Returns the properties of a backup's drive, if there are any.
    pub async fn properties(&self, id: &SnapshotId) -> Result<Option<Properties>> {
        let key = id.properties_key();
        let bytes = match self.get(&key, MOST_PROPERTIES).await {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            got => got?,
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            Error::new(
                Kind::Source,
                format!("cannot parse {key} in {} as properties of a drive", self.name()),
            )
            .source(e)
        })
    }

    /// Returns the index of a backup.
    pub async fn load(&self, id: &SnapshotId) -> Result<Index> {
        self.load_key(&id.index_key()).await
    }

    pub(super) async fn load_key(&self, key: &str) -> Result<Index> {
        let bytes = self.get(key, LARGEST_INDEX).await?;
        Index::parse(&format!("{key} in {}", self.name()), &bytes)
    }

    /// Returns the index at a listed key, or `None` if it was removed since: a prune removes indexes without
    /// a lease.
    pub(super) async fn load_listed(&self, key: &str) -> Result<Option<Index>> {
        match self.load_key(key).await {
            Err(error) if error.kind() == Kind::NotFound => {
                let head = async || self.place.head(key).await;
                let there = self.retry.run("looking up an index in the store", None, head).await?;
                there.map_or(Ok(None), |_| Err(error))
            }
            loaded => loaded.map(Some),
        }
    }

    async fn get(&self, key: &str, limit: u64) -> Result<Bytes> {
        let get = async || self.place.get(key, limit).await;
        self.retry.run("reading from the store", None, get).await
    }

    /// Returns the image of a backup for reading. Take a [lease](super::lease::Lease::for_reading) first,
    /// call this on the store [under it](super::lease::Lease::over), and hold it while reading.
    pub async fn disk(&self, id: &SnapshotId) -> Result<IndexDisk> {
        let index = self.load(id).await?;
        IndexDisk::open(&self.place, &id.index_key(), index, &self.retry).await
    }

    /// Returns the image of an index file with its chunks in this store.
    pub async fn disk_of_file(&self, path: &Path) -> Result<IndexDisk> {
        let (name, path) = (path.display().to_string(), path.to_owned());
        let read =
            crate::disk::file::on_a_thread(move || super::place::directory::read_file(&path, LARGEST_INDEX));
        let bytes = self.retry.stop.unless_asked(read).await?;
        let index = Index::parse(&name, &bytes)?;
        IndexDisk::open(&self.place, &name, index, &self.retry).await
    }

    /// Begins a run that makes backups. Waits for a sweep to end.
    pub async fn begin(&self) -> Result<Session> {
        Session::begin(self.clone()).await
    }

    /// Removes backups by rules, and then the chunks that no backup needs.
    pub async fn prune(&self, rules: &KeepRules, dry_run: bool) -> Result<PruneReport> {
        super::prune::run(self, rules, dry_run).await
    }

    /// Verifies that every backup is complete.
    pub async fn verify(&self, options: &VerifyOptions) -> Result<VerifyReport> {
        super::verify::run(self, options).await
    }
}

/// Returns whether a directory contains directories of chunks.
fn has_chunks(directory: &Path) -> bool {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_chunk_directory))
}

/// Returns the path of a store in a directory.
fn directory_path(address: &str) -> Result<PathBuf> {
    if address.starts_with("file:") {
        let url = url::Url::parse(address);
        let path = url.ok().and_then(|url| url.to_file_path().ok());
        return path.ok_or_else(|| Error::usage(format!("expected the URL of a directory, got {address}")));
    }
    if let Some((scheme, _)) = address.split_once("://") {
        return Err(Error::usage(format!(
            "expected the address of a store, got the unsupported scheme {}://",
            crate::escape::line(scheme)
        ))
        .hint(
            "a store is a directory, or at s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or gs://BUCKET/PREFIX",
        ));
    }
    Ok(PathBuf::from(address))
}
