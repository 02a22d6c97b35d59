//! The rules that say which faults apply, each to all requests or to some.

use super::{Etag, Faults, Ranges};
use serde::Serialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A rule: faults, and the requests that they apply to.
#[derive(Debug)]
pub(in crate::emulator) struct Rule {
    pub(super) id: u64,
    pub(super) faults: Faults,
    pub(super) limits: RuleLimits,
    /// How many faults it still deals; unlimited if `None`.
    left: Option<AtomicU64>,
}

/// The requests that a rule applies to. The default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleLimits {
    /// The method, for example `POST`.
    pub method: Option<String>,
    /// The path, for example `/drives/*/write/**`. `*` stands for any one word, `**` at the end for any
    /// number of words, including none.
    pub path: Option<String>,
    /// How many faults the rule deals before it is used up.
    pub times: Option<u64>,
}

impl RuleLimits {
    fn is_none(&self) -> bool {
        *self == RuleLimits::default()
    }

    fn include(&self, method: &str, path: &str) -> bool {
        self.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && self.path.as_ref().is_none_or(|pattern| matches(pattern, path))
    }
}

/// Returns whether a path matches a pattern.
fn matches(pattern: &str, path: &str) -> bool {
    let mut words = path.split('/').filter(|word| !word.is_empty());
    for wanted in pattern.split('/').filter(|word| !word.is_empty()) {
        if wanted == "**" {
            return true;
        }
        if !words.next().is_some_and(|word| wanted == "*" || wanted == word) {
            return false;
        }
    }
    words.next().is_none()
}

/// A rule as the control address shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleInfo {
    /// Its number, by which it is removed.
    pub id: u64,
    /// The specification: see [`Faults::parse`].
    pub faults: String,
    /// The method that it applies to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The paths that it applies to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How many faults it still deals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times_left: Option<u64>,
}

impl Rule {
    /// Creates a rule.
    ///
    /// # Errors
    /// Fails if the rule applies to some requests only and its faults have a setting that must apply to all,
    /// or if the path's `**` is not at its end.
    pub(super) fn new(id: u64, faults: Faults, limits: RuleLimits) -> Result<Rule, String> {
        if let Some(pattern) = &limits.path
            && pattern.trim_end_matches('/').rsplit_once('/').is_some_and(|(front, _)| front.contains("**"))
        {
            return Err(format!("path {pattern:?}: `**` can only be the last word"));
        }
        if let Some(key) = faults.holds_for_all()
            && !limits.is_none()
        {
            return Err(format!("fault `{key}` is for all requests: leave out method, path and times"));
        }
        let left = limits.times.map(AtomicU64::new);
        Ok(Rule { id, faults, limits, left })
    }

    /// Returns whether the rule may deal a fault to a request.
    pub(super) fn is_for(&self, method: &str, path: &str) -> bool {
        let used_up = self.left.as_ref().is_some_and(|left| left.load(Ordering::Relaxed) == 0);
        !used_up && self.limits.include(method, path)
    }

    /// Uses up one of its times; returns false if none is left.
    pub(super) fn take(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        self.left
            .as_ref()
            .is_none_or(|left| left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok())
    }

    pub(super) fn info(&self) -> RuleInfo {
        RuleInfo {
            id: self.id,
            faults: self.faults.spec.clone(),
            method: self.limits.method.clone(),
            path: self.limits.path.clone(),
            times_left: self.left.as_ref().map(|left| left.load(Ordering::Relaxed)),
        }
    }
}

/// All rules of one emulator, in the order in which they apply.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) list: Vec<Arc<Rule>>,
    /// The number of the last rule.
    pub(super) next: u64,
    /// The seed of rules without `seed=`.
    pub(super) seed: u64,
}

impl Rules {
    /// Returns the last value of a setting among the rules.
    fn last<T>(&self, setting: impl Fn(&Faults) -> Option<T>) -> Option<T> {
        self.list.iter().rev().find_map(|rule| setting(&rule.faults))
    }

    pub(super) fn rate(&self) -> Option<u64> {
        self.last(|faults| faults.rate)
    }

    pub(super) fn retry_after(&self) -> Option<u32> {
        self.last(|faults| faults.retry_after)
    }

    pub(super) fn ranges(&self) -> Ranges {
        self.last(|faults| faults.ranges).unwrap_or_default()
    }

    pub(super) fn etag(&self) -> Etag {
        self.last(|faults| faults.etag).unwrap_or_default()
    }

    /// Returns the seed of a rule.
    pub(super) fn seed(&self, rule: &Rule) -> u64 {
        super::fingerprint::with(rule.faults.seed.unwrap_or(self.seed), rule.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_for_words() {
        for (pattern, path, expected) in [
            ("/drives/*/write", "/drives/u/write", true),
            ("/drives/*/write", "/drives/u/write/0", false),
            ("/drives/*/write/**", "/drives/u/write/0", true),
            ("/drives/*/write/**", "/drives/u/write", true),
            ("/drives/*/write/**", "/drives/u/read/0", false),
            ("drives/list", "/drives/list/", true),
            ("**", "/", true),
            ("/", "/", true),
            ("/*", "/", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_rule_for_some_requests_has_no_setting_for_all() {
        let rule =
            |spec: &str, limits: &RuleLimits| Rule::new(1, Faults::parse(spec).unwrap(), limits.clone());
        let some = RuleLimits { path: Some("/drives/**".into()), ..RuleLimits::default() };
        for spec in [
            "rate=1M",
            "retry-after=0",
            "refuse=0",
            "dirty=1",
            "ranges=no",
            "etag=no",
            "redirect=1",
            "create=lost",
        ] {
            let key = spec.split('=').next().unwrap();
            assert!(rule(spec, &some).unwrap_err().contains(key), "{spec}");
            assert!(rule(spec, &RuleLimits::default()).is_ok(), "{spec}");
        }
        assert!(rule("busy=1,latency=1ms,drop=1", &some).is_ok());
        let middle = RuleLimits { path: Some("/a/**/b".into()), ..RuleLimits::default() };
        assert!(rule("busy=1", &middle).unwrap_err().contains("last word"));
    }
}
