//! diskferry moves whole drive images into, out of and between IaaS clouds whose APIs access a drive by many
//! small HTTP requests at byte offsets.
//!
//! Every image takes the same path:
//!
//! ```text
//! plan ──► read ──► work (threads: zero? digest, compare, encode) ──► write ──► acknowledge ──► journal, ledger
//! ```
//!
//! Everything that holds an image is a [`disk`]. The [`engine`] moves chunks from a readable disk to a
//! writable one and checks at the end that none is missing. The [`journal`] is what a later run resumes from.
//! A [`job`] is a complete command.
//!
//! The library reports through [`event`]s and [`meters`] and never prints. [`error`] decides what is retried
//! and with which status a run ends.
//!
//! A program that moves images creates a [`remote`] client and a [`Context`](engine::Context), and runs a
//! [`job`]; `examples/` has an upload and a migration. Items without documentation are internal to the
//! program `diskferry` and may change at any time.

pub mod backup;
pub mod chunk;
pub mod digest;
pub mod disk;
pub mod engine;
pub mod error;
pub mod event;
pub mod job;
pub mod journal;
pub mod meters;
pub mod record;
pub mod report;
pub mod stop;

#[doc(hidden)]
pub mod auth;
#[doc(hidden)]
pub mod config;
#[doc(hidden)]
pub mod emulator;
#[doc(hidden)]
pub mod escape;
#[doc(hidden)]
pub mod manifest;
#[doc(hidden)]
pub mod nearest;
#[doc(hidden)]
pub mod provider;
#[doc(hidden)]
pub mod transport;
#[doc(hidden)]
pub mod units;
#[doc(hidden)]
pub mod wire;

#[cfg(test)]
#[path = "../tests/support/skipped.rs"]
mod skipped;

pub use error::{Error, Kind, Result};

/// Clients of remotes, and how to connect.
pub mod remote {
    pub use crate::auth::Auth;
    pub use crate::disk::elastic::drives::Drives;
    pub use crate::provider::Provider;
    pub use crate::transport::client::{Client, Options};
    pub use crate::transport::limit::Bandwidth;
    pub use crate::transport::retry::Retry;
}
