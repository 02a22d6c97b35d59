//! The way to the far end: one attempt at a time below, repeated by [`retry`] above.
//!
//! Each call makes exactly one attempt and classifies what goes wrong; whether to try again is decided by [`retry::Retry`] and
//! nowhere else.

pub mod address;
pub mod calls;
pub(crate) mod check;
pub mod client;
pub(crate) mod download;
mod flow;
pub(crate) mod http;
pub mod limit;
pub mod login;
mod message;
pub(crate) mod patience;
pub mod retry;
mod standard;
