//! Drives of the ElasticHosts kind: finding, making, and the [`RemoteDisk`] that each of them is.

use super::client::{Client, Reply, Sending, TEXT};
use super::retry::Retry;
use super::{Readable, RemoteDisk, WriteBody};
use crate::error::{Error, Kind, Result};
use crate::provider::DriveCapabilities;
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
        let size = properties.get("size").and_then(parse_size).ok_or_else(|| missing("size"))?;
        Ok(Self {
            drive: drive.to_owned(),
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
    /// Where drives cannot be marked (CloudSigma), one of the same name may be it or may not: that is an error for the
    /// user to decide.
    pub async fn find_made(&self, new: &NewDrive<'_>) -> Result<Option<DriveInfo>> {
        let reply = self
            .retry
            .run("listing the drives", None, async || {
                self.client.call(&Sending::get("/drives/info").accept(TEXT)).await
            })
            .await?;
        let marked = self.capabilities.user_keys;
        let mut made = objects(&reply)?.into_iter().filter(|drive| {
            if marked {
                drive.get(TRANSFER_KEY) == Some(new.transfer)
            } else {
                drive.get("name") == Some(new.name)
            }
        });
        let found = made.next().map(DriveInfo::new).transpose()?;
        if let Some(found) = found.as_ref().filter(|_| !marked) {
            return Err(Error::new(
                Kind::Incomplete,
                format!("it is not known whether the drive was made; there is one named {:?}", found.name),
            )
            .hint(format!(
                "if it is this transfer's, name it in the command ({}); else give another --name with --restart",
                found.drive
            )));
        }
        if let (Some(first), Some(second)) = (&found, made.next().and_then(|d| DriveInfo::new(d).ok())) {
            let text = format!(
                "the server made two drives for one request: {} is used, {} can be destroyed",
                first.drive, second.drive
            );
            (self.retry.observer)(&crate::event::Event::Warning(text));
        }
        Ok(found)
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
