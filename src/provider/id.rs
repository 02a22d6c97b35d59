//! Ids that servers assign to their objects: checked in one place, trusted afterwards.
//!
//! Ids go into URL paths, into file names, onto standard output (and so into scripts), and into hints that
//! are commands. So an id may only contain the characters of the manuals' ids (UUIDs, keys, URNs,
//! fingerprints, numbers). Anything else that a server sends is refused.

use crate::{Error, Kind, Result};
use std::fmt;
use std::ops::Deref;

/// An id from a server.
///
/// It has 1 to [`ObjectId::LONGEST`] characters: ASCII letters, digits, `-`, `_`, `.`, `:` and `@`. It begins
/// with a letter, a digit or `_`, so it is neither a hidden file nor an option.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(String);

impl ObjectId {
    /// The maximum number of characters. The longest ids in the manuals are URNs and fingerprints of fewer
    /// than 64.
    pub const LONGEST: usize = 128;

    /// Checks an id from a server's reply. `what` names the kind of object in errors, such as `drive`.
    ///
    /// # Errors
    /// A protocol error that shows the text if it is not an id.
    pub fn from_server(what: &str, text: &str) -> Result<Self> {
        if Self::is_valid(text) {
            return Ok(Self(text.to_owned()));
        }
        let mut shown: String = text.chars().take(60).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        let why =
            if text.is_empty() { "with no id".to_owned() } else { format!("{shown:?}, which is not an id") };
        Err(Error::new(Kind::Protocol, format!("the server names a {what} {why}"))
            .hint("check the remote's url: it may be another server that answers"))
    }

    /// Returns whether `text` is a valid id.
    pub fn is_valid(text: &str) -> bool {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':' | b'@');
        let first = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        text.len() <= Self::LONGEST && text.as_bytes().first().is_some_and(first) && text.bytes().all(inner)
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for ObjectId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ObjectId> for String {
    fn from(id: ObjectId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manuals_ids_are_ids() {
        for id in [
            "08c92dd5-70a0-4f51-83d2-835919d254df",
            "sdc:sdc:smartos:1.3.15",
            "33:06:20:00:ca:ab:99:bc:3c:2f:46:85:70:84:c9:a9",
            "agxzfnNwb3RjbG91ZHIQCxIJQXBwbGlhbmNlGKkCDA",
            "20110711T170922",
            "demo@host",
            "7",
        ] {
            assert_eq!(ObjectId::from_server("drive", id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn nothing_else_is_an_id() {
        let long = "x".repeat(ObjectId::LONGEST + 1);
        for bad in [
            "",
            ".",
            "..",
            ".x",
            "-rf",
            "a/b",
            "../x",
            "/etc",
            "a\\b",
            "a b",
            "a\nb",
            "a\0",
            "a\u{1b}[2J",
            "é",
            "a\u{202e}b",
            "a%2f",
            "a?b",
            "a#b",
            "a;b",
            "$(a)",
            "`a`",
            &long,
        ] {
            let error = ObjectId::from_server("drive", bad).unwrap_err();
            assert_eq!(error.kind(), Kind::Protocol, "{bad:?}");
            assert!(
                error.to_string().len() < 400 && !error.to_string().contains(char::is_control),
                "{error}"
            );
        }
        assert!(ObjectId::is_valid(&"x".repeat(ObjectId::LONGEST)));
    }
}
