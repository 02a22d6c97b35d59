//! Appliances: images that a provider keeps whole and gives out by one long GET (SpotCloud Buyer API 1.2, 3).
//!
//! The manual promises neither lengths nor ranges. So a server is asked what it can do ([`Appliance::probe`]): one that
//! answers a range with 206, the length that was asked for, and twice the same validator (`ETag`, or `Last-Modified`) is
//! read at any place, several ranges at a time; of every other one the whole is read from its start.

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

/// What the provider says of an appliance (SpotCloud Buyer API 1.2, 3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplianceInfo {
    /// Its name; its key, if it has none.
    pub name: String,
    /// Its size, if that is a whole number. The manual names no unit.
    pub size: Option<u64>,
}

/// What can be asked of the server that keeps an appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Any range, as long as the validator stands.
    Ranges {
        /// Bytes.
        size: u64,
        /// What its `ETag` or `Last-Modified` is.
        validator: String,
    },
    /// The whole, from its start.
    Whole {
        /// Bytes, if that was said.
        size: Option<u64>,
        /// Why no ranges are asked for, in words.
        why: &'static str,
    },
}

impl Access {
    /// Bytes, if that is known.
    pub fn size(&self) -> Option<u64> {
        match self {
            Access::Ranges { size, .. } => Some(*size),
            Access::Whole { size, .. } => *size,
        }
    }

    /// The validator, where ranges are asked for.
    pub fn validator(&self) -> Option<&str> {
        match self {
            Access::Ranges { validator, .. } => Some(validator),
            Access::Whole { .. } => None,
        }
    }
}

impl Appliance {
    /// The appliance of this key; a usage error if the provider has none.
    pub fn new(client: Client, retry: Retry, key: &str) -> Result<Self> {
        if client.provider() != Provider::SpotCloud {
            return Err(Error::usage(format!("{} has no appliances", client.provider()))
                .hint("a drive is written REMOTE:DRIVE, without appliance/"));
        }
        let url = client.url(&format!("/api/v1/download/appliance/{key}"));
        Ok(Self { client, retry, key: key.to_owned(), url })
    }

    /// What it is called in messages.
    pub fn name(&self) -> String {
        format!("appliance {}", self.key)
    }

    /// The retry layer that it is read under.
    pub fn retry(&self) -> &Retry {
        &self.retry
    }

    /// What the provider says of it.
    pub async fn info(&self) -> Result<ApplianceInfo> {
        let path = format!("/api/v1/buyer/appliance/{}.json", self.key);
        let what = format!("asking for {}", self.name());
        let sending = ApiRequest::get(&path).accept("application/json");
        let reply = self.retry.run(&what, None, async || self.client.call(&sending).await).await?;
        read_info(&reply.body, &self.key)
    }

    /// Asks what the server can do, with two requests for one byte.
    pub async fn probe(&self) -> Result<Access> {
        let what = format!("asking where {} is", self.name());
        self.retry.run(&what, None, async || self.probe_once().await).await
    }

    async fn probe_once(&self) -> Result<Access> {
        let first = self.one_byte(None).await?;
        let whole = |size, why| Ok(Access::Whole { size, why });
        if first.status() == 200 {
            return whole(first.length(), "the server sends no ranges");
        }
        let Some(size) = covers(&first, 0, 0) else {
            return match self.client.open(&self.url, &Wanted::default()).await? {
                all if all.status() == 200 => {
                    whole(all.length(), "the server sends other ranges than it is asked for")
                }
                other => Err(unexpected(&other)),
            };
        };
        let Some(validator) = validator(&first) else {
            return whole(Some(size), "the server does not tell one version of the appliance from another");
        };
        let again = self.one_byte(Some(&validator)).await?;
        if covers(&again, 0, 0) != Some(size) || self::validator(&again).as_ref() != Some(&validator) {
            return whole(Some(size), "the server names the same appliance differently each time");
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

    /// Its first bytes, `len` of them if there are so many.
    pub async fn head(&self, access: &Access, len: u64) -> Result<Vec<u8>> {
        let what = format!("looking into {}", self.name());
        let len = access.size().map_or(len, |size| size.min(len));
        let attempt = async || {
            let (mut reply, _) = self.open_at(0, access).await?;
            let mut head = Vec::new();
            // The rest is not taken: the connection ends with the reply.
            while (head.len() as u64) < len
                && let Some(piece) = reply.piece().await?
            {
                head.extend_from_slice(&piece);
            }
            Ok(head)
        };
        self.retry.run(&what, None, attempt).await
    }

    /// The bytes from `offset` on, in one attempt: by a range where there are ranges, else from the start; the second
    /// says where the body begins.
    pub(crate) async fn open_at(&self, offset: u64, access: &Access) -> Result<(Incoming, u64)> {
        let Access::Ranges { size, validator } = access else {
            let reply = self.client.open(&self.url, &Wanted::default()).await?;
            return if reply.status() == 200 { Ok((reply, 0)) } else { Err(unexpected(&reply)) };
        };
        let last = size.saturating_sub(1);
        let reply = self.range(offset, last, *size, validator).await?;
        Ok((reply, offset))
    }

    /// A range, both ends included, of what is still the same appliance.
    async fn range(&self, from: u64, to: u64, size: u64, validator: &str) -> Result<Incoming> {
        let wanted = Wanted { from: Some(from), to: Some(to), validator: Some(validator) };
        let reply = self.client.open(&self.url, &wanted).await?;
        let same = self::validator(&reply).is_none_or(|now| now == validator);
        match reply.status() {
            206 if same && covers(&reply, from, to) == Some(size) => Ok(reply),
            200 | 206 | 416 if !same || reply.status() != 206 => {
                Err(Error::new(Kind::Source, format!("{} changed during the transfer", self.name()))
                    .hint("start over with --restart"))
            }
            206 => Err(Error::new(
                Kind::Protocol,
                format!("the server sends {:?} where bytes {from}-{to} were asked for", range_of(&reply)),
            )),
            _ => Err(unexpected(&reply)),
        }
    }
}

/// An appliance that is read at any place.
#[derive(Clone)]
pub struct ApplianceDisk {
    appliance: Appliance,
    info: Arc<DiskInfo>,
    validator: String,
}

impl ApplianceDisk {
    /// Of an appliance whose server has ranges; `None` of any other.
    pub fn new(appliance: Appliance, access: &Access) -> Option<Self> {
        match access {
            Access::Ranges { size, validator } => {
                let info = Arc::new(DiskInfo::new(appliance.name(), *size));
                Some(Self { appliance, info, validator: validator.clone() })
            }
            Access::Whole { .. } => None,
        }
    }

    /// The same, known as `identity`.
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
                Error::new(Kind::Protocol, format!("the server sends more than the {len} bytes asked for"))
            })?;
            into.extend_from_slice(&piece);
        }
        if left > 0 {
            let got = len - left;
            return Err(Error::new(
                Kind::ShortReply,
                format!("the reply has {got} bytes where {len} were asked for"),
            ));
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

    /// Each read carries the validator: one of another version is refused.
    fn changed(&self) -> Attempt<Option<Error>> {
        Box::pin(async { Ok(None) })
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        None
    }
}

/// The size of the whole, if the reply covers just this range (RFC 9110, 14.4) and says no other length.
fn covers(reply: &Incoming, from: u64, to: u64) -> Option<u64> {
    let length = reply.length().is_none_or(|length| length.checked_sub(1) == to.checked_sub(from));
    let (range, size) = split_range(&range_of(reply))?;
    (reply.status() == 206 && length && range == (from, to)).then_some(size)
}

fn range_of(reply: &Incoming) -> String {
    reply.header(&header::CONTENT_RANGE)
}

/// `bytes 0-99/1234` as its first and last byte and the size of the whole. `None` also for a range that lies outside of
/// its whole, or is turned around.
fn split_range(text: &str) -> Option<((u64, u64), u64)> {
    let (range, size) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (from, to) = range.split_once('-')?;
    let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
    let size = size.trim().parse().ok()?;
    (from <= to && to < size).then_some(((from, to), size))
}

/// What tells one version from another: a strong `ETag`, else `Last-Modified`. A weak `ETag` vouches for meaning, not for
/// bytes (RFC 9110, 8.8.1).
fn validator(reply: &Incoming) -> Option<String> {
    [header::ETAG, header::LAST_MODIFIED]
        .iter()
        .map(|name| reply.header(name))
        .find(|value| !value.is_empty() && !value.starts_with("W/"))
}

fn unexpected(reply: &Incoming) -> Error {
    Error::new(Kind::Protocol, format!("unexpected status {}", reply.status()))
}

/// The reply of `appliances.get`. A field may be a number or a string, null, or missing.
fn read_info(body: &[u8], key: &str) -> Result<ApplianceInfo> {
    #[derive(Deserialize)]
    struct Fields {
        name: Option<serde_json::Value>,
        size: Option<serde_json::Value>,
    }
    let fields: Fields = serde_json::from_slice(body).map_err(|e| {
        Error::new(Kind::Protocol, "the server's description of the appliance cannot be read").source(e)
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
