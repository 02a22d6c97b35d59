//! Hooks for tests: a callback at exact points of a request's life, and gates that hold requests there.
//!
//! A hook is called on the emulator's only thread, so two calls never overlap and no request advances while a
//! hook runs. That makes it the place to kill a client: what the emulator has received, carried out and
//! answered by then does not depend on the speed of the machine.

use super::faults::FaultKind;
use super::properties::parse_size;
use axum::http::header::RANGE;
use axum::http::request::Parts;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A point in the life of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The whole request has arrived, including its body. Nothing was done, and no fault was drawn.
    Received,
    /// The call succeeded, or a fault pretends that it did, and no byte of the reply was sent. Calls that
    /// fail do not reach this stage.
    Applied,
    /// The last byte of the reply to such a request was handed to the operating system. A reply that a fault
    /// cuts short does not reach this stage.
    Answered,
}

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Reads bytes of a drive.
    Read,
    /// Writes bytes to a drive.
    Write,
    /// Creates a drive (`drives/create`).
    Create,
    /// Downloads bytes of an appliance, directly or after a redirect.
    Download,
    /// Anything else.
    Other,
}

/// A request at one of its stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The stage that the request has reached.
    pub stage: Stage,
    /// What the request asks for.
    pub operation: Operation,
    /// How many requests of this operation have reached this stage since the hook was set, including this
    /// one: the first is 1.
    pub nth: u64,
    /// The path as it was sent, without a query.
    pub path: String,
    /// The UUID in the path of a call on a drive.
    pub drive: Option<String>,
    /// The first byte of a read, a write or a range of a download.
    pub offset: Option<u64>,
    /// The status of the reply; `None` at [`Stage::Received`].
    pub status: Option<u16>,
    /// The fault that the request meets, if it is known at this stage.
    pub fault: Option<FaultKind>,
}

/// What happens to a request after its hook.
#[derive(Clone, Debug)]
pub enum Next {
    /// The request goes on.
    Proceed,
    /// The connection is reset. At [`Stage::Received`] nothing is carried out; at [`Stage::Applied`] the
    /// client never learns that the call was.
    Reset,
    /// The request waits until the gate is opened or reset. If the client goes away meanwhile, the request is
    /// dropped.
    Wait(Gate),
}

/// Called at every stage of every request that was admitted. The result is ignored at [`Stage::Answered`].
pub type Hook = Arc<dyn Fn(&Seen) -> Next + Send + Sync>;

/// Holds requests until a test releases them.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    state: Mutex<State>,
    /// Wakes the thread of the test.
    arrived: Condvar,
    /// Wakes the requests.
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: usize,
    /// Whether requests pass, or `None` while they are held.
    verdict: Option<bool>,
}

impl Gate {
    /// Creates a gate that holds every request.
    pub fn new() -> Gate {
        Gate::default()
    }

    /// Returns how many requests are held now.
    pub fn waiting(&self) -> usize {
        self.0.lock().waiting
    }

    /// Blocks until at least `n` requests are held; returns false if that takes longer than `limit`.
    pub fn wait_for(&self, n: usize, limit: Duration) -> bool {
        let state = self.0.lock();
        let held = self.0.arrived.wait_timeout_while(state, limit, |state| state.waiting < n);
        held.unwrap_or_else(PoisonError::into_inner).0.waiting >= n
    }

    /// Lets the held requests go on, and all that come later.
    pub fn open(&self) {
        self.decide(true);
    }

    /// Resets the connections of the held requests, and of all that come later.
    pub fn reset(&self) {
        self.decide(false);
    }

    fn decide(&self, pass: bool) {
        self.0.lock().verdict = Some(pass);
        self.0.moved.notify_waiters();
    }

    /// Waits for the verdict and returns whether to go on.
    async fn pass(&self) -> bool {
        self.0.lock().waiting += 1;
        self.0.arrived.notify_all();
        // Uncounts the request however the wait ends, including when the client hangs up.
        let _held = Leaving(&self.0);
        loop {
            let moved = self.0.moved.notified();
            if let Some(pass) = self.0.lock().verdict {
                return pass;
            }
            moved.await;
        }
    }
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Leaving<'a>(&'a Held);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

/// What a request is about, parsed from its path.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    pub(super) operation: Operation,
    path: String,
    drive: Option<String>,
    offset: Option<u64>,
}

impl Subject {
    /// Parses a request; `route` is the path in the form of the provider's routes.
    pub(super) fn of(head: &Parts, route: &str) -> Subject {
        let path = head.uri.path().to_owned();
        let words: Vec<&str> = route.split('/').filter(|word| !word.is_empty()).collect();
        let on_drive = |operation, drive: &str, offset: Option<&&str>| Subject {
            operation,
            path: path.clone(),
            drive: Some(drive.to_owned()),
            offset: offset.map_or(Some(0), |offset| parse_size(offset)),
        };
        match *words.as_slice() {
            ["drives", drive, "read", ..] => on_drive(Operation::Read, drive, words.get(3)),
            ["drives", drive, "write", ..] => on_drive(Operation::Write, drive, words.get(3)),
            ["drives", "create"] => Subject { operation: Operation::Create, path, drive: None, offset: None },
            ["drives", drive, ..] => Subject { offset: None, ..on_drive(Operation::Other, drive, None) },
            [.., "download", "appliance", _] | [super::spotcloud::BLOBS, _] => {
                let range = head.headers.get(RANGE).and_then(|range| range.to_str().ok());
                let first = range.and_then(|range| range.trim().strip_prefix("bytes=")?.split('-').next());
                let offset = first.map_or(Some(0), |first| first.parse().ok());
                Subject { operation: Operation::Download, path, drive: None, offset }
            }
            _ => Subject { operation: Operation::Other, path, drive: None, offset: None },
        }
    }
}

/// The hook of one emulator, if it has one.
#[derive(Default)]
pub(super) struct Hooks {
    /// Checked first, so that an emulator without a hook takes no lock.
    set: AtomicBool,
    installed: Mutex<Option<Installed>>,
}

struct Installed {
    hook: Hook,
    counts: HashMap<(Stage, Operation), u64>,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hooks {{ set: {} }}", self.is_set())
    }
}

impl Hooks {
    pub(super) fn set(&self, hook: Option<Hook>) {
        self.set.store(hook.is_some(), Ordering::Release);
        *self.lock() = hook.map(|hook| Installed { hook, counts: HashMap::new() });
    }

    pub(super) fn is_set(&self) -> bool {
        self.set.load(Ordering::Acquire)
    }

    /// Calls the hook and waits as it says; returns false if the connection is to be reset.
    pub(super) async fn passes(
        &self,
        stage: Stage,
        subject: &Subject,
        status: Option<u16>,
        fault: Option<FaultKind>,
    ) -> bool {
        match self.call(stage, subject, status, fault) {
            Next::Proceed => true,
            Next::Reset => false,
            Next::Wait(gate) => gate.pass().await,
        }
    }

    pub(super) fn call(
        &self,
        stage: Stage,
        subject: &Subject,
        status: Option<u16>,
        fault: Option<FaultKind>,
    ) -> Next {
        if !self.is_set() {
            return Next::Proceed;
        }
        let Subject { operation, path, drive, offset } = subject.clone();
        let (hook, nth) = {
            let mut installed = self.lock();
            let Some(installed) = installed.as_mut() else { return Next::Proceed };
            let count = installed.counts.entry((stage, operation)).or_default();
            *count += 1;
            (Arc::clone(&installed.hook), *count)
        };
        // The lock is released: a hook may set another one.
        hook(&Seen { stage, operation, nth, path, drive, offset, status, fault })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Installed>> {
        self.installed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of connections, and of pieces of work for clients that may be gone.
#[derive(Debug, Default)]
pub(super) struct Activity {
    count: Mutex<usize>,
    changed: Condvar,
}

/// Counts one connection, or one piece of work, until it is dropped.
#[derive(Debug)]
pub(super) struct Active(Arc<Activity>);

impl Activity {
    pub(super) fn begin(self: &Arc<Self>) -> Active {
        *self.lock() += 1;
        Active(Arc::clone(self))
    }

    /// Blocks until the count is zero; returns false if that takes longer than `limit`.
    pub(super) fn wait_for_none(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut count = self.lock();
        while *count > 0 {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            count = self.changed.wait_timeout(count, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        *self.0.lock() -= 1;
        self.0.changed.notify_all();
    }
}
