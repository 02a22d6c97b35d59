//! A trap at a remote: at the n-th request of a kind, the running process gets a signal.

use crate::process::Target;
use diskferry::emulator::{Next, Operation, Seen, Stage};
use rustix::process::Signal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A moment that a remote sees: the n-th time that an operation reaches a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    pub operation: Operation,
    pub stage: Stage,
    pub nth: u64,
}

#[derive(Debug)]
struct Armed {
    moment: Moment,
    seen: u64,
    signal: Signal,
    target: Target,
}

#[derive(Debug, Default)]
struct State {
    armed: Option<Armed>,
    sprung: Option<Instant>,
}

/// A trap that all remotes of a world share.
#[derive(Clone, Debug, Default)]
pub struct Trap(Arc<Mutex<State>>);

impl Trap {
    /// Sets the trap for the process that `target` refers to, now or later.
    pub fn arm(&self, moment: Moment, signal: Signal, target: &Target) {
        let armed = Armed { moment, seen: 0, signal, target: target.clone() };
        *self.lock() = State { armed: Some(armed), sprung: None };
    }

    /// Removes the trap, and returns when it sprang, if it did.
    pub fn disarm(&self) -> Option<Instant> {
        let mut state = self.lock();
        state.armed = None;
        state.sprung.take()
    }

    /// Called at every stage of every request.
    pub fn hook(&self, seen: &Seen) -> Next {
        let mut state = self.lock();
        let due =
            |armed: &&mut Armed| (armed.moment.operation, armed.moment.stage) == (seen.operation, seen.stage);
        if let Some(armed) = state.armed.as_mut().filter(due) {
            armed.seen += 1;
            if armed.seen == armed.moment.nth {
                armed.target.signal(armed.signal);
                *state = State { armed: None, sprung: Some(Instant::now()) };
            }
        }
        Next::Proceed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
