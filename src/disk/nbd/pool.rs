//! The connections to an export, opened on demand and replaced when they end.

use super::address::NbdAddress;
use super::connection::{Connection, Context};
use super::durability::ConnectionId;
use super::failure::disconnected;
use super::handshake::Handshake;
use super::protocol::{ALLOCATION, DIRTY_BITMAP, Export};
use super::socket::{Socket, Tls};
use super::{NbdOptions, Purpose};
use crate::error::{Error, Kind, Result};
use crate::transport::deadlines::from_now;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(15);

/// Opens connections.
pub(super) struct Opener {
    address: NbdAddress,
    tls: Option<Tls>,
    limit: Duration,
    access: Purpose,
    /// The metadata context to request.
    wanted: String,
    pub(super) context: Arc<Context>,
}

/// The connections to an export.
pub(super) struct Pool {
    opener: Arc<Opener>,
    /// The export as the first connection saw it; later connections must see the same.
    export: Export,
    state: Mutex<State>,
    /// Held while a connection is opened that requests wait for.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    live: Vec<Arc<Connection>>,
    /// The most connections.
    most: usize,
    /// Whether a further connection is being opened.
    widening: bool,
    /// The number of failed attempts to connect, and the last failure.
    failures: u64,
    failure: Option<Failure>,
    /// How the export changed.
    changed: Option<String>,
}

/// An error that is shared by everybody who waited for the same attempt.
#[derive(Clone)]
struct Failure {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

impl Failure {
    fn of(error: &Error) -> Self {
        Self { kind: error.kind(), message: error.to_string(), hint: error.hint_text().map(str::to_owned) }
    }

    fn error(self) -> Error {
        let error = Error::new(self.kind, self.message);
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

impl Opener {
    /// Creates an opener for an export.
    pub(super) fn new(
        address: &NbdAddress,
        options: &NbdOptions,
        access: Purpose,
        context: Arc<Context>,
    ) -> Result<Self> {
        let tls = Tls::new(address, options)?;
        let limit = options.idle.max(Duration::from_secs(1));
        let wanted = match &options.bitmap {
            Some(bitmap) => format!("{DIRTY_BITMAP}{bitmap}"),
            None => ALLOCATION.to_owned(),
        };
        Ok(Self { address: address.clone(), tls, limit, access, wanted, context })
    }

    /// Connects and begins the handshake.
    pub(super) async fn begin(&self) -> Result<Handshake> {
        let late = |_| Error::new(Kind::Timeout, format!("cannot connect to {}: no reply", self.address));
        let connecting = Socket::connect(&self.address);
        let socket = tokio::time::timeout(CONNECT.min(self.limit), connecting).await.map_err(late)??;
        self.in_time(Handshake::begin(socket, self.tls.as_ref())).await
    }

    /// Runs a part of the handshake with a deadline.
    pub(super) async fn in_time<T>(&self, part: impl Future<Output = Result<T>>) -> Result<T> {
        if let Ok(done) = tokio::time::timeout_at(from_now(self.limit), part).await {
            return done.map_err(|e| e.context(&self.address));
        }
        let what = format!("{}: the server stopped responding in the handshake", self.address);
        Err(Error::new(Kind::Timeout, what)
            .hint("the server may have reached its limit of clients: see `--shared` of qemu-nbd"))
    }

    /// Opens a connection to the export. Writes are refused later if the export is read-only.
    async fn open(&self) -> Result<(Socket, Export)> {
        let handshake = self.begin().await?;
        let (socket, export) = self.in_time(handshake.open(self.address.export(), &self.wanted)).await?;
        if self.access == Purpose::Write {
            refuse_read_only(&export)?;
        }
        let minimum = u64::from(export.block.minimum);
        let tail = export.size % minimum;
        if tail != 0 {
            let what = format!(
                "{} has {} bytes and can only be accessed in blocks of {minimum}, so its last {tail} cannot be reached",
                export.title(),
                export.size
            );
            return Err(Error::new(Kind::Refused, what).hint(
                "configure smaller blocks on the server, or resize the image to a multiple of its block size",
            ));
        }
        Ok((socket, export))
    }
}

impl Pool {
    /// Opens the first connection.
    pub(super) async fn open(opener: Opener, connections: usize) -> Result<Self> {
        let (socket, export) = opener.open().await?;
        let first = Connection::start(socket, export.clone(), &opener.context);
        let most = if export.features.multi_conn() { connections.max(1) } else { 1 };
        let state = State { live: vec![Arc::new(first)], most, ..State::default() };
        Ok(Self {
            opener: Arc::new(opener),
            export,
            state: Mutex::new(state),
            opening: tokio::sync::Mutex::default(),
        })
    }

    /// Returns the export as it was when the disk was opened.
    pub(super) fn export(&self) -> &Export {
        &self.export
    }

    /// Returns the state that all connections share.
    pub(super) fn context(&self) -> &Context {
        &self.opener.context
    }

    /// Returns the connection with the least load. If there is none, makes one attempt to open one, which all
    /// callers share.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<Arc<Connection>> {
        if let Some(connection) = self.least_busy() {
            return Ok(connection);
        }
        let failures = self.state().failures;
        let _one_at_a_time = self.opening.lock().await;
        if let Some(connection) = self.least_busy() {
            return Ok(connection);
        }
        {
            let state = self.state();
            if state.failures != failures
                && let Some(failure) = state.failure.clone()
            {
                return Err(failure.error());
            }
        }
        let opened = self.opener.open().await.and_then(|(socket, export)| self.admit(socket, export));
        if let Err(error) = &opened {
            let mut state = self.state();
            state.failures += 1;
            state.failure = Some(Failure::of(error));
        }
        opened
    }

    /// Returns a connection by its id, if it still exists.
    pub(super) fn by_id(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.state().live.iter().find(|connection| connection.id() == id).cloned()
    }

    /// Returns the number of usable connections.
    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.state().live.iter().filter(|connection| connection.is_usable()).count()
    }

    /// Returns how the export changed since it was opened, as seen by a later connection.
    pub(super) fn changed(&self) -> Option<Error> {
        self.state().changed.clone().map(|how| self.changed_error(&how))
    }

    fn changed_error(&self, how: &str) -> Error {
        let what = format!("{} changed during the transfer: {how}", self.export.title());
        Error::new(Kind::Source, what).hint("stop whatever changes it, then start over with `--restart`")
    }

    /// Adds a connection if it sees the export unchanged.
    fn admit(&self, socket: Socket, export: Export) -> Result<Arc<Connection>> {
        if let Some(how) = self.export.difference(&export) {
            let error = self.changed_error(&how);
            self.state().changed = Some(how);
            return Err(error);
        }
        let connection = Arc::new(Connection::start(socket, export, &self.opener.context));
        self.state().live.push(Arc::clone(&connection));
        Ok(connection)
    }

    fn least_busy(self: &Arc<Self>) -> Option<Arc<Connection>> {
        let mut state = self.state();
        state.live.retain(|connection| connection.is_usable());
        let least = state.live.iter().min_by_key(|connection| connection.load())?;
        let least = Arc::clone(least);
        if least.load().1 > 0 && state.live.len() < state.most && !state.widening {
            state.widening = true;
            tokio::spawn(widen(Arc::downgrade(self), Arc::clone(&self.opener)));
        }
        Some(least)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a further connection in the background. No request waits for it, because a server at its limit of
/// clients may not reply. After a failure it is not tried again.
async fn widen(pool: Weak<Pool>, opener: Arc<Opener>) {
    let another = opener.open().await;
    let Some(pool) = pool.upgrade() else { return };
    let admitted = another.and_then(|(socket, export)| pool.admit(socket, export));
    let mut state = pool.state();
    state.widening = false;
    if let Err(error) = admitted {
        state.most = state.live.len().max(1);
        tracing::debug!(%error, connections = state.most, "no further NBD connection");
    }
}

/// Returns the error for a flush whose connection ended first.
pub(super) fn ended_before_flush() -> Error {
    disconnected("the connection to the NBD server ended before it was flushed")
}

/// Returns an error if an export is read-only.
pub(super) fn refuse_read_only(export: &Export) -> Result<()> {
    if !export.features.read_only() {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, format!("{} is read-only", export.title()))
        .hint("export it without `--read-only` or `-r`, from a writable file"))
}
