//! Waiting for what goes on at the provider after its reply: asked again and again, less and less often.

use super::account::Account;
use super::options::duration;
use super::output::Output;
use crate::error::{Error, Kind, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::time::{Duration, Instant};

/// The first pause between two looks; each next is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// No pause is longer: what takes an hour need not be known to the second.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether, and how long, to wait.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct WaitOptions {
    /// Wait until it is done, but not longer than DURATION if one is given, as in --wait=10m
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "8760h",
        value_parser = duration
    )]
    wait: Option<Duration>,
}

/// What a look has shown.
pub enum Look<T> {
    /// It is over.
    Done(T),
    /// It goes on: a word for what goes on, and how far it is in percent where that is known.
    GoesOn(String, Option<u8>),
}

impl WaitOptions {
    /// To wait so long.
    pub fn of(limit: Duration) -> Self {
        Self { wait: Some(limit) }
    }

    /// Whether to wait at all.
    pub fn wanted(self) -> bool {
        self.wait.is_some()
    }

    /// Looks until it is over. `what` says what is waited for, `object` names it in the events.
    pub async fn until<T>(
        self,
        what: &str,
        object: &str,
        account: &Account,
        output: &Output,
        mut look: impl AsyncFnMut() -> Result<Look<T>>,
    ) -> Result<T> {
        let start = Instant::now();
        let limit = self.wait.unwrap_or(Duration::MAX);
        let bar = Bar::new(what, output);
        let mut pause = FIRST_PAUSE;
        let mut told = None;
        loop {
            let interrupted = || {
                let text = format!("{what} of {object} is no longer waited for");
                Error::new(Kind::Interrupted, text).hint("it goes on at the provider")
            };
            let looked = account.stop().unless_asked(look()).await;
            let looked = looked.map_err(|e| if e.kind() == Kind::Interrupted { interrupted() } else { e });
            let (word, percent) = match looked? {
                Look::Done(done) => return Ok(done),
                Look::GoesOn(word, percent) => (word, percent),
            };
            bar.show(&word, percent);
            let now = Some((word.clone(), percent));
            if told != now {
                output.event(
                    "progress",
                    json!({
                        "what": what, "object": object, "state": word, "percent": percent,
                        "elapsed_s": start.elapsed().as_secs_f64(),
                    }),
                );
                told = now;
            }
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(Error::new(
                    Kind::Timeout,
                    format!("{what} of {object} is not over after {limit:?}: {word}"),
                )
                .hint("it goes on at the provider"));
            }
            tokio::select! {
                () = tokio::time::sleep(pause.min(left)) => {}
                () = account.stop().asked() => return Err(interrupted()),
            }
            pause = (pause + pause / 2).min(LONGEST_PAUSE);
        }
    }
}

/// A bar, if bars are drawn; gone when dropped.
struct Bar(Option<ProgressBar>);

impl Bar {
    fn new(what: &str, output: &Output) -> Self {
        if !output.draws_bars() {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix} {bar:24.cyan/blue} {percent:>3}% {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what.to_owned());
        Self(Some(bar))
    }

    fn show(&self, word: &str, percent: Option<u8>) {
        if let Some(bar) = &self.0 {
            bar.set_position(u64::from(percent.unwrap_or(0)));
            bar.set_message(crate::escape::line(word).into_owned());
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// The percentage in the value of `imaging`: digits with an optional `%` (Open Hosting API, "Get Single Drive Info",
/// says percentage and gives no form).
pub fn percent(imaging: &str) -> Option<u8> {
    let digits = imaging.strip_suffix('%').unwrap_or(imaging).trim();
    digits.parse().ok().filter(|percent| *percent <= 100)
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn a_percentage_has_two_forms() {
        assert_eq!(percent("40%"), Some(40));
        assert_eq!(percent("40"), Some(40));
        for none in ["queued", "true", "", "101", "-1", "%"] {
            assert_eq!(percent(none), None, "{none}");
        }
    }
}
