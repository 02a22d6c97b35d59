//! `X-Api-Version`: the client names the versions it can work with, as an npm range (Joyent CloudAPI 6.5,
//! "X-Api-Version").
//!
//! A range is sets joined by `||`; a set is comparators that must all hold; a comparator is an operator and a version
//! of which parts may be missing or `x`.

use super::failure::{Code, Failure};
use axum::http::HeaderMap;

/// The version that is served, in full.
pub(super) const SERVED: &str = "6.5.0";

/// A point among versions. The last part is 0 for what comes before a release and 1 for the release.
type Version = (u64, u64, u64, u64);

const NOW: Version = (6, 5, 0, 1);
const END: Version = (u64::MAX, 0, 0, 0);

/// Refuses a request whose client cannot work with the version that is served, or does not say.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Failure> {
    let range = headers.get("x-api-version").and_then(|value| value.to_str().ok());
    match range {
        Some(range) if includes(range) => Ok(()),
        Some(range) => Err(Failure::new(Code::InvalidVersion, format!("{SERVED} is served, not {range}"))),
        None => Err(Failure::new(Code::InvalidVersion, "an X-Api-Version header is required")),
    }
}

/// Whether the version that is served lies in a range. What is no range includes nothing.
fn includes(range: &str) -> bool {
    range.split("||").any(|set| set_includes(set).unwrap_or(false))
}

fn set_includes(set: &str) -> Option<bool> {
    let words: Vec<&str> = set.split_whitespace().collect();
    if let [from, "-", to] = &*words {
        return Some(Partial::parse(from)?.low() <= NOW && NOW < Partial::parse(to)?.high());
    }
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let bare = word.trim_start_matches(['<', '>', '=', '~', '^']);
        let operator = &word[..word.len() - bare.len()];
        // A space may follow the operator.
        let version = if bare.is_empty() && !operator.is_empty() { words.next()? } else { bare };
        let partial = Partial::parse(version)?;
        let (low, high) = (partial.low(), partial.high());
        let holds = match operator {
            "" | "=" => low <= NOW && NOW < high,
            ">" => NOW >= high,
            ">=" => NOW >= low,
            "<" => NOW < low,
            "<=" => NOW < high,
            "~" | "~>" => low <= NOW && NOW < partial.tilde(),
            "^" => low <= NOW && NOW < partial.caret(),
            _ => return None,
        };
        if !holds {
            return Some(false);
        }
    }
    Some(true)
}

/// A version of which the last parts may be missing.
struct Partial {
    /// One to three numbers, or none for any version.
    numbers: Vec<u64>,
    /// It comes before the release, as `6.5.0-rc1` does.
    early: bool,
}

impl Partial {
    fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let text = text.split('+').next().unwrap_or_default();
        let (text, early) = text.split_once('-').map_or((text, false), |(release, _)| (release, true));
        let mut numbers = Vec::new();
        let mut open = text.is_empty();
        for word in text.split('.').take_while(|word| !word.is_empty()) {
            match word {
                "x" | "X" | "*" => open = true,
                // Numbers behind an x say nothing.
                _ if open => {}
                digits if digits.bytes().all(|b| b.is_ascii_digit()) => numbers.push(digits.parse().ok()?),
                _ => return None,
            }
        }
        let complete = numbers.len() == 3;
        let empty_words = !text.is_empty() && text.split('.').any(str::is_empty);
        (numbers.len() <= 3 && !empty_words && (complete || !early)).then_some(Partial { numbers, early })
    }

    fn number(&self, n: usize) -> u64 {
        self.numbers.get(n).copied().unwrap_or(0)
    }

    /// The first version that it stands for.
    fn low(&self) -> Version {
        let release = u64::from(self.numbers.len() == 3 && !self.early);
        (self.number(0), self.number(1), self.number(2), release)
    }

    /// The first version behind those that it stands for.
    fn high(&self) -> Version {
        if self.early {
            return (self.number(0), self.number(1), self.number(2), 1);
        }
        self.behind(self.numbers.len())
    }

    /// `~`: the minor version stays, or the major one if it is all there is.
    fn tilde(&self) -> Version {
        self.behind(self.numbers.len().min(2))
    }

    /// `^`: the first number that is not zero stays.
    fn caret(&self) -> Version {
        let first = self.numbers.iter().position(|number| *number > 0);
        self.behind(first.map_or(self.numbers.len(), |first| first + 1))
    }

    /// The first version in which one of the first numbers is higher.
    fn behind(&self, numbers: usize) -> Version {
        let next = |n: usize| self.number(n).saturating_add(1);
        match numbers {
            0 => END,
            1 => (next(0), 0, 0, 0),
            2 => (self.number(0), next(1), 0, 0),
            _ => (self.number(0), self.number(1), next(2), 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_with_the_version() {
        for range in [
            // The manual's own.
            "~6.5",
            ">=6.5.0", // Every other form.
            "6.5.0",
            "=6.5.0",
            "v6.5.0",
            "6.5",
            "6",
            "6.x",
            "6.5.x",
            "6.5.X",
            "6.*",
            "*",
            "x",
            "",
            "~6.5.0",
            "~6",
            "~>6.5",
            "^6.0.0",
            "^6",
            "^6.5",
            "^6.4.9",
            ">6.4.9",
            ">6.4",
            ">=6",
            "<6.5.1",
            "<6.6",
            "<7",
            "<=6.5.0",
            "<=6.5",
            "<=6",
            "~7 || ~6.5",
            "6.0.0 - 6.5.0",
            "6.0 - 6.5",
            "6 - 7",
            ">=6.1 <7",
            ">= 6.1 < 7.0.0",
            "~ 6.5",
            ">6.5.0-rc1",
            "~6.5.0-rc1",
            "6.5.0+build",
            "nonsense || 6.5.0",
        ] {
            assert!(includes(range), "{range:?}");
        }
    }

    #[test]
    fn ranges_without_the_version() {
        for range in [
            // Behind every version 6.
            ">6",
            "~6.4",
            "~7",
            "7",
            "6.4",
            "6.5.1",
            "~6.5.1",
            "^7.0.0",
            "^5",
            "^0.6.5",
            ">6.5.0",
            ">6.5",
            ">=6.5.1",
            "<6.5.0",
            "<6.5",
            "<6",
            "<=6.4",
            "6.0.0 - 6.4.9",
            ">=6.1 <6.5.0",
            "6.5.0-rc1",
            "<6.5.0-rc1",
            "latest",
            "6.5.0.0",
            "6..0",
            "6.",
            ">>6",
            "~6.5 ~7",
            ">=",
            "!6.5",
            "6.5-rc1",
            "six",
            "99999999999999999999",
        ] {
            assert!(!includes(range), "{range:?}");
        }
    }
}
