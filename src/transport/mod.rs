//! The way to the far end: one attempt at a time below, repeated by [`retry`] above.
//!
//! A [`Readable`] gives ranges of bytes, a [`RemoteDisk`] takes them as well. Each makes exactly one attempt a call and classifies
//! what goes wrong; whether to try again is decided by [`retry::Retry`] and nowhere else.

pub mod appliances;
pub mod calls;
pub mod client;
mod download;
pub mod drives;
mod flow;
pub mod limit;
pub mod login;
mod patience;
pub mod retry;
mod standard;

use crate::error::Result;
use bytes::Bytes;
use std::future::Future;

/// Something at the far end that can be read at any place: a drive, or an appliance whose server has ranges.
pub trait Readable: Send + Sync + 'static {
    /// What it is called in messages.
    fn name(&self) -> String;

    /// The most bytes that one read may ask for.
    fn read_limit(&self) -> u64;

    /// Appends exactly `len` bytes from `offset` to `into`, in one attempt; after an error `into` may hold a part.
    fn read_at(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> impl Future<Output = Result<()>> + Send;
}

/// A drive at the far end.
pub trait RemoteDisk: Readable {
    /// Whether writes may come gzipped.
    fn takes_gzip(&self) -> bool;

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
