//! The reading half of a connection: replies go to the requests that they answer, and bytes straight to where they belong.

use super::assembly::{Assembly, Piece};
use super::connection::{Payload, Pending, Shared};
use super::failure::{Death, Refusal, violation};
use super::protocol::{Command, chunk};
use super::reply::{Content, Head, LONG_HEAD, SHORT_HEAD, refusal};
use super::socket::Reading;
use super::statuses::Statuses;
use crate::error::{Error, Kind};
use crate::meters::Meters;
use crate::transport::limit::Limiter;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::time::Instant;

/// How much is read ahead: many replies to writes, and little of a read's bytes, which are not to be copied.
const AHEAD: usize = 4096;

/// The most errors that one reply may report.
const MOST_REFUSALS: u32 = 1024;

/// Reads replies.
pub(super) struct Reader {
    socket: BufReader<Reading>,
    shared: Arc<Shared>,
    limiter: Option<Arc<Limiter>>,
    /// The request whose reply is being read.
    current: Option<Pending>,
    /// What is wrong with that reply.
    violation: Option<Error>,
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

/// Whether a reply goes on.
#[derive(PartialEq, Eq)]
enum Goes {
    On,
    ToItsEnd,
}

impl Reader {
    /// Reads what comes from `socket`.
    pub(super) fn new(socket: Reading, shared: Arc<Shared>) -> Self {
        let limiter = shared.context.bandwidth.down.clone();
        Self { socket: BufReader::with_capacity(AHEAD, socket), shared, limiter, current: None, violation: None }
    }

    /// Reads until the connection ends or nothing that comes can be trusted.
    pub(super) async fn run(&mut self) -> Death {
        loop {
            match self.reply().await {
                Ok(()) => {}
                Err(Broken::Io(error)) => return error.into(),
                Err(Broken::Nonsense(what)) => {
                    let error = violation(&what);
                    if self.current.is_none() {
                        return Death::new(error.kind(), error.to_string());
                    }
                    self.violation = Some(error);
                    // The others may fare better elsewhere.
                    let message = "the connection was closed because the server broke the NBD protocol";
                    return Death::new(Kind::Connection, message);
                }
            }
        }
    }

    /// The request whose reply was being read when this was given up, and what is wrong with that reply if that is why.
    pub(super) fn into_unfinished(self) -> Option<(Pending, Option<Error>)> {
        self.current.map(|pending| (pending, self.violation))
    }

    /// Reads one reply, or one chunk of one.
    async fn reply(&mut self) -> Result<(), Broken> {
        let mut head = [0; SHORT_HEAD];
        self.exactly(&mut head).await?;
        let head = Head::parse(head)?;
        let cookie = head.cookie();
        self.current = self.shared.take(cookie);
        if self.current.is_none() {
            return Err(Broken::Nonsense(format!("a reply with the cookie {cookie}, which no request has")));
        }
        let goes = match head {
            Head::Simple { error, .. } => self.simple(error).await?,
            Head::Chunk { flags, kind, .. } => self.chunk(flags, kind).await?,
        };
        let Some(pending) = self.current.take() else { return Ok(()) };
        if goes == Goes::On {
            self.shared.put_back(cookie, pending);
            return Ok(());
        }
        if pending.refusal.is_none()
            && let Some(missing) = missing(&pending)
        {
            self.current = Some(pending);
            return Err(Broken::Nonsense(missing));
        }
        self.shared.answer(pending);
        Ok(())
    }

    async fn simple(&mut self, error: u32) -> Result<Goes, Broken> {
        let structured = self.shared.export.structured;
        let Some(pending) = &mut self.current else { return Ok(Goes::ToItsEnd) };
        if error != 0 {
            pending.refusal = Some(Refusal { number: error, message: String::new(), offset: None });
            return Ok(Goes::ToItsEnd);
        }
        match (&mut pending.payload, structured) {
            (Payload::Data(assembly), false) => {
                let piece = assembly.whole()?;
                self.data(piece).await?;
            }
            (Payload::Data(_) | Payload::Statuses(_), _) => {
                let command = pending.command;
                return Err(Broken::Nonsense(format!("a simple reply to a {command} request")));
            }
            (Payload::None | Payload::Safe(_), _) => {}
        }
        Ok(Goes::ToItsEnd)
    }

    async fn chunk(&mut self, flags: u16, kind: u16) -> Result<Goes, Broken> {
        let mut len = [0; LONG_HEAD];
        self.exactly(&mut len).await?;
        if !self.shared.export.structured {
            return Err(Broken::Nonsense("a structured reply, which was not agreed on".to_owned()));
        }
        let Some(pending) = &self.current else { return Ok(Goes::ToItsEnd) };
        match Content::of(kind, flags, u32::from_be_bytes(len), pending.command, pending.length)? {
            Content::Nothing => {}
            Content::Data(len) => {
                let offset = self.number().await?;
                let piece = self.assembly()?.piece(offset, len)?;
                self.data(piece).await?;
            }
            Content::Hole => {
                let offset = self.number().await?;
                let mut len = [0; 4];
                self.exactly(&mut len).await?;
                let assembly = self.assembly()?;
                let piece = assembly.piece(offset, u32::from_be_bytes(len))?;
                assembly.zero(&piece);
            }
            Content::Status(count) => self.statuses(count).await?,
            Content::Error(len, with_offset) => self.refusal(len, with_offset).await?,
        }
        Ok(if flags & chunk::DONE == 0 { Goes::On } else { Goes::ToItsEnd })
    }

    /// Reads the bytes of a piece to where they belong.
    async fn data(&mut self, mut piece: Piece) -> Result<(), Broken> {
        let start = Instant::now();
        while piece.left() > 0 {
            let most = self.limiter.as_ref().map_or(usize::MAX, |limiter| limiter.piece());
            let Some(pending) = &mut self.current else { return Ok(()) };
            let Payload::Data(assembly) = &mut pending.payload else { return Ok(()) };
            let got = assembly.read(&mut self.socket, &mut piece, most).await?;
            if got == 0 {
                return Err(Broken::Io(io::ErrorKind::UnexpectedEof.into()));
            }
            self.shared.came(pending, got);
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
    async fn statuses(&mut self, count: u32) -> Result<(), Broken> {
        let mut context = [0; 4];
        self.exactly(&mut context).await?;
        self.list()?.begin(u32::from_be_bytes(context))?;
        for _ in 0..count {
            let descriptor = self.number().await?;
            let (len, flags) = (descriptor >> 32, descriptor & u64::from(u32::MAX));
            let part = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            self.list()?.push(part(len), part(flags))?;
        }
        Ok(())
    }

    /// Reads an error.
    async fn refusal(&mut self, len: u32, with_offset: bool) -> Result<(), Broken> {
        let mut payload = vec![0; len as usize];
        self.exactly(&mut payload).await?;
        let refusal = refusal(&payload, with_offset)?;
        let Some(pending) = &mut self.current else { return Ok(()) };
        pending.refusals += 1;
        if pending.refusals > MOST_REFUSALS {
            return Err(Broken::Nonsense("errors without an end in one reply".to_owned()));
        }
        pending.refusal.get_or_insert(refusal);
        Ok(())
    }

    /// What a read fills. A chunk was checked against its command before.
    fn assembly(&mut self) -> Result<&mut Assembly, String> {
        match self.current.as_mut().map(|pending| &mut pending.payload) {
            Some(Payload::Data(assembly)) => Ok(assembly),
            _ => Err("bytes that no read asked for".to_owned()),
        }
    }

    /// What a block status fills.
    fn list(&mut self) -> Result<&mut Statuses, String> {
        match self.current.as_mut().map(|pending| &mut pending.payload) {
            Some(Payload::Statuses(statuses)) => Ok(statuses),
            _ => Err("block descriptors that nothing asked for".to_owned()),
        }
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

/// What is missing from a reply that claims to be complete.
fn missing(pending: &Pending) -> Option<String> {
    let complete = match &pending.payload {
        Payload::Data(assembly) => assembly.is_complete(),
        Payload::Statuses(statuses) => statuses.is_complete(),
        Payload::None | Payload::Safe(_) => true,
    };
    let (command, offset) = (pending.command, pending.offset);
    debug_assert!(command != Command::Disconnect, "nobody answers that");
    (!complete).then(|| format!("a reply to the {command} request at offset {offset} ends before its contents"))
}
