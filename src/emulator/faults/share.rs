//! A share between 0 and 1. It is an integer number of billionths, so that shares add up and compare exactly.

use std::iter::Sum;
use std::ops::{Add, AddAssign};

/// Units in a whole. Nine decimals are more than any test needs, and the sum of all shares cannot overflow.
const WHOLE: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Share(u64);

impl Share {
    pub(super) const ZERO: Share = Share(0);
    pub(super) const ONE: Share = Share(WHOLE);

    pub(super) fn parse(text: &str) -> Result<Share, String> {
        let wanted = || "expected a share between 0 and 1, as 0.05".to_owned();
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if text.is_empty() || text == "." || !digits(whole) || !digits(decimals) || decimals.len() > 9 {
            return Err(wanted());
        }
        let units: u64 = format!("{whole:0>1}{decimals:0<9}").parse().map_err(|_| wanted())?;
        if units > WHOLE { Err(wanted()) } else { Ok(Share(units)) }
    }

    /// Returns `n` shares that add up to this one.
    pub(super) fn split(self, n: usize) -> impl Iterator<Item = Share> {
        let n = n as u64;
        (0..n).map(move |i| Share(self.0 / n + u64::from(i < self.0 % n)))
    }

    /// Returns whether a random number falls into this share, which begins at `from`.
    pub(super) fn takes(self, random: u64, from: Share) -> bool {
        let at = random % WHOLE;
        from.0 <= at && at < from.0 + self.0
    }
}

impl Add for Share {
    type Output = Share;
    fn add(self, other: Share) -> Share {
        Share(self.0 + other.0)
    }
}

impl AddAssign for Share {
    fn add_assign(&mut self, other: Share) {
        self.0 += other.0;
    }
}

impl Sum for Share {
    fn sum<I: Iterator<Item = Share>>(shares: I) -> Share {
        shares.fold(Share::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_exact() {
        assert_eq!(Share::parse("0.1").unwrap(), Share(WHOLE / 10));
        assert_eq!(Share::parse(".5").unwrap(), Share(WHOLE / 2));
        assert_eq!(Share::parse("1.0").unwrap(), Share::ONE);
        assert_eq!(Share::parse("1").unwrap().split(3).sum::<Share>(), Share::ONE);
        for bad in ["", ".", "1.1", "2", "1e-3", "-0.1", "0.0000000001", "10%"] {
            assert!(Share::parse(bad).is_err(), "{bad}");
        }
    }
}
