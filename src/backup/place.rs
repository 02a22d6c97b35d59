//! Where a store is: a directory, or below a prefix of an object store.
//!
//! A place knows nothing of chunks and backups. What is in it has a key, such as `30e1/30e14955.cacnk`; keys of a listing come from
//! outside, and whoever uses them checks them.

use crate::disk::Attempt;
use bytes::Bytes;
use std::time::SystemTime;

pub mod directory;
pub mod object;
mod refusal;

pub use directory::Directory;
pub use object::Objects;

/// What is known of an object without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Its length in bytes.
    pub size: u64,
    /// When it was written, by the clock of the store.
    pub modified: SystemTime,
}

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub key: String,
    /// What is known of it.
    pub meta: Meta,
}

/// A part of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Some of the objects, in no particular order.
    pub entries: Vec<Entry>,
    /// Where the next part goes on; `None` if this is the last.
    pub next: Option<String>,
}

/// What is at the top of a store.
#[derive(Clone, Debug, Default)]
pub struct Top {
    /// The first parts of keys that have several, without a `/`.
    pub directories: Vec<String>,
    /// Objects whose key has one part.
    pub entries: Vec<Entry>,
}

/// Where objects are kept under keys.
///
/// # Contract
/// Each method makes one attempt. What was put is there as a whole or not at all, for every reader and after every crash; it
/// survives the crash of a machine after the next [`Place::sync`].
///
/// # Cancellation
/// What a dropped attempt would have written or deleted is there or not, as a whole.
pub trait Place: Send + Sync {
    /// What it is called in messages, without secrets.
    fn name(&self) -> &str;

    /// How many requests at a time are worth it.
    fn requests(&self) -> usize;

    /// The bytes of an object.
    ///
    /// # Errors
    /// One of more than `limit` bytes is refused. There being none is of the kind `NotFound`.
    fn get(&self, key: &str, limit: u64) -> Attempt<Bytes>;

    /// Puts an object under a key, whatever is there.
    fn put(&self, key: &str, bytes: Bytes) -> Attempt<()>;

    /// Puts an object under a key, and makes it safe; `false` if there is one already, which then stays.
    fn create(&self, key: &str, bytes: Bytes) -> Attempt<bool>;

    /// What is known of an object; `None` if there is none.
    fn head(&self, key: &str) -> Attempt<Option<Meta>>;

    /// What is at the top.
    fn top(&self) -> Attempt<Top>;

    /// A part of the objects whose key begins with `prefix`, which is empty or ends in `/`: the first, or where an earlier
    /// part said that the next goes on.
    fn list(&self, prefix: &str, from: Option<String>) -> Attempt<Page>;

    /// Deletes an object; that there is none is no error.
    fn delete(&self, key: &str) -> Attempt<()>;

    /// Makes safe what was put.
    fn sync(&self) -> Attempt<()>;

    /// The place as a directory of this machine, if it is one.
    fn directory(&self) -> Option<&Directory>;
}

/// What a store keeps for itself is below this key: no backup and no chunk is called so.
pub const OWN: &str = ".diskferry/";
