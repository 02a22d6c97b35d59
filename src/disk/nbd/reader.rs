//! The reading half of a connection. Replies are matched to their requests, and data is read directly into
//! its buffer.

use super::assembly::{Assembly, Piece};
use super::connection::Shared;
use super::failure::{Death, Refusal, violation};
use super::protocol::chunk;
use super::reply::{Content, Head, LONG_HEAD, SHORT_HEAD, refusal};
use super::socket::Reading;
use super::statuses::Statuses;
use super::table::{Payload, Reply};
use crate::error::{Error, Kind};
use crate::meters::Meters;
use crate::transport::limit::Limiter;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::time::Instant;

/// The size of the read buffer: enough for many replies to writes, and little of a read's data, which should
/// not be copied.
const AHEAD: usize = 4096;

/// The most errors in one reply.
const MOST_REFUSALS: u32 = 1024;

/// Reads replies.
pub(super) struct Reader {
    socket: BufReader<Reading>,
    shared: Arc<Shared>,
    limiter: Option<Arc<Limiter>>,
}

/// How a connection ended.
pub(super) struct Ended {
    pub(super) death: Death,
    /// The cookie of the reply that violated the protocol, and the error.
    pub(super) culprit: Option<(u64, Error)>,
}

impl From<Death> for Ended {
    fn from(death: Death) -> Self {
        Self { death, culprit: None }
    }
}

/// Why a reply cannot be read.
enum Broken {
    Io(io::Error),
    Nonsense(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Broken::Io(error)
    }
}

impl From<String> for Broken {
    fn from(what: String) -> Self {
        Broken::Nonsense(what)
    }
}

impl Broken {
    /// Returns how this ends the connection, and of which request if it was in a reply.
    fn ends(self, cookie: Option<u64>) -> Ended {
        match (self, cookie) {
            (Broken::Io(error), _) => Death::from(error).into(),
            (Broken::Nonsense(what), None) => {
                let error = violation(what);
                Death::new(error.kind(), error.to_string()).into()
            }
            (Broken::Nonsense(what), Some(cookie)) => {
                // The other requests may succeed on another connection.
                let message = "the connection was closed because the server violated the NBD protocol";
                Ended {
                    death: Death::new(Kind::Connection, message),
                    culprit: Some((cookie, violation(what))),
                }
            }
        }
    }
}

impl Reader {
    /// Creates a reader of `socket`.
    pub(super) fn new(socket: Reading, shared: Arc<Shared>) -> Self {
        let limiter = shared.context.bandwidth.down.clone();
        Self { socket: BufReader::with_capacity(AHEAD, socket), shared, limiter }
    }

    /// Reads until the connection ends or violates the protocol.
    pub(super) async fn run(&mut self) -> Ended {
        loop {
            let (head, mut reply) = match self.head().await {
                Ok(begun) => begun,
                Err(broken) => return broken.ends(None),
            };
            let cookie = reply.cookie;
            let read = match head {
                Head::Simple { error, .. } => self.simple(&mut reply, error).await.map(|()| true),
                Head::Chunk { flags, kind, .. } => self.chunk(&mut reply, flags, kind).await,
            };
            let given = read.and_then(|complete| Ok(self.shared.give_back(reply, complete)?));
            if let Err(broken) = given {
                return broken.ends(Some(cookie));
            }
        }
    }

    /// Reads the header of a reply or chunk and finds its request.
    async fn head(&mut self) -> Result<(Head, Reply), Broken> {
        let mut head = [0; SHORT_HEAD];
        self.exactly(&mut head).await?;
        let head = Head::parse(head)?;
        let cookie = head.cookie();
        match self.shared.take(cookie) {
            Some(reply) => Ok((head, reply)),
            None => Err(Broken::Nonsense(format!("a reply with the unknown cookie {cookie}"))),
        }
    }

    async fn simple(&mut self, reply: &mut Reply, error: u32) -> Result<(), Broken> {
        if error != 0 {
            let refusal = Refusal { number: error, message: String::new(), offset: None };
            reply.refusal.get_or_insert(refusal);
            return Ok(());
        }
        let (start, len) = (reply.range.start, length(reply));
        match (&mut reply.payload, self.shared.export.structured) {
            (Payload::Data(assembly), false) => {
                let piece = assembly.piece(start, len)?;
                self.data(reply, piece).await
            }
            (Payload::Data(_) | Payload::Statuses(_), _) => {
                Err(Broken::Nonsense(format!("a simple reply to a {} request", reply.command)))
            }
            (Payload::None | Payload::Safe(_), _) => Ok(()),
        }
    }

    /// Reads a chunk. Returns whether it is the last one.
    async fn chunk(&mut self, reply: &mut Reply, flags: u16, kind: u16) -> Result<bool, Broken> {
        let mut len = [0; LONG_HEAD];
        self.exactly(&mut len).await?;
        if !self.shared.export.structured {
            return Err(Broken::Nonsense("a structured reply, which was not negotiated".to_owned()));
        }
        match Content::of(kind, flags, u32::from_be_bytes(len), reply.command, length(reply))? {
            Content::Nothing => {}
            Content::Data(len) => {
                let offset = self.number().await?;
                let piece = assembly(reply, offset, len)?.piece(offset, len)?;
                self.data(reply, piece).await?;
            }
            Content::Hole => {
                let offset = self.number().await?;
                let mut len = [0; 4];
                self.exactly(&mut len).await?;
                let len = u32::from_be_bytes(len);
                let assembly = assembly(reply, offset, len)?;
                let piece = assembly.piece(offset, len)?;
                assembly.zero(&piece);
            }
            Content::Status(count) => self.statuses(reply, count).await?,
            Content::Error(len, with_offset) => self.refusal(reply, len, with_offset).await?,
        }
        Ok(flags & chunk::DONE != 0)
    }

    /// Reads the bytes of a piece into their place.
    async fn data(&mut self, reply: &mut Reply, mut piece: Piece) -> Result<(), Broken> {
        let start = Instant::now();
        while piece.left() > 0 {
            let most = self.limiter.as_ref().map_or(usize::MAX, |limiter| limiter.piece());
            let Payload::Data(assembly) = &mut reply.payload else { return Ok(()) };
            let got = assembly.read(&mut self.socket, &mut piece, most).await?;
            if got == 0 {
                return Err(Broken::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            self.shared.came(reply.cookie, got);
            if let Some(limiter) = &self.limiter {
                let until = limiter.take(got);
                let wait = until.saturating_duration_since(Instant::now());
                Meters::time(&self.shared.context.meters.throttled_ns, wait);
                let _held = self.shared.gauge.hold();
                tokio::time::sleep_until(until).await;
            }
        }
        Meters::time(&self.shared.context.meters.moving_ns, start.elapsed());
        Ok(())
    }

    /// Reads block descriptors.
    async fn statuses(&mut self, reply: &mut Reply, count: u32) -> Result<(), Broken> {
        let mut context = [0; 4];
        self.exactly(&mut context).await?;
        list(reply)?.begin(u32::from_be_bytes(context))?;
        for _ in 0..count {
            let descriptor = self.number().await?;
            let (len, flags) = (descriptor >> 32, descriptor & u64::from(u32::MAX));
            let half = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            list(reply)?.push(half(len), half(flags))?;
        }
        Ok(())
    }

    /// Reads an error chunk.
    async fn refusal(&mut self, reply: &mut Reply, len: u32, with_offset: bool) -> Result<(), Broken> {
        let mut payload = vec![0; len as usize];
        self.exactly(&mut payload).await?;
        let refusal = refusal(&payload, with_offset)?;
        reply.refusals += 1;
        if reply.refusals > MOST_REFUSALS {
            return Err(Broken::Nonsense("too many errors in one reply".to_owned()));
        }
        reply.refusal.get_or_insert(refusal);
        Ok(())
    }

    async fn number(&mut self) -> Result<u64, Broken> {
        let mut bytes = [0; 8];
        self.exactly(&mut bytes).await?;
        Ok(u64::from_be_bytes(bytes))
    }

    async fn exactly(&mut self, into: &mut [u8]) -> Result<(), Broken> {
        self.socket.read_exact(into).await?;
        self.shared.gauge.moved(into.len());
        Ok(())
    }
}

/// Returns the number of bytes that a part asked for.
fn length(reply: &Reply) -> u32 {
    u32::try_from(reply.range.end - reply.range.start).unwrap_or(u32::MAX)
}

/// Returns the buffer of a read, if the part asked for these bytes.
fn assembly(reply: &mut Reply, offset: u64, len: u32) -> Result<&mut Assembly, String> {
    let end = offset.checked_add(u64::from(len));
    let inside = offset >= reply.range.start && end.is_some_and(|end| end <= reply.range.end);
    match &mut reply.payload {
        Payload::Data(assembly) if inside => Ok(assembly),
        Payload::Data(_) => Err(format!("{len} bytes from offset {offset} that were not requested")),
        _ => Err("data in reply to a request that is not a read".to_owned()),
    }
}

/// Returns the list that a block status fills.
fn list(reply: &mut Reply) -> Result<&mut Statuses, String> {
    match &mut reply.payload {
        Payload::Statuses(statuses) => Ok(statuses),
        _ => Err("block descriptors that were not requested".to_owned()),
    }
}
