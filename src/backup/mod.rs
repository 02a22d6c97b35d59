//! Backups: images in a store that keeps each chunk once, in casync's format.
//!
//! ```text
//! STORE/30e1/30e14955….cacnk                  a chunk as a zstd frame, under the digest of its bytes
//! STORE/NAME/2026-11-24T190000Z.caibx         the index of one backup: which chunks, in order
//! STORE/NAME/2026-11-24T190000Z.json          the properties of the drive
//! STORE/.diskferry/                           locks, leases and incomplete files
//! ```
//!
//! `casync extract --store=STORE STORE/NAME/WHEN.caibx FILE` restores an image without diskferry.
//!
//! # Invariant
//! An index is written last and atomically, and only once all of its chunks are safely stored. Only [`prune`]
//! deletes chunks, and only while nobody else reads or writes ([`lease`]). So an index always has its chunks,
//! whichever process is killed at whatever moment.

pub mod chunks;
pub mod index;
pub mod lease;
pub mod name;
pub mod place;
pub mod prune;
pub mod session;
mod store;
pub mod verify;

pub use index::Index;
pub use name::{SnapshotId, SnapshotName, When};
pub use session::Session;
pub use store::{BackupStore, Description, Properties, Selection};

#[cfg(test)]
pub(crate) mod tests;
