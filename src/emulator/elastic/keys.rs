//! Checks of values that objects of all kinds share. A failed check returns a sentence.

use crate::emulator::drives::is_uuid;

/// Returns whether a key is a user key. One with whitespace could not be printed as text.
pub(crate) fn is_user_key(key: &str) -> bool {
    key.strip_prefix("user:").is_some_and(|own| !own.is_empty() && !own.contains(char::is_whitespace))
}

pub(crate) fn one_of(value: &str, allowed: &[&str]) -> Result<(), String> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(format!("{value:?} is not one of {}.", allowed.join(", ")))
}

/// Checks a list of UUIDs, or a single one.
pub(crate) fn uuids(value: &str) -> Result<(), String> {
    match value.split_whitespace().find(|word| !is_uuid(word)) {
        Some(word) => Err(format!("{word:?} is not a UUID.")),
        None => Ok(()),
    }
}
