//! A store in an object store: S3 and compatible services, Azure Blob Storage, Google Cloud Storage.
//!
//! The crate `object_store` signs and sends; its retries are switched off. Credentials and endpoints come
//! from the environment variables that the crate documents: `AWS_…`, `AZURE_…`, `GOOGLE_…`.

use super::super::place::{Entry, Meta, OWN, Page, Place, Top};
use super::refusal;
use crate::disk::Attempt;
use crate::error::{Error, Kind, Result};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig,
};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// The number of objects per page of a listing. Services that cannot continue in the middle list the earlier
/// pages again.
const PAGE: usize = 1 << 16;

/// The deadline of a request with neither a large body nor a large reply.
const DEADLINE: Duration = Duration::from_mins(1);

/// The slowest line that is waited for, in bytes per second.
const SLOWEST: u64 = 16 << 10;

/// Objects with a prefix. Clones share the connections.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    name: Arc<str>,
}

impl Objects {
    /// Returns whether an address is one of an object store.
    pub fn is_address(address: &str) -> bool {
        address.split_once("://").is_some_and(|(scheme, _)| matches!(scheme, "s3" | "az" | "gs"))
    }

    /// Opens the store at `s3://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or `gs://BUCKET/PREFIX`. `variables`
    /// is the environment.
    ///
    /// # Errors
    /// Fails if the address has another form, or a user, a query or a fragment, or if the variables do not
    /// fit together.
    pub fn open(address: &str, variables: impl Iterator<Item = (String, String)>) -> Result<Self> {
        // The address may contain secrets, so it is not repeated before it is known to have none.
        let url = Url::parse(address)
            .map_err(|e| Error::usage("cannot parse the address of the store as a URL").source(e))?;
        let plain = url.username().is_empty() && url.password().is_none();
        if !plain || url.query().is_some() || url.fragment().is_some() || url.port().is_some() {
            return Err(Error::usage("the address of a store must have only a bucket and a prefix").hint(
                "credentials and the endpoint come from the environment: AWS_ACCESS_KEY_ID, AWS_ENDPOINT",
            ));
        }
        let Some(bucket) = url.host_str().filter(|host| !host.is_empty()) else {
            return Err(Error::usage(format!(
                "{address} has no bucket: expected {}://BUCKET/PREFIX",
                url.scheme()
            )));
        };
        let bucket = bucket.to_owned();
        let prefix = Path::from_url_path(url.path())
            .map_err(|e| Error::usage(format!("the prefix in {address} is not valid")).source(e))?;
        let name = match prefix.as_ref() {
            "" => format!("{}://{bucket}", url.scheme()),
            prefix => format!("{}://{bucket}/{prefix}", url.scheme()),
        };
        let client =
            ClientOptions::new().with_timeout_disabled().with_connect_timeout(Duration::from_secs(15));
        let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
        macro_rules! build {
            ($builder:ty, $bucket:ident, $prefix:literal) => {{
                let mut builder =
                    <$builder>::new().with_client_options(client).with_retry(once).$bucket(bucket.as_str());
                for (key, value) in variables {
                    // Variables of other services are ignored.
                    if key.starts_with($prefix)
                        && let Ok(key) = FromStr::from_str(&key.to_ascii_lowercase())
                    {
                        builder = builder.with_config(key, value);
                    }
                }
                Arc::new(builder.build().map_err(|e| refusal::of(&name, "opening the store", &e))?)
            }};
        }
        let store: Arc<dyn ObjectStore> = match url.scheme() {
            "s3" => build!(AmazonS3Builder, with_bucket_name, "AWS_"),
            "az" => build!(MicrosoftAzureBuilder, with_container_name, "AZURE_"),
            "gs" => build!(GoogleCloudStorageBuilder, with_bucket_name, "GOOGLE_"),
            scheme => {
                return Err(Error::usage(format!("expected the address of a store, got the unsupported scheme {scheme}://"))
                    .hint("a store is a directory, or at s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or gs://BUCKET/PREFIX"));
            }
        };
        Ok(Self { store, prefix, name: name.into() })
    }

    fn path(&self, key: &str) -> Result<Path> {
        let whole =
            if self.prefix.as_ref().is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) };
        Path::parse(whole)
            .map_err(|e| Error::usage(format!("`{key}` is not a valid key in a store")).source(e))
    }

    /// Waits for a request no longer than a slow line takes for `len` bytes. `what` is used in errors.
    async fn within<T>(
        &self,
        what: &str,
        bytes: u64,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T> {
        let deadline = DEADLINE + Duration::from_secs(bytes / SLOWEST);
        if let Ok(done) = tokio::time::timeout(deadline, request).await {
            done.map_err(|e| refusal::of(&self.name, what, &e))
        } else {
            let what = format!("{what} in {}: no reply within {} s", self.name, deadline.as_secs());
            Err(Error::new(Kind::Timeout, what))
        }
    }

    async fn put_once(&self, key: &str, bytes: Bytes, mode: PutMode) -> object_store::Result<()> {
        let path = self
            .path(key)
            .map_err(|e| object_store::Error::Generic { store: "path", source: Box::new(e) })?;
        let options = PutOptions { mode, ..PutOptions::default() };
        self.store.put_opts(&path, PutPayload::from_bytes(bytes), options).await.map(drop)
    }

    async fn create_once(&self, key: &str, bytes: Bytes) -> Result<bool> {
        let (what, len) = (format!("writing {key}"), bytes.len() as u64);
        let put = async {
            match self.put_once(key, bytes.clone(), PutMode::Create).await {
                Ok(()) => Ok(true),
                Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                    Ok(false)
                }
                Err(error) if refusal::is_not_implemented(&error) => {
                    // The server has no conditional writes: another process may write between the check and
                    // the write.
                    let path = self
                        .path(key)
                        .map_err(|e| object_store::Error::Generic { store: "path", source: Box::new(e) })?;
                    match self.store.head(&path).await {
                        Ok(_) => Ok(false),
                        Err(object_store::Error::NotFound { .. }) => {
                            self.put_once(key, bytes, PutMode::Overwrite).await.map(|()| true)
                        }
                        Err(error) => Err(error),
                    }
                }
                Err(error) => Err(error),
            }
        };
        self.within(&what, len, put).await
    }

    async fn get_once(&self, key: &str, limit: u64) -> Result<Bytes> {
        let (what, path) = (format!("reading {key}"), self.path(key)?);
        let too_large = |size: u64| {
            let what = format!("{key} in {} has {size} bytes, more than the limit of {limit}", self.name);
            Error::new(Kind::Source, what)
        };
        let answer = self.within(&what, 0, self.store.get(&path)).await?;
        let claimed = answer.meta.size;
        if claimed > limit {
            return Err(too_large(claimed));
        }
        let mut body = answer.into_stream();
        let collect = async {
            let mut bytes = Vec::with_capacity(usize::try_from(claimed).unwrap_or(0));
            while let Some(piece) = body.try_next().await? {
                if (bytes.len() + piece.len()) as u64 > limit {
                    return Ok(Err(too_large((bytes.len() + piece.len()) as u64)));
                }
                bytes.extend_from_slice(&piece);
            }
            Ok(Ok(bytes))
        };
        let bytes = self.within(&what, claimed, collect).await??;
        if (bytes.len() as u64) < claimed {
            let what = format!("{key} in {} ended after {} of {claimed} bytes", self.name, bytes.len());
            return Err(Error::new(Kind::ShortReply, what));
        }
        Ok(Bytes::from(bytes))
    }

    async fn head_once(&self, key: &str) -> Result<Option<Meta>> {
        let path = self.path(key)?;
        match self.within(&format!("looking for {key}"), 0, self.store.head(&path)).await {
            Ok(meta) => Ok(Some(Meta { size: meta.size, modified: meta.last_modified.into() })),
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the key of an object under the prefix.
    fn key<'a>(&self, location: &'a Path) -> Option<&'a str> {
        match self.prefix.as_ref() {
            "" => Some(location.as_ref()),
            prefix => location.as_ref().strip_prefix(prefix)?.strip_prefix('/'),
        }
    }

    async fn top_once(&self) -> Result<Top> {
        let below = Some(&self.prefix).filter(|path| !path.as_ref().is_empty());
        // There are up to 65536 directories of chunks, a thousand per reply.
        let list = self.store.list_with_delimiter(below);
        let top = self.within("listing the top", 4 << 20, list).await?;
        let directories = top.common_prefixes.iter().filter_map(|path| self.key(path));
        let directories = directories.filter(|name| !name.contains('/') && format!("{name}/") != OWN);
        let entries = top.objects.iter().filter_map(|object| {
            let meta = Meta { size: object.size, modified: object.last_modified.into() };
            Some(Entry { key: self.key(&object.location)?.to_owned(), meta })
        });
        Ok(Top { directories: directories.map(str::to_owned).collect(), entries: entries.collect() })
    }

    async fn list_once(&self, prefix: &str, from: Option<String>) -> Result<Page> {
        let what = format!("listing {prefix}");
        let below = match prefix.strip_suffix('/') {
            Some(prefix) => self.path(prefix)?,
            None => self.prefix.clone(),
        };
        let below = Some(&below).filter(|path| !path.as_ref().is_empty());
        let mut objects = match &from {
            Some(from) => self.store.list_with_offset(below, &self.path(from)?),
            None => self.store.list(below),
        };
        let mut page = Page::default();
        // Each wait is for one reply with up to a thousand objects or more.
        while let Some(object) = self.within(&what, 0, async { Ok(objects.next().await) }).await? {
            let object = object.map_err(|e| refusal::of(&self.name, &what, &e))?;
            // Ignore objects outside the prefix, whatever the service lists.
            let Some(key) = self.key(&object.location).filter(|key| key.starts_with(prefix)) else {
                continue;
            };
            if prefix.is_empty() && key.starts_with(OWN) {
                continue;
            }
            let meta = Meta { size: object.size, modified: object.last_modified.into() };
            page.entries.push(Entry { key: key.to_owned(), meta });
            if page.entries.len() >= PAGE {
                page.next = page.entries.last().map(|entry| entry.key.clone());
                break;
            }
        }
        Ok(page)
    }
}

impl Place for Objects {
    fn name(&self) -> &str {
        &self.name
    }

    fn requests(&self) -> usize {
        16
    }

    fn get(&self, key: &str, limit: u64) -> Attempt<Bytes> {
        let (this, key) = (self.clone(), key.to_owned());
        Box::pin(async move { this.get_once(&key, limit).await })
    }

    fn put(&self, key: &str, bytes: Bytes) -> Attempt<()> {
        let (this, key) = (self.clone(), key.to_owned());
        Box::pin(async move {
            let len = bytes.len() as u64;
            let put = this.put_once(&key, bytes, PutMode::Overwrite);
            this.within(&format!("writing {key}"), len, put).await
        })
    }

    fn create(&self, key: &str, bytes: Bytes) -> Attempt<bool> {
        let (this, key) = (self.clone(), key.to_owned());
        Box::pin(async move { this.create_once(&key, bytes).await })
    }

    fn head(&self, key: &str) -> Attempt<Option<Meta>> {
        let (this, key) = (self.clone(), key.to_owned());
        Box::pin(async move { this.head_once(&key).await })
    }

    fn top(&self) -> Attempt<Top> {
        let this = self.clone();
        Box::pin(async move { this.top_once().await })
    }

    fn list(&self, prefix: &str, from: Option<String>) -> Attempt<Page> {
        let (this, prefix) = (self.clone(), prefix.to_owned());
        Box::pin(async move { this.list_once(&prefix, from).await })
    }

    fn delete(&self, key: &str) -> Attempt<()> {
        let (this, key) = (self.clone(), key.to_owned());
        Box::pin(async move {
            let path = this.path(&key)?;
            match this.within(&format!("deleting {key}"), 0, this.store.delete(&path)).await {
                Err(error) if error.kind() != Kind::NotFound => Err(error),
                _ => Ok(()),
            }
        })
    }

    /// An object is safe once its write is acknowledged.
    fn sync(&self) -> Attempt<()> {
        Box::pin(async { Ok(()) })
    }

    fn directory(&self) -> Option<&super::Directory> {
        None
    }
}
