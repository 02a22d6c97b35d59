//! Appliances: images that a provider stores and serves by one long GET (SpotCloud Buyer API 1.2, 3).
//!
//! The manual promises neither lengths nor ranges, so [`Appliance::probe`] tests the server. If it answers a
//! range request with 206, the requested length, and twice the same validator (`ETag` or `Last-Modified`),
//! the appliance has random access with concurrent reads. Otherwise it is read sequentially from its start.

pub mod pull;

use super::{Attempt, Buffer, DiskInfo, Extent, Identity, LocalRead, ReadAt, data_everywhere};
use crate::error::{Error, Kind, Result};
use crate::provider::Provider;
use crate::transport::client::{ApiRequest, Client};
use crate::transport::download::{Incoming, Wanted};
use crate::transport::retry::Retry;
use reqwest::{Url, header};
use serde::Deserialize;
use std::ops::Range;
use std::sync::Arc;

/// An appliance on a remote.
#[derive(Clone)]
pub struct Appliance {
    client: Client,
    retry: Retry,
    key: String,
    url: Url,
}

/// The provider's description of an appliance (SpotCloud Buyer API 1.2, 3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplianceInfo {
    /// The name, or the key if it has none.
    pub name: String,
    /// The size, if it is an integer. The manual names no unit.
    pub size: Option<u64>,
}

/// How a server lets an appliance be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Any range, as long as the validator matches.
    Ranges {
        /// The size in bytes.
        size: u64,
        /// The `ETag` or `Last-Modified`.
        validator: String,
    },
    /// Only from its start.
    Whole {
        /// The size in bytes, if it was announced.
        size: Option<u64>,
        /// Why ranges are not used, for display.
        why: &'static str,
    },
}

impl Access {
    /// Returns the size in bytes, if known.
    pub fn size(&self) -> Option<u64> {
        match self {
            Access::Ranges { size, .. } => Some(*size),
            Access::Whole { size, .. } => *size,
        }
    }

    /// Returns the validator, if ranges are used.
    pub fn validator(&self) -> Option<&str> {
        match self {
            Access::Ranges { validator, .. } => Some(validator),
            Access::Whole { .. } => None,
        }
    }
}

impl Appliance {
    /// Creates a handle for an appliance by its key. Fails if the provider has none.
    pub fn new(client: Client, retry: Retry, key: &str) -> Result<Self> {
        if client.provider() != Provider::SpotCloud {
            return Err(Error::usage(format!("{} has no appliances", client.provider()))
                .hint("write a drive as REMOTE:DRIVE, without `appliance/`"));
        }
        let url = client.url(&format!("/api/v1/download/appliance/{key}"));
        Ok(Self { client, retry, key: key.to_owned(), url })
    }

    /// Returns the name in messages.
    pub fn name(&self) -> String {
        format!("appliance {}", self.key)
    }

    /// Returns the retry policy.
    pub fn retry(&self) -> &Retry {
        &self.retry
    }

    /// Returns the provider's description.
    pub async fn info(&self) -> Result<ApplianceInfo> {
        let path = format!("/api/v1/buyer/appliance/{}.json", self.key);
        let what = format!("looking up {}", self.name());
        let sending = ApiRequest::get(&path).accept("application/json");
        let reply = self.retry.run(&what, None, async || self.client.call(&sending).await).await?;
        read_info(&reply.body, &self.key)
    }

    /// Tests what the server supports, with two requests for one byte.
    pub async fn probe(&self) -> Result<Access> {
        let what = format!("probing {}", self.name());
        self.retry.run(&what, None, async || self.probe_once().await).await
    }

    async fn probe_once(&self) -> Result<Access> {
        let first = self.one_byte(None).await?;
        let whole = |size, why| Ok(Access::Whole { size, why });
        if first.status() == 200 {
            return whole(first.length(), "the server does not support ranges");
        }
        let Some(size) = covers(&first, 0, 0) else {
            return match self.client.open(&self.url, &Wanted::default()).await? {
                all if all.status() == 200 => {
                    whole(all.length(), "the server sends other ranges than requested")
                }
                other => Err(unexpected(&other)),
            };
        };
        let Some(validator) = validator(&first) else {
            return whole(Some(size), "the server sends no validator for the appliance");
        };
        let again = self.one_byte(Some(&validator)).await?;
        if covers(&again, 0, 0) != Some(size) || self::validator(&again).as_ref() != Some(&validator) {
            return whole(Some(size), "the server sends a different validator each time");
        }
        Ok(Access::Ranges { size, validator })
    }

    async fn one_byte(&self, validator: Option<&str>) -> Result<Incoming> {
        let reply = self.client.open(&self.url, &Wanted { from: Some(0), to: Some(0), validator }).await?;
        match reply.status() {
            416 => Err(Error::new(Kind::Source, format!("{} is empty", self.name()))),
            200 | 206 => Ok(reply),
            _ => Err(unexpected(&reply)),
        }
    }

    /// Returns the first `len` bytes, or fewer if the appliance is shorter.
    pub async fn head(&self, access: &Access, len: u64) -> Result<Vec<u8>> {
        let what = format!("reading the start of {}", self.name());
        let len = access.size().map_or(len, |size| size.min(len));
        let attempt = async || {
            let (mut reply, _) = self.open_at(0, access).await?;
            let mut head = Vec::new();
            // The rest is not read; dropping the reply closes the connection.
            while (head.len() as u64) < len
                && let Some(piece) = reply.piece().await?
            {
                head.extend_from_slice(&piece);
            }
            Ok(head)
        };
        self.retry.run(&what, None, attempt).await
    }

    /// Opens the bytes from `offset` on, in one attempt: by a range request if ranges are supported,
    /// otherwise from the start. Also returns the offset at which the body begins.
    pub(crate) async fn open_at(&self, offset: u64, access: &Access) -> Result<(Incoming, u64)> {
        let Access::Ranges { size, validator } = access else {
            let reply = self.client.open(&self.url, &Wanted::default()).await?;
            return if reply.status() == 200 { Ok((reply, 0)) } else { Err(unexpected(&reply)) };
        };
        let last = size.saturating_sub(1);
        let reply = self.range(offset, last, *size, validator).await?;
        Ok((reply, offset))
    }

    /// Requests a range, both ends included, of the same version of the appliance.
    async fn range(&self, from: u64, to: u64, size: u64, validator: &str) -> Result<Incoming> {
        let wanted = Wanted { from: Some(from), to: Some(to), validator: Some(validator) };
        let reply = self.client.open(&self.url, &wanted).await?;
        let same = self::validator(&reply).is_none_or(|now| now == validator);
        match reply.status() {
            206 if same && covers(&reply, from, to) == Some(size) => Ok(reply),
            200 | 206 | 416 if !same || reply.status() != 206 => {
                Err(Error::new(Kind::Source, format!("{} changed during the transfer", self.name()))
                    .hint("start over with `--restart`"))
            }
            206 => Err(Error::new(
                Kind::Protocol,
                format!("the server sent {:?}, expected bytes {from}-{to}", range_of(&reply)),
            )),
            _ => Err(unexpected(&reply)),
        }
    }
}

/// An appliance with random access.
#[derive(Clone)]
pub struct ApplianceDisk {
    appliance: Appliance,
    info: Arc<DiskInfo>,
    validator: String,
}

impl ApplianceDisk {
    /// Creates a disk for an appliance whose server supports ranges; `None` otherwise.
    pub fn new(appliance: Appliance, access: &Access) -> Option<Self> {
        match access {
            Access::Ranges { size, validator } => {
                let info = Arc::new(DiskInfo::new(appliance.name(), *size));
                Some(Self { appliance, info, validator: validator.clone() })
            }
            Access::Whole { .. } => None,
        }
    }

    /// Sets the identity.
    #[must_use]
    pub fn known_as(mut self, identity: Identity) -> Self {
        Arc::make_mut(&mut self.info).identity = Some(identity);
        self
    }

    async fn read(self, offset: u64, len: u64, mut into: Buffer) -> Result<Buffer> {
        self.info.check_range(offset, len)?;
        let Some(last) = len.checked_sub(1).map(|last| offset + last) else { return Ok(into) };
        let mut reply = self.appliance.range(offset, last, self.info.size, &self.validator).await?;
        let mut left = len;
        while let Some(piece) = reply.piece().await? {
            left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
                Error::new(Kind::Protocol, format!("the reply has more than the expected {len} bytes"))
            })?;
            into.extend_from_slice(&piece);
        }
        if left > 0 {
            let got = len - left;
            return Err(Error::new(Kind::ShortReply, format!("the reply has {got} bytes, expected {len}")));
        }
        Ok(into)
    }
}

impl ReadAt for ApplianceDisk {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn read_at(&self, offset: u64, len: u64, into: Buffer) -> Attempt<Buffer> {
        Box::pin(self.clone().read(offset, len, into))
    }

    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        data_everywhere(window)
    }

    /// Each read carries the validator, so another version is refused.
    fn changed(&self) -> Attempt<Option<Error>> {
        Box::pin(async { Ok(None) })
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        None
    }
}

/// Returns the total size if the reply covers exactly this range (RFC 9110, 14.4) and announces no other
/// length.
fn covers(reply: &Incoming, from: u64, to: u64) -> Option<u64> {
    let length = reply.length().is_none_or(|length| length.checked_sub(1) == to.checked_sub(from));
    let (range, size) = split_range(&range_of(reply))?;
    (reply.status() == 206 && length && range == (from, to)).then_some(size)
}

fn range_of(reply: &Incoming) -> String {
    reply.header(&header::CONTENT_RANGE)
}

/// Parses `bytes 0-99/1234` into its first and last byte and the total size. Returns `None` for a range that
/// is reversed or outside the total.
fn split_range(text: &str) -> Option<((u64, u64), u64)> {
    let (range, size) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (from, to) = range.split_once('-')?;
    let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    let size = size.trim().parse().ok()?;
    (from <= to && to < size).then_some(((from, to), size))
}

/// Returns the validator of a version: a strong `ETag`, else `Last-Modified`. A weak `ETag` promises
/// equivalent, not equal, bytes (RFC 9110, 8.8.1).
fn validator(reply: &Incoming) -> Option<String> {
    [header::ETAG, header::LAST_MODIFIED]
        .iter()
        .map(|name| reply.header(name))
        .find(|value| !value.is_empty() && !value.starts_with("W/"))
}

fn unexpected(reply: &Incoming) -> Error {
    Error::new(Kind::Protocol, format!("unexpected status {}", reply.status()))
}

/// Parses the reply of `appliances.get`. A field may be a number, a string, null, or missing.
fn read_info(body: &[u8], key: &str) -> Result<ApplianceInfo> {
    #[derive(Deserialize)]
    struct Fields {
        name: Option<serde_json::Value>,
        size: Option<serde_json::Value>,
    }
    let fields: Fields = serde_json::from_slice(body).map_err(|e| {
        Error::new(Kind::Protocol, "cannot parse the server's description of the appliance").source(e)
    })?;
    let text = |value: Option<serde_json::Value>| match value {
        Some(serde_json::Value::String(text)) if !text.trim().is_empty() => Some(text.trim().to_owned()),
        Some(serde_json::Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    Ok(ApplianceInfo {
        name: text(fields.name).unwrap_or_else(|| key.to_owned()),
        size: text(fields.size).and_then(|size| size.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_has_many_forms() {
        let info = |body: &str| read_info(body.as_bytes(), "k").unwrap();
        assert_eq!(info(r#"{"name":"a","size":12}"#), ApplianceInfo { name: "a".into(), size: Some(12) });
        assert_eq!(info(r#"{"name":7,"size":"12"}"#), ApplianceInfo { name: "7".into(), size: Some(12) });
        for body in ["{}", r#"{"name":null,"size":null}"#, r#"{"name":"","size":"1.5 GB"}"#] {
            assert_eq!(info(body), ApplianceInfo { name: "k".into(), size: None }, "{body}");
        }
        assert_eq!(read_info(b"<html>", "k").unwrap_err().kind(), Kind::Protocol);
    }

    #[test]
    fn a_content_range_is_read_or_not() {
        assert_eq!(split_range("bytes 0-99/1234"), Some(((0, 99), 1234)));
        for bad in [
            "",
            "bytes 0-99/*",
            "bytes */1234",
            "bytes=0-99/1234",
            "0-99/1234",
            "bytes 0-x/1",
            "bytes 0-0/0",
            "bytes 5-5/5",
            "bytes 2-1/5",
        ] {
            assert_eq!(split_range(bad), None, "{bad}");
        }
    }
}
