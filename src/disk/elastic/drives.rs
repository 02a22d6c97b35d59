//! The drives of an account: listing them, creating one, and finding one that was created.

use crate::disk::Evidence;
use crate::disk::store::{CreateError, DiskToMake, Facts, Users};
use crate::error::{Error, Kind, Result};
use crate::provider::id::ObjectId;
use crate::provider::{CopyCall, DriveCapabilities};
use crate::transport::client::{ApiRequest, Client, Reply, TEXT};
use crate::transport::retry::Retry;
use crate::wire::elastic::{Properties, json, parse_size, text};
use bytes::Bytes;
use std::time::Duration;

/// The key in which a drive carries the id of the transfer that created it.
pub const TRANSFER_KEY: &str = "user:diskferry";

/// How long to wait after a create whose reply was lost before checking whether the drive exists.
const SETTLE: Duration = Duration::from_millis(500);

/// The drives of an account.
#[derive(Clone)]
pub struct Drives {
    client: Client,
    capabilities: DriveCapabilities,
    retry: Retry,
}

/// The properties of a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriveInfo {
    /// The UUID of the drive.
    pub drive: String,
    /// The name of the drive.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
    /// All properties that the server returned.
    pub properties: Properties,
}

impl DriveInfo {
    /// Parses a drive from a reply. It is a protocol error if the UUID or the size is missing.
    pub fn new(properties: Properties) -> Result<Self> {
        let missing = |key: &str| {
            Error::new(Kind::Protocol, format!("the server returned a drive without a valid `{key}`"))
        };
        let drive = properties.get("drive").filter(|d| !d.is_empty()).ok_or_else(|| missing("drive"))?;
        let drive = ObjectId::from_server("drive", drive)?;
        let size = properties.get("size").and_then(parse_size).ok_or_else(|| missing("size"))?;
        Ok(Self {
            drive: drive.into(),
            name: properties.get("name").unwrap_or_default().to_owned(),
            size,
            properties,
        })
    }

    /// Returns why the drive cannot be read or written now, if it is being imaged (Open Hosting API, "Get
    /// Single Drive Info"). When that is over, servers omit the key or return `false` or 100.
    pub fn imaging(&self) -> Option<&str> {
        self.properties.get("imaging").filter(|v| !matches!(*v, "" | "false" | "100" | "100%"))
    }

    /// Returns the id of the transfer that last wrote to the drive, if drives carry one.
    pub fn mark(&self) -> Option<&str> {
        self.properties.get(TRANSFER_KEY).filter(|mark| !mark.is_empty())
    }

    /// Returns the drive's write counters, if the provider has them (`write:bytes` and `write:requests`;
    /// CloudSigma API 1.0, 3).
    pub fn evidence(&self) -> Evidence {
        let count = |key| self.properties.get(key)?.parse::<u64>().ok();
        let writes = count("write:bytes").zip(count("write:requests"));
        Evidence { writes, ..Evidence::default() }
    }

    /// Returns the tags of the drive (`tags`, "space-separated list of tags", Open Hosting API, "Create a
    /// Drive"; in JSON it may be a list).
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.properties.get("tags").unwrap_or_default().split_whitespace()
    }

    /// Returns the servers that use the drive, if any.
    pub fn claimed(&self) -> Option<&str> {
        self.properties.get("claimed").filter(|v| !v.is_empty())
    }

    /// Returns the properties that jobs need.
    pub(super) fn facts(&self) -> Facts {
        Facts {
            disk: self.drive.clone(),
            name: self.name.clone(),
            size: self.size,
            busy: self.imaging().map(|progress| format!("it is being imaged, {progress}")),
            in_use: self.claimed().map(users),
            mark: self.mark().map(str::to_owned),
            evidence: self.evidence(),
        }
    }
}

/// The servers that a drive is claimed by: their UUIDs (Open Hosting API, "Get a Single Drive's Info"), or each as
/// `USER:guest:SERVER:DEVICE` (CloudSigma API 1.0, 7.7).
fn users(claimed: &str) -> Users {
    let server = |claim: &str| {
        let id = claim.split(':').nth(2).unwrap_or(claim);
        uuid::Uuid::parse_str(id).ok().map(|id| id.to_string())
    };
    match claimed.split_whitespace().map(server).collect() {
        Some(servers) => Users::Servers(servers),
        None => Users::Other(format!("{claimed:?}")),
    }
}

/// A drive that nothing was written to may still count some bytes: a new one's sample has 4096 (CloudSigma API 1.0, 3).
const HARDLY_WRITTEN: u64 = 64 << 10;

/// Returns whether a drive may be the one that was created, if drives carry no mark.
fn may_be(new: &DiskToMake<'_>, drive: &DriveInfo) -> bool {
    drive.name == new.name
        && drive.size >= new.size
        && drive.claimed().is_none()
        && !new.before.contains(&drive.drive)
}

/// Returns whether a drive was written to, by this transfer (whose journal lost the record of it) or by
/// anybody else.
fn is_written(drive: &DriveInfo) -> bool {
    drive.properties.get("write:bytes").and_then(parse_size).unwrap_or(0) > HARDLY_WRITTEN
}

impl Drives {
    /// Creates a handle for the drives of the client's account. Fails if the provider has none.
    pub fn new(client: Client, retry: Retry) -> Result<Self> {
        let provider = client.provider();
        let capabilities = provider
            .drives()
            .ok_or_else(|| {
                Error::usage(format!("{provider} has no drives to read or write"))
                    .hint("SpotCloud has appliances to download, Joyent has machines: `diskferry -h` lists their commands")
            })?;
        Ok(Self { client, capabilities, retry })
    }

    /// Returns what the provider's drives can do.
    pub fn capabilities(&self) -> DriveCapabilities {
        self.capabilities
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the properties of a drive.
    pub async fn info(&self, drive: &str) -> Result<DriveInfo> {
        let what = format!("looking up drive {drive}");
        let info = self.retry.run(&what, None, async || self.info_once(drive).await).await;
        info.map_err(|error| match (error.kind(), error.hint_text()) {
            (Kind::NotFound, None) => error.hint("`diskferry drive list REMOTE:` lists the drives"),
            _ => error,
        })
    }

    /// Like [`Drives::info`], in one attempt.
    pub async fn info_once(&self, drive: &str) -> Result<DriveInfo> {
        let path = format!("/drives/{drive}/info");
        let reply = self.client.call(&ApiRequest::get(&path).accept(TEXT)).await?;
        first(&reply).and_then(DriveInfo::new)
    }

    /// Returns the drive that a transfer created, if the server can tell.
    ///
    /// If drives cannot be marked (CloudSigma), it is the one of that name and size that did not exist
    /// before, that no server uses and that was not written to. If several qualify, or one was written to,
    /// the user has to decide.
    pub async fn find_made(&self, new: &DiskToMake<'_>) -> Result<Option<DriveInfo>> {
        let marked = self.capabilities.user_keys;
        let drives = self.all().await?.into_iter();
        let mut made: Vec<DriveInfo> = if marked {
            drives.filter(|drive| drive.properties.get(TRANSFER_KEY) == Some(new.transfer)).collect()
        } else {
            drives.filter(|drive| may_be(new, drive)).collect()
        };
        if made.is_empty() {
            return Ok(None);
        }
        let first = made.remove(0);
        if !marked && (!made.is_empty() || is_written(&first)) {
            let (are, s) = if made.is_empty() { ("is", "") } else { ("are", "s") };
            return Err(Error::new(
                Kind::Incomplete,
                format!(
                    "there {are} {} drive{s} named {:?} that this transfer may have created",
                    made.len() + 1,
                    first.name
                ),
            )
            .hint(format!(
                "name the drive to use in the command ({} or another), or add `--name` with another name and `--restart`",
                first.drive
            )));
        }
        let Some(second) = made.first() else { return Ok(Some(first)) };
        let text = format!(
            "the server created two drives for one request: using {}; {} can be destroyed",
            first.drive, second.drive
        );
        (self.retry.observer)(&crate::event::Event::Warning(text));
        Ok(Some(first))
    }

    /// Returns all drives of the account.
    ///
    /// # Errors
    /// Fails if the server returns a drive without the required properties, so that none is left out
    /// unnoticed.
    pub async fn list(&self) -> Result<Vec<DriveInfo>> {
        self.described().await?.into_iter().map(DriveInfo::new).collect()
    }

    /// Returns the existing drives that could be mistaken for a new one of this name, to be recorded before
    /// it is created. Empty if drives are marked.
    pub async fn similar(&self, name: &str) -> Result<Vec<String>> {
        if self.capabilities.user_keys {
            return Ok(Vec::new());
        }
        let drives = self.all().await?.into_iter();
        Ok(drives.filter(|drive| drive.name == name).map(|drive| drive.drive).collect())
    }

    /// Returns the drives that the server describes completely.
    async fn all(&self) -> Result<Vec<DriveInfo>> {
        Ok(self.described().await?.into_iter().filter_map(|drive| DriveInfo::new(drive).ok()).collect())
    }

    async fn described(&self) -> Result<Vec<Properties>> {
        let sending = ApiRequest::get("/drives/info").accept(TEXT);
        let reply =
            self.retry.run("listing the drives", None, async || self.client.call(&sending).await).await?;
        objects(&reply)
    }

    /// Creates a drive, once. A create must not be repeated blindly: if the outcome of an attempt is unknown,
    /// the server is asked whether the drive exists before another is created.
    ///
    /// # Errors
    /// [`CreateError::Refused`] if certainly nothing was created, [`CreateError::Unknown`] otherwise.
    pub async fn create(&self, new: &DiskToMake<'_>) -> Result<DriveInfo, CreateError> {
        self.create_by("/drives/create", new).await
    }

    /// Like [`Drives::create`], for a copy of `base`. If the provider clones drives, this starts the copy;
    /// otherwise [`Drives::image`] does.
    pub async fn create_copy(&self, new: &DiskToMake<'_>, base: &str) -> Result<DriveInfo, CreateError> {
        match self.capabilities.copies {
            CopyCall::Clone => self.create_by(&format!("/drives/{base}/clone"), new).await,
            CopyCall::Image => self.create(new).await,
        }
    }

    /// Starts filling a drive from `base`, unless creating it has done so. The copy goes on after the reply,
    /// for as long as [`DriveInfo::imaging`] says.
    pub async fn image(&self, drive: &str, base: &str) -> Result<()> {
        if self.capabilities.copies == CopyCall::Clone {
            return Ok(());
        }
        let path = format!("/drives/{drive}/image/{base}");
        let what = format!("copying drive {base} to drive {drive}");
        let attempt = async || {
            let sending = ApiRequest::post(&path, Bytes::new()).accept(TEXT);
            match self.client.call(&sending).await {
                // "HTTP 204 No Content" (Open Hosting API, "Image a Drive from Another Drive").
                Ok(reply) if reply.status == 204 => Ok(()),
                Ok(reply) => Err(Error::new(Kind::Protocol, format!("unexpected status {}", reply.status))),
                // An earlier attempt whose reply was lost has started it.
                Err(error) if error.kind() == Kind::Busy && self.is_imaged(drive).await => Ok(()),
                Err(error) => Err(error),
            }
        };
        self.retry.run_settled(&what, None, attempt).await
    }

    async fn is_imaged(&self, drive: &str) -> bool {
        self.info_once(drive).await.is_ok_and(|info| info.imaging().is_some())
    }

    async fn create_by(&self, path: &str, new: &DiskToMake<'_>) -> Result<DriveInfo, CreateError> {
        let mut keys: Properties = [("name", new.name.to_owned()), ("size", new.size.to_string())]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v))
            .chain(new.keys.iter().cloned())
            .collect();
        if self.capabilities.user_keys {
            keys.set(TRANSFER_KEY, new.transfer);
        }
        let body = Bytes::from(text::print(&[keys]));
        let mut doubtful = false;
        let attempt = async || {
            if doubtful {
                tokio::time::sleep(SETTLE).await;
                if let Some(found) = self.find_made(new).await? {
                    return Ok(found);
                }
            }
            let doubtful_before = std::mem::replace(&mut doubtful, true);
            let sending = ApiRequest::post(path, body.clone()).accept(TEXT);
            let made = match self.client.call(&sending).await {
                Ok(reply) => first(&reply).and_then(DriveInfo::new),
                Err(error) => Err(error),
            };
            // An attempt that is dropped while it waits never gets here, and its outcome stays unknown.
            if made.as_ref().is_err_and(|error| says_nothing_was_made(error.kind())) {
                doubtful = doubtful_before;
            }
            made
        };
        match self.retry.run_settled("creating the drive", None, attempt).await {
            Ok(made) => Ok(made),
            Err(error) if !doubtful => Err(CreateError::Refused(error)),
            // Whatever the last reply was, an earlier attempt may have created the drive.
            Err(error) => match self.find_made(new).await {
                Ok(Some(found)) => Ok(found),
                Ok(None) | Err(_) => Err(CreateError::Unknown(error)),
            },
        }
    }

    /// Marks an existing drive with the id of a transfer, if drives can be marked. Another machine that
    /// writes to the drive leaves another mark.
    pub async fn mark(&self, drive: &str, transfer: &str) -> Result<()> {
        if !self.capabilities.marks {
            return Ok(());
        }
        let path = format!("/drives/{drive}/set");
        let keys: Properties = [(TRANSFER_KEY.to_owned(), transfer.to_owned())].into_iter().collect();
        let body = Bytes::from(text::print(&[keys]));
        let what = format!("marking drive {drive}");
        let attempt = async || {
            let sending = ApiRequest::post(&path, body.clone()).accept(TEXT);
            self.client.call(&sending).await
        };
        self.retry.run_settled(&what, None, attempt).await.map(drop)
    }
}

/// Returns whether the error of a create means that nothing was created: the server understood the request
/// and refused it. After any other error (a lost connection, a failing server, an invalid reply) the drive
/// may exist.
pub(in crate::disk) fn says_nothing_was_made(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Usage
            | Kind::Auth
            | Kind::Billing
            | Kind::NotFound
            | Kind::Refused
            | Kind::Busy
            | Kind::SlowDown
            | Kind::TooSmall
            | Kind::Full
    )
}

fn objects(reply: &Reply) -> Result<Vec<Properties>> {
    if reply.content_type == "application/json" {
        return json::parse(&reply.body)
            .map_err(|e| Error::new(Kind::Protocol, format!("cannot parse the server's JSON: {e}")));
    }
    Ok(text::parse(&String::from_utf8_lossy(&reply.body)))
}

fn first(reply: &Reply) -> Result<Properties> {
    objects(reply)?
        .into_iter()
        .next()
        .ok_or_else(|| Error::new(Kind::Protocol, "the server's reply is empty, expected an object"))
}
