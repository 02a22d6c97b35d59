//! Backups: images in a store that keeps each chunk once, in casync's format.
//!
//! ```text
//! STORE/30e1/30e14955….cacnk                  a chunk as a zstd frame, under the digest of its bytes
//! STORE/NAME/2026-11-24T190000Z.caibx         the index of one backup: which chunks, in order
//! STORE/NAME/2026-11-24T190000Z.json          the properties of the drive
//! STORE/.diskferry/                           locks and leases, files that are not whole yet
//! ```
//!
//! `casync extract --store=STORE STORE/NAME/WHEN.caibx FILE` gets an image back without this program.
//!
//! # What holds
//! An index is written last, at once, and only when each of its chunks is there and safe. Chunks are deleted by
//! [`prune`] alone, and only while nobody reads or writes ([`lease`]). So there is never an index without its chunks, whatever is
//! killed when.

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
