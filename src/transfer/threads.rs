//! Threads that are waited for, and never joined: the task that waits also looks after signals.

use crate::error::{Error, Kind, Result};
use tokio::sync::oneshot;

/// The outcome of a thread's work, when it comes.
pub(crate) struct Outcome<T> {
    name: &'static str,
    outcome: oneshot::Receiver<Result<T>>,
}

/// Starts a thread.
pub(crate) fn spawn<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<Outcome<T>> {
    let (answer, outcome) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let _ = answer.send(work());
        })
        .map_err(|e| Error::io("starting a thread", e))?;
    Ok(Outcome { name, outcome })
}

impl<T> Outcome<T> {
    /// Waits for the outcome. Safe to drop and to wait for again. A thread that has panicked gives an error.
    pub(crate) async fn wait(&mut self) -> Result<T> {
        (&mut self.outcome).await.unwrap_or_else(|_| Err(died(self.name)))
    }
}

/// The error for a thread that has panicked.
pub(crate) fn died(what: &str) -> Error {
    Error::new(Kind::Io, format!("the {what} thread has died; this is a bug in diskferry"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_no_hang() {
        let mut fine = spawn("test", || Ok(7)).unwrap();
        assert_eq!(fine.wait().await.unwrap(), 7);
        let mut died = spawn::<()>("test", || panic!("a bug for the test")).unwrap();
        assert!(died.wait().await.unwrap_err().to_string().contains("the test thread has died"));
    }
}
