//! The draws: which request meets which fault.

use super::wrong::OddCreate;
use super::{FaultKind, Faults, OddReply, Share, WrongBytes};
use crate::emulator::hook::Operation;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

/// Keeps the numbers of one purpose apart from those of another under the same seed.
#[derive(Clone, Copy)]
enum Stream {
    Request = 0x5265,
    When = 0x5768,
    Drive = 0x4472,
    Redirect = 0x5264,
    Wrong = 0x5772,
    Where = 0x5765,
}

/// When in the course of a request its connection is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::emulator) enum When {
    /// The headers were read, the body was not.
    BeforeBody,
    /// Half of the body was read.
    WithinBody,
    /// The request was carried out, its reply was not sent.
    AfterApplied,
}

/// What is to go wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::emulator) enum Fault {
    Busy,
    Unavailable,
    Reset(When),
    Short,
    Stall,
    /// A wrong answer, with a random number for its choices.
    Wrong(FaultKind, u64),
}

impl Fault {
    pub(in crate::emulator) fn kind(self) -> FaultKind {
        match self {
            Fault::Busy => FaultKind::Busy,
            Fault::Unavailable => FaultKind::Unavailable,
            Fault::Reset(_) => FaultKind::Reset,
            Fault::Short => FaultKind::Short,
            Fault::Stall => FaultKind::Stall,
            Fault::Wrong(kind, _) => kind,
        }
    }

    /// What the call itself is to get wrong, if that is the fault.
    pub(in crate::emulator) fn wrong_bytes(self, operation: Operation) -> Option<WrongBytes> {
        match self {
            Fault::Wrong(kind @ (FaultKind::Drop | FaultKind::Misplace), random) => {
                Some(WrongBytes { kind, random })
            }
            Fault::Wrong(kind @ FaultKind::Bend, random) if operation == Operation::Write => {
                Some(WrongBytes { kind, random })
            }
            _ => None,
        }
    }
}

/// What becomes of a `drives/create`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::emulator) enum CreateFault {
    /// It is carried out, and answered so.
    Odd(OddReply),
    /// It is refused.
    Refused,
}

/// Deals the faults of one emulator and counts them.
#[derive(Debug, Default)]
pub(in crate::emulator) struct Dealer {
    faults: Faults,
    requests: AtomicU64,
    drives: AtomicU64,
    downloads: AtomicU64,
    dealt: AtomicU64,
    refusals: AtomicU64,
    silent: AtomicU64,
    /// How many of the creates that `create=` is about have come.
    creates: AtomicU8,
}

impl Dealer {
    pub(in crate::emulator) fn new(faults: Faults) -> Self {
        Dealer { faults, ..Dealer::default() }
    }

    /// The fault of the next request, if it is to meet one. Not counted yet: see [`Dealer::dealt`].
    pub(in crate::emulator) fn draw(&self, operation: Operation) -> Option<Fault> {
        let n = self.requests.fetch_add(1, Ordering::Relaxed);
        self.nth(n).or_else(|| {
            let kind = self.faults.wrong.draw(operation, self.random(Stream::Wrong, n))?;
            Some(Fault::Wrong(kind, self.random(Stream::Where, n)))
        })
    }

    fn nth(&self, n: u64) -> Option<Fault> {
        let random = self.random(Stream::Request, n);
        let mut from = Share::ZERO;
        for (kind, share) in FaultKind::MIXED.into_iter().zip(self.faults.shares) {
            if share.takes(random, from) {
                return match kind {
                    FaultKind::Busy => Some(Fault::Busy),
                    FaultKind::Unavailable => Some(Fault::Unavailable),
                    FaultKind::Short => Some(Fault::Short),
                    FaultKind::Stall => Some(Fault::Stall),
                    FaultKind::Reset => Some(Fault::Reset(match self.random(Stream::When, n) % 3 {
                        0 => When::BeforeBody,
                        1 => When::WithinBody,
                        _ => When::AfterApplied,
                    })),
                    _ => None,
                };
            }
            from += share;
        }
        None
    }

    /// Whether a drive that is made now has noise where nothing was written; if so, the seed of that noise.
    pub(in crate::emulator) fn noise(&self) -> Option<u64> {
        let random = self.random(Stream::Drive, self.drives.fetch_add(1, Ordering::Relaxed));
        self.faults.dirty.takes(random, Share::ZERO).then_some(random)
    }

    /// Whether this download of an appliance is answered with a redirect.
    pub(in crate::emulator) fn redirects(&self) -> bool {
        let random = self.random(Stream::Redirect, self.downloads.fetch_add(1, Ordering::Relaxed));
        self.faults.redirect.takes(random, Share::ZERO)
    }

    /// Whether a read or write of `len` bytes at `offset` covers an offset that always fails.
    pub(in crate::emulator) fn refuses(&self, offset: u64, len: u64) -> bool {
        let covered = |&at: &u64| offset <= at && at - offset < len;
        self.faults.refuse.iter().any(covered)
    }

    /// What the next `drives/create` meets, if anything.
    pub(in crate::emulator) fn create(&self) -> Option<CreateFault> {
        let OddCreate { first, then_refused } = self.faults.wrong.create?;
        let step = |n: u8| Some(n.saturating_add(1));
        match self.creates.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step).unwrap_or(u8::MAX) {
            0 => Some(CreateFault::Odd(first)),
            1 if then_refused => Some(CreateFault::Refused),
            _ => None,
        }
    }

    /// How long `late=` keeps an acknowledgement back.
    pub(in crate::emulator) fn late_for(&self) -> Duration {
        self.faults.wrong.late_for
    }

    /// The time between two bytes of `drip=`.
    pub(in crate::emulator) fn drip_every(&self) -> Duration {
        self.faults.wrong.drip_every
    }

    /// Counts a fault that a request is now going to meet.
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

    fn random(&self, stream: Stream, n: u64) -> u64 {
        mix(mix(self.faults.seed ^ (stream as u64) << 48).wrapping_add(n))
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
mod tests {
    use super::*;

    fn draws(spec: &str, n: u64) -> Vec<Option<Fault>> {
        let dealer = Dealer::new(Faults::parse(spec).unwrap());
        (0..n).map(|_| dealer.draw(Operation::Other)).collect()
    }

    #[test]
    fn draws_repeat_with_the_seed_and_differ_without() {
        assert_eq!(draws("error=0.5,seed=7", 200), draws("error=0.5,seed=7", 200));
        assert_ne!(draws("error=0.5,seed=7", 200), draws("error=0.5,seed=8", 200));
    }

    #[test]
    fn shares_come_out_as_asked() {
        let drawn = draws("error=0.5", 10_000);
        let count = |kind| drawn.iter().flatten().filter(|f| f.kind() == kind).count();
        for kind in FaultKind::MIXED {
            assert!((900..1100).contains(&count(kind)), "{kind:?} {}", count(kind));
        }
        let resets = |when| drawn.iter().filter(|f| **f == Some(Fault::Reset(when))).count();
        for when in [When::BeforeBody, When::WithinBody, When::AfterApplied] {
            assert!(resets(when) > 250, "{when:?} {}", resets(when));
        }
        assert!(draws("busy=1", 100).iter().all(|f| *f == Some(Fault::Busy)));
        assert!(draws("", 100).iter().all(Option::is_none));
    }

    #[test]
    fn an_offset_is_refused_where_it_is_covered() {
        let dealer = Dealer::new(Faults::parse("refuse=100").unwrap());
        assert!(dealer.refuses(100, 1) && dealer.refuses(0, 101));
        assert!(!dealer.refuses(0, 100) && !dealer.refuses(101, 10) && !dealer.refuses(100, 0));
    }
}
