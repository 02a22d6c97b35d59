//! Detects foreign writes to a blob by its `ETag`.
//!
//! Each write changes the `ETag` of a blob and returns the new one (Azure Storage REST reference, `Put
//! Page`). So if the current `ETag` was returned by one of this disk's own writes, that write was the last.
//! It does not prove that nobody wrote before it, because clients cannot order `ETag`s. Only a lease prevents
//! other writes.
//!
//! Writes in flight complete in any order. A write that was acknowledged before another began cannot be the
//! last once the other is acknowledged; all others may be. A write whose reply was lost may have given the
//! blob an unknown `ETag`, or may do so at any later time. From then on an unknown `ETag` proves nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the `ETag` of a blob shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// The last write was ours, or nobody wrote since the blob was opened.
    Ours,
    /// Somebody else wrote.
    Foreign,
    /// The last write may have been ours or somebody else's.
    Unknown,
}

/// Tracks the `ETag`s that a blob may have after this disk's writes. Clones share their state.
#[derive(Clone, Debug)]
pub(super) struct Watch(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// The `ETag`s that may be the last one we caused, each with the time at which it was learned.
    candidates: Vec<(u64, String)>,
    /// A logical clock of the beginnings and ends of writes.
    moment: u64,
    in_flight: u64,
    /// Whether any write was begun.
    written: bool,
    /// Whether the reply to a write was lost.
    doubtful: bool,
}

/// A write in flight. If it is dropped, its outcome is unknown.
#[derive(Debug)]
pub(super) struct Writing {
    watch: Watch,
    began: u64,
    answered: bool,
}

/// A logical time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(u64);

impl Watch {
    /// Creates the state for a blob that had this `ETag` when it was opened.
    pub(super) fn new(etag: String) -> Self {
        let candidates = vec![(0, etag)];
        Self(Arc::new(Mutex::new(State {
            candidates,
            moment: 0,
            in_flight: 0,
            written: false,
            doubtful: false,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere cannot leave the state half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the `ETag` that the blob must still have if this disk wrote nothing yet.
    pub(super) fn untouched(&self) -> Option<String> {
        let state = self.lock();
        if state.written { None } else { state.candidates.first().map(|(_, etag)| etag.clone()) }
    }

    /// Begins a write.
    pub(super) fn begin(&self) -> Writing {
        let mut state = self.lock();
        state.moment += 1;
        state.in_flight += 1;
        state.written = true;
        Writing { watch: self.clone(), began: state.moment, answered: false }
    }

    /// Returns the current time, to be taken before the `ETag` is requested.
    pub(super) fn now(&self) -> Moment {
        Moment(self.lock().moment)
    }

    /// Interprets the `ETag` of a request that was sent at `asked`.
    pub(super) fn judge(&self, etag: &str, asked: Moment) -> Last {
        let state = self.lock();
        if state.candidates.iter().any(|(_, known)| known == etag) {
            Last::Ours
        } else if state.doubtful || state.in_flight > 0 || state.moment != asked.0 {
            Last::Unknown
        } else {
            Last::Foreign
        }
    }
}

impl Writing {
    /// Notes that the write was acknowledged with this `ETag`.
    pub(super) fn acknowledged(mut self, etag: String) {
        self.answered = true;
        let mut state = self.watch.lock();
        // An `ETag` that was known before this write began cannot be the last.
        state.candidates.retain(|(learned, _)| *learned > self.began);
        state.moment += 1;
        let learned = state.moment;
        state.candidates.push((learned, etag));
    }

    /// Notes that the write was refused and the blob is unchanged.
    pub(super) fn refused(mut self) {
        self.answered = true;
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut state = self.watch.lock();
        state.moment += 1;
        state.in_flight -= 1;
        state.doubtful |= !self.answered;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(watch: &Watch, etag: &str) -> Last {
        watch.judge(etag, watch.now())
    }

    #[test]
    fn the_last_of_our_own_writes_is_known() {
        let watch = Watch::new("0".to_owned());
        assert_eq!(watch.untouched().as_deref(), Some("0"));
        assert_eq!((judge(&watch, "0"), judge(&watch, "x")), (Last::Ours, Last::Foreign));
        let first = watch.begin();
        assert_eq!(judge(&watch, "x"), Last::Unknown, "the write may have arrived");
        assert_eq!(watch.untouched(), None);
        first.acknowledged("1".to_owned());
        assert_eq!(judge(&watch, "1"), Last::Ours);
        assert_eq!(judge(&watch, "0"), Last::Foreign, "the blob was put back");
        // Two concurrent writes: either may be the last.
        let (second, third) = (watch.begin(), watch.begin());
        third.acknowledged("3".to_owned());
        second.acknowledged("2".to_owned());
        assert_eq!((judge(&watch, "2"), judge(&watch, "3")), (Last::Ours, Last::Ours));
        assert_eq!((judge(&watch, "1"), judge(&watch, "x")), (Last::Foreign, Last::Foreign));
        watch.begin().refused();
        assert_eq!((judge(&watch, "3"), judge(&watch, "x")), (Last::Ours, Last::Foreign));
    }

    #[test]
    fn a_write_without_an_answer_leaves_a_doubt() {
        let watch = Watch::new("0".to_owned());
        drop(watch.begin());
        assert_eq!(judge(&watch, "x"), Last::Unknown);
        watch.begin().acknowledged("1".to_owned());
        assert_eq!((judge(&watch, "1"), judge(&watch, "x")), (Last::Ours, Last::Unknown));
    }

    #[test]
    fn what_happens_while_the_blob_is_asked_is_no_proof() {
        let watch = Watch::new("0".to_owned());
        let asked = watch.now();
        watch.begin().acknowledged("1".to_owned());
        // The blob replied before that write arrived.
        assert_eq!(watch.judge("0", asked), Last::Unknown);
    }

    #[test]
    fn as_much_is_kept_as_there_are_writes_in_flight() {
        let watch = Watch::new("0".to_owned());
        for round in 0..100 {
            let writes: Vec<Writing> = (0..8).map(|_| watch.begin()).collect();
            for (n, write) in writes.into_iter().enumerate() {
                write.acknowledged(format!("{round}.{n}"));
            }
            assert_eq!(watch.lock().candidates.len(), 8);
        }
    }
}
