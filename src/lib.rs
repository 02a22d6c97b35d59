//! diskferry moves whole drive images into, out of and between IaaS clouds whose API takes a drive as many small
//! offset-addressed HTTP requests.
//!
//! One way through for every image:
//!
//! ```text
//! plan ──► read ──► work (threads: zero? digest, compare, encode) ──► write ──► acknowledge ──► journal, ledger
//! ```
//!
//! Whatever holds an image is a [`disk`]; the [`engine`] moves chunks from a disk that can be read to a disk that can be
//! written, and proves at the end that none is missing; the [`journal`] is what a later run goes on from. A [`job`] is a whole
//! command.
//!
//! The library reports through [`event`]s and [`meters`] and never prints; [`error`] decides what is retried and how a
//! run ends.
//!
//! A program that moves images makes a [`remote`] client and a [`Context`](engine::Context), and runs a [`job`];
//! `examples/` has an upload and a migration. What is not documented here belongs to the program `diskferry` and may change
//! at any time.

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
pub mod provider;
#[doc(hidden)]
pub mod transport;
#[doc(hidden)]
pub mod units;
#[doc(hidden)]
pub mod wire;

pub use error::{Error, Kind, Result};

/// Who is talked to, and how.
pub mod remote {
    pub use crate::auth::Auth;
    pub use crate::disk::elastic::drives::Drives;
    pub use crate::provider::Provider;
    pub use crate::transport::client::{Client, Options};
    pub use crate::transport::limit::Bandwidth;
    pub use crate::transport::retry::Retry;
}
