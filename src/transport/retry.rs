//! The retry layer, the only place where an attempt is repeated.

use crate::error::{Error, Kind, Result};
use crate::event::{self, Observer};
use crate::meters::Meters;
use crate::stop::{Stop, stopped};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// The upper bound of the first backoff; it doubles with each attempt. Long enough for a busy drive, short
/// enough not to idle a line.
const FIRST_WAIT: Duration = Duration::from_millis(250);

/// The limit of the upper bound. With the default of 8 retries a request waits for a minute at most (30
/// seconds on average) in all. After a longer outage the command has to be run again.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The longest wait for a server that asks for more (Retry-After).
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(2);

/// The default number of retries. If a fifth of all requests fail at random, one in two million fails all its
/// attempts.
pub const DEFAULT_RETRIES: u32 = 8;

/// Retries with exponential backoff and full jitter, and honours Retry-After.
#[derive(Clone)]
pub struct Retry {
    /// How many retries follow the first attempt.
    pub retries: u32,
    /// Receives an event for each retry.
    pub observer: Observer,
    /// Counts the retries.
    pub meters: Arc<Meters>,
    /// Ends the backoff when a stop is requested.
    pub stop: Stop,
}

/// What a stop does to an attempt in flight.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Under {
    /// Drop it: a read or a listing.
    GivenUp,
    /// Wait for it until the stop's second phase: a write or a create.
    Settled,
}

impl Retry {
    /// Runs `attempt` until it succeeds, fails with an error that is not retryable, or runs out of retries.
    /// The error carries the number of attempts and the offset.
    ///
    /// Only for reads, listings and waits: a stop request drops an attempt in flight.
    pub async fn run<T>(
        &self,
        what: &str,
        offset: Option<u64>,
        attempt: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        self.run_under(Under::GivenUp, what, offset, attempt).await
    }

    /// Like [`Retry::run`], for requests that change something on the remote. An attempt in flight is waited
    /// for until the stop's second phase, so that its outcome is known if possible. Nothing is started or
    /// retried once a stop is requested.
    pub async fn run_settled<T>(
        &self,
        what: &str,
        offset: Option<u64>,
        attempt: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        self.run_under(Under::Settled, what, offset, attempt).await
    }

    /// Like [`Retry::run_settled`], for attempts that borrow nothing and so can run in a task of their own.
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

    /// Fails if a stop is requested.
    fn may_begin(&self, what: &str) -> Result<()> {
        if self.stop.is_asked() { Err(stopped().context(what)) } else { Ok(()) }
    }

    /// Counts a failed attempt and waits for the next. Fails if there is to be none.
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
        let wait = wait_before(made, error.retry_delay());
        self.meters.retries.fetch_add(1, Relaxed);
        (self.observer)(&event::retry(what, offset, made, wait, &error));
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.stop.asked() => Err(located(error).with_kind(Kind::Interrupted)),
        }
    }
}

impl Retry {
    /// Reports a retry that follows at once, because the failed attempt made progress.
    pub fn report_retry(&self, what: &str, offset: Option<u64>, error: &Error) {
        self.meters.retries.fetch_add(1, Relaxed);
        (self.observer)(&event::retry(what, offset, 1, Duration::ZERO, error));
    }
}

/// Returns the backoff after `made` attempts.
fn wait_before(made: u32, retry_after: Option<Duration>) -> Duration {
    let range = FIRST_WAIT.saturating_mul(1_u32.checked_shl(made - 1).unwrap_or(u32::MAX)).min(LONGEST_WAIT);
    let jittered = range.mul_f64(random_share());
    jittered.max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER))
}

/// Returns a random number from 0 to 1. The standard library's hash keys are random enough for jitter.
fn random_share() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0_u8);
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(retries: u32) -> Retry {
        Retry { retries, observer: event::no_observer(), meters: Arc::default(), stop: Stop::never() }
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

    /// A stop request drops a read and lets a write settle; neither is retried or started afterwards.
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
