//! What backups are called: `NAME/2026-11-24T190000Z`.

use super::index::CHUNK_SUFFIX;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How the files of indexes end.
pub const INDEX_SUFFIX: &str = ".caibx";

/// The most bytes of a name: what every file system takes, with room for an ending.
const LONGEST_NAME: usize = 120;

/// The name under which the backups of a drive are kept: a directory's, safe on every file system and in every URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SnapshotName(String);

impl SnapshotName {
    /// The name for a drive that is called so. Letters, digits and `-_.+` stay, whatever else becomes `_`; what could be
    /// taken for something else of a store gets a `_` before it. Different drives may get one name.
    pub fn for_drive(name: &str) -> Self {
        let mut clean: String = name.trim().chars().map(|c| if is_fine(c) { c } else { '_' }).collect();
        if clean.is_empty() || clean.starts_with(['.', '-', '+']) || is_chunk_directory(&clean) {
            clean.insert(0, '_');
        }
        if clean.len() > LONGEST_NAME {
            let end = (0..=LONGEST_NAME).rev().find(|at| clean.is_char_boundary(*at)).unwrap_or(0);
            clean.truncate(end);
        }
        let lower = clean.to_ascii_lowercase();
        if [INDEX_SUFFIX, ".caidx", ".castr", CHUNK_SUFFIX].iter().any(|ending| lower.ends_with(ending)) {
            // A dot less: the length stays.
            let dot = clean.rfind('.').unwrap_or(0);
            clean.replace_range(dot..=dot, "_");
        }
        Self(clean)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SnapshotName {
    type Err = Error;

    /// A name that somebody wrote or a store listed; one that was not made by [`SnapshotName::for_drive`] is refused.
    fn from_str(text: &str) -> Result<Self> {
        let name = Self::for_drive(text);
        if name.0 == text {
            Ok(name)
        } else {
            Err(Error::usage(format!("{text:?} cannot be the name of a backup"))
                .hint("`diskferry backups list STORE` lists the names"))
        }
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_fine(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+')
}

/// Whether chunks could be below a directory of this name.
pub fn is_chunk_directory(name: &str) -> bool {
    name.len() == 4 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// When a backup was made: seconds since the epoch, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct When(u64);

/// The seconds of a day.
const DAY: u64 = 86_400;
/// 9999-12-31T235959Z: what four digits of a year can say.
const LAST: u64 = 253_402_300_799;

/// A date and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Civil {
    /// The year.
    pub year: u64,
    /// From 1.
    pub month: u64,
    /// From 1.
    pub day: u64,
    /// From 0 to 23.
    pub hour: u64,
    /// From 0.
    pub minute: u64,
    /// From 0.
    pub second: u64,
}

impl When {
    /// The time now, by this machine's clock.
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// Seconds since the epoch.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// A second later.
    #[must_use]
    pub fn next(self) -> Self {
        Self((self.0 + 1).min(LAST))
    }

    /// The same time so much earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }

    /// Days since the epoch.
    pub fn days(self) -> u64 {
        self.0 / DAY
    }

    /// The week, from a Monday to a Sunday, counted from the one of the epoch.
    pub fn week(self) -> u64 {
        // The epoch was a Thursday.
        (self.days() + 3) / 7
    }

    /// As date and time in UTC, by the Gregorian calendar in cycles of 400 years (146,097 days) from a first of March.
    pub fn civil(self) -> Civil {
        let days = self.days() + 719_468;
        let (cycle, of_cycle) = (days / 146_097, days % 146_097);
        let years = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / 146_096) / 365;
        let of_year = of_cycle - (365 * years + years / 4 - years / 100);
        let from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        let year = cycle * 400 + years + u64::from(month <= 2);
        let time = self.0 % DAY;
        Civil { year, month, day, hour: time / 3600, minute: time / 60 % 60, second: time % 60 }
    }

    fn of_civil(civil: Civil) -> Option<Self> {
        let Civil { year, month, day, hour, minute, second } = civil;
        let may_be = (1970..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=31).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        if !may_be {
            return None;
        }
        let years = year - u64::from(month <= 2);
        let from_march = if month > 2 { month - 3 } else { month + 9 };
        let of_year = (153 * from_march + 2) / 5 + day - 1;
        let days = years * 365 + years / 4 - years / 100 + years / 400 + of_year - 719_468;
        let when = Self(days * DAY + hour * 3600 + minute * 60 + second);
        // Else it was the 30th of February.
        (when.civil() == civil).then_some(when)
    }
}

impl From<SystemTime> for When {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(LAST))
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Civil { year, month, day, hour, minute, second } = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}{minute:02}{second:02}Z")
    }
}

impl FromStr for When {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let part = |range: std::ops::Range<usize>| {
            let digits = text.get(range).filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?;
            digits.parse::<u64>().ok()
        };
        let parse = || {
            let civil = Civil {
                year: part(0..4)?,
                month: part(5..7)?,
                day: part(8..10)?,
                hour: part(11..13)?,
                minute: part(13..15)?,
                second: part(15..17)?,
            };
            Self::of_civil(civil).filter(|when| when.to_string() == text)
        };
        parse().ok_or_else(|| {
            Error::usage(format!(
                "{text:?} is not the time of a backup: expected the form 2026-11-24T190000Z"
            ))
            .hint("`diskferry backups list STORE` lists them")
        })
    }
}

impl Serialize for When {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One backup: of what, and when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// The name of what was backed up.
    pub name: SnapshotName,
    /// When that was.
    pub when: When,
}

impl SnapshotId {
    /// Where its index is in a store.
    pub fn index_key(&self) -> String {
        format!("{}/{}{INDEX_SUFFIX}", self.name, self.when)
    }

    /// Where its properties are.
    pub fn properties_key(&self) -> String {
        format!("{}/{}.json", self.name, self.when)
    }

    /// The backup whose index is at a place in a store; `None` if it is not one of ours.
    pub fn of_index_key(key: &str) -> Option<Self> {
        Self::of_key(key.strip_suffix(INDEX_SUFFIX)?)
    }

    /// The backup whose properties are at a place in a store.
    pub fn of_properties_key(key: &str) -> Option<Self> {
        Self::of_key(key.strip_suffix(".json")?)
    }

    fn of_key(key: &str) -> Option<Self> {
        let (name, when) = key.split_once('/')?;
        Some(Self { name: name.parse().ok()?, when: when.parse().ok()? })
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.when)
    }
}
