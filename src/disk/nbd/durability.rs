//! What a flush has to cover, and what no flush can cover any more.
//!
//! A server may keep a write in its memory after it has acknowledged it, until a flush (NBD protocol,
//! doc/proto.md, `Ordering of messages and writes`). If a connection ends in between, a client cannot tell a
//! network that broke from a server that was started anew and has forgotten the write. So what was
//! acknowledged on a connection counts as safe only by a flush on the same connection: that is answered by
//! the server that took the write, or by none. Where several connections are open, each that has taken writes
//! is flushed.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names a connection of a disk.
pub(super) type ConnectionId = u64;

/// What was acknowledged on the connections of a disk, and what of it is safe.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: ConnectionId,
    open: BTreeMap<ConnectionId, Written>,
    lost: bool,
}

/// Totals of one connection; each only grows.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    acknowledged: u64,
    safe: u64,
}

/// What a flush on one connection will have made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Covers {
    pub(super) connection: ConnectionId,
    upto: u64,
}

/// Acknowledged writes may be gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lost;

impl Ledger {
    /// A connection was opened.
    pub(super) fn opened(&self) -> ConnectionId {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        state.open.insert(id, Written::default());
        id
    }

    /// A write of so many bytes was acknowledged. Has to be noted before anybody is told of it.
    pub(super) fn acknowledged(&self, connection: ConnectionId, bytes: u64) {
        if let Some(written) = self.lock().open.get_mut(&connection) {
            // At least one: zeros have no bytes on the wire.
            written.acknowledged += bytes.max(1);
        }
    }

    /// A flush begins: what each connection has to be flushed for. [`Lost`] once, if a connection has ended
    /// since the last flush with writes that nothing had made safe.
    ///
    /// What is acknowledged from now on is not covered, though it may be sent before the flush is.
    pub(super) fn begin(&self) -> Result<Vec<Covers>, Lost> {
        let mut state = self.lock();
        if std::mem::take(&mut state.lost) {
            return Err(Lost);
        }
        let unsafe_yet = state.open.iter().filter(|(_, written)| written.acknowledged > written.safe);
        Ok(unsafe_yet.map(|(id, written)| Covers { connection: *id, upto: written.acknowledged }).collect())
    }

    /// A flush was acknowledged.
    pub(super) fn flushed(&self, covers: Covers) {
        if let Some(written) = self.lock().open.get_mut(&covers.connection) {
            written.safe = written.safe.max(covers.upto);
        }
    }

    /// A connection ended. Has to be noted before any of its requests is told of it.
    pub(super) fn closed(&self, connection: ConnectionId) {
        let mut state = self.lock();
        if let Some(written) = state.open.remove(&connection)
            && written.acknowledged > written.safe
        {
            state.lost = true;
        }
    }

    /// How many bytes a flush of a connection would have to make safe.
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
        // Acknowledged while the flush is under way: the next one is for it.
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
        // The flush under way fails by itself; it is not answered.
        let under_way = ledger.begin().unwrap();
        ledger.closed(a);
        ledger.flushed(under_way[1]);
        assert_eq!(ledger.begin(), Err(Lost), "b's flush does not vouch for a's writes");
        assert_eq!(ledger.begin(), Ok(vec![]));
        // An answer that comes after all changes nothing for a connection that is gone.
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
