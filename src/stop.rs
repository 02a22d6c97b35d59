//! A request to stop, in two phases.
//!
//! Once a stop is *asked*, nothing new starts and nothing is retried; reads, listings and waits end at once,
//! and writes in flight are settled. Later the stop is *over*, and these are given up as well.

use crate::error::{Error, Kind, Result};
use std::future::Future;
use tokio::sync::watch;

/// The phase of a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    OpenContext,
    Over,
}

/// The handle that requests a stop.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<Phase>);

/// The handle that observes a stop.
#[derive(Clone, Debug)]
pub struct Stop {
    phase: watch::Receiver<Phase>,
    /// Keeps the channel open for a stop that never comes.
    _keep: watch::Sender<Phase>,
}

/// Creates a stopper and its stop.
pub fn pair() -> (Stopper, Stop) {
    let (tx, rx) = watch::channel(Phase::Running);
    (Stopper(tx.clone()), Stop { phase: rx, _keep: tx })
}

impl Stopper {
    /// Requests a stop.
    pub fn stop(&self) {
        self.reach(Phase::OpenContext);
    }

    /// Gives up what is in flight.
    pub fn give_up(&self) {
        self.reach(Phase::Over);
    }

    fn reach(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let later = *now < phase;
            *now = phase.max(*now);
            later
        });
    }
}

impl Stop {
    /// Creates a stop that never comes.
    pub fn never() -> Self {
        pair().1
    }

    /// Returns whether a stop was requested.
    pub fn is_asked(&self) -> bool {
        *self.phase.borrow() >= Phase::OpenContext
    }

    /// Returns whether what is in flight is given up.
    pub fn is_over(&self) -> bool {
        *self.phase.borrow() >= Phase::Over
    }

    /// Waits until a stop is requested.
    pub async fn asked(&self) {
        self.reached(Phase::OpenContext).await;
    }

    /// Waits until what is in flight is given up.
    pub async fn over(&self) {
        self.reached(Phase::Over).await;
    }

    /// Runs `work` until it ends or a stop is requested, for work that may be dropped at once.
    pub async fn unless_asked<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.asked() => Err(stopped()),
        }
    }

    /// Runs `work` until it ends or what is in flight is given up, for work that should be settled.
    pub async fn unless_over<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.over() => Err(stopped()),
        }
    }

    async fn reached(&self, phase: Phase) {
        let mut now = self.phase.clone();
        // The channel cannot close, because a sender is kept here.
        let _ = now.wait_for(|now| *now >= phase).await;
    }
}

/// Returns the error for work that was given up.
pub fn stopped() -> Error {
    Error::new(Kind::Interrupted, "stopped")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test]
    async fn what_may_be_given_up_ends_first() {
        let (stopper, stop) = pair();
        assert!(!stop.is_asked());
        assert_eq!(stop.unless_asked(async { Ok(1) }).await.unwrap(), 1);
        stopper.stop();
        stopper.stop();
        assert!(stop.is_asked() && !stop.is_over());
        assert_eq!(stop.unless_asked(pending::<Result<()>>()).await.unwrap_err().kind(), Kind::Interrupted);
        assert_eq!(stop.unless_over(async { Ok(2) }).await.unwrap(), 2);
        stopper.give_up();
        // A later request does not undo it.
        stopper.stop();
        assert!(stop.is_asked() && stop.is_over());
        assert!(stop.unless_over(pending::<Result<()>>()).await.is_err());
    }
}
