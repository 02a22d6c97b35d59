//! diskferry moves whole drive images into, out of and between IaaS clouds whose API takes a drive as many small
//! offset-addressed HTTP requests.
//!
//! One way through, each stage knowing only the next:
//!
//! ```text
//! source ──► chunk ──► encode (threads) ──► transfer (async, bounded) ──► remote drive or file
//!                                                │
//!                                                └──► journal ◄─ acknowledged chunks only
//! ```
//!
//! A [`source`] maps, streams or relays an image and cuts it into [`chunk`]s; [`encode`] finds zeros, digests and compresses
//! on a few threads; [`transfer`] keeps a bounded number of requests in flight to a [`transport::RemoteDisk`], repeats what may
//! be repeated, and proves at the end that no chunk is missing; the [`journal`] is what a later run goes on from. A
//! download runs the other way, into a [`sink`].
//!
//! The library reports through [`event`]s and [`meters`] and never prints; [`error`] decides what is retried and how a
//! run ends.

pub mod auth;
pub mod chunk;
pub mod cli;
pub mod config;
pub mod emulator;
pub mod encode;
pub mod error;
pub mod escape;
pub mod event;
pub mod job;
pub mod journal;
pub mod manifest;
pub mod meters;
pub mod provider;
pub mod sink;
pub mod source;
pub mod stop;
pub mod transfer;
pub mod transport;
pub mod wire;

pub use error::{Error, Kind, Result};
