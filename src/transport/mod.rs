//! The way to the far end: one attempt at a time below, repeated by [`retry`] above.
//!
//! A [`Readable`] gives ranges of bytes, a [`RemoteDisk`] takes them as well. Each makes exactly one attempt a call and classifies
//! what goes wrong; whether to try again is decided by [`retry::Retry`] and nowhere else.

pub mod appliances;
pub mod calls;
mod check;
pub mod client;
mod download;
pub mod drives;
mod flow;
pub mod limit;
pub mod login;
mod message;
mod patience;
pub mod retry;
mod standard;

use crate::error::Result;
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Something at the far end that can be read at any place: a drive, or an appliance whose server has ranges.
pub trait Readable: Send + Sync + 'static {
    /// What it is called in messages.
    fn name(&self) -> String;

    /// The most bytes that one read may ask for.
    fn read_limit(&self) -> u64;

    /// Appends exactly `len` bytes from `offset` to `into`, in one attempt; after an error `into` may hold a part.
    fn read_at(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> impl Future<Output = Result<()>> + Send;
}

/// Any [`Readable`], for where its type does not matter.
#[derive(Clone)]
pub struct AnyReadable(Arc<dyn Erased>);

impl AnyReadable {
    /// Of something that can be read.
    pub fn new(readable: impl Readable) -> Self {
        Self(Arc::new(readable))
    }
}

impl std::fmt::Debug for AnyReadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AnyReadable({})", self.0.name())
    }
}

impl Readable for AnyReadable {
    fn name(&self) -> String {
        self.0.name()
    }

    fn read_limit(&self) -> u64 {
        self.0.read_limit()
    }

    async fn read_at(&self, offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()> {
        self.0.read_boxed(offset, len, into).await
    }
}

/// [`Readable`] in a form that can stand behind a pointer.
trait Erased: Send + Sync {
    fn name(&self) -> String;
    fn read_limit(&self) -> u64;
    fn read_boxed<'a>(
        &'a self,
        offset: u64,
        len: u64,
        into: &'a mut Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;
}

impl<D: Readable> Erased for D {
    fn name(&self) -> String {
        Readable::name(self)
    }

    fn read_limit(&self) -> u64 {
        Readable::read_limit(self)
    }

    fn read_boxed<'a>(
        &'a self,
        offset: u64,
        len: u64,
        into: &'a mut Vec<u8>,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>> {
        Box::pin(self.read_at(offset, len, into))
    }
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
