//! The request log: what came in and what became of it, for tests that count calls.
//!
//! Kept only where asked for, and bounded: past [`CAPACITY`] the oldest requests are forgotten.

use super::faults::FaultKind;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Requests kept. A transfer of 128 GiB in chunks of 4 MiB is 32,768 requests; at some 100 bytes each this is 10 MB.
const CAPACITY: usize = 100_000;

/// One request as the emulator saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The HTTP method.
    pub method: String,
    /// The path as it was sent, without a query.
    pub path: String,
    /// Bytes of the request's body that arrived, as encoded on the wire.
    pub body_bytes: u64,
    /// The status of the reply; `None` while there is none, or where none was sent.
    pub status: Option<u16>,
    /// What was made to go wrong.
    pub fault: Option<FaultKind>,
}

/// The log, or nothing at all where none is kept.
#[derive(Debug, Default)]
pub(super) struct Log(Option<Mutex<Requests>>);

#[derive(Debug, Default)]
struct Requests {
    kept: VecDeque<Logged>,
    forgotten: usize,
}

impl Log {
    pub(super) fn kept() -> Self {
        Log(Some(Mutex::default()))
    }

    /// Notes that a request came in; the number it gets is for [`Log::note`].
    pub(super) fn begin(&self, method: &str, path: &str) -> usize {
        let Some(mut requests) = self.lock() else { return 0 };
        if requests.kept.len() == CAPACITY {
            requests.kept.pop_front();
            requests.forgotten += 1;
        }
        let (method, path) = (method.to_owned(), path.to_owned());
        requests.kept.push_back(Logged { method, path, body_bytes: 0, status: None, fault: None });
        requests.forgotten + requests.kept.len() - 1
    }

    /// Notes what became of a request.
    pub(super) fn note(&self, number: usize, change: impl FnOnce(&mut Logged)) {
        let Some(mut requests) = self.lock() else { return };
        let at = number.checked_sub(requests.forgotten);
        if let Some(request) = at.and_then(|at| requests.kept.get_mut(at)) {
            change(request);
        }
    }

    pub(super) fn all(&self) -> Vec<Logged> {
        self.lock().map_or_else(Vec::new, |requests| requests.kept.iter().cloned().collect())
    }

    fn lock(&self) -> Option<MutexGuard<'_, Requests>> {
        // A panic elsewhere leaves the list whole: every change is a single step.
        self.0.as_ref().map(|log| log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_numbers_stay_right() {
        let log = Log::kept();
        let first = log.begin("GET", "/0");
        for i in 1..=CAPACITY {
            let n = log.begin("GET", &format!("/{i}"));
            log.note(n, |r| r.status = Some(200));
        }
        log.note(first, |r| r.status = Some(500));
        let all = log.all();
        assert_eq!(all.len(), CAPACITY);
        assert_eq!(all[0].path, "/1");
        assert!(all.iter().all(|r| r.status == Some(200)));
    }

    #[test]
    fn nothing_is_kept_unasked() {
        let log = Log::default();
        log.begin("GET", "/");
        assert!(log.all().is_empty());
    }
}
