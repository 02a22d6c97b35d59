//! A part of a set, for one of several machines.

use crate::error::Error;
use std::str::FromStr;

/// The I-th of N parts.
///
/// The first eight bytes of the BLAKE3 hash of a member's key, as a little-endian number modulo N, select its
/// part. So the parts are disjoint, together they are the whole set, and adding or removing a disk does not
/// move any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The number of this part, from 1.
    index: u64,
    of: u64,
}

/// The largest number of parts. More machines than this are a mistake.
const MOST: u64 = 1_000_000;

impl Shard {
    /// Returns whether the member with this [key](super::Member::key) is in this part.
    pub fn has(self, key: &str) -> bool {
        let hash = blake3::hash(key.as_bytes());
        let first = hash.as_bytes().first_chunk().copied().unwrap_or_default();
        u64::from_le_bytes(first) % self.of == self.index - 1
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let form = || Error::usage(format!("expected I/N, as in 1/8, got {text:?}"));
        let (index, of) = text.split_once('/').ok_or_else(form)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| form());
        let (index, of) = (number(index)?, number(of)?);
        if of == 0 || of > MOST {
            return Err(Error::usage(format!("a set has 1 to {MOST} shards, not {of}")));
        }
        if index == 0 || index > of {
            return Err(Error::usage(format!(
                "shards are counted from 1 to {of}: there is no shard {index}"
            )));
        }
        Ok(Self { index, of })
    }
}
