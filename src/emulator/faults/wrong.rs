//! Wrong answers of a server, or of something in front of it, that no client may take for success.
//!
//! They are not part of the mix of `error=`: each is dealt only if its own key asks for it.

use super::{FaultKind, Share};
use crate::emulator::duration::parse_duration;
use crate::emulator::hook::Operation;
use std::time::Duration;

/// Offsets move by a multiple of this block size.
const BLOCK: u64 = 4 << 10;

/// The wrong answers to give, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WrongAnswers {
    shares: [Share; WrongAnswers::KINDS.len()],
    /// How long `late=` delays an acknowledgement.
    late_for: Duration,
    /// The time between two bytes of `drip=`.
    drip_every: Duration,
    pub(super) create: Option<OddCreate>,
}

impl Default for WrongAnswers {
    fn default() -> Self {
        WrongAnswers {
            shares: Default::default(),
            // Longer than the 30 s that a client waits by default.
            late_for: Duration::from_secs(40),
            drip_every: Duration::from_millis(500),
            create: None,
        }
    }
}

impl WrongAnswers {
    /// The keys and their kinds, in the order in which they share a draw.
    const KINDS: [(&'static str, FaultKind); 11] = [
        ("drop", FaultKind::Drop),
        ("misplace", FaultKind::Misplace),
        ("bend", FaultKind::Bend),
        ("late", FaultKind::Late),
        ("page", FaultKind::Page),
        ("redirect-writes", FaultKind::RedirectWrite),
        ("long", FaultKind::Long),
        ("bomb", FaultKind::Bomb),
        ("headers", FaultKind::Headers),
        ("interim", FaultKind::Interim),
        ("drip", FaultKind::Drip),
    ];

    /// Sets a key; returns false if it is not one of these keys.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<bool, String> {
        match key {
            "late-for" => self.late_for = parse_duration(value)?,
            "drip-every" => self.drip_every = parse_duration(value)?,
            "create" => self.create = Some(OddCreate::parse(value)?),
            _ => {
                let Some(at) = Self::KINDS.iter().position(|(name, _)| *name == key) else {
                    return Ok(false);
                };
                self.shares[at] = Share::parse(value)?;
            }
        }
        Ok(true)
    }

    /// Returns whether the shares of every operation add up to at most 1.
    pub(super) fn add_up(&self) -> bool {
        use Operation::{Create, Download, Other, Read, Write};
        [Read, Write, Create, Download, Other]
            .into_iter()
            .all(|operation| self.of(operation).map(|(_, share)| share).sum::<Share>() <= Share::ONE)
    }

    /// Draws the wrong answer of an operation from a random number.
    pub(super) fn draw(&self, operation: Operation, random: u64) -> Option<FaultKind> {
        let mut from = Share::ZERO;
        for (kind, share) in self.of(operation) {
            if share.takes(random, from) {
                return Some(kind);
            }
            from += share;
        }
        None
    }

    /// Returns how long a kind of wrong answer takes, in total or for each byte.
    pub(super) fn takes(&self, kind: FaultKind) -> Duration {
        match kind {
            FaultKind::Late => self.late_for,
            FaultKind::Drip => self.drip_every,
            _ => Duration::ZERO,
        }
    }

    /// Returns whether any share is above zero.
    pub(super) fn draws(&self) -> bool {
        self.shares.iter().any(|share| *share > Share::ZERO)
    }

    fn of(&self, operation: Operation) -> impl Iterator<Item = (FaultKind, Share)> {
        let kinds = Self::KINDS.iter().zip(self.shares);
        kinds.map(|((_, kind), share)| (*kind, share)).filter(move |(kind, _)| can_meet(operation, *kind))
    }
}

/// Returns whether a kind can occur for an operation.
fn can_meet(operation: Operation, kind: FaultKind) -> bool {
    use Operation::{Download, Read, Write};
    match kind {
        FaultKind::Drop | FaultKind::Late | FaultKind::RedirectWrite => operation == Write,
        FaultKind::Misplace => matches!(operation, Read | Write),
        FaultKind::Bend => matches!(operation, Read | Write | Download),
        FaultKind::Long => matches!(operation, Read | Download),
        FaultKind::Bomb => operation != Write,
        _ => true,
    }
}

/// The fault of the first `drives/create`: the drive is created, and the reply is not the documented one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::emulator) struct OddCreate {
    pub(in crate::emulator) first: OddReply,
    /// Whether the next create is refused with 400.
    pub(in crate::emulator) then_refused: bool,
}

/// The reply to a create that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::emulator) enum OddReply {
    /// 200 with a page of HTML.
    Page,
    /// 200 with an object that does not name the drive.
    Nameless,
    /// 500.
    Failed,
    /// No reply: the connection is reset.
    Lost,
}

impl OddCreate {
    fn parse(text: &str) -> Result<Self, String> {
        let (first, then_refused) = match text.strip_suffix("+refused") {
            Some(first) => (first, true),
            None => (text, false),
        };
        let first = match first {
            "page" => OddReply::Page,
            "nameless" => OddReply::Nameless,
            "failed" => OddReply::Failed,
            "lost" => OddReply::Lost,
            _ => return Err("expected page, nameless, failed or lost, each also with +refused".to_owned()),
        };
        Ok(OddCreate { first, then_refused })
    }
}

/// The bytes that a call has to make wrong while it reports success. It is passed to the call with the
/// request.
#[derive(Clone, Debug)]
pub(in crate::emulator) struct WrongBytes {
    pub(in crate::emulator) kind: FaultKind,
    /// Random bits that choose the place, if there is a choice.
    pub(in crate::emulator) random: u64,
}

/// Marks the response of a call that did make the bytes wrong.
#[derive(Clone, Copy)]
pub(in crate::emulator) struct GotWrong;

impl WrongBytes {
    /// Returns the byte among `len` to corrupt, and the bit.
    pub(in crate::emulator) fn bit(&self, len: u64) -> (u64, u8) {
        (self.random / 8 % len.max(1), 1 << (self.random % 8))
    }

    /// Returns another offset for `len` bytes at `offset` of a drive, a whole number of blocks away, or
    /// `None` if there is no room.
    pub(in crate::emulator) fn elsewhere(&self, offset: u64, len: u64, size: u64) -> Option<u64> {
        let phase = offset % BLOCK;
        let last = size.checked_sub(len)?.checked_sub(phase)? / BLOCK;
        if len == 0 || last == 0 {
            return None;
        }
        let block = self.random % last;
        Some(phase + BLOCK * (block + u64::from(block >= offset / BLOCK)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_offset_is_another_block_within_the_drive() {
        for random in 0..100 {
            let wrong = WrongBytes { kind: FaultKind::Misplace, random };
            let other = wrong.elsewhere(8192 + 7, 4096, 40_000).unwrap();
            assert!(other != 8199 && other % 4096 == 7 && other + 4096 <= 40_000, "{other}");
            assert_eq!(wrong.elsewhere(0, 4096, 8191), None);
            assert_eq!(wrong.elsewhere(0, 4096, 8192), Some(4096));
            assert_eq!(wrong.elsewhere(4096, 4096, 8192), Some(0));
            assert_eq!(wrong.elsewhere(0, 0, 1 << 20), None);
        }
    }

    #[test]
    fn each_operation_has_its_own_shares() {
        let mut wrong = WrongAnswers::default();
        for (key, value) in [("drop", "1"), ("long", "1"), ("create", "lost+refused"), ("late-for", "2s")] {
            assert_eq!(wrong.set(key, value), Ok(true));
        }
        assert!(wrong.add_up());
        assert_eq!(wrong.draw(Operation::Write, 5), Some(FaultKind::Drop));
        assert_eq!(wrong.draw(Operation::Read, 5), Some(FaultKind::Long));
        assert_eq!(wrong.draw(Operation::Other, 5), None);
        assert_eq!(wrong.create, Some(OddCreate { first: OddReply::Lost, then_refused: true }));
        assert_eq!(wrong.set("bend", "0.1"), Ok(true));
        assert!(!wrong.add_up());
        assert_eq!(wrong.set("busy", "1"), Ok(false));
        assert!(wrong.set("create", "odd").is_err() && wrong.set("drop", "2").is_err());
    }
}
