//! The drives of an account: asking for them, making one, finding the one that was made.

use crate::disk::Evidence;
use crate::disk::store::{CreateError, DiskToMake, Facts};
use crate::error::{Error, Kind, Result};
use crate::provider::id::ObjectId;
use crate::provider::{CopyCall, DriveCapabilities};
use crate::transport::client::{Client, Reply, Sending, TEXT};
use crate::transport::retry::Retry;
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

    /// Returns the id of the transfer that wrote to the drive last, where drives carry one.
    pub fn mark(&self) -> Option<&str> {
        self.properties.get(TRANSFER_KEY).filter(|mark| !mark.is_empty())
    }

    /// Returns how often and how much was ever written to the drive, where the provider counts that (`write:bytes` and
    /// `write:requests`; CloudSigma API 1.0, 3).
    pub fn evidence(&self) -> Evidence {
        let count = |key| self.properties.get(key)?.parse::<u64>().ok();
        let writes = count("write:bytes").zip(count("write:requests"));
        Evidence { writes, ..Evidence::default() }
    }

    /// The tags that the drive carries (`tags`, "space-separated list of tags", Open Hosting API, "Create a Drive"; in JSON it
    /// may be a list).
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.properties.get("tags").unwrap_or_default().split_whitespace()
    }

    /// The servers that use the drive, if any.
    pub fn claimed(&self) -> Option<&str> {
        self.properties.get("claimed").filter(|v| !v.is_empty())
    }

    /// What a job needs to know of it.
    pub(super) fn facts(&self) -> Facts {
        Facts {
            disk: self.drive.clone(),
            name: self.name.clone(),
            size: self.size,
            busy: self.imaging().map(|progress| format!("it is being imaged, {progress}")),
            in_use: self.claimed().map(str::to_owned),
            mark: self.mark().map(str::to_owned),
            evidence: self.evidence(),
        }
    }
}

/// A drive that nothing was written to may still count some bytes: a new one's sample has 4096 (CloudSigma API 1.0, 3).
const HARDLY_WRITTEN: u64 = 64 << 10;

/// Whether a drive may be the one that was made, where drives carry no mark.
fn may_be(new: &DiskToMake<'_>, drive: &DriveInfo) -> bool {
    drive.name == new.name
        && drive.size >= new.size
        && drive.claimed().is_none()
        && !new.before.contains(&drive.drive)
}

/// Whether something was written to a drive. It may have been this transfer, whose journal lost the note of it, or anybody.
fn is_written(drive: &DriveInfo) -> bool {
    drive.properties.get("write:bytes").and_then(parse_size).unwrap_or(0) > HARDLY_WRITTEN
}

impl Drives {
    /// The drives of the account that `client` speaks for; an error if its provider has none.
    pub fn new(client: Client, retry: Retry) -> Result<Self> {
        let provider = client.provider();
        let capabilities = provider
            .drives()
            .ok_or_else(|| {
                Error::usage(format!("{provider} has no drives that can be read or written"))
                    .hint("SpotCloud has appliances to download, Joyent has machines: `diskferry -h` lists their commands")
            })?;
        Ok(Self { client, capabilities, retry })
    }

    /// What the provider's drives can do.
    pub fn capabilities(&self) -> DriveCapabilities {
        self.capabilities
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// What the server says of a drive.
    pub async fn info(&self, drive: &str) -> Result<DriveInfo> {
        let what = format!("asking for drive {drive}");
        self.retry.run(&what, None, async || self.info_once(drive).await).await
    }

    /// The same, in one attempt.
    pub async fn info_once(&self, drive: &str) -> Result<DriveInfo> {
        let path = format!("/drives/{drive}/info");
        let reply = self.client.call(&Sending::get(&path).accept(TEXT)).await?;
        first(&reply).and_then(DriveInfo::new)
    }

    /// The drive that a transfer has made, if it has and the server says so.
    ///
    /// Where drives cannot be marked (CloudSigma), it is the one of that name and size that was not there before, that no
    /// server uses and that nothing was written to. If several are like that, or one was written to, the user has to
    /// decide.
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
                    "there {are} {} drive{s} named {:?} that this transfer may have made",
                    made.len() + 1,
                    first.name
                ),
            )
            .hint(format!(
                "name the one to use in the command ({} or another), or give another --name with --restart",
                first.drive
            )));
        }
        let Some(second) = made.first() else { return Ok(Some(first)) };
        let text = format!(
            "the server made two drives for one request: {} is used, {} can be destroyed",
            first.drive, second.drive
        );
        (self.retry.observer)(&crate::event::Event::Warning(text));
        Ok(Some(first))
    }

    /// All drives of the account.
    ///
    /// # Errors
    /// One that the server does not describe well enough is an error: nobody could say that it was left out.
    pub async fn list(&self) -> Result<Vec<DriveInfo>> {
        self.described().await?.into_iter().map(DriveInfo::new).collect()
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
        Ok(self.described().await?.into_iter().filter_map(|drive| DriveInfo::new(drive).ok()).collect())
    }

    async fn described(&self) -> Result<Vec<Properties>> {
        let sending = Sending::get("/drives/info").accept(TEXT);
        let reply =
            self.retry.run("listing the drives", None, async || self.client.call(&sending).await).await?;
        objects(&reply)
    }

    /// Makes a drive, once. A create may not be repeated blindly: after an attempt of unknown fate the server is asked
    /// whether the drive is there before another is made.
    ///
    /// # Errors
    /// [`CreateError::Refused`] if certainly nothing was made, [`CreateError::Unknown`] if something may have been.
    pub async fn create(&self, new: &DiskToMake<'_>) -> Result<DriveInfo, CreateError> {
        self.create_by("/drives/create", new).await
    }

    /// The same of a drive for a copy of `base`. Where drives are cloned, the copy is begun with it; else [`Drives::image`]
    /// begins it.
    pub async fn create_copy(&self, new: &DiskToMake<'_>, base: &str) -> Result<DriveInfo, CreateError> {
        match self.capabilities.copies {
            CopyCall::Clone => self.create_by(&format!("/drives/{base}/clone"), new).await,
            CopyCall::Image => self.create(new).await,
        }
    }

    /// Has the server fill a drive from `base`, where creating it for a copy has not begun that. The copy goes on after the
    /// reply, as long as [`DriveInfo::imaging`] says so.
    pub async fn image(&self, drive: &str, base: &str) -> Result<()> {
        if self.capabilities.copies == CopyCall::Clone {
            return Ok(());
        }
        let path = format!("/drives/{drive}/image/{base}");
        let what = format!("copying drive {base} to drive {drive}");
        let attempt = async || {
            let sending = Sending::post(&path, Bytes::new()).accept(TEXT);
            match self.client.call(&sending).await {
                // "HTTP 204 No Content" (Open Hosting API, "Image a Drive from Another Drive").
                Ok(reply) if reply.status == 204 => Ok(()),
                Ok(reply) => Err(Error::new(Kind::Protocol, format!("unexpected status {}", reply.status))),
                // An attempt whose answer was lost has begun it.
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
            let sending = Sending::post(path, body.clone()).accept(TEXT);
            let made = match self.client.call(&sending).await {
                Ok(reply) => first(&reply).and_then(DriveInfo::new),
                Err(error) => Err(error),
            };
            // An attempt that is given up while it waits never comes here, and stays doubtful.
            if made.as_ref().is_err_and(|error| says_nothing_was_made(error.kind())) {
                doubtful = doubtful_before;
            }
            made
        };
        match self.retry.run_settled("creating the drive", None, attempt).await {
            Ok(made) => Ok(made),
            Err(error) if !doubtful => Err(CreateError::Refused(error)),
            // Whatever the last answer was, one before it may have made the drive.
            Err(error) => match self.find_made(new).await {
                Ok(Some(found)) => Ok(found),
                Ok(None) | Err(_) => Err(CreateError::Unknown(error)),
            },
        }
    }

    /// Leaves the id of a transfer on a drive that exists, where that can be done: a run elsewhere that writes to it
    /// leaves another.
    pub async fn mark(&self, drive: &str, transfer: &str) -> Result<()> {
        if !self.capabilities.marks {
            return Ok(());
        }
        let path = format!("/drives/{drive}/set");
        let keys: Properties = [(TRANSFER_KEY.to_owned(), transfer.to_owned())].into_iter().collect();
        let body = Bytes::from(text::print(&[keys]));
        let what = format!("marking drive {drive}");
        let attempt = async || {
            let sending = Sending::post(&path, body.clone()).accept(TEXT);
            self.client.call(&sending).await
        };
        self.retry.run_settled(&what, None, attempt).await.map(drop)
    }
}

/// Whether an error reply to a create says that nothing was made: the server looked at the request and refused it. After
/// anything else (a lost connection, a failing server, an answer that makes no sense) the drive may be there.
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
