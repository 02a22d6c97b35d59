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

pub mod auth;
pub mod chunk;
pub mod cli;
pub mod config;
pub mod digest;
pub mod disk;
pub mod emulator;
pub mod engine;
pub mod error;
pub mod escape;
pub mod event;
pub mod job;
pub mod journal;
pub mod manifest;
pub mod meters;
pub mod provider;
pub mod stop;
pub mod transport;
pub mod wire;

pub use error::{Error, Kind, Result};
