//! The one place where anything is tried again.

use crate::error::{Error, Kind, Result};
use crate::event::{self, Observer};
use crate::meters::Meters;
use crate::stop::{Stop, stopped};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The first wait is drawn from zero to this, each next from twice the range: long enough for a busy drive, short
/// enough not to idle a line.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// No range grows beyond this. With the default of 8 repeats a request is given up after a minute at most (30 seconds
/// on average) of waiting: an outage that outlasts that is better met by running the command again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A server that asks for more patience than this (Retry-After) is not waited for that long at a time.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(2);

/// The default number of repeats. With a fifth of all requests failing at random, one in two million fails for good.
pub const DEFAULT_RETRIES: u32 = 8;

/// Tries again what may be repeated: exponential backoff with full jitter, Retry-After honoured.
#[derive(Clone)]
pub struct Retry {
    /// Repeats after the first attempt.
    pub retries: u32,
    /// Told of each repeat.
    pub observer: Observer,
    /// Counts the repeats.
    pub meters: Arc<Meters>,
    /// Ends the waiting.
    pub stop: Stop,
}

/// What a stop does to an attempt that is under way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Under {
    /// A read, a listing: it is given up when the stop is asked for.
    GivenUp,
    /// A write, a create: it is waited for until the stop is over.
    Settled,
}

impl Retry {
    /// Runs `attempt` until it succeeds, fails for good, or has been repeated often enough. Only for what may be
    /// repeated. The error says after how many attempts, and at which offset.
    ///
    /// A stop that is asked for ends it at once, an attempt under way too: for reads, listings and waits.
    pub async fn run<T>(
        &self,
        what: &str,
        offset: Option<u64>,
        attempt: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        self.run_under(Under::GivenUp, what, offset, attempt).await
    }

    /// The same for what changes something at the far end: an attempt under way is waited for until the stop is over, so
    /// that its outcome is known if it can be. It is not begun, and not repeated, once a stop is asked for.
    pub async fn run_settled<T>(
        &self,
        what: &str,
        offset: Option<u64>,
        attempt: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        self.run_under(Under::Settled, what, offset, attempt).await
    }

    /// The same as [`Retry::run_settled`] for attempts that borrow nothing, so that it can be part of a task of its own.
    pub async fn run_settled_apart<T>(
        &self,
        what: &str,
        mut attempt: impl FnMut() -> BoxFuture<'static, Result<T>>,
    ) -> Result<T> {
        let mut made = 0;
        loop {
            self.may_begin(what)?;
            match self.stop.unless_over(attempt()).await {
                Ok(value) => return Ok(value),
                Err(error) => self.after(&mut made, what, None, error).await?,
            }
        }
    }

    async fn run_under<T>(
        &self,
        under: Under,
        what: &str,
        offset: Option<u64>,
        mut attempt: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        let mut made = 0;
        loop {
            self.may_begin(what)?;
            let attempted = match under {
                Under::GivenUp => self.stop.unless_asked(attempt()).await,
                Under::Settled => self.stop.unless_over(attempt()).await,
            };
            match attempted {
                Ok(value) => return Ok(value),
                Err(error) => self.after(&mut made, what, offset, error).await?,
            }
        }
    }

    /// Fails if a stop is asked for.
    fn may_begin(&self, what: &str) -> Result<()> {
        if self.stop.is_asked() { Err(stopped().context(what)) } else { Ok(()) }
    }

    /// Counts an attempt that has failed and waits until the next; fails if there is to be none.
    async fn after(&self, made: &mut u32, what: &str, offset: Option<u64>, error: Error) -> Result<()> {
        *made += 1;
        let made = *made;
        let located = |error: Error| {
            let error = if error.kind().is_retryable() { error.attempts(made) } else { error };
            match offset {
                Some(offset) => error.offset(offset).context(what),
                None => error.context(what),
            }
        };
        if self.stop.is_asked() && error.kind().is_retryable() {
            return Err(located(error).with_kind(Kind::Interrupted));
        }
        if !error.kind().is_retryable() || made > self.retries {
            return Err(located(error));
        }
        let wait = wait_before(made, error.wait());
        self.meters.retries.fetch_add(1, Relaxed);
        (self.observer)(&event::retry(what, offset, made, wait, &error));
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.stop.asked() => Err(located(error).with_kind(Kind::Interrupted)),
        }
    }
}

impl Retry {
    /// Notes that something goes on at once, because the attempt that failed has come some way.
    pub fn again(&self, what: &str, offset: Option<u64>, error: &Error) {
        self.meters.retries.fetch_add(1, Relaxed);
        (self.observer)(&event::retry(what, offset, 1, Duration::ZERO, error));
    }
}

/// How long to wait after `made` attempts.
fn wait_before(made: u32, retry_after: Option<Duration>) -> Duration {
    let range = FIRST_WAIT.saturating_mul(1_u32.checked_shl(made - 1).unwrap_or(u32::MAX)).min(LONGEST_WAIT);
    let jittered = range.mul_f64(random_share());
    jittered.max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER))
}

/// A random number from 0 to 1. The standard library's hash keys are the randomness at hand; this needs no more.
fn random_share() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0_u8);
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(retries: u32) -> Retry {
        Retry { retries, observer: event::nobody(), meters: Arc::default(), stop: Stop::never() }
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_help_is_repeated_and_counted() {
        let retry = retry(5);
        let mut left = 3;
        let got = retry
            .run("writing", Some(8), async || {
                left -= 1;
                if left > 0 { Err(Error::new(Kind::Busy, "busy")) } else { Ok(7) }
            })
            .await;
        assert_eq!(got.unwrap(), 7);
        assert_eq!(retry.meters.retries.load(Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_help_is_not_repeated() {
        for kind in [Kind::Auth, Kind::Refused, Kind::NotFound, Kind::Full, Kind::Billing] {
            let mut calls = 0;
            let failed = retry(5)
                .run("writing", None, async || {
                    calls += 1;
                    Err::<(), _>(Error::new(kind, "no"))
                })
                .await;
            assert_eq!((failed.unwrap_err().kind(), calls), (kind, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_and_says_where_and_after_how_many_attempts() {
        let mut calls = 0;
        let failed = retry(2)
            .run("writing a chunk", Some(42), async || {
                calls += 1;
                Err::<(), _>(Error::new(Kind::Unavailable, "no"))
            })
            .await
            .unwrap_err();
        assert_eq!(calls, 3);
        assert_eq!(failed.to_string(), "writing a chunk: no at offset 42 after 3 attempts");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_waiting() {
        let (stopper, stop) = crate::stop::pair();
        let retry = Retry { stop, ..retry(100) };
        let task = retry.run("x", None, async || Err::<(), _>(Error::new(Kind::Busy, "busy")));
        let stopping = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            stopper.stop();
        };
        let (ended, ()) = tokio::join!(task, stopping);
        assert_eq!(ended.unwrap_err().kind(), Kind::Interrupted);
    }

    /// A read is given up when the stop is asked for, a write is settled; neither is repeated or begun after.
    #[tokio::test(start_paused = true)]
    async fn a_stop_gives_up_reads_and_settles_writes() {
        let (stopper, stop) = crate::stop::pair();
        let retry = Retry { stop, ..retry(100) };
        let mut writes = 0;
        let slow = async || {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Ok(())
        };
        let slow_failure = async || {
            writes += 1;
            tokio::time::sleep(Duration::from_secs(10)).await;
            Err::<(), _>(Error::new(Kind::Busy, "busy"))
        };
        let stopping = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            stopper.stop();
        };
        let start = tokio::time::Instant::now();
        let (read, written, failed, ()) = tokio::join!(
            async {
                let read = retry.run("reading", None, slow).await;
                (read, start.elapsed())
            },
            retry.run_settled("writing", None, slow),
            retry.run_settled("writing", None, slow_failure),
            stopping
        );
        assert_eq!((read.0.unwrap_err().kind(), read.1), (Kind::Interrupted, Duration::from_secs(5)));
        written.unwrap();
        assert_eq!((failed.unwrap_err().kind(), writes), (Kind::Interrupted, 1));
        let begun = retry.run_settled("writing", None, async || Ok(())).await;
        assert_eq!(begun.unwrap_err().kind(), Kind::Interrupted);
        stopper.give_up();
    }

    #[test]
    fn waits_grow_and_honour_the_server() {
        for made in 1..100 {
            assert!(wait_before(made, None) <= LONGEST_WAIT);
        }
        assert!(wait_before(1, None) <= FIRST_WAIT);
        assert!(wait_before(1, Some(Duration::from_secs(7))) >= Duration::from_secs(7));
        assert!(wait_before(1, Some(Duration::from_secs(100_000))) <= LONGEST_RETRY_AFTER);
    }
}
