//! HTTP to the remotes. Each call makes exactly one attempt and classifies its errors; only [`retry::Retry`]
//! decides whether to try again.

pub mod address;
pub mod calls;
pub(crate) mod check;
pub mod client;
pub(crate) mod deadlines;
pub(crate) mod download;
mod flow;
pub(crate) mod http;
pub mod limit;
pub mod login;
mod message;
pub mod retry;
mod standard;
