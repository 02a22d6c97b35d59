//! One connection in the transmission phase: the requests that are under way on it, told apart by their cookies.

use super::assembly::Assembly;
use super::durability::{ConnectionId, Covers, Ledger};
use super::failure::{Death, ESHUTDOWN, Refusal, disconnected};
use super::gauge::{Gauge, Look};
use super::protocol::{Command, Export};
use super::reader::Reader;
use super::socket::Socket;
use super::statuses::Statuses;
use super::writer::{Outgoing, Writer};
use crate::error::{Error, Kind, Result};
use crate::meters::Meters;
use crate::transport::limit::Bandwidth;
use crate::transport::patience::{Patience, from_now};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, mpsc, oneshot};
use tokio::time::Instant;

/// How fast a server is taken to be, at the least, at making safe what it has acknowledged, in bytes a second: a disk that does
/// nothing but seek.
const SLOWEST_FLUSH: u64 = 2 << 20;

/// No flush is waited for longer than this without a sign of life.
const LONGEST_FLUSH: Duration = Duration::from_mins(15);

/// How long a server may take to close a connection after a farewell.
const FAREWELL: Duration = Duration::from_secs(5);

/// What holds the edges of unaligned writes apart; see [`NbdDisk`](super::NbdDisk).
pub(super) type EdgeGuard = Arc<OwnedMutexGuard<()>>;

/// What a request is, and where its answer goes.
pub(super) struct Request {
    pub(super) command: Command,
    pub(super) offset: u64,
    pub(super) length: u32,
    /// The bytes of a write.
    pub(super) body: Bytes,
    pub(super) payload: Payload,
    /// Held until the server has answered, also if nobody waits for that any more.
    pub(super) guard: Option<EdgeGuard>,
}

/// What an answer brings.
#[derive(Debug)]
pub(super) enum Payload {
    /// Nothing but the news.
    None,
    /// The bytes of a read.
    Data(Assembly),
    /// Block descriptors.
    Statuses(Statuses),
    /// The news that so much is safe.
    Safe(Covers),
}

/// How a request ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Done(Payload),
    /// The server said no.
    Refused(Refusal),
    /// There is no answer, or none that makes sense.
    Failed(Error),
}

/// A request whose answer is not complete.
pub(super) struct Pending {
    pub(super) command: Command,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) payload: Payload,
    /// The first error that the server has reported.
    pub(super) refusal: Option<Refusal>,
    pub(super) refusals: u32,
    outcome: oneshot::Sender<Outcome>,
    _guard: Option<EdgeGuard>,
    body: u64,
    started: Instant,
    sent: Option<Instant>,
    replied: bool,
    /// Bytes of bodies that the server had not acknowledged when this was queued, with its own.
    ahead: u64,
    deadline: Instant,
    /// Its bytes among those that are [`Meters::partial`].
    partial: u64,
}

/// A connection. It says goodbye and ends when it is dropped, after what is under way.
pub(super) struct Connection {
    shared: Arc<Shared>,
    queue: mpsc::UnboundedSender<Outgoing>,
}

/// What a connection, its reader and its writer share.
pub(super) struct Shared {
    pub(super) id: ConnectionId,
    pub(super) export: Export,
    pub(super) context: Arc<Context>,
    pub(super) gauge: Gauge,
    table: Mutex<Table>,
    /// Whether the server is about to go.
    retiring: AtomicBool,
}

/// What all connections of a disk share.
pub(super) struct Context {
    pub(super) meters: Arc<Meters>,
    pub(super) bandwidth: Bandwidth,
    pub(super) patience: Patience,
    pub(super) ledger: Ledger,
}

#[derive(Default)]
struct Table {
    next: u64,
    pending: HashMap<u64, Pending>,
    /// The deadline of the request whose reply is being read.
    reading: Option<Instant>,
    /// Bytes of bodies that were queued and not acknowledged.
    unacknowledged: u64,
    /// Bytes of reads that were queued and not answered.
    expected: u64,
    death: Option<Death>,
}

impl Connection {
    /// Starts to read and to write. Needs a runtime.
    pub(super) fn start(socket: Socket, export: Export, context: &Arc<Context>) -> Self {
        let (reading, writing) = socket.split();
        let (queue, requests) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            id: context.ledger.opened(),
            export,
            context: Arc::clone(context),
            gauge: Gauge::new(),
            table: Mutex::default(),
            retiring: AtomicBool::new(false),
        });
        let reader = Reader::new(reading, Arc::clone(&shared));
        let writer = Writer::new(writing, requests, Arc::clone(&shared));
        tokio::spawn(run(Arc::clone(&shared), reader, writer));
        Self { shared, queue }
    }

    /// Makes a request and waits for its answer. If this is dropped, the answer is read and thrown away.
    pub(super) async fn ask(&self, request: Request) -> Outcome {
        match self.submit(request) {
            Ok(outcome) => outcome.await.unwrap_or_else(|_| {
                Outcome::Failed(disconnected("the connection to the NBD server was given up"))
            }),
            Err(error) => Outcome::Failed(error),
        }
    }

    fn submit(&self, request: Request) -> Result<oneshot::Receiver<Outcome>> {
        let (sender, receiver) = oneshot::channel();
        let Request { command, offset, length, body, payload, guard } = request;
        let expected = if command == Command::Read { u64::from(length) } else { 0 };
        let sent = body.len() as u64;
        let mut table = self.shared.table();
        if let Some(death) = &table.death {
            return Err(death.error());
        }
        if table.is_idle() {
            self.shared.gauge.touch();
        }
        let cookie = table.next;
        table.next += 1;
        table.unacknowledged += sent;
        table.expected += expected;
        let context = &self.shared.context;
        let mut patience = context.patience.attempt(table.unacknowledged, table.expected);
        if command == Command::Flush {
            patience = patience.saturating_add(self.shared.flush_time());
        }
        let pending = Pending {
            command,
            offset,
            length,
            payload,
            refusal: None,
            refusals: 0,
            outcome: sender,
            _guard: guard,
            body: sent,
            started: Instant::now(),
            sent: None,
            replied: false,
            ahead: table.unacknowledged,
            deadline: from_now(patience),
            partial: 0,
        };
        table.pending.insert(cookie, pending);
        drop(table);
        let outgoing = Outgoing { header: command.header(cookie, offset, length), body, cookie };
        // A writer that is gone has left word why, or is about to.
        let _ = self.queue.send(outgoing);
        Ok(receiver)
    }

    /// The id in the ledger.
    pub(super) fn id(&self) -> ConnectionId {
        self.shared.id
    }

    /// The export, as this connection sees it.
    pub(super) fn export(&self) -> &Export {
        &self.shared.export
    }

    /// Whether new requests can be made.
    pub(super) fn is_usable(&self) -> bool {
        !self.shared.retiring.load(Ordering::Acquire) && self.shared.table().death.is_none()
    }

    /// How much is under way.
    pub(super) fn load(&self) -> (u64, usize) {
        let table = self.shared.table();
        (table.unacknowledged + table.expected, table.pending.len())
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request is still wanted that was not begun to be sent; it is forgotten if not.
    pub(super) fn is_wanted(&self, cookie: u64) -> bool {
        let mut table = self.table();
        match table.pending.get(&cookie) {
            None => return false,
            Some(pending) if !pending.outcome.is_closed() => return true,
            Some(_) => {}
        }
        if let Some(forgotten) = table.pending.remove(&cookie) {
            self.settle(&mut table, &forgotten);
        }
        false
    }

    /// So many bytes of a request's body were sent, maybe the last of them.
    pub(super) fn sent(&self, cookie: u64, bytes: usize, all: bool) {
        self.context.meters.wire.fetch_add(bytes as u64, Ordering::Relaxed);
        let mut table = self.table();
        let Some(pending) = table.pending.get_mut(&cookie) else { return };
        pending.partial += bytes as u64;
        self.context.meters.partial.fetch_add(bytes as u64, Ordering::Relaxed);
        if all {
            pending.sent = Some(Instant::now());
            Meters::time(&self.context.meters.moving_ns, pending.started.elapsed());
        }
    }

    /// So many bytes of a request's answer came.
    pub(super) fn came(&self, pending: &mut Pending, bytes: usize) {
        self.gauge.moved(bytes);
        pending.partial += bytes as u64;
        self.context.meters.wire.fetch_add(bytes as u64, Ordering::Relaxed);
        self.context.meters.partial.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Takes out the request that a reply answers. It has to be put back, or to be answered.
    pub(super) fn take(&self, cookie: u64) -> Option<Pending> {
        let mut table = self.table();
        let mut pending = table.pending.remove(&cookie)?;
        table.reading = Some(pending.deadline);
        drop(table);
        if !std::mem::replace(&mut pending.replied, true)
            && let Some(sent) = pending.sent
        {
            Meters::time(&self.context.meters.waiting_ns, sent.elapsed());
        }
        Some(pending)
    }

    /// Puts a request back whose answer goes on.
    pub(super) fn put_back(&self, cookie: u64, pending: Pending) {
        let mut table = self.table();
        table.reading = None;
        table.pending.insert(cookie, pending);
    }

    /// Ends a request as the server has answered it.
    pub(super) fn answer(&self, mut pending: Pending) {
        self.gauge.answered();
        self.end(&pending);
        let outcome = if let Some(refusal) = pending.refusal.take() {
            if refusal.number == ESHUTDOWN {
                self.retiring.store(true, Ordering::Release);
            }
            Outcome::Refused(refusal)
        } else {
            if pending.body > 0 {
                self.context.patience.learn(pending.ahead, pending.started.elapsed());
            }
            // Before anybody hears of it: who builds on a receipt must find it in the ledger.
            if pending.command.writes() {
                self.context.ledger.acknowledged(self.id, pending.body);
            }
            if let Payload::Safe(covers) = pending.payload {
                self.context.ledger.flushed(covers);
            }
            Outcome::Done(pending.payload)
        };
        // Nobody may be waiting any more.
        let _ = pending.outcome.send(outcome);
    }

    /// Ends a request whose answer makes no sense.
    pub(super) fn fail(&self, pending: Pending, error: Error) {
        self.end(&pending);
        let _ = pending.outcome.send(Outcome::Failed(error));
    }

    /// The request that was taken out is over.
    fn end(&self, pending: &Pending) {
        let mut table = self.table();
        table.reading = None;
        self.settle(&mut table, pending);
    }

    fn settle(&self, table: &mut Table, pending: &Pending) {
        table.unacknowledged = table.unacknowledged.saturating_sub(pending.body);
        table.expected = table.expected.saturating_sub(pending.expected());
        self.context.meters.partial.fetch_sub(pending.partial, Ordering::Relaxed);
    }

    /// How long a flush may take beyond the usual.
    fn flush_time(&self) -> Duration {
        let volatile = self.context.ledger.volatile(self.id);
        Duration::from_secs(volatile / SLOWEST_FLUSH).min(LONGEST_FLUSH)
    }

    /// Ends when something that is waited for has stalled, or takes longer than anything may.
    async fn stalled(&self) -> Death {
        let (patience, mut look) = (&self.context.patience, Look::default());
        let tick = (patience.idle() / 4).max(Duration::from_millis(10));
        loop {
            tokio::time::sleep(tick).await;
            let (silence, overdue) = {
                let table = self.table();
                if table.is_idle() {
                    self.gauge.rest(&mut look);
                    continue;
                }
                let mut silence = patience.after_sending(table.unacknowledged);
                if table.pending.values().any(|pending| pending.command == Command::Flush) {
                    silence = silence.saturating_add(self.flush_time());
                }
                let deadlines = table.pending.values().map(|pending| pending.deadline);
                let first = deadlines.chain(table.reading).min();
                (silence, first.is_some_and(|deadline| deadline <= Instant::now()))
            };
            if self.gauge.is_stalled(&mut look, silence) || overdue {
                patience.doubt();
                let idle = patience.idle();
                return Death::new(
                    Kind::Timeout,
                    format!("the connection stalled (next to nothing moved for {idle:?})"),
                );
            }
        }
    }

    /// The connection is over: nothing can be asked any more, and what is under way is told so.
    fn die(&self, death: &Death) {
        let left = {
            let mut table = self.table();
            table.death = Some(death.clone());
            std::mem::take(&mut table.pending)
        };
        // Before any request is told: a flush after it has to know.
        self.context.ledger.closed(self.id);
        for pending in left.into_values() {
            self.fail(pending, death.error());
        }
    }

    fn is_idle(&self) -> bool {
        self.table().is_idle()
    }
}

impl Pending {
    fn expected(&self) -> u64 {
        if self.command == Command::Read { u64::from(self.length) } else { 0 }
    }
}

impl Table {
    fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.reading.is_none()
    }
}

/// Tells what is under way that the connection is over, also when its task is dropped with its runtime.
struct Undertaker(Arc<Shared>, Option<Death>);

impl Drop for Undertaker {
    fn drop(&mut self) {
        let dropped = || Death::new(Kind::Connection, "the connection to the NBD server was given up");
        let death = self.1.take().unwrap_or_else(dropped);
        tracing::debug!(connection = self.0.id, why = death.message, "an NBD connection ended");
        self.0.die(&death);
    }
}

/// Runs a connection until it ends.
async fn run(shared: Arc<Shared>, mut reader: Reader, writer: Writer) {
    let mut undertaker = Undertaker(Arc::clone(&shared), None);
    let mut writing = tokio::spawn(writer.run());
    let death = tokio::select! {
        death = reader.run() => death,
        death = shared.stalled() => death,
        death = writing_ended(&shared, &mut writing) => death,
    };
    writing.abort();
    undertaker.1 = Some(death.clone());
    drop(undertaker);
    if let Some((pending, violation)) = reader.into_unfinished() {
        shared.fail(pending, violation.unwrap_or_else(|| death.error()));
    }
}

/// Why writing came to an end; if that is because nobody has anything to ask any more, once everything is answered.
async fn writing_ended(
    shared: &Shared,
    writing: &mut tokio::task::JoinHandle<std::io::Result<()>>,
) -> Death {
    match writing.await {
        Ok(Ok(())) => {
            // The server closes it once it has answered everything, which is seen by the reader.
            loop {
                tokio::time::sleep(FAREWELL).await;
                if shared.is_idle() {
                    break;
                }
            }
            Death::new(Kind::Connection, "the connection to the NBD server was closed")
        }
        Ok(Err(error)) => error.into(),
        Err(_) => Death::new(Kind::Connection, "the connection to the NBD server was given up"),
    }
}
