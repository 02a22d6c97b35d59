//! Waiting for work that continues at the provider after a call's reply.
//!
//! The object is requested repeatedly, with growing pauses. The catalogue determines which object that is,
//! and which of its values end the wait.

use super::account::Account;
use super::noun::Item;
use super::options::duration;
use super::output::Output;
use crate::error::{Error, Kind, Result};
use crate::provider::catalogue::{Argument, Arguments, Poll, Progress};
use crate::units;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::time::{Duration, Instant};

/// The first pause between two requests. Each next one is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause: for work that takes an hour, seconds do not matter.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether, and how long, to wait.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct WaitOptions {
    /// Wait until it is done, for DURATION at most if one is given, as in --wait=10m
    #[arg(long, value_name = "DURATION", require_equals = true, value_parser = duration)]
    #[expect(clippy::option_option, reason = "so clap knows an option whose value may be left out")]
    wait: Option<Option<Duration>>,
}

/// How the work ended.
pub struct Ended {
    /// The label of the object that was polled, such as `drive 6339d58e-…`.
    pub object: String,
    /// The last value of the polled key, or `gone` if the object no longer exists.
    pub state: String,
    /// The object, unless it no longer exists.
    pub item: Option<Item>,
}

impl WaitOptions {
    /// Returns options that wait for at most `limit`.
    pub fn of(limit: Duration) -> Self {
        Self { wait: Some(Some(limit)) }
    }

    /// Returns whether to wait at all.
    pub fn wanted(self) -> bool {
        self.wait.is_some()
    }

    /// Waits until the work of a call is done. `sent` holds the arguments of the call, and `reply` is its
    /// reply.
    pub async fn until(
        self,
        poll: &Poll,
        sent: &Arguments,
        reply: Option<&Item>,
        account: &Account,
        output: &Output,
    ) -> Result<Ended> {
        let asked = asked(poll, sent, reply)?;
        let object = format!("{} {}", poll.object, asked.path.last().map_or("", String::as_str));
        let limit = self.wait.flatten().unwrap_or(poll.deadline);
        let hint = "it goes on at the provider";
        let interrupted = || {
            let text = format!("{} of {object} is no longer waited for", poll.work);
            Error::new(Kind::Interrupted, text).hint(hint)
        };
        let start = Instant::now();
        let bar = Bar::new(poll.work, output);
        let mut pause = poll.settle;
        let mut told = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = account.stop().asked() => return Err(interrupted()),
            }
            let item = match account.stop().unless_asked(account.item(poll.call, &asked)).await {
                Ok(item) => item,
                Err(error) if error.kind() == Kind::NotFound && poll.gone => {
                    return Ok(Ended { object, state: "gone".to_owned(), item: None });
                }
                Err(error) if error.kind() == Kind::Interrupted => return Err(interrupted()),
                Err(error) => return Err(error),
            };
            let state = item.text(poll.key);
            match poll.judge(&state) {
                Progress::Done => return Ok(Ended { object, state, item: Some(item) }),
                Progress::Failed => {
                    let text = format!("{} of {object} failed: it is {state}", poll.work);
                    return Err(Error::new(Kind::Unavailable, text));
                }
                Progress::GoesOn => {}
            }
            let percent = percent(&state);
            bar.show(&state, percent);
            let now = Some((state.clone(), percent));
            if told != now {
                output.event(
                    "progress",
                    json!({
                        "what": poll.work, "object": object, "state": state, "percent": percent,
                        "elapsed_s": start.elapsed().as_secs_f64(),
                    }),
                );
                told = now;
            }
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                let text =
                    format!("{} of {object} is not done after {}: {state}", poll.work, units::time(limit));
                return Err(Error::new(Kind::Timeout, text).hint(hint));
            }
            pause = (pause + pause / 2).clamp(FIRST_PAUSE, LONGEST_PAUSE).min(left);
        }
    }
}

/// Returns the arguments of the call that requests the object.
fn asked(poll: &Poll, sent: &Arguments, reply: Option<&Item>) -> Result<Arguments> {
    let argument = |argument: &Argument| match argument {
        Argument::Path(place) => Ok(sent.path.get(*place).cloned().unwrap_or_default()),
        Argument::Reply(key) => match reply {
            Some(reply) => reply.made(poll.object, key, sent),
            None => Err(Error::new(
                Kind::Protocol,
                format!("the reply does not say which {} it made", poll.object),
            )),
        },
    };
    let path = poll.path.iter().map(argument).collect::<Result<_>>()?;
    Ok(Arguments { path, ..Arguments::default() })
}

/// A progress bar, if bars are drawn. Dropping it clears the line.
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

/// Returns the percentage in a value of `imaging`: digits with an optional `%`. The manual says that it is a
/// percentage but does not specify its form (Open Hosting API, "Get Single Drive Info").
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
