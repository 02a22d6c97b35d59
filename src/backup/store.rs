//! A store of backups: what is in it.

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

/// The most bytes of the properties of a drive.
const MOST_PROPERTIES: u64 = 1 << 20;

/// The chunks beside an index, where casync puts them if it is not told otherwise.
const DEFAULT_STORE: &str = "default.castr";

/// What a store has that a backup was begun in.
const MARK: &str = ".diskferry/store";

/// A store of backups. Clones share it.
#[derive(Clone)]
pub struct BackupStore {
    place: Arc<dyn Place>,
    retry: Retry,
}

/// What is known of a drive beside its bytes; kept as JSON beside the index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    /// When the backup was made; the store fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// The remote, as its configuration calls it.
    #[serde(default)]
    pub remote: String,
    /// The provider's name.
    #[serde(default)]
    pub provider: String,
    /// The drive's id there.
    #[serde(default)]
    pub drive: String,
    /// The drive's name there.
    #[serde(default)]
    pub name: String,
    /// Bytes of the image.
    #[serde(default)]
    pub size: u64,
    /// Whatever else the provider says of the drive: what a new drive is made with.
    #[serde(default)]
    pub keys: BTreeMap<String, String>,
}

/// One backup of a listing.
#[derive(Clone, Debug)]
pub struct Description {
    /// Which.
    pub id: SnapshotId,
    /// Bytes of the image.
    pub size: u64,
    /// Chunks of the image.
    pub chunks: usize,
    /// The size of a chunk, or the largest of several.
    pub chunk_size: u64,
    /// What is known of the drive, if that is there.
    pub properties: Option<Properties>,
}

/// What the argument of a restore names.
pub enum Selection {
    /// Backups in a store.
    Backups {
        /// The store.
        store: BackupStore,
        /// Which: one of the newest of its name, or the newest of each name.
        ids: Vec<SnapshotId>,
    },
    /// An index anywhere, such as `casync make` writes it, with the store of its chunks.
    Index {
        /// Where the chunks are.
        store: BackupStore,
        /// The index.
        path: PathBuf,
    },
}

impl Selection {
    /// Where the chunks are.
    pub fn store(&self) -> &BackupStore {
        match self {
            Self::Backups { store, .. } | Self::Index { store, .. } => store,
        }
    }
}

impl Properties {
    /// As JSON, for a backup of that time.
    pub(super) fn to_bytes(&self, when: When) -> Result<Bytes> {
        let this = Self { when: Some(when), ..self.clone() };
        let mut bytes = serde_json::to_vec_pretty(&this)
            .map_err(|e| Error::new(Kind::Io, "the properties of a drive cannot be written").source(e))?;
        bytes.push(b'\n');
        if bytes.len() as u64 > MOST_PROPERTIES {
            let what = format!("the properties of drive {} are larger than the limit of 1 MiB", self.drive);
            return Err(Error::new(Kind::Refused, what));
        }
        Ok(bytes.into())
    }
}

impl BackupStore {
    /// The store at an address, which has to be there: a directory, `file://`, `s3://`, `az://` or `gs://`.
    pub async fn open(address: &str, retry: Retry) -> Result<Self> {
        Self::at(address, retry, false).await
    }

    /// The same; a directory is made if there is none.
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

    /// A store at a place.
    pub fn new(place: Arc<dyn Place>, retry: Retry) -> Self {
        Self { place, retry }
    }

    /// What the store is called in messages.
    pub fn name(&self) -> &str {
        self.place.name()
    }

    pub(crate) fn place(&self) -> &Arc<dyn Place> {
        &self.place
    }

    pub(crate) fn retry(&self) -> &Retry {
        &self.retry
    }

    /// What an argument `STORE[/NAME[@WHEN]]` names, or the path of an index.
    ///
    /// # Errors
    /// `NotFound` if there is no such store or backup.
    pub async fn resolve(spec: &str, retry: Retry) -> Result<Selection> {
        let path = (!Objects::is_address(spec)).then(|| directory_path(spec)).transpose()?;
        if let Some(path) = &path
            && path.is_file()
        {
            return Self::of_index(path, retry);
        }
        let (address, when) = match spec.rsplit_once('@') {
            // A directory may be called so.
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
            return Err(Error::new(Kind::NotFound, format!("there is no backup {spec}"))
                .hint("`diskferry backups list STORE` lists them"));
        }
        whole?.newest_of_each().await
    }

    async fn newest_of_each(&self) -> Result<Selection> {
        let mut newest = BTreeMap::new();
        for id in self.snapshots().await? {
            newest.insert(id.name.clone(), id);
        }
        if newest.is_empty() {
            return Err(Error::new(Kind::NotFound, format!("there are no backups in {}", self.name())));
        }
        Ok(Selection::Backups { store: self.clone(), ids: newest.into_values().collect() })
    }

    /// Whether a backup was ever begun here.
    pub(super) async fn is_ours(&self) -> Result<bool> {
        let head = async || self.place.head(MARK).await;
        Ok(self.retry.run("looking at the store", None, head).await?.is_some())
    }

    /// Says that the indexes of this store are in it: chunks that none of them has may be deleted.
    pub(super) async fn mark(&self) -> Result<()> {
        let words = Bytes::from_static(
            b"a store of backups made by diskferry, with chunks and indexes as casync has them\n",
        );
        let create = async || self.place.create(MARK, words.clone()).await;
        // That it is there already is as good.
        self.retry.run_settled("writing to the store", None, create).await.map(drop)
    }

    /// The index at a path. Its chunks are in `default.castr` beside it, or in the store that it is in.
    fn of_index(path: &Path, retry: Retry) -> Result<Selection> {
        let beside = path.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
        let above = path.canonicalize().ok().and_then(|path| Some(path.parent()?.parent()?.to_owned()));
        let stores = [Some(beside.join(DEFAULT_STORE)), Some(beside.clone()), above];
        let at = stores.into_iter().flatten().find(|at| has_chunks(at)).unwrap_or(beside);
        let store = Self::new(Arc::new(Directory::open(&at)?), retry);
        Ok(Selection::Index { store, path: path.to_owned() })
    }

    /// What an argument `STORE[/NAME]` lists: all backups of the store, or those of one name.
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

    /// All backups, by name and time.
    pub async fn snapshots(&self) -> Result<Vec<SnapshotId>> {
        let mut all = Vec::new();
        for name in self.names().await? {
            all.extend(self.snapshots_of(&name).await?);
        }
        all.sort();
        Ok(all)
    }

    /// The backups of one name, the oldest first.
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

    /// All objects below a prefix.
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

    /// What is known of a backup.
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

    /// The properties of the drive of a backup, if they are there.
    pub async fn properties(&self, id: &SnapshotId) -> Result<Option<Properties>> {
        let key = id.properties_key();
        let bytes = match self.get(&key, MOST_PROPERTIES).await {
            Err(error) if error.kind() == Kind::NotFound => return Ok(None),
            got => got?,
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| {
            Error::new(
                Kind::Source,
                format!("{key} in {} does not hold the properties of a drive", self.name()),
            )
            .source(e)
        })
    }

    /// The index of a backup.
    pub async fn load(&self, id: &SnapshotId) -> Result<Index> {
        self.load_key(&id.index_key()).await
    }

    pub(super) async fn load_key(&self, key: &str) -> Result<Index> {
        let bytes = self.get(key, LARGEST_INDEX).await?;
        Index::parse(&format!("{key} in {}", self.name()), &bytes)
    }

    /// The index under a key of a listing; `None` if it is not there any more: a prune needs no lease to remove it.
    pub(super) async fn load_listed(&self, key: &str) -> Result<Option<Index>> {
        match self.load_key(key).await {
            Err(error) if error.kind() == Kind::NotFound => {
                let head = async || self.place.head(key).await;
                let there = self.retry.run("looking for an index in the store", None, head).await?;
                there.map_or(Ok(None), |_| Err(error))
            }
            loaded => loaded.map(Some),
        }
    }

    async fn get(&self, key: &str, limit: u64) -> Result<Bytes> {
        let get = async || self.place.get(key, limit).await;
        self.retry.run("reading from the store", None, get).await
    }

    /// The image of a backup, to be read. Take a [lease](super::lease::Lease::for_reading) first, ask the store [under it](super::lease::Lease::over), and
    /// keep it.
    pub async fn disk(&self, id: &SnapshotId) -> Result<IndexDisk> {
        let index = self.load(id).await?;
        IndexDisk::open(&self.place, &id.index_key(), index, &self.retry).await
    }

    /// The image of an index that is a file anywhere, with its chunks in this store.
    pub async fn disk_of_file(&self, path: &Path) -> Result<IndexDisk> {
        let (name, path) = (path.display().to_string(), path.to_owned());
        let read =
            crate::disk::file::on_a_thread(move || super::place::directory::read_file(&path, LARGEST_INDEX));
        let bytes = self.retry.stop.unless_asked(read).await?;
        let index = Index::parse(&name, &bytes)?;
        IndexDisk::open(&self.place, &name, index, &self.retry).await
    }

    /// Begins a run that makes backups; waits for a sweep to end.
    pub async fn begin(&self) -> Result<Session> {
        Session::begin(self.clone()).await
    }

    /// Removes backups by rules, and then chunks that no backup has.
    pub async fn prune(&self, rules: &KeepRules, dry_run: bool) -> Result<PruneReport> {
        super::prune::run(self, rules, dry_run).await
    }

    /// Looks whether every backup is whole.
    pub async fn verify(&self, options: &VerifyOptions) -> Result<VerifyReport> {
        super::verify::run(self, options).await
    }
}

/// Whether there are directories of chunks in one.
fn has_chunks(directory: &Path) -> bool {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.flatten().any(|entry| entry.file_name().to_str().is_some_and(is_chunk_directory))
}

/// The path of a store that is a directory.
fn directory_path(address: &str) -> Result<PathBuf> {
    if address.starts_with("file:") {
        let url = url::Url::parse(address);
        let path = url.ok().and_then(|url| url.to_file_path().ok());
        return path.ok_or_else(|| Error::usage(format!("{address} is not the URL of a directory")));
    }
    if let Some((scheme, _)) = address.split_once("://") {
        return Err(Error::usage(format!("there are no stores at {}://", crate::escape::line(scheme))).hint(
            "a store is a directory, or at s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or gs://BUCKET/PREFIX",
        ));
    }
    Ok(PathBuf::from(address))
}
