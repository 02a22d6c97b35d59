//! The requests in flight on a connection.
//!
//! A long request is sent in parts, which the server answers in any order. Parts that fit into a processor's
//! cache are copied faster on both sides, and a server works on several at a time. Each part has its own
//! cookie, made of the number of the request and that of the part.

use super::assembly::Assembly;
use super::durability::Covers;
use super::failure::{Death, Refusal};
use super::protocol::{BlockSizes, Command, LARGEST_PAYLOAD};
use super::statuses::Statuses;
use super::writer::Outgoing;
use crate::error::Error;
use bytes::Bytes;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::time::Instant;

/// The largest part in bytes; a multiple of every block size.
const PART: u32 = 1 << 20;

/// The most parts of a request, which are tracked by the bits of a `u64`.
const MOST_PARTS: u32 = 64;

/// The number of cookie bits that hold the part's number.
const PART_BITS: u32 = 8;

/// Serializes unaligned writes; see [`NbdDisk`](super::NbdDisk).
pub(super) type EdgeGuard = Arc<OwnedMutexGuard<()>>;

/// Returns the length of a part of a read or a write.
pub(super) fn part_size(block: BlockSizes) -> u32 {
    block.maximum.min(PART)
}

/// Returns the longest request to an export, in bytes.
pub(super) fn longest_request(block: BlockSizes) -> u32 {
    (part_size(block) * MOST_PARTS).min(LARGEST_PAYLOAD)
}

/// A request.
pub(super) struct Request {
    pub(super) command: Command,
    pub(super) offset: u64,
    pub(super) length: u32,
    /// The data of a write.
    pub(super) body: Bytes,
    pub(super) payload: Payload,
    /// Held until the server has answered, even if no caller waits any more.
    pub(super) guard: Option<EdgeGuard>,
}

/// The contents of an answer.
#[derive(Debug)]
pub(super) enum Payload {
    /// No contents.
    None,
    /// The data of a read.
    Data(Assembly),
    /// Block descriptors.
    Statuses(Statuses),
    /// The writes that a flush made safe.
    Safe(Covers),
}

/// How a request ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Done(Payload),
    /// The server refused it.
    Refused(Refusal),
    /// There was no answer, or an invalid one.
    Failed(Error),
}

/// A request whose answer is not complete.
pub(super) struct Pending {
    pub(super) command: Command,
    pub(super) offset: u64,
    length: u32,
    part: u32,
    /// The parts that the server has not answered, one bit each.
    open: u64,
    /// The parts that were not sent completely, one bit each.
    unsent: u64,
    /// Whether parts were removed, so that the answer will be incomplete.
    abandoned: bool,
    /// `None` while a reply is being read.
    payload: Option<Payload>,
    pub(super) refusal: Option<Refusal>,
    refusals: u32,
    outcome: oneshot::Sender<Outcome>,
    _guard: Option<EdgeGuard>,
    /// The length of its body.
    pub(super) body: u64,
    pub(super) started: Instant,
    sent: Option<Instant>,
    replied: bool,
    /// The unacknowledged body bytes when it was queued, including its own.
    pub(super) ahead: u64,
    pub(super) deadline: Instant,
    /// Its bytes in the meter of unfinished transfers.
    pub(super) partial: u64,
}

/// The state that the reader needs while it reads a reply to a part.
pub(super) struct Reply {
    pub(super) cookie: u64,
    pub(super) command: Command,
    /// The range that the part asked for.
    pub(super) range: Range<u64>,
    pub(super) payload: Payload,
    /// The first error that the server reported, and the number of errors.
    pub(super) refusal: Option<Refusal>,
    pub(super) refusals: u32,
    /// How long the server took to begin, if this is the first reply.
    pub(super) waited: Option<std::time::Duration>,
}

/// The requests of a connection.
#[derive(Default)]
pub(super) struct Table {
    next: u64,
    pending: HashMap<u64, Pending>,
    /// Body bytes that were queued and not acknowledged.
    pub(super) unacknowledged: u64,
    /// Bytes of reads that were queued and not answered.
    pub(super) expected: u64,
    pub(super) death: Option<Death>,
}

impl Table {
    /// Adds a request and returns its parts to send.
    pub(super) fn enter(
        &mut self,
        request: Request,
        part: u32,
        outcome: oneshot::Sender<Outcome>,
        deadline: impl FnOnce(&Self) -> Instant,
    ) -> Vec<Outgoing> {
        let Request { command, offset, length, body, payload, guard } = request;
        let part = part.max(length.div_ceil(MOST_PARTS)).max(1);
        let parts = length.div_ceil(part).max(1);
        let all = u64::MAX >> (u64::BITS - parts);
        self.unacknowledged += body.len() as u64;
        self.expected += expected(command, length);
        let pending = Pending {
            command,
            offset,
            length,
            part,
            open: all,
            unsent: all,
            abandoned: false,
            payload: Some(payload),
            refusal: None,
            refusals: 0,
            outcome,
            _guard: guard,
            body: body.len() as u64,
            started: Instant::now(),
            sent: None,
            replied: false,
            ahead: self.unacknowledged,
            deadline: deadline(self),
            partial: 0,
        };
        let number = self.next;
        self.next += 1;
        let outgoing = (0..parts).map(|n| {
            let cookie = number << PART_BITS | u64::from(n);
            let range = pending.range(n);
            let len = u32::try_from(range.end - range.start).unwrap_or(u32::MAX);
            let start = (n as usize * part as usize).min(body.len());
            let end = (start + len as usize).min(body.len());
            Outgoing {
                header: command.header(cookie, range.start, len),
                body: body.slice(start..end),
                cookie,
            }
        });
        let outgoing = outgoing.collect();
        self.pending.insert(number, pending);
        outgoing
    }

    /// Returns whether a part has to be sent. If no caller waits, it is removed; with the last part its
    /// request is removed as well and returned.
    pub(super) fn is_wanted(&mut self, cookie: u64) -> (bool, Option<Pending>) {
        let (number, bit) = split(cookie);
        let Some(pending) = self.pending.get_mut(&number) else { return (false, None) };
        if !pending.outcome.is_closed() {
            return (true, None);
        }
        pending.abandoned = true;
        pending.open &= !bit;
        pending.unsent &= !bit;
        let over = pending.open == 0;
        (false, if over { self.remove(number) } else { None })
    }

    /// Notes that bytes of a part's body were sent; `all` if they are the last. Returns how long sending took
    /// if this was the last part of the request.
    pub(super) fn sent(&mut self, cookie: u64, bytes: u64, all: bool) -> Option<std::time::Duration> {
        let (number, bit) = split(cookie);
        let pending = self.pending.get_mut(&number)?;
        pending.partial += bytes;
        if !all || pending.unsent & bit == 0 {
            return None;
        }
        pending.unsent &= !bit;
        if pending.unsent != 0 {
            return None;
        }
        pending.sent = Some(Instant::now());
        Some(pending.started.elapsed())
    }

    /// Notes that bytes of a request's answer arrived.
    pub(super) fn came(&mut self, cookie: u64, bytes: u64) {
        if let Some(pending) = self.pending.get_mut(&split(cookie).0) {
            pending.partial += bytes;
        }
    }

    /// Takes the state needed to read a reply, which has to be given back. Returns `None` for a cookie
    /// without an unanswered part.
    pub(super) fn take(&mut self, cookie: u64) -> Option<Reply> {
        let (number, bit) = split(cookie);
        let pending = self.pending.get_mut(&number).filter(|pending| pending.open & bit != 0)?;
        let first = !std::mem::replace(&mut pending.replied, true);
        Some(Reply {
            cookie,
            command: pending.command,
            range: pending.range(bit.trailing_zeros()),
            payload: pending.payload.take()?,
            refusal: pending.refusal.take(),
            refusals: pending.refusals,
            waited: pending.sent.filter(|_| first).map(|sent| sent.elapsed()),
        })
    }

    /// Gives back the state of a reply or chunk. Returns the request if that was its last. Fails if the
    /// answer claims to be complete and is not.
    pub(super) fn give_back(&mut self, reply: Reply, complete: bool) -> Result<Option<Pending>, String> {
        let (number, bit) = split(reply.cookie);
        let Some(pending) = self.pending.get_mut(&number) else { return Ok(None) };
        pending.payload = Some(reply.payload);
        (pending.refusal, pending.refusals) = (reply.refusal, reply.refusals);
        if complete {
            pending.open &= !bit;
        }
        if pending.open != 0 {
            return Ok(None);
        }
        match pending.missing() {
            Some(missing) if pending.refusal.is_none() && !pending.abandoned => Err(missing),
            _ => Ok(self.remove(number)),
        }
    }

    /// Removes the request of a cookie.
    pub(super) fn remove_by(&mut self, cookie: u64) -> Option<Pending> {
        self.remove(split(cookie).0)
    }

    /// Removes all requests.
    pub(super) fn remove_all(&mut self) -> Vec<Pending> {
        (self.unacknowledged, self.expected) = (0, 0);
        self.pending.drain().map(|(_, pending)| pending).collect()
    }

    fn remove(&mut self, number: u64) -> Option<Pending> {
        let pending = self.pending.remove(&number)?;
        self.unacknowledged -= pending.body;
        self.expected -= expected(pending.command, pending.length);
        Some(pending)
    }

    /// Returns the requests.
    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = &Pending> {
        self.pending.values()
    }
}

impl Pending {
    /// Returns the range of a part.
    fn range(&self, part: u32) -> Range<u64> {
        let end = self.offset + u64::from(self.length);
        let start = self.offset + u64::from(part) * u64::from(self.part);
        start.min(end)..(start + u64::from(self.part)).min(end)
    }

    /// Returns what is missing from an answer that claims to be complete.
    fn missing(&self) -> Option<String> {
        let complete = match &self.payload {
            Some(Payload::Data(assembly)) => assembly.is_complete(),
            Some(Payload::Statuses(statuses)) => statuses.is_complete(),
            Some(Payload::None | Payload::Safe(_)) => true,
            None => false,
        };
        let (command, offset) = (self.command, self.offset);
        (!complete)
            .then(|| format!("a reply to the {command} request at offset {offset} ends before its contents"))
    }

    /// Returns the contents received.
    pub(super) fn payload(&mut self) -> Payload {
        self.payload.take().unwrap_or(Payload::None)
    }

    /// Sends the outcome to the caller, if one still waits.
    pub(super) fn end(self, outcome: Outcome) {
        let _ = self.outcome.send(outcome);
    }
}

/// Returns how many bytes the server will send for a request.
fn expected(command: Command, length: u32) -> u64 {
    if command == Command::Read { u64::from(length) } else { 0 }
}

/// Splits a cookie into the number of its request and the bit of its part. The bit is 0 for an impossible
/// part.
fn split(cookie: u64) -> (u64, u64) {
    let part = u32::try_from(cookie & ((1 << PART_BITS) - 1)).unwrap_or(u32::MAX);
    (cookie >> PART_BITS, 1_u64.checked_shl(part).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Buffers;

    fn read(length: u32) -> Request {
        let payload = Payload::Data(Assembly::new(Buffers::new(0).take(0), 1000, length as usize));
        Request { command: Command::Read, offset: 1000, length, body: Bytes::new(), payload, guard: None }
    }

    fn enter(table: &mut Table, request: Request) -> (Vec<Outgoing>, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        (table.enter(request, 100, sender, |_| Instant::now()), receiver)
    }

    /// The length and the cookie of each part.
    fn parts(outgoing: &[Outgoing]) -> Vec<(u32, u64)> {
        let len = |part: &Outgoing| part.header.last_chunk().map_or(0, |len| u32::from_be_bytes(*len));
        outgoing.iter().map(|part| (len(part), part.cookie)).collect()
    }

    #[test]
    fn a_request_is_cut_into_parts_that_are_answered_in_any_order() {
        let mut table = Table::default();
        let (first, _waiting) = enter(&mut table, read(250));
        let (second, _also) = enter(&mut table, read(0));
        assert_eq!(parts(&first), [(100, 0), (100, 1), (50, 2)]);
        assert_eq!(parts(&second), [(0, 256)]);
        assert_eq!(table.expected, 250);
        for (cookie, start, len) in [(2, 1200, 50), (0, 1000, 100), (1, 1100, 100)] {
            let mut reply = table.take(cookie).unwrap();
            assert_eq!(reply.range, start..start + u64::from(len));
            assert!(table.take(cookie).is_none(), "it is being read");
            let Payload::Data(assembly) = &mut reply.payload else { panic!("a read fills a buffer") };
            let piece = assembly.piece(start, len).unwrap();
            assembly.zero(&piece);
            let over = table.give_back(reply, true).unwrap();
            assert_eq!(over.is_some(), cookie == 1);
            assert!(table.take(cookie).is_none(), "it was answered");
        }
        assert_eq!((table.expected, table.all().len()), (0, 1));
        // Cookies that no part has.
        for cookie in [3, 63, 64, 255, 257, 512, u64::MAX] {
            assert!(table.take(cookie).is_none(), "{cookie}");
        }
    }

    #[test]
    fn a_part_that_is_answered_without_its_bytes_is_noticed_at_the_end() {
        let mut table = Table::default();
        let (_sent, _waiting) = enter(&mut table, read(150));
        let reply = table.take(0).unwrap();
        assert!(table.give_back(reply, true).is_ok_and(|over| over.is_none()));
        let reply = table.take(1).unwrap();
        assert!(
            table.give_back(reply, true).is_err_and(|missing| missing.contains("ends before its contents"))
        );
        assert!(table.remove_by(1).is_some());
    }

    #[test]
    fn a_dropped_request_is_forgotten_with_the_last_part_that_does_not_leave() {
        let mut table = Table::default();
        let (sent, waiting) = enter(&mut table, read(250));
        assert!(table.is_wanted(sent[0].cookie).0);
        drop(waiting);
        // The first part was sent, so its answer has to find it.
        assert!(matches!(table.is_wanted(1), (false, None)));
        assert!(matches!(table.is_wanted(2), (false, None)));
        assert!(table.take(1).is_none(), "it was not sent");
        let reply = table.take(0).unwrap();
        assert!(table.give_back(reply, true).is_ok_and(|over| over.is_some()));
        // Nothing of this request was sent.
        let (_sent, waiting) = enter(&mut table, read(150));
        drop(waiting);
        assert!(matches!(table.is_wanted(256), (false, None)));
        assert!(matches!(table.is_wanted(257), (false, Some(_))));
        assert_eq!((table.expected, table.all().len()), (0, 0));
    }
}
