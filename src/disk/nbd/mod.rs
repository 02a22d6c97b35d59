//! An export of an NBD server as a disk (NBD protocol, doc/proto.md of the NBD project).
//!
//! The client is our own: the fixed newstyle handshake with `NBD_OPT_GO`, structured replies, block status as
//! extents, zeros that are not sent, TLS, and as many requests in flight on each of a few connections as the
//! engine makes.
//!
//! ```text
//! NbdDisk ──► Pool ──► Connection ──► queue ──► Writer ──► server
//!               │           └──────── table ◄── Reader ◄──┘
//!             Opener (address, TLS, handshake)
//! ```
//!
//! A request stays in its connection's table until the server has answered it, whether anybody still waits or
//! not. A connection that ends takes its requests with it; the next attempt opens another. What had been
//! acknowledged and not flushed by then fails the next flush (`durability`).

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

/// The default of how many connections are opened to an export that allows several.
pub const DEFAULT_CONNECTIONS: usize = 4;

/// What to do after a flush that has failed.
const SEND_AGAIN: &str = "run the same command again: it sends what is not known to be safe";

/// How connections are to behave.
#[derive(Clone, Debug)]
pub struct NbdOptions {
    /// How long nothing may move on a connection before it is given up.
    pub idle: Duration,
    /// Bytes a second, all connections together, both ways.
    pub bandwidth: Bandwidth,
    /// The certificate authorities to trust, in PEM; without them, those of this machine.
    pub ca_pem: Option<Vec<u8>>,
    /// The most connections to an export that allows several.
    pub connections: usize,
    /// A dirty bitmap of QEMU's whose blocks are asked for in the place of zeros: [`ReadAt::extents`] says
    /// then what was not written to since it began.
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
    /// Reading and writing: an export that is read-only is refused.
    Write,
}

/// One export. Clones share their connections.
///
/// Requests keep to the block sizes of the server. A write whose ends are not aligned reads the blocks at its
/// ends, changes them and writes them back; such writes come one after the other, also with one that nobody
/// waits for any more. If its connection ends, the server may still carry it out later: writes that share a
/// block should not follow such an end, and only the last block of an image is ever written in part.
#[derive(Clone)]
pub struct NbdDisk {
    requests: Requests,
    info: Arc<DiskInfo>,
}

impl NbdDisk {
    /// Opens an export: one attempt.
    ///
    /// # Errors
    /// An export that the server does not have, that is read-only and opened for writing, or of which a part
    /// cannot be accessed; a connection that cannot be made; a server that is none.
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

    /// The same, known as `identity`.
    #[must_use]
    pub fn known_as(mut self, identity: Identity) -> Self {
        Arc::make_mut(&mut self.info).identity = Some(identity);
        self
    }

    /// What the server says of the export.
    pub fn export(&self) -> &Export {
        self.requests.pool().export()
    }
}

/// Lists the exports of a server, with what it tells of each: one attempt.
///
/// # Errors
/// A server that has no list, or keeps it to itself; a connection that cannot be made.
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

    /// A server tells of a new size when it is connected to, and of nothing else.
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
            Body::Gzip(_) | Body::Chunk(..) => refused("an NBD export takes bytes as they are"),
            Body::Raw(_) if len > self.info.write_limit => refused("a write is longer than the export takes"),
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

    /// Flushes every connection on which something was acknowledged since it was flushed last, at the same
    /// time. To be called by one at a time: that acknowledged writes may be gone is said once.
    fn flush(&self) -> Attempt<()> {
        let requests = self.requests.clone();
        Box::pin(async move {
            let pool = requests.pool();
            if !pool.export().features.flush() {
                // What is acknowledged is as safe as this server makes it.
                return Ok(());
            }
            let covers = pool.context().ledger.begin().map_err(|Lost| lost(pool.export()))?;
            if covers.is_empty() {
                // What an earlier run has written, and this one has only compared, may still be in the
                // server's memory.
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

/// The error of a flush that cannot vouch for what was acknowledged before it.
fn lost(export: &Export) -> Error {
    let what = format!(
        "a connection to {} ended, and what was written since the last flush may be lost: \
         the server may have been started anew",
        export.title()
    );
    Error::new(Kind::Io, what).hint(SEND_AGAIN)
}
