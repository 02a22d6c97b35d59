//! Warnings about a request that do not prevent it from being sent.

use std::fmt;

/// An oddity of a request. The request is sent anyway, since servers accept keys and values that no manual
/// documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The manual documents no such key for the call.
    UnknownKey {
        /// The key as given.
        key: String,
        /// The most similar known key, if there is one.
        nearest: Option<String>,
    },
    /// The key was given under another name than the provider's.
    Renamed {
        /// The key as given.
        key: String,
        /// The key as sent.
        sent: String,
    },
    /// The value is not one of the documented ones.
    UnusualValue {
        key: String,
        /// The value as given.
        value: String,
        /// The documented values.
        known: &'static [&'static str],
    },
    /// The provider may truncate the password.
    LongPassword {
        key: String,
        /// The number of characters that count.
        longest: usize,
    },
    /// The provider's text format cannot represent this value, so it will read back differently.
    NotKept { key: String },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::UnknownKey { key, nearest: Some(nearest) } => {
                write!(f, "the key `{key}` is not documented for this call; did you mean `{nearest}`?")
            }
            Warning::UnknownKey { key, nearest: None } => {
                write!(f, "the key `{key}` is not documented for this call")
            }
            Warning::Renamed { key, sent } => {
                write!(f, "`{key}` is sent as `{sent}`, its name at this provider")
            }
            Warning::UnusualValue { key, value, known } => {
                write!(f, "`{value}` is not documented for `{key}`; known are {}", known.join(", "))
            }
            Warning::LongPassword { key, longest } => {
                write!(f, "`{key}` is longer than {longest} characters: the provider may ignore the rest")
            }
            Warning::NotKept { key } => write!(
                f,
                "the value of `{key}` has a backslash and n or ends with a carriage return, which this provider's \
                 text form cannot keep"
            ),
        }
    }
}
