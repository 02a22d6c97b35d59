//! Opens an image: queries the server's features, the size of the image, and how to reach the server.

use super::server::ServerFeatures;
use super::transfer::{ContentRange, Request, Transfer};
use super::{ImageioDisk, Inner, Zeros};
use crate::disk::DiskInfo;
use crate::error::{Error, Kind, Result};
use crate::meters::Meters;
use crate::transport::address;
use crate::transport::client::{Options, octets, text};
use crate::transport::retry::Retry;
use reqwest::header::{self, HeaderMap};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long a local server may take to report its features before it is used over TCP.
const LOCAL_ANSWER: Duration = Duration::from_secs(5);

impl ImageioDisk {
    /// Opens the image of `ticket` on the server at `base`, which is `https://HOST:54322/images/`; `/images/`
    /// may be omitted.
    ///
    /// If the server reports a Unix socket and is on this machine, the socket is used from then on, because
    /// it is faster (docs/images.md, "`unix_socket`"). The caller decides whether plain http is allowed.
    pub async fn open(
        mut base: Url,
        ticket: &SecretString,
        mut options: Options,
        meters: Arc<Meters>,
        retry: &Retry,
    ) -> Result<Self> {
        if base.path() == "/" {
            base.set_path("/images/");
        }
        let ticket = ticket.expose_secret();
        let name = name(&base, ticket);
        let mut transfer = Transfer::new(base.clone(), ticket, &options, Arc::clone(&meters))?;
        let what = format!("opening {name}");
        let mut features = retry.run(&what, None, async || ServerFeatures::ask(&transfer).await).await?;
        if options.socket.is_none()
            && address::is_loopback(&base)
            && let Some(socket) = features.reachable_socket().await
        {
            options.socket = Some(socket.to_owned());
            let mut local = base.clone();
            let plain = local.set_scheme("http").is_ok() && local.set_host(Some("localhost")).is_ok();
            let local = Transfer::new(local, ticket, &options, meters)?;
            // Another server may listen there, if the port is forwarded to another machine, or the server may
            // not reply.
            let asked = async { ServerFeatures::ask(&local).await.ok() };
            if plain && let Ok(Some(same)) = tokio::time::timeout(LOCAL_ANSWER, asked).await {
                (transfer, features) = (local, same);
            }
        }
        let size = retry.run(&what, None, async || size(&transfer).await).await?;
        let info = DiskInfo {
            readers: features.max_readers,
            writers: features.max_writers,
            volatile: features.flush,
            ..DiskInfo::new(name, size)
        };
        let inner = Inner {
            reads: Semaphore::new(features.max_readers),
            writes: Semaphore::new(features.max_writers),
            transfer,
            features,
            zeros: Mutex::new(Zeros::default()),
            fetching: tokio::sync::Mutex::default(),
            failed: AtomicBool::new(false),
            flushing: tokio::sync::Mutex::default(),
            unflushed: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner), info: Arc::new(info) })
    }
}

/// Returns the name of an image: its server, and a digest of its ticket that identifies it and reveals
/// nothing.
fn name(base: &Url, ticket: &str) -> String {
    let digest = blake3::hash(ticket.as_bytes()).to_hex();
    format!("image {} of {}", &digest[..8], base.host_str().unwrap_or_default())
}

/// Returns the readable size of an image, in one attempt.
///
/// The server has no request for it. HEAD is answered with 405, and the list of extents covers the storage,
/// which may exceed the ticket. So one byte is read at the start, whose `Content-Range` has the ticket's
/// size, and one at the end. If the storage is shorter, the reply is 416 with its size
/// (`_internal/validate.py`, `available_range`).
async fn size(transfer: &Transfer) -> Result<u64> {
    let empty = || Error::new(Kind::Source, "the image is empty");
    let ticket = match probe(transfer, 0).await? {
        Probe::Byte(Some(size)) => size,
        Probe::Byte(None) => return whole_length(transfer).await,
        Probe::Only(_) => return Err(empty()),
    };
    match probe(transfer, ticket - 1).await? {
        Probe::Byte(Some(size)) if size == ticket => Ok(ticket),
        Probe::Only(0) => Err(empty()),
        Probe::Only(size) if size < ticket => Ok(size),
        _ => Err(Error::new(Kind::Protocol, "the server reports two different sizes of the image")),
    }
}

/// Returns the size by the length of the whole image, without reading it: for servers that omit the size in
/// `Content-Range`, as in docs/images.md, "GET".
async fn whole_length(transfer: &Transfer) -> Result<u64> {
    let request = Request { expected: u64::MAX, headers: octets(), ..Request::new(Method::GET, "") };
    let answer = transfer.granted(transfer.send(request).await?, 200).await?;
    answer
        .length()
        .filter(|length| (1..=i64::MAX.unsigned_abs()).contains(length))
        .ok_or_else(|| Error::new(Kind::Protocol, "the server does not report the size of the image"))
}

/// The result of reading one byte.
enum Probe {
    /// The byte exists, in an image of this size if known.
    Byte(Option<u64>),
    /// The image has only this many bytes.
    Only(u64),
}

async fn probe(transfer: &Transfer, at: u64) -> Result<Probe> {
    let answer = transfer.get(at, at).await?;
    if answer.status() == 416
        && let Some(size) = ContentRange::available(answer.headers())
    {
        return Ok(Probe::Only(size));
    }
    let mut answer = transfer.granted(answer, 206).await?;
    match ContentRange::of(answer.headers()) {
        Some(range) if (range.first, range.last) == (at, at) => {
            answer.exactly(1, &mut Vec::new()).await?;
            Ok(Probe::Byte(range.size))
        }
        _ => Err(other_range(at, at, answer.headers())),
    }
}

/// Returns the error for another range than requested.
pub(super) fn other_range(first: u64, last: u64, headers: &HeaderMap) -> Error {
    let got = text(headers, header::CONTENT_RANGE.as_str());
    let got: String = got.chars().take(100).collect();
    Error::new(Kind::Protocol, format!("the server sent {got:?}, expected bytes {first}-{last}"))
}
