//! Draws which request meets which fault.

use super::fingerprint::{of_name, with};
use super::rules::{Rule, Rules};
use super::wrong::OddCreate;
use super::{Etag, FaultKind, Faults, OddReply, Ranges, RuleInfo, RuleLimits, Share, WrongBytes};
use crate::emulator::hook::Operation;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// How many different requests are counted. Beyond them the counts start over: memory stays bounded, and the
/// draws still depend only on the requests.
const COUNTED: usize = 1 << 20;

/// Separates the random numbers of different purposes under the same seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stream {
    Request,
    When,
    Drive,
    Redirect,
    Wrong,
    Where,
    Create,
}

/// When the connection of a request is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::emulator) enum When {
    /// After the headers, and as much of the body as the draw needs.
    BeforeBody,
    /// After half of the body.
    WithinBody,
    /// After the request was carried out, before its reply is sent.
    AfterApplied,
}

/// The fault that one request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::emulator) enum Fault {
    Busy,
    Unavailable,
    Reset(When),
    Short,
    Stall,
    Wrong(WrongAnswer),
}

/// A wrong answer to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::emulator) struct WrongAnswer {
    pub(in crate::emulator) kind: FaultKind,
    /// Random bits for the fault's choices.
    pub(in crate::emulator) random: u64,
    /// How long it takes, in total or for each byte; zero for most kinds.
    pub(in crate::emulator) takes: Duration,
}

impl WrongAnswer {
    /// Returns the bytes that the call itself has to make wrong, if that is the fault.
    pub(in crate::emulator) fn bytes(self, operation: Operation) -> Option<WrongBytes> {
        let WrongAnswer { kind, random, .. } = self;
        let in_the_call = match kind {
            FaultKind::Drop | FaultKind::Misplace => true,
            FaultKind::Bend => operation == Operation::Write,
            _ => false,
        };
        in_the_call.then_some(WrongBytes { kind, random })
    }
}

impl Fault {
    pub(in crate::emulator) fn kind(self) -> FaultKind {
        match self {
            Fault::Busy => FaultKind::Busy,
            Fault::Unavailable => FaultKind::Unavailable,
            Fault::Reset(_) => FaultKind::Reset,
            Fault::Short => FaultKind::Short,
            Fault::Stall => FaultKind::Stall,
            Fault::Wrong(wrong) => wrong.kind,
        }
    }
}

/// The fault that a `drives/create` meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::emulator) enum CreateFault {
    /// It is carried out, and answered this way.
    Odd(OddReply),
    /// It is refused.
    Refused,
}

/// Deals the faults of one emulator and counts them.
#[derive(Debug, Default)]
pub(in crate::emulator) struct Dealer {
    rules: RwLock<Arc<Rules>>,
    /// How often each request has come, by its fingerprint.
    came: Mutex<HashMap<(Stream, u64), u64>>,
    dealt: AtomicU64,
    refusals: AtomicU64,
    silent: AtomicU64,
}

/// A request that a fault may be drawn for.
#[derive(Clone, Copy, Debug)]
pub(in crate::emulator) struct Drawing<'a> {
    pub(in crate::emulator) method: &'a str,
    /// The path in the form of the provider's routes.
    pub(in crate::emulator) path: &'a str,
    pub(in crate::emulator) operation: Operation,
    /// See the function `fingerprint`.
    pub(in crate::emulator) fingerprint: u64,
}

impl Dealer {
    /// Creates a dealer whose only rule has the faults of the configuration.
    pub(in crate::emulator) fn new(faults: Faults) -> Self {
        let dealer = Dealer::default();
        if faults != Faults::default() {
            // A rule for all requests is never refused.
            let _ = dealer.add(faults, RuleLimits::default());
        }
        dealer
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the rules, for requests that arrive from now on.
    fn change<T>(&self, change: impl FnOnce(&mut Rules) -> T) -> T {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(&mut rules))
    }

    /// Adds a rule and returns its number.
    ///
    /// # Errors
    /// Fails if the rule is for some requests and has a setting that applies to all.
    pub(in crate::emulator) fn add(&self, faults: Faults, limits: RuleLimits) -> Result<u64, String> {
        self.change(|rules| {
            let id = rules.next + 1;
            rules.list.push(Arc::new(Rule::new(id, faults, limits)?));
            rules.next = id;
            Ok(id)
        })
    }

    /// Removes a rule; returns false if there is none with this number.
    pub(in crate::emulator) fn remove(&self, id: u64) -> bool {
        self.change(|rules| {
            let before = rules.list.len();
            rules.list.retain(|rule| rule.id != id);
            rules.list.len() < before
        })
    }

    /// Removes all rules.
    pub(in crate::emulator) fn clear(&self) {
        self.change(|rules| rules.list.clear());
    }

    /// Returns the rules in the order in which they apply.
    pub(in crate::emulator) fn list(&self) -> Vec<RuleInfo> {
        self.rules().list.iter().map(|rule| rule.info()).collect()
    }

    /// Sets the seed of all rules that have no `seed=` of their own, and restarts the counts of requests.
    pub(in crate::emulator) fn set_seed(&self, seed: u64) {
        self.change(|rules| rules.seed = seed);
        self.came().clear();
    }

    /// Returns whether any rule draws faults, so that requests have to be distinguished.
    pub(in crate::emulator) fn draws(&self) -> bool {
        self.rules().list.iter().any(|rule| rule.faults.draws())
    }

    /// Returns how long a request waits before it is processed.
    pub(in crate::emulator) fn latency(&self, method: &str, path: &str) -> Duration {
        let rules = self.rules();
        let latencies =
            rules.list.iter().filter(|rule| rule.is_for(method, path)).map(|rule| rule.faults.latency);
        latencies.fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Returns the rate in bytes a second, over all connections and both directions.
    pub(in crate::emulator) fn rate(&self) -> Option<u64> {
        self.rules().rate()
    }

    /// Returns the seconds in `Retry-After` of a fault's 503, if they differ from the provider's own.
    pub(in crate::emulator) fn retry_after(&self) -> Option<u32> {
        self.rules().retry_after()
    }

    pub(in crate::emulator) fn ranges(&self) -> Ranges {
        self.rules().ranges()
    }

    pub(in crate::emulator) fn etag(&self) -> Etag {
        self.rules().etag()
    }

    /// Draws the fault of a request, if it meets one. [`Dealer::deal`] counts it.
    pub(in crate::emulator) fn draw(&self, drawing: Drawing<'_>) -> Option<Fault> {
        let rules = self.rules();
        if rules.list.is_empty() {
            return None;
        }
        let nth = self.nth(Stream::Request, drawing.fingerprint);
        rules.list.iter().filter(|rule| rule.is_for(drawing.method, drawing.path)).find_map(|rule| {
            let content = with(with(rules.seed(rule), drawing.fingerprint), nth);
            Self::draw_from(&rule.faults, content, drawing.operation).filter(|_| rule.take())
        })
    }

    /// Draws the fault of a request by one rule. `content` combines everything that the draw depends on.
    fn draw_from(faults: &Faults, content: u64, operation: Operation) -> Option<Fault> {
        let random = |stream: Stream| with(content, stream as u64);
        let mut from = Share::ZERO;
        for (kind, share) in FaultKind::MIXED.into_iter().zip(faults.shares) {
            if share.takes(random(Stream::Request), from) {
                return match kind {
                    FaultKind::Busy => Some(Fault::Busy),
                    FaultKind::Unavailable => Some(Fault::Unavailable),
                    FaultKind::Short => Some(Fault::Short),
                    FaultKind::Stall => Some(Fault::Stall),
                    FaultKind::Reset => Some(Fault::Reset(match random(Stream::When) % 3 {
                        0 => When::BeforeBody,
                        1 => When::WithinBody,
                        _ => When::AfterApplied,
                    })),
                    _ => None,
                };
            }
            from += share;
        }
        let kind = faults.wrong.draw(operation, random(Stream::Wrong))?;
        Some(Fault::Wrong(WrongAnswer {
            kind,
            random: random(Stream::Where),
            takes: faults.wrong.takes(kind),
        }))
    }

    /// Returns the seed of the noise in unwritten sectors, if a new drive of this name has noise.
    pub(in crate::emulator) fn noise(&self, name: &str) -> Option<u64> {
        self.takes(Stream::Drive, name, |faults| faults.dirty)
    }

    /// Returns whether this download of an appliance is answered with a redirect.
    pub(in crate::emulator) fn redirects(&self, key: &str) -> bool {
        self.takes(Stream::Redirect, key, |faults| faults.redirect).is_some()
    }

    /// Returns a random number for a name, if it falls into a rule's share.
    fn takes(&self, stream: Stream, name: &str, share: impl Fn(&Faults) -> Share) -> Option<u64> {
        let rules = self.rules();
        let asked = |rule: &&Arc<Rule>| share(&rule.faults) > Share::ZERO;
        if !rules.list.iter().any(|rule| asked(&rule)) {
            return None;
        }
        let name = of_name(name);
        let nth = self.nth(stream, name);
        rules.list.iter().filter(asked).find_map(|rule| {
            let random = with(with(with(rules.seed(rule), stream as u64), name), nth);
            share(&rule.faults).takes(random, Share::ZERO).then_some(random)
        })
    }

    /// Returns whether a read or write of `len` bytes at `offset` covers an offset that always fails.
    pub(in crate::emulator) fn refuses(&self, offset: u64, len: u64) -> bool {
        let covered = |&at: &u64| offset <= at && at - offset < len;
        self.rules().list.iter().any(|rule| rule.faults.refuse.iter().any(covered))
    }

    /// Returns the fault of the next `drives/create`, if any.
    pub(in crate::emulator) fn create(&self) -> Option<CreateFault> {
        let rules = self.rules();
        let (rule, create) =
            rules.list.iter().rev().find_map(|rule| Some((rule, rule.faults.wrong.create?)))?;
        let OddCreate { first, then_refused } = create;
        match self.nth(Stream::Create, rule.id) {
            1 => Some(CreateFault::Odd(first)),
            2 if then_refused => Some(CreateFault::Refused),
            _ => None,
        }
    }

    /// Counts a request, and returns how often it has come, including this time.
    fn nth(&self, stream: Stream, number: u64) -> u64 {
        let mut came = self.came();
        if came.len() >= COUNTED {
            came.clear();
        }
        let count = came.entry((stream, number)).or_default();
        *count += 1;
        *count
    }

    fn came(&self) -> MutexGuard<'_, HashMap<(Stream, u64), u64>> {
        self.came.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a fault that a request is about to meet.
    pub(in crate::emulator) fn deal(&self, kind: FaultKind) {
        let count = if kind.is_silent() { &self.silent } else { &self.dealt };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::emulator) fn silent(&self) -> u64 {
        self.silent.load(Ordering::Relaxed)
    }

    /// Counts a request that was refused for its offset.
    pub(in crate::emulator) fn refuse(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::emulator) fn dealt(&self) -> u64 {
        self.dealt.load(Ordering::Relaxed)
    }

    pub(in crate::emulator) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }
}

/// The output function of splitmix64: neighbouring inputs give unrelated numbers.
pub(in crate::emulator) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests;
