//! Tracks which writes a flush covers, and which no flush can cover any more.
//!
//! A server may keep an acknowledged write in memory until a flush (NBD protocol, doc/proto.md, `Ordering of
//! messages and writes`). If a connection ends in between, the client cannot distinguish a broken network
//! from a server that restarted and lost the write. So a write counts as safe only after a flush on the same
//! connection, which is answered by the server that took the write or not at all. If several connections are
//! open, each one with acknowledged writes is flushed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The id of a connection of a disk.
pub(super) type ConnectionId = u64;

/// The acknowledged writes on a disk's connections, and which of them are safe.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: ConnectionId,
    open: BTreeMap<ConnectionId, Written>,
    lost: bool,
}

/// Byte counts of one connection, which only grow.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    acknowledged: u64,
    safe: u64,
}

/// What a flush on one connection makes safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Covers {
    pub(super) connection: ConnectionId,
    upto: u64,
}

/// Acknowledged writes may be lost.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost;

impl Ledger {
    /// Adds a connection and returns its id.
    pub(super) fn opened(&self) -> ConnectionId {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.open.insert(id, Written::default());
        id
    }

    /// Notes an acknowledged write of `bytes`. Must be called before anybody is told of it.
    pub(super) fn acknowledged(&self, connection: ConnectionId, bytes: u64) {
        if let Some(written) = self.lock().open.get_mut(&connection) {
            // At least one: zeros have no bytes on the wire.
            written.acknowledged += bytes.max(1);
        }
    }

    /// Begins a flush and returns what each connection has to be flushed for. Returns [`Lost`], once, if a
    /// connection ended since the last flush with writes that were not safe.
    ///
    /// Writes acknowledged from now on are not covered, even if they are sent before the flush is.
    pub(super) fn begin(&self) -> Result<Vec<Covers>, Lost> {
        let mut state = self.lock();
        if std::mem::take(&mut state.lost) {
            return Err(Lost);
        }
        let unsafe_yet = state.open.iter().filter(|(_, written)| written.acknowledged > written.safe);
        Ok(unsafe_yet.map(|(id, written)| Covers { connection: *id, upto: written.acknowledged }).collect())
    }

    /// Notes that a flush was acknowledged.
    pub(super) fn flushed(&self, covers: Covers) {
        if let Some(written) = self.lock().open.get_mut(&covers.connection) {
            written.safe = written.safe.max(covers.upto);
        }
    }

    /// Notes that a connection ended. Must be called before any of its requests fails.
    pub(super) fn closed(&self, connection: ConnectionId) {
        let mut state = self.lock();
        if let Some(written) = state.open.remove(&connection)
            && written.acknowledged > written.safe
        {
            state.lost = true;
        }
    }

    /// Returns how many bytes a flush of a connection has to make safe.
    pub(super) fn volatile(&self, connection: ConnectionId) -> u64 {
        self.lock().open.get(&connection).map_or(0, |written| written.acknowledged - written.safe)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_covers_what_was_acknowledged_before_it() {
        let ledger = Ledger::default();
        let (a, b) = (ledger.opened(), ledger.opened());
        assert_eq!(ledger.begin(), Ok(vec![]));
        ledger.acknowledged(a, 10);
        let covers = ledger.begin().unwrap();
        assert_eq!(covers, [Covers { connection: a, upto: 10 }], "only the connection that was written to");
        // Acknowledged during the flush, so the next flush covers it.
        ledger.acknowledged(a, 5);
        ledger.acknowledged(b, 0);
        ledger.flushed(covers[0]);
        assert_eq!(ledger.volatile(a), 5);
        let next = ledger.begin().unwrap();
        assert_eq!(next, [Covers { connection: a, upto: 15 }, Covers { connection: b, upto: 1 }]);
        for covers in next {
            ledger.flushed(covers);
        }
        assert_eq!(ledger.begin(), Ok(vec![]));
        ledger.closed(a);
        ledger.closed(b);
        assert_eq!(ledger.begin(), Ok(vec![]), "everything was safe");
    }

    #[test]
    fn a_connection_that_ends_with_unsafe_writes_fails_the_next_flush_once() {
        let ledger = Ledger::default();
        let (a, b) = (ledger.opened(), ledger.opened());
        ledger.acknowledged(a, 1);
        ledger.acknowledged(b, 1);
        // The flush in flight fails without a reply.
        let under_way = ledger.begin().unwrap();
        ledger.closed(a);
        ledger.flushed(under_way[1]);
        assert_eq!(ledger.begin(), Err(Lost), "b's flush does not vouch for a's writes");
        assert_eq!(ledger.begin(), Ok(vec![]));
        // A late reply changes nothing for a closed connection.
        ledger.flushed(under_way[0]);
        assert_eq!(ledger.begin(), Ok(vec![]));
    }

    #[test]
    fn what_a_flush_under_way_does_not_cover_is_lost_too() {
        let ledger = Ledger::default();
        let a = ledger.opened();
        ledger.acknowledged(a, 1);
        let covers = ledger.begin().unwrap();
        ledger.acknowledged(a, 1);
        ledger.flushed(covers[0]);
        ledger.closed(a);
        assert_eq!(ledger.begin(), Err(Lost));
    }

    #[test]
    fn an_older_flush_takes_nothing_back() {
        let ledger = Ledger::default();
        let a = ledger.opened();
        ledger.acknowledged(a, 1);
        let first = ledger.begin().unwrap();
        ledger.acknowledged(a, 1);
        let second = ledger.begin().unwrap();
        ledger.flushed(second[0]);
        ledger.flushed(first[0]);
        ledger.closed(a);
        assert_eq!(ledger.begin(), Ok(vec![]));
    }
}
