//! Where a store is kept: a directory, or a prefix of an object store.
//!
//! A place knows nothing of chunks and backups. Objects have keys such as `30e1/30e14955.cacnk`. Keys in a
//! listing come from outside, so the caller validates them.

use crate::disk::Attempt;
use bytes::Bytes;
use std::time::SystemTime;

pub mod directory;
pub mod object;
mod refusal;

pub use directory::Directory;
pub use object::Objects;

/// The metadata of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The length in bytes.
    pub size: u64,
    /// When the object was written, by the clock of the store.
    pub modified: SystemTime,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key of the object.
    pub key: String,
    /// The metadata of the object.
    pub meta: Meta,
}

/// A page of a listing.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Some of the objects, in no particular order.
    pub entries: Vec<Entry>,
    /// The token of the next page; `None` if this is the last.
    pub next: Option<String>,
}

/// The top level of a store.
#[derive(Clone, Debug, Default)]
pub struct Top {
    /// The first components of keys with several, without a `/`.
    pub directories: Vec<String>,
    /// The objects whose key has one component.
    pub entries: Vec<Entry>,
}

/// A container of objects under keys.
///
/// # Contract
/// Each method makes one attempt. An object is written atomically: every reader sees all of it or none, also
/// after a crash. After the next [`Place::sync`] it survives a crash of the machine.
///
/// # Cancellation
/// A dropped write or delete has either happened completely or not at all.
pub trait Place: Send + Sync {
    /// Returns the name in messages, without secrets.
    fn name(&self) -> &str;

    /// Returns how many requests to keep in flight.
    fn requests(&self) -> usize;

    /// Returns the bytes of an object.
    ///
    /// # Errors
    /// Fails if the object is larger than `limit` bytes. A missing object is of the kind `NotFound`.
    fn get(&self, key: &str, limit: u64) -> Attempt<Bytes>;

    /// Writes an object, replacing an existing one.
    fn put(&self, key: &str, bytes: Bytes) -> Attempt<()>;

    /// Writes an object and syncs it. Returns `false` and changes nothing if one exists.
    fn create(&self, key: &str, bytes: Bytes) -> Attempt<bool>;

    /// Returns the metadata of an object, or `None` if it does not exist.
    fn head(&self, key: &str) -> Attempt<Option<Meta>>;

    /// Returns the top level.
    fn top(&self) -> Attempt<Top>;

    /// Returns a page of the objects whose key begins with `prefix`, which is empty or ends in `/`. `from` is
    /// the token of an earlier page, or `None` for the first.
    fn list(&self, prefix: &str, from: Option<String>) -> Attempt<Page>;

    /// Deletes an object. A missing object is not an error.
    fn delete(&self, key: &str) -> Attempt<()>;

    /// Makes all writes safe.
    fn sync(&self) -> Attempt<()>;

    /// Returns the place as a local directory, if it is one.
    fn directory(&self) -> Option<&Directory>;
}

/// The prefix of diskferry's own objects. No backup and no chunk has it.
pub const OWN: &str = ".diskferry/";
