//! An export of an NBD server as a disk (NBD protocol, doc/proto.md of the NBD project).
//!
//! The client is our own: fixed newstyle handshake with `NBD_OPT_GO`, structured replies, block status as
//! extents, zeros without payload, TLS, and several connections with many requests in flight on each.
//!
//! ```text
//! NbdDisk ──► Pool ──► Connection ──► queue ──► Writer ──► server
//!               │           └──────── table ◄── Reader ◄──┘
//!             Opener (address, TLS, handshake)
//! ```
//!
//! A request stays in its connection's table until the server has answered it, whether or not a caller still
//! waits. A connection that ends takes its requests with it, and the next attempt opens another. Writes that
//! were acknowledged but not flushed by then fail the next flush (`durability`).

mod address;
mod assembly;
mod connection;
mod durability;
mod failure;
mod gauge;
mod handshake;
mod pool;
mod protocol;
mod reader;
mod reply;
mod requests;
mod socket;
mod statuses;
mod store;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use address::NbdAddress;
pub use handshake::ListedExport;
pub use protocol::{BlockSizes, Export, Features};
pub use store::Server;

use super::{
    Attempt, Body, Buffer, DiskInfo, Evidence, Extent, Identity, LocalRead, LocalWrite, ReadAt, Receipt,
    WriteAt, data_everywhere, no_evidence,
};
use crate::error::{Error, Kind, Result};
use crate::meters::Meters;
use crate::transport::deadlines::Deadlines;
use crate::transport::http::DEFAULT_IDLE;
use crate::transport::limit::Bandwidth;
use connection::Context;
use durability::{Ledger, Lost};
use pool::{Opener, Pool, ended_before_flush};
use requests::{Contents, Requests};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use table::longest_request;

/// The default number of connections to an export that allows several.
pub const DEFAULT_CONNECTIONS: usize = 4;

/// The hint for a failed flush.
const SEND_AGAIN: &str = "run the same command again to resend what may be lost";

/// The settings of the connections.
#[derive(Clone, Debug)]
pub struct NbdOptions {
    /// How long a connection may be idle before it is abandoned.
    pub idle: Duration,
    /// The bandwidth limits, shared by all connections.
    pub bandwidth: Bandwidth,
    /// The certificate authorities to trust, in PEM; those of this machine if `None`.
    pub ca_pem: Option<Vec<u8>>,
    /// The most connections to an export that allows several.
    pub connections: usize,
    /// A dirty bitmap of QEMU to query instead of allocation: [`ReadAt::extents`] then reports what was not
    /// written since the bitmap began.
    pub bitmap: Option<String>,
}

impl Default for NbdOptions {
    fn default() -> Self {
        Self {
            idle: DEFAULT_IDLE,
            bandwidth: Bandwidth::default(),
            ca_pem: None,
            connections: DEFAULT_CONNECTIONS,
            bitmap: None,
        }
    }
}

/// What a disk is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Reading.
    Read,
    /// Reading and writing. A read-only export is refused.
    Write,
}

/// An export. Clones share the connections.
///
/// Requests are aligned to the server's block sizes. A write with unaligned ends reads the blocks at its
/// ends, changes them and writes them back. Such writes are serialized, even after a write whose caller went
/// away. If a connection ends during one, the server may still carry it out later, so writes that share a
/// block should not follow such a failure; the engine writes only the last block of an image in part.
#[derive(Clone)]
pub struct NbdDisk {
    requests: Requests,
    info: Arc<DiskInfo>,
}

impl NbdDisk {
    /// Opens an export, in one attempt.
    ///
    /// # Errors
    /// Fails if the server has no such export, if the export is read-only but opened for writing, if a part
    /// of it cannot be accessed, or if the server cannot be reached or does not speak NBD.
    pub async fn open(
        address: &NbdAddress,
        access: Purpose,
        options: &NbdOptions,
        meters: Arc<Meters>,
    ) -> Result<Self> {
        let opener = Opener::new(address, options, access, context(options, meters))?;
        let pool = Arc::new(Pool::open(opener, options.connections).await?);
        let export = pool.export();
        let limit = u64::from(longest_request(export.block));
        let info = DiskInfo {
            read_limit: limit,
            write_limit: limit,
            volatile: export.features.flush(),
            ..DiskInfo::new(export.title(), export.size)
        };
        Ok(Self { requests: Requests::new(pool), info: Arc::new(info) })
    }

    /// Sets the identity.
    #[must_use]
    pub fn known_as(mut self, identity: Identity) -> Self {
        Arc::make_mut(&mut self.info).identity = Some(identity);
        self
    }

    /// Returns what the server says about the export.
    pub fn export(&self) -> &Export {
        self.requests.pool().export()
    }
}

/// Lists the exports of a server with their descriptions, in one attempt.
///
/// # Errors
/// Fails if the server does not list its exports or cannot be reached.
pub async fn list(address: &NbdAddress, options: &NbdOptions) -> Result<Vec<ListedExport>> {
    let opener = Opener::new(address, options, Purpose::Read, context(options, Arc::default()))?;
    let handshake = opener.begin().await?;
    opener.in_time(handshake.list()).await
}

fn context(options: &NbdOptions, meters: Arc<Meters>) -> Arc<Context> {
    Arc::new(Context {
        meters,
        bandwidth: options.bandwidth.clone(),
        deadlines: Deadlines::new(options.idle, options.bandwidth.clone()),
        ledger: Ledger::default(),
    })
}

impl ReadAt for NbdDisk {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn read_at(&self, offset: u64, len: u64, into: Buffer) -> Attempt<Buffer> {
        let (requests, inside) = (self.requests.clone(), self.info.check_range(offset, len));
        Box::pin(async move {
            inside?;
            requests.read(offset, len, into).await
        })
    }

    fn extents(&self, window: Range<u64>) -> Attempt<Vec<Extent>> {
        let inside = self.info.check_range(window.start, window.end.saturating_sub(window.start));
        if self.export().allocation.is_none() || inside.is_err() || window.is_empty() {
            return match inside {
                Ok(()) => data_everywhere(window),
                Err(error) => Box::pin(async { Err(error) }),
            };
        }
        let requests = self.requests.clone();
        Box::pin(async move { requests.extents(window).await })
    }

    /// A server reports a new size only to a new connection, and nothing else.
    fn changed(&self) -> Attempt<Option<Error>> {
        let changed = self.requests.pool().changed();
        Box::pin(async { Ok(changed) })
    }

    fn local(&self) -> Option<&dyn LocalRead> {
        None
    }
}

impl WriteAt for NbdDisk {
    fn info(&self) -> &DiskInfo {
        &self.info
    }

    fn write_at(&self, offset: u64, body: Body) -> Attempt<Receipt> {
        let requests = self.requests.clone();
        let len = body.bytes().len() as u64;
        let refused = |what: &str| Err(Error::new(Kind::Refused, what).offset(offset));
        let allowed = match &body {
            Body::Gzip(_) | Body::Chunk(..) => refused("an NBD export takes only unencoded bytes"),
            Body::Raw(_) if len > self.info.write_limit => {
                refused("a write is longer than the export's limit")
            }
            Body::Raw(_) => self.info.check_range(offset, len),
        };
        Box::pin(async move {
            allowed?;
            requests.write(offset, len, &Contents::Bytes(body.bytes().clone())).await?;
            Ok(Receipt::acknowledged())
        })
    }

    fn zero_at(&self, range: Range<u64>) -> Attempt<Option<Receipt>> {
        let len = range.end.saturating_sub(range.start);
        let (requests, inside) = (self.requests.clone(), self.info.check_range(range.start, len));
        Box::pin(async move {
            inside?;
            let zeroed = requests.write(range.start, len, &Contents::Zeros).await?;
            Ok(zeroed.then(Receipt::acknowledged))
        })
    }

    fn evidence(&self) -> Attempt<Evidence> {
        no_evidence()
    }

    /// Flushes every connection with acknowledged writes since its last flush, concurrently. Must not be
    /// called concurrently, because a loss of writes is reported once.
    fn flush(&self) -> Attempt<()> {
        let requests = self.requests.clone();
        Box::pin(async move {
            let pool = requests.pool();
            if !pool.export().features.flush() {
                // An acknowledged write is as safe as this server makes it.
                return Ok(());
            }
            let covers = pool.context().ledger.begin().map_err(|Lost| lost(pool.export()))?;
            if covers.is_empty() {
                // Writes of an earlier run, which this one only compared, may still be in the server's
                // memory.
                return requests.flush(&*pool.connection().await?, None).await;
            }
            let flushes = covers.into_iter().map(|covers| {
                let connection = pool.by_id(covers.connection);
                let requests = &requests;
                async move { requests.flush(&*connection.ok_or_else(ended_before_flush)?, Some(covers)).await }
            });
            futures_util::future::try_join_all(flushes).await?;
            Ok(())
        })
    }

    fn local(&self) -> Option<&dyn LocalWrite> {
        None
    }
}

/// Returns the error of a flush that cannot cover all writes acknowledged before it.
fn lost(export: &Export) -> Error {
    let what = format!(
        "a connection to {} ended, and what was written since the last flush may be lost: \
         the server may have been restarted",
        export.title()
    );
    Error::new(Kind::Io, what).hint(SEND_AGAIN)
}
