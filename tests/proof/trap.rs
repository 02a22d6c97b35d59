//! A trap at a far end: at the n-th request of a kind a signal goes to the process that is running.

use crate::process::Target;
use diskferry::emulator::{Next, Operation, Seen, Stage};
use rustix::process::Signal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// A moment that a far end sees: the n-th time that an operation comes to a stage.
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

/// Shared by all far ends of a world.
#[derive(Clone, Debug, Default)]
pub struct Trap(Arc<Mutex<State>>);

impl Trap {
    /// Sets the trap for the process that `target` is or will be.
    pub fn arm(&self, moment: Moment, signal: Signal, target: &Target) {
        let armed = Armed { moment, seen: 0, signal, target: target.clone() };
        *self.lock() = State { armed: Some(armed), sprung: None };
    }

    /// Takes the trap away. When it sprang, if it did.
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
