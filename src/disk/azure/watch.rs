//! Whether somebody else has written to a blob, as far as its `ETag` tells.
//!
//! Each write gives a blob a new `ETag`, and its answer says which (Azure Storage REST reference, `Put
//! Page`). So if the `ETag` is one that this disk's own writes returned, the last write was ours. What that
//! does not say is that nobody wrote before the last of ours: `ETag`s have no order that a client could read.
//! Only a lease keeps others from writing.
//!
//! Writes in flight are answered in any order. One that was acknowledged before another began cannot be the
//! last any more once the other is acknowledged; all others may be. A write whose answer never came may have
//! given the blob an `ETag` that nobody here has seen, and may do so at any time later: from then on an
//! unknown `ETag` proves nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the `ETag` of a blob says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// The last write was ours, or nobody has written since the blob was opened.
    Ours,
    /// Somebody else has written.
    Foreign,
    /// One of our own writes may have been the last, or somebody else's.
    Unknown,
}

/// Remembers the `ETag`s that a blob may have by what this disk did to it. Clones share what they know.
#[derive(Clone, Debug)]
pub(super) struct Watch(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// `ETag`s of which each may be the last that we caused, with the moment at which it was learned.
    candidates: Vec<(u64, String)>,
    /// Counts what happens: writes that begin and writes that end.
    moment: u64,
    in_flight: u64,
    /// Whether any write was begun.
    written: bool,
    /// Whether the answer to a write never came.
    doubtful: bool,
}

/// A write that has begun. Dropped without an answer it leaves a doubt.
#[derive(Debug)]
pub(super) struct Writing {
    watch: Watch,
    began: u64,
    answered: bool,
}

/// A moment between two looks at a blob.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(u64);

impl Watch {
    /// For a blob that had this `ETag` when it was opened.
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
        // A panic elsewhere leaves nothing half done here.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The `ETag` that the blob must still have if nothing of this disk was written yet.
    pub(super) fn untouched(&self) -> Option<String> {
        let state = self.lock();
        if state.written { None } else { state.candidates.first().map(|(_, etag)| etag.clone()) }
    }

    /// A write begins.
    pub(super) fn begin(&self) -> Writing {
        let mut state = self.lock();
        state.moment += 1;
        state.in_flight += 1;
        state.written = true;
        Writing { watch: self.clone(), began: state.moment, answered: false }
    }

    /// Before the blob is asked for its `ETag`.
    pub(super) fn now(&self) -> Moment {
        Moment(self.lock().moment)
    }

    /// What it means that the blob, asked since `asked`, has this `ETag`.
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
    /// The write was acknowledged, and the blob had this `ETag` after it.
    pub(super) fn acknowledged(mut self, etag: String) {
        self.answered = true;
        let mut state = self.watch.lock();
        // What was known before this write began cannot come after it.
        state.candidates.retain(|(learned, _)| *learned > self.began);
        state.moment += 1;
        let learned = state.moment;
        state.candidates.push((learned, etag));
    }

    /// The write was refused: the blob is as it was.
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
        // Two at a time: either may be the last.
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
        // The blob answered before that write arrived.
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
