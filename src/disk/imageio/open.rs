//! Opening an image: what its server can do, how large it is, and by which way it is reached.

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

/// How long a server on this machine may take to say what it can do, before it is reached as any other.
const LOCAL_ANSWER: Duration = Duration::from_secs(5);

impl ImageioDisk {
    /// Opens the image of `ticket` on the server at `base`, which is `https://HOST:54322/images/`; `/images/`
    /// may be left out.
    ///
    /// If the server says that it listens on a unix socket, and both are on this machine, that is used from
    /// then on; it is faster and costs less (docs/images.md, "`unix_socket`"). Whether plain http may be used
    /// to elsewhere is for the caller to know.
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
            // Another server may listen there, if the port of this machine leads to another one's; or nothing
            // may answer.
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

/// What an image is called: by its server, and by a digest of its ticket that tells it from others and gives
/// nothing away.
fn name(base: &Url, ticket: &str) -> String {
    let digest = blake3::hash(ticket.as_bytes()).to_hex();
    format!("image {} of {}", &digest[..8], base.host_str().unwrap_or_default())
}

/// The size of an image, in one attempt: what can be read of it.
///
/// The server has no request for it: HEAD is answered with 405, and the list of extents covers what the
/// storage has, which may be more than the ticket allows. So one byte is asked for at the start, whose
/// `Content-Range` has the ticket's size, and one at its end. Where the storage has less, the answer is 416
/// with what there is (`_internal/validate.py`, `available_range`).
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
        _ => Err(Error::new(Kind::Protocol, "the server says two different sizes of the image")),
    }
}

/// The size by the length of the whole, which is not read: for servers that leave the size out of
/// `Content-Range`, as docs/images.md, "GET" has it.
async fn whole_length(transfer: &Transfer) -> Result<u64> {
    let request = Request { expected: u64::MAX, headers: octets(), ..Request::new(Method::GET, "") };
    let answer = transfer.granted(transfer.send(request).await?, 200).await?;
    answer.length().filter(|length| (1..=i64::MAX.unsigned_abs()).contains(length)).ok_or_else(|| {
        Error::new(Kind::Protocol, "the server does not say how large the image is, or that it is empty")
    })
}

/// What is said of a place.
enum Probe {
    /// Its byte is there, in an image of this size.
    Byte(Option<u64>),
    /// The image has only so many bytes.
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

/// The error for a range that is not the one that was asked for.
pub(super) fn other_range(first: u64, last: u64, headers: &HeaderMap) -> Error {
    let got = text(headers, header::CONTENT_RANGE.as_str());
    let got: String = got.chars().take(100).collect();
    Error::new(Kind::Protocol, format!("the server sends {got:?} where bytes {first}-{last} were asked for"))
}
