//! The names of backups: `NAME/2026-11-24T190000Z`.

use super::index::CHUNK_SUFFIX;
use crate::error::{Error, Result};
use chrono::{DateTime, Datelike, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The file name suffix of indexes.
pub const INDEX_SUFFIX: &str = ".caibx";

/// The longest name in bytes: what every file system accepts, with room for a suffix.
const LONGEST_NAME: usize = 120;

/// The name under which the backups of a drive are kept: a directory name that is safe on every file system
/// and in URLs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SnapshotName(String);

impl SnapshotName {
    /// Returns the name for a drive.
    ///
    /// Letters, digits and `-_.+` are kept and everything else becomes `_`. A name that could be mistaken for
    /// another part of a store gets a `_` in front. Different drives may get the same name.
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
            // Replace a dot, which keeps the length.
            let dot = clean.rfind('.').unwrap_or(0);
            clean.replace_range(dot..=dot, "_");
        }
        Self(clean)
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SnapshotName {
    type Err = Error;

    /// Parses a name that a user typed or a store listed. A name that [`SnapshotName::for_drive`] cannot
    /// return is refused.
    fn from_str(text: &str) -> Result<Self> {
        let name = Self::for_drive(text);
        if name.0 == text {
            Ok(name)
        } else {
            Err(Error::usage(format!("`{text}` is not a valid name of a backup"))
                .hint("list the names with `diskferry backups list STORE`"))
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

/// Returns whether a directory of this name may contain chunks.
pub fn is_chunk_directory(name: &str) -> bool {
    name.len() == 4 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// When a backup was made: seconds since the epoch, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct When(u64);

/// The seconds of a day.
const DAY: u64 = 86_400;
/// 9999-12-31T235959Z, the last time with a year of four digits.
const LAST: u64 = 253_402_300_799;

/// The format of a time.
const FORM: &str = "%Y-%m-%dT%H%M%SZ";

impl When {
    /// Returns the current time by this machine's clock.
    pub fn now() -> Self {
        Self::from(SystemTime::now())
    }

    /// Returns the seconds since the epoch.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// Returns the time one second later.
    #[must_use]
    pub fn next(self) -> Self {
        Self((self.0 + 1).min(LAST))
    }

    /// Returns the time `duration` earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }

    /// Returns the days since the epoch.
    pub fn days(self) -> u64 {
        self.0 / DAY
    }

    /// Returns the number of the week, from Monday to Sunday, counted from that of the epoch.
    pub fn week(self) -> u64 {
        // The epoch was a Thursday.
        (self.days() + 3) / 7
    }

    /// Returns the year.
    pub fn year(self) -> i32 {
        self.date().year()
    }

    /// Returns the months since the year 0.
    pub fn month(self) -> i32 {
        self.year() * 12 + self.date().month0().cast_signed()
    }

    /// Returns the date and time in UTC.
    fn date(self) -> DateTime<Utc> {
        // Every time up to the end of year 9999 is a valid date.
        i64::try_from(self.0)
            .ok()
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
            .unwrap_or_default()
    }
}

impl From<SystemTime> for When {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(LAST))
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.date().format(FORM))
    }
}

impl FromStr for When {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parse = || {
            let time = NaiveDateTime::parse_from_str(text, FORM).ok()?.and_utc().timestamp();
            let when = Self(u64::try_from(time).ok().filter(|time| *time <= LAST)?);
            // Accept no other notation, such as a sign or a leap second.
            (when.to_string() == text).then_some(when)
        };
        parse().ok_or_else(|| {
            Error::usage(format!("expected a time such as 2026-11-24T190000Z, got `{text}`"))
                .hint("list the backups with `diskferry backups list STORE`")
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

/// The id of a backup: of what, and when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    /// The name under which the drive is backed up.
    pub name: SnapshotName,
    /// When the backup was made.
    pub when: When,
}

impl SnapshotId {
    /// Returns the key of the index.
    pub fn index_key(&self) -> String {
        format!("{}/{}{INDEX_SUFFIX}", self.name, self.when)
    }

    /// Returns the key of the properties.
    pub fn properties_key(&self) -> String {
        format!("{}/{}.json", self.name, self.when)
    }

    /// Returns the backup whose index has this key, or `None` if the key is not one of a backup.
    pub fn of_index_key(key: &str) -> Option<Self> {
        Self::of_key(key.strip_suffix(INDEX_SUFFIX)?)
    }

    /// Returns the backup whose properties have this key.
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
