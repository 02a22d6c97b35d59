//! A connection in the transmission phase: a writer sends requests, a reader receives replies, and a table
//! holds the requests in flight.

use super::durability::{ConnectionId, Ledger};
use super::failure::{Death, ESHUTDOWN, disconnected};
use super::gauge::{Gauge, Look};
use super::protocol::{Command, Export};
use super::reader::{Ended, Reader};
use super::socket::Socket;
use super::table::{Outcome, Payload, Pending, Reply, Request, Table, part_size};
use super::writer::{Outgoing, Writer};
use crate::error::{Kind, Result};
use crate::meters::Meters;
use crate::transport::deadlines::{Deadlines, from_now};
use crate::transport::limit::Bandwidth;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The lowest speed at which a server is expected to make acknowledged writes safe, in bytes per second: a
/// disk that only seeks.
const SLOWEST_FLUSH: u64 = 2 << 20;

/// The longest extension of a flush's deadline.
const LONGEST_FLUSH: Duration = Duration::from_mins(15);

/// How long a server may take to close a connection after a disconnect request.
const FAREWELL: Duration = Duration::from_secs(5);

/// A connection. When it is dropped, it disconnects after the requests in flight.
pub(super) struct Connection {
    shared: Arc<Shared>,
    queue: mpsc::UnboundedSender<Outgoing>,
}

/// The state that a connection, its reader and its writer share.
pub(super) struct Shared {
    id: ConnectionId,
    pub(super) export: Export,
    pub(super) context: Arc<Context>,
    pub(super) gauge: Gauge,
    table: Mutex<Table>,
    /// Whether the server is shutting down.
    retiring: AtomicBool,
}

/// The state that all connections of a disk share.
pub(super) struct Context {
    pub(super) meters: Arc<Meters>,
    pub(super) bandwidth: Bandwidth,
    pub(super) deadlines: Deadlines,
    pub(super) ledger: Ledger,
}

impl Connection {
    /// Starts the reader and the writer. Must be called in a runtime.
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

    /// Makes a request and waits for its reply. If this is dropped, the reply is read and discarded.
    pub(super) async fn ask(&self, request: Request) -> Outcome {
        match self.submit(request) {
            Ok(outcome) => outcome.await.unwrap_or_else(|_| {
                Outcome::Failed(disconnected("the connection to the NBD server was abandoned"))
            }),
            Err(death) => Outcome::Failed(death.error()),
        }
    }

    fn submit(&self, request: Request) -> Result<oneshot::Receiver<Outcome>, Death> {
        let (sender, receiver) = oneshot::channel();
        let shared = &self.shared;
        let part = match request.command {
            Command::Read | Command::Write => part_size(shared.export.block),
            // Requests without payload have no limit.
            _ => u32::MAX,
        };
        let extra = if request.command == Command::Flush { shared.flush_time() } else { Duration::ZERO };
        let mut table = shared.table();
        if let Some(death) = &table.death {
            return Err(death.clone());
        }
        if table.all().len() == 0 {
            shared.gauge.touch();
        }
        let deadlines = &shared.context.deadlines;
        let deadline = |table: &Table| {
            from_now(deadlines.attempt(table.unacknowledged, table.expected).saturating_add(extra))
        };
        for outgoing in table.enter(request, part, sender, deadline) {
            // If the writer is gone, it has reported why or is about to.
            let _ = self.queue.send(outgoing);
        }
        Ok(receiver)
    }

    /// Returns the id in the ledger.
    pub(super) fn id(&self) -> ConnectionId {
        self.shared.id
    }

    /// Returns the export as this connection sees it.
    pub(super) fn export(&self) -> &Export {
        &self.shared.export
    }

    /// Returns whether new requests can be made.
    pub(super) fn is_usable(&self) -> bool {
        !self.shared.retiring.load(Ordering::Acquire) && self.shared.table().death.is_none()
    }

    /// Returns the load: bytes and requests in flight.
    pub(super) fn load(&self) -> (u64, usize) {
        let table = self.shared.table();
        (table.unacknowledged + table.expected, table.all().len())
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether a caller waits for a part that was not begun. If not, the part is removed.
    pub(super) fn is_wanted(&self, cookie: u64) -> bool {
        let (wanted, forgotten) = self.table().is_wanted(cookie);
        if let Some(forgotten) = forgotten {
            self.settle(&forgotten);
        }
        wanted
    }

    /// Notes that bytes of a part's body were sent; `all` if they are the last.
    pub(super) fn sent(&self, cookie: u64, bytes: usize, all: bool) {
        let (meters, bytes) = (&self.context.meters, bytes as u64);
        meters.wire.fetch_add(bytes, Ordering::Relaxed);
        meters.partial.fetch_add(bytes, Ordering::Relaxed);
        if let Some(took) = self.table().sent(cookie, bytes, all) {
            Meters::time(&meters.moving_ns, took);
        }
    }

    /// Notes that bytes of a reply arrived.
    pub(super) fn came(&self, cookie: u64, bytes: usize) {
        self.gauge.moved(bytes);
        let (meters, bytes) = (&self.context.meters, bytes as u64);
        meters.wire.fetch_add(bytes, Ordering::Relaxed);
        meters.partial.fetch_add(bytes, Ordering::Relaxed);
        self.table().came(cookie, bytes);
    }

    /// Takes the state needed to read a reply. It has to be given back.
    pub(super) fn take(&self, cookie: u64) -> Option<Reply> {
        let reply = self.table().take(cookie)?;
        if let Some(waited) = reply.waited {
            Meters::time(&self.context.meters.waiting_ns, waited);
        }
        Some(reply)
    }

    /// Gives back the state of a reply, and ends the request if it is complete. Fails if a reply that claims
    /// to be complete is not.
    pub(super) fn give_back(&self, reply: Reply, complete: bool) -> Result<(), String> {
        let Some(pending) = self.table().give_back(reply, complete)? else { return Ok(()) };
        self.gauge.answered();
        self.settle(&pending);
        self.answer(pending);
        Ok(())
    }

    /// Ends a request with the server's answer.
    fn answer(&self, mut pending: Pending) {
        if let Some(refusal) = pending.refusal.take() {
            if refusal.number == ESHUTDOWN {
                self.retiring.store(true, Ordering::Release);
            }
            return pending.end(Outcome::Refused(refusal));
        }
        if pending.body > 0 {
            self.context.deadlines.learn(pending.ahead, pending.started.elapsed());
        }
        // Recorded before the caller is told, because a flush that builds on the receipt must find the write
        // in the ledger.
        if pending.command.writes() {
            self.context.ledger.acknowledged(self.id, pending.body);
        }
        let payload = pending.payload();
        if let Payload::Safe(covers) = payload {
            self.context.ledger.flushed(covers);
        }
        pending.end(Outcome::Done(payload));
    }

    fn settle(&self, pending: &Pending) {
        self.context.meters.partial.fetch_sub(pending.partial, Ordering::Relaxed);
    }

    /// Returns how much longer than usual a flush may take.
    fn flush_time(&self) -> Duration {
        let volatile = self.context.ledger.volatile(self.id);
        Duration::from_secs(volatile / SLOWEST_FLUSH).min(LONGEST_FLUSH)
    }

    /// Waits until a request stalls or takes too long.
    async fn stalled(&self) -> Death {
        let (deadlines, mut look) = (&self.context.deadlines, Look::default());
        let tick = (deadlines.idle() / 4).max(Duration::from_millis(10));
        loop {
            tokio::time::sleep(tick).await;
            let (silence, overdue) = {
                let table = self.table();
                let Some(first) = table.all().map(|pending| pending.deadline).min() else {
                    self.gauge.rest(&mut look);
                    continue;
                };
                let mut silence = deadlines.after_sending(table.unacknowledged);
                if table.all().any(|pending| pending.command == Command::Flush) {
                    silence = silence.saturating_add(self.flush_time());
                }
                (silence, first <= Instant::now())
            };
            if self.gauge.is_stalled(&mut look, silence) || overdue {
                deadlines.doubt();
                let idle = deadlines.idle();
                return Death::new(
                    Kind::Timeout,
                    format!("the connection stalled: almost no data for {idle:?}"),
                );
            }
        }
    }

    /// Ends the connection: no new requests are accepted and those in flight fail. The request whose reply
    /// violated the protocol gets that error.
    fn die(&self, ended: Ended) {
        let (left, culprit) = {
            let mut table = self.table();
            table.death = Some(ended.death.clone());
            let culprit = ended.culprit.and_then(|(cookie, error)| Some((table.remove_by(cookie)?, error)));
            (table.remove_all(), culprit)
        };
        // Recorded before any request fails, because a flush after it has to know.
        self.context.ledger.closed(self.id);
        let told = left.into_iter().map(|pending| (pending, ended.death.error()));
        for (pending, error) in culprit.into_iter().chain(told) {
            self.settle(&pending);
            pending.end(Outcome::Failed(error));
        }
    }
}

/// Fails the requests in flight when the connection ends, also if its task is dropped with its runtime.
struct FailOnDrop(Arc<Shared>, Option<Ended>);

impl Drop for FailOnDrop {
    fn drop(&mut self) {
        let dropped =
            || Death::new(Kind::Connection, "the connection to the NBD server was abandoned").into();
        let ended = self.1.take().unwrap_or_else(dropped);
        tracing::debug!(connection = self.0.id, why = ended.death.message, "an NBD connection ended");
        self.0.die(ended);
    }
}

/// Runs a connection until it ends.
async fn run(shared: Arc<Shared>, mut reader: Reader, writer: Writer) {
    let mut undertaker = FailOnDrop(Arc::clone(&shared), None);
    let mut writing = tokio::spawn(writer.run());
    let ended = tokio::select! {
        ended = reader.run() => ended,
        death = shared.stalled() => death.into(),
        death = writing_ended(&shared, &mut writing) => death.into(),
    };
    writing.abort();
    undertaker.1 = Some(ended);
}

/// Waits until writing ends and returns why. If it ended because there are no more callers, waits until every
/// request is answered.
async fn writing_ended(shared: &Shared, writing: &mut JoinHandle<std::io::Result<()>>) -> Death {
    match writing.await {
        Ok(Ok(())) => {
            // After the last answer the server closes the connection, which the reader notices.
            loop {
                tokio::time::sleep(FAREWELL).await;
                if shared.table().all().len() == 0 {
                    break;
                }
            }
            Death::new(Kind::Connection, "the connection to the NBD server was closed")
        }
        Ok(Err(error)) => error.into(),
        Err(_) => Death::new(Kind::Connection, "the connection to the NBD server was abandoned"),
    }
}
