//! What is odd about a request and does not stop it.

use std::fmt;

/// What is odd about a request: it is sent all the same, since servers know keys and values that no manual prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The call has no such key, as far as is documented.
    UnknownKey {
        /// The key as given.
        key: String,
        /// The known key that may have been meant.
        nearest: Option<String>,
    },
    /// The key was given by another name than the one that the provider prints.
    Renamed {
        /// The key as given.
        key: String,
        /// The key as sent.
        sent: String,
    },
    /// The value is none of the documented ones.
    UnusualValue {
        key: String,
        /// The value as given.
        value: String,
        /// The documented values.
        known: &'static [&'static str],
    },
    /// The provider may cut the password off.
    LongPassword {
        key: String,
        /// How many characters count.
        longest: usize,
    },
    /// The provider's text form cannot write this value; it will read back differently.
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
