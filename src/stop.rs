//! A request to stop: nothing new is begun, what is in flight is settled.

use tokio::sync::watch;

/// Whoever holds this may ask for a stop.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Whoever holds this is asked to stop.
#[derive(Clone, Debug)]
pub struct Stop {
    asked: watch::Receiver<bool>,
    /// Keeps the channel open for a stop that nobody can ask for.
    _keep: watch::Sender<bool>,
}

/// A stopper with its stop.
pub fn pair() -> (Stopper, Stop) {
    let (tx, rx) = watch::channel(false);
    (Stopper(tx.clone()), Stop { asked: rx, _keep: tx })
}

impl Stopper {
    /// Asks for the stop.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// A stop that never comes.
    pub fn never() -> Self {
        pair().1
    }

    /// Whether the stop was asked for.
    pub fn is_asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Returns when the stop is asked for.
    pub async fn asked(&self) {
        let mut asked = self.asked.clone();
        // The channel cannot close: a sender is kept here.
        let _ = asked.wait_for(|asked| *asked).await;
    }
}
