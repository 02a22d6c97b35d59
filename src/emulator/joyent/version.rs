//! `X-Api-Version`: the client names the versions it supports, as an npm range (Joyent CloudAPI 6.5,
//! "X-Api-Version").
//!
//! A range is sets joined by `||`, and a set is comparators that must all hold. The crate semver, whose
//! operators are npm's, parses the comparators.

use super::failure::{Code, Failure};
use axum::http::HeaderMap;
use semver::{Version, VersionReq};

/// The version that is served.
pub(super) const SERVED: &str = "6.5.0";

const NOW: Version = Version::new(6, 5, 0);

/// Refuses a request whose client does not support the served version, or does not say.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Failure> {
    let range = headers.get("x-api-version").and_then(|value| value.to_str().ok());
    match range {
        Some(range) if includes(range) => Ok(()),
        Some(range) => Err(Failure::new(Code::INVALID_VERSION, format!("{SERVED} is served, not {range}"))),
        None => Err(Failure::new(Code::INVALID_VERSION, "an X-Api-Version header is required")),
    }
}

/// Returns whether the served version is in a range. Text that is not a range includes nothing.
fn includes(range: &str) -> bool {
    range.split("||").any(|set| set_includes(set).unwrap_or(false))
}

fn set_includes(set: &str) -> Option<bool> {
    let words: Vec<&str> = set.split_whitespace().collect();
    if let [from, "-", to] = &*words {
        return Some(holds(&format!(">={from}"))? && holds(&format!("<={to}"))?);
    }
    let mut words = words.into_iter();
    let mut all = true;
    while let Some(word) = words.next() {
        // A space may follow the operator.
        let is_operator = word.trim_start_matches(['<', '>', '=', '~', '^']).is_empty();
        all &= holds(&[word, if is_operator { words.next()? } else { "" }].concat())?;
    }
    Some(all)
}

fn holds(comparator: &str) -> Option<bool> {
    let bare = comparator.trim_start_matches(['<', '>', '=', '~', '^']);
    let operator = match &comparator[..comparator.len() - bare.len()] {
        // For the crate, a bare version has an implicit caret.
        "" => "=",
        "~>" => "~",
        operator => operator,
    };
    let version = bare.trim_start_matches(['v', 'V']);
    // An x is any version, which has no operator.
    let any = version.starts_with(['x', 'X', '*']);
    VersionReq::parse(&[if any { "" } else { operator }, version].concat()).ok().map(|req| req.matches(&NOW))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_with_the_version() {
        for range in [
            // The manual's own form.
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
            // Above every version 6.
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
