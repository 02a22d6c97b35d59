//! Drives of the ElasticHosts kind: finding, making, and the [`RemoteDisk`] that each of them is.

use super::client::{Client, Reply, Sending, TEXT};
use super::retry::Retry;
use super::{Readable, RemoteDisk, WriteBody};
use crate::error::{Error, Kind, Result};
use crate::provider::DriveCapabilities;
use crate::provider::id::ObjectId;
use crate::wire::elastic::{Properties, json, parse_size, text};
use bytes::Bytes;
use std::time::Duration;

/// The key under which a drive carries the id of the transfer that made it.
pub const TRANSFER_KEY: &str = "user:diskferry";

/// After a create whose reply was lost, the server is given this long before it is asked whether the drive is there.
const SETTLE: Duration = Duration::from_millis(500);

/// The drives of one account.
#[derive(Clone)]
pub struct Drives {
    client: Client,
    capabilities: DriveCapabilities,
    retry: Retry,
}

/// What is known of a drive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriveInfo {
    /// Its UUID.
    pub drive: String,
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Everything that the server says of it.
    pub properties: Properties,
}

impl DriveInfo {
    /// What a reply says of a drive; a protocol error if it lacks the UUID or the size.
    pub fn new(properties: Properties) -> Result<Self> {
        let missing = |key: &str| {
            Error::new(Kind::Protocol, format!("the server describes a drive without a usable {key}"))
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

    /// Why the drive cannot be read or written now, if it cannot: it is being imaged (Open Hosting API, "Get Single
    /// Drive Info"). Servers leave the key out, or say `false` or 100, when that is over.
    pub fn imaging(&self) -> Option<&str> {
        self.properties.get("imaging").filter(|v| !matches!(*v, "" | "false" | "100" | "100%"))
    }

    /// The servers that use the drive, if any.
    pub fn claimed(&self) -> Option<&str> {
        self.properties.get("claimed").filter(|v| !v.is_empty())
    }
}

/// A drive to be made.
#[derive(Clone, Debug)]
pub struct NewDrive<'a> {
    /// Its name.
    pub name: &'a str,
    /// Bytes.
    pub size: u64,
    /// More keys.
    pub keys: &'a [(String, String)],
    /// The id of the transfer that makes it.
    pub transfer: &'a str,
    /// Drives of the same name that were there before.
    pub before: &'a [String],
}

/// A drive that nothing was written to may still count some bytes: a new one's sample has 4096 (CloudSigma API 1.0, 3).
const HARDLY_WRITTEN: u64 = 64 << 10;

impl NewDrive<'_> {
    /// Whether a drive may be the one that was made, where drives carry no mark.
    fn may_be(&self, drive: &DriveInfo) -> bool {
        let written = drive.properties.get("write:bytes").and_then(parse_size).unwrap_or(0);
        drive.name == self.name
            && drive.size >= self.size
            && drive.claimed().is_none()
            && written <= HARDLY_WRITTEN
            && !self.before.contains(&drive.drive)
    }
}

impl Drives {
    /// The drives of the account that `client` speaks for; an error if its provider has none.
    pub fn new(client: Client, retry: Retry) -> Result<Self> {
        let provider = client.provider();
        let capabilities = provider
            .drives()
            .ok_or_else(|| Error::usage(format!("{provider} has no drives that can be read or written")))?;
        Ok(Self { client, capabilities, retry })
    }

    /// What the provider's drives can do.
    pub fn capabilities(&self) -> DriveCapabilities {
        self.capabilities
    }

    /// A drive as a disk.
    pub fn disk(&self, drive: &str) -> Drive {
        Drive { client: self.client.clone(), capabilities: self.capabilities, uuid: drive.to_owned() }
    }

    /// What the server says of a drive.
    pub async fn info(&self, drive: &str) -> Result<DriveInfo> {
        let path = format!("/drives/{drive}/info");
        let what = format!("asking for drive {drive}");
        let reply = self
            .retry
            .run(&what, None, async || self.client.call(&Sending::get(&path).accept(TEXT)).await)
            .await?;
        first(&reply).and_then(DriveInfo::new)
    }

    /// The drive that a transfer has made, if it has and the server says so.
    ///
    /// Where drives cannot be marked (CloudSigma), it is the one of that name and size that was not there before, that no
    /// server uses and that nothing was written to. If several are like that the user has to decide.
    pub async fn find_made(&self, new: &NewDrive<'_>) -> Result<Option<DriveInfo>> {
        let marked = self.capabilities.user_keys;
        let drives = self.all().await?.into_iter();
        let mut made: Vec<DriveInfo> = if marked {
            drives.filter(|drive| drive.properties.get(TRANSFER_KEY) == Some(new.transfer)).collect()
        } else {
            drives.filter(|drive| new.may_be(drive)).collect()
        };
        if made.is_empty() {
            return Ok(None);
        }
        let first = made.remove(0);
        let Some(second) = made.first() else { return Ok(Some(first)) };
        if !marked {
            return Err(Error::new(
                Kind::Incomplete,
                format!(
                    "there are {} drives named {:?} that this transfer may have made",
                    made.len() + 1,
                    first.name
                ),
            )
            .hint(format!(
                "name the one to use in the command ({} or another), or give another --name with --restart",
                first.drive
            )));
        }
        let text = format!(
            "the server made two drives for one request: {} is used, {} can be destroyed",
            first.drive, second.drive
        );
        (self.retry.observer)(&crate::event::Event::Warning(text));
        Ok(Some(first))
    }

    /// The drives that are there already and could be taken for one of this name that is about to be made: to be noted
    /// before it is. None where drives are marked.
    pub async fn like(&self, name: &str) -> Result<Vec<String>> {
        if self.capabilities.user_keys {
            return Ok(Vec::new());
        }
        let drives = self.all().await?.into_iter();
        Ok(drives.filter(|drive| drive.name == name).map(|drive| drive.drive).collect())
    }

    /// What the server says of each drive. One that it does not describe well enough is left out.
    async fn all(&self) -> Result<Vec<DriveInfo>> {
        let sending = Sending::get("/drives/info").accept(TEXT);
        let reply =
            self.retry.run("listing the drives", None, async || self.client.call(&sending).await).await?;
        Ok(objects(&reply)?.into_iter().filter_map(|drive| DriveInfo::new(drive).ok()).collect())
    }

    /// Makes a drive, once. A create may not be repeated blindly; but the drive carries the transfer's id, so after an
    /// attempt of unknown fate the server is asked whether it is there before another is made.
    pub async fn create(&self, new: &NewDrive<'_>) -> Result<DriveInfo> {
        let mut keys: Properties = [("name", new.name.to_owned()), ("size", new.size.to_string())]
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v))
            .chain(new.keys.iter().cloned())
            .collect();
        if self.capabilities.user_keys {
            keys.set(TRANSFER_KEY, new.transfer);
        }
        let body = Bytes::from(text::print(&[keys]));
        let mut in_doubt = false;
        let attempt = async || {
            if in_doubt {
                tokio::time::sleep(SETTLE).await;
                if let Some(found) = self.find_made(new).await? {
                    return Ok(found);
                }
            }
            let sending = Sending::post("/drives/create", body.clone()).accept(TEXT);
            let sent = self.client.call(&sending).await;
            // A busy server has said that it did nothing; after anything else it may have.
            in_doubt = sent.as_ref().is_err_and(|e| !matches!(e.kind(), Kind::Busy | Kind::SlowDown));
            first(&sent?).and_then(DriveInfo::new)
        };
        self.retry.run("creating the drive", None, attempt).await
    }
}

fn objects(reply: &Reply) -> Result<Vec<Properties>> {
    if reply.content_type == "application/json" {
        return json::parse(&reply.body)
            .map_err(|e| Error::new(Kind::Protocol, format!("the server's JSON cannot be read: {e}")));
    }
    Ok(text::parse(&String::from_utf8_lossy(&reply.body)))
}

fn first(reply: &Reply) -> Result<Properties> {
    objects(reply)?
        .into_iter()
        .next()
        .ok_or_else(|| Error::new(Kind::Protocol, "the server's reply is empty where an object was expected"))
}

/// One drive.
#[derive(Clone, Debug)]
pub struct Drive {
    client: Client,
    capabilities: DriveCapabilities,
    uuid: String,
}

impl Readable for Drive {
    fn name(&self) -> String {
        format!("drive {}", self.uuid)
    }

    fn read_limit(&self) -> u64 {
        self.capabilities.read_limit.unwrap_or(u64::MAX)
    }

    async fn read_at(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()> {
        self.client.read(&format!("/drives/{}/read/{offset}/{len}", self.uuid), len, into).await
    }
}

impl RemoteDisk for Drive {
    fn takes_gzip(&self) -> bool {
        self.capabilities.gzip
    }

    async fn write_at(&self, offset: u64, body: WriteBody) -> Result<()> {
        self.client.write(&format!("/drives/{}/write/{offset}", self.uuid), &body).await
    }
}
