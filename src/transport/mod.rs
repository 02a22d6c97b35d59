//! The way to the far end: one attempt at a time below, repeated by [`retry`] above.
//!
//! A [`RemoteDisk`] is a drive that reads and writes ranges of bytes. It makes exactly one attempt a call and classifies
//! what goes wrong; whether to try again is decided by [`retry::Retry`] and nowhere else.

pub mod calls;
pub mod client;
pub mod drives;
mod flow;
pub mod limit;
mod patience;
pub mod retry;

use crate::error::Result;
use bytes::Bytes;
use std::future::Future;

/// A drive at the far end.
pub trait RemoteDisk: Send + Sync + 'static {
    /// What it is called in messages.
    fn name(&self) -> String;

    /// The most bytes that one read may ask for.
    fn read_limit(&self) -> u64;

    /// Whether writes may come gzipped.
    fn takes_gzip(&self) -> bool;

    /// Appends exactly `len` bytes from `offset` to `into`, in one attempt; after an error `into` may hold a part.
    fn read_at(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> impl Future<Output = Result<()>> + Send;

    /// Writes at `offset`, in one attempt. May be repeated: the same bytes at the same place.
    fn write_at(&self, offset: u64, body: WriteBody) -> impl Future<Output = Result<()>> + Send;
}

/// The body of one write.
#[derive(Clone, Debug)]
pub struct WriteBody {
    /// The bytes on the wire.
    pub bytes: Bytes,
    /// Whether they are one gzip member.
    pub gzip: bool,
}
