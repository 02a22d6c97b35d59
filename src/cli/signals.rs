//! Ctrl-C and SIGTERM: once settles what is in flight, twice leaves at once.

use super::output::Output;
use crate::provider::catalogue::secret;
use crate::stop::{Stop, Stopper, pair};
use tokio::signal::unix::{SignalKind, signal};

/// A stop that the first signal asks for; the second ends the process.
pub fn stop_on_signals(output: &Output) -> Stop {
    let (stopper, stop) = pair();
    let output = output.clone();
    tokio::spawn(async move {
        if let Err(error) = listen(&stopper, &output).await {
            output.warn(&format!("signals cannot be caught: {error}"));
        }
    });
    stop
}

async fn listen(stopper: &Stopper, output: &Output) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut asked = false;
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if asked {
            std::process::exit(130);
        }
        asked = true;
        output.note("stopping: what is in flight is settled first (once more leaves at once)");
        stopper.stop();
    }
}

/// This process's command, as a shell would take it.
pub fn command_line() -> String {
    resuming(super::words::given())
}

/// What began anew goes on without that, and a secret has to be given again.
pub(super) fn resuming(words: impl IntoIterator<Item = String>) -> String {
    let words = secret::command_without_secrets(words);
    let words: Vec<String> =
        words.into_iter().filter(|word| word != "--restart").map(|word| quoted(&word)).collect();
    words.join(" ")
}

/// A word as a shell would take it.
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
