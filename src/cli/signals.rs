//! Ctrl-C and SIGTERM: the first signal settles what is in flight, the second ends the process at once.
//!
//! A dedicated thread listens from the start of the program, so that a signal is handled whatever the other
//! threads do. It asks for the stop, gives up what is in flight after [`GRACE`], and ends the process after
//! [`SETTLING`] unless it has ended by then: killing it is safe at any moment. Other threads print its
//! messages, since standard error may be a pipe that nobody reads.

use super::output::Output;
use super::prompt;
use crate::error::{Error, Kind};
use crate::provider::catalogue::secret;
use crate::stop::{Stop, Stopper, pair};
use crate::transport::limit::Bandwidth;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long to wait for writes in flight.
const GRACE: Duration = Duration::from_secs(2);

/// The maximum time from the first signal to the end of the process.
const SETTLING: Duration = Duration::from_millis(2700);

/// How long a command without anything to settle may take to end, such as one that waits for a program that
/// prints a secret.
const AT_ONCE: Duration = Duration::from_millis(500);

/// How long a message or the terminal may delay the stop.
const PATIENCE: Duration = Duration::from_millis(50);

/// The exit status of an interrupted command, as shells report it for SIGINT.
const INTERRUPTED: i32 = 130;

/// The state of this process's signal handling.
struct Signals {
    stop: Stop,
    stopper: Stopper,
    /// The output, once the command line is parsed.
    output: Mutex<Option<Output>>,
    /// Whether the command has something to settle before it ends.
    settles: AtomicBool,
    /// The limits that SIGUSR1 halves and SIGUSR2 doubles.
    bandwidth: Mutex<Bandwidth>,
    /// The reason why signals cannot be caught, if so.
    deaf: Mutex<Option<std::io::Error>>,
}

/// Starts to listen. After this returns, a signal no longer kills the process but asks it to stop.
pub fn listen() {
    let _ = signals();
}

/// Returns the stop that the first signal asks for. The second signal ends the process.
pub fn stop_on_signals(output: &Output) -> Stop {
    let signals = signals();
    *lock(&signals.output) = Some(output.clone());
    if let Some(error) = lock(&signals.deaf).take() {
        output.warn(&format!("signals cannot be caught: {error}"));
    }
    signals.stop.clone()
}

/// Sets the limits that SIGUSR1 halves and SIGUSR2 doubles.
pub(super) fn throttles(bandwidth: &Bandwidth) {
    *lock(&signals().bandwidth) = bandwidth.clone();
}

/// Sets whether the command has something to settle when it is stopped, as transfers do once their plan is
/// made.
pub(super) fn settles(settles: bool) {
    signals().settles.store(settles, Ordering::Release);
}

fn signals() -> &'static Signals {
    static SIGNALS: OnceLock<Arc<Signals>> = OnceLock::new();
    SIGNALS.get_or_init(|| {
        let (stopper, stop) = pair();
        let signals = Arc::new(Signals {
            stop,
            stopper,
            output: Mutex::default(),
            settles: AtomicBool::new(false),
            bandwidth: Mutex::default(),
            deaf: Mutex::default(),
        });
        let (ready, listening) = mpsc::channel();
        let own = Arc::clone(&signals);
        let thread = std::thread::Builder::new().name("signals".into()).spawn(move || own.listen(&ready));
        *lock(&signals.deaf) = match thread {
            Ok(_) => listening.recv().unwrap_or_else(|_| Some(std::io::Error::other("the thread has died"))),
            Err(error) => Some(error),
        };
        signals
    })
}

impl Signals {
    fn listen(self: &Arc<Self>, ready: &mpsc::Sender<Option<std::io::Error>>) {
        // Use a separate runtime: the main one may be busy.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let heard = runtime.and_then(|runtime| {
            runtime.block_on(async {
                let mut ears = Ears::new()?;
                let _ = ready.send(None);
                self.hear(&mut ears).await;
                Ok(())
            })
        });
        if let Err(error) = heard {
            let _ = ready.send(Some(error));
        }
    }

    /// Handles signals: waits for the first one that stops, then ends the process if nothing else does.
    async fn hear(self: &Arc<Self>, ears: &mut Ears) {
        while let Some(slower) = ears.changes_pace().await {
            self.change_pace(slower);
        }
        self.tell();
        self.stopper.stop();
        if ears.hears_within(AT_ONCE).await {
            self.leave();
        }
        if !self.settles.load(Ordering::Acquire) {
            self.end("stopped");
        }
        if ears.hears_within(GRACE.saturating_sub(AT_ONCE)).await {
            self.leave();
        }
        self.stopper.give_up();
        if ears.hears_within(SETTLING.saturating_sub(GRACE)).await {
            self.leave();
        }
        self.end("stopped: requests in flight did not end in time");
    }

    /// Halves or doubles the bandwidth limits, and reports them.
    fn change_pace(self: &Arc<Self>, slower: bool) {
        let bandwidth = lock(&self.bandwidth).clone();
        let now = if slower { bandwidth.halve() } else { bandwidth.double() };
        let rate = |rate: u64| format!("{}/s", super::output::bytes(rate));
        let text = match now {
            (None, None) => "no bandwidth limit to change: `--bwlimit` was not given".to_owned(),
            (Some(up), Some(down)) if up == down => format!("bandwidth limit: {}", rate(up)),
            (up, down) => {
                let side = |limit: Option<u64>| limit.map_or_else(|| "none".to_owned(), rate);
                format!("bandwidth limit: {} up, {} down", side(up), side(down))
            }
        };
        if let Some(output) = lock(&self.output).clone() {
            say(move || output.note(&text));
        }
    }

    /// Prints that the command is stopping.
    fn tell(self: &Arc<Self>) {
        let own = Arc::clone(self);
        say(move || {
            let output = lock(&own.output).clone();
            if own.settles.load(Ordering::Acquire)
                && let Some(output) = output
            {
                output.note("stopping: waiting for requests in flight (press Ctrl-C again to stop at once)");
            }
        });
    }

    /// Ends the process at once, on the second signal.
    fn leave(self: &Arc<Self>) -> ! {
        let own = Arc::clone(self);
        say(move || {
            prompt::restore();
            if lock(&own.output).as_ref().is_some_and(Output::draws_bars) {
                // Put the shell's prompt on a new line.
                eprintln!();
            }
        });
        std::process::exit(INTERRUPTED);
    }

    /// Ends the process with a message, since the command has not ended in time.
    fn end(self: &Arc<Self>, why: &'static str) -> ! {
        let own = Arc::clone(self);
        say(move || {
            prompt::restore();
            let error = Error::new(Kind::Interrupted, why);
            match lock(&own.output).clone() {
                Some(output) => {
                    let _ = output.fail(&error);
                }
                None => eprintln!("error: {error}"),
            }
        });
        std::process::exit(INTERRUPTED);
    }
}

/// The streams of signals.
struct Ears {
    interrupt: Signal,
    terminate: Signal,
    slower: Signal,
    faster: Signal,
}

impl Ears {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            slower: signal(SignalKind::user_defined1())?,
            faster: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for a signal. Returns whether to go slower, or `None` to stop.
    async fn changes_pace(&mut self) -> Option<bool> {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => None,
            _ = self.terminate.recv() => None,
            _ = self.slower.recv() => Some(true),
            _ = self.faster.recv() => Some(false),
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    async fn hears_within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.next()).await.is_ok()
    }
}

/// Prints on another thread, and waits for that at most [`PATIENCE`].
fn say(words: impl FnOnce() + Send + 'static) {
    let (done, said) = mpsc::channel::<()>();
    // If there is no thread, the message is omitted.
    let _ = std::thread::Builder::new().name("signals-say".into()).spawn(move || {
        words();
        drop(done);
    });
    let _ = said.recv_timeout(PATIENCE);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns this process's command, quoted for a shell.
pub fn command_line() -> String {
    resuming(super::words::given())
}

/// Returns the command that resumes another one: the same without `--restart` and without secrets.
pub(super) fn resuming(words: impl IntoIterator<Item = String>) -> String {
    let words = secret::command_without_secrets(words);
    let words: Vec<String> =
        words.into_iter().filter(|word| word != "--restart").map(|word| quoted(&word)).collect();
    words.join(" ")
}

/// Returns a word quoted for a shell.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{quoted, resuming};

    #[test]
    fn the_command_that_goes_on_does_not_start_over() {
        let words = ["diskferry", "upload", "a b.img", "oh:", "--restart"].map(str::to_owned);
        assert_eq!(resuming(words), "diskferry upload 'a b.img' oh:");
    }

    #[test]
    fn words_are_quoted_as_a_shell_wants_them() {
        assert_eq!(quoted("oh:5f-a"), "oh:5f-a");
        assert_eq!(quoted("my image"), "'my image'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
