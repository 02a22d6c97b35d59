//! The client against real servers and against a scripted one.

mod durability;
mod fake;
mod hostile;
mod requests;
mod servers;
#[path = "../../../../tests/support/nbd.rs"]
#[allow(dead_code, reason = "the suite of far ends uses the rest")]
mod support;

use super::{NbdAddress, NbdDisk, NbdOptions, Purpose};
use crate::disk::{Body, Buffers, ReadAt, WriteAt};
use crate::error::Result;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// Short deadlines, so that intended timeouts do not take long.
fn options() -> NbdOptions {
    NbdOptions { idle: Duration::from_secs(5), ..NbdOptions::default() }
}

async fn open(address: &str, access: Purpose, options: &NbdOptions) -> Result<NbdDisk> {
    NbdDisk::open(&NbdAddress::parse(address).unwrap(), access, options, Arc::default()).await
}

async fn write(disk: &NbdDisk, offset: u64, bytes: &[u8]) -> Result<()> {
    disk.write_at(offset, Body::Raw(Bytes::copy_from_slice(bytes))).await.map(drop)
}

async fn read(disk: &NbdDisk, offset: u64, len: u64) -> Result<Vec<u8>> {
    Ok(disk.read_at(offset, len, Buffers::new(0).take(0)).await?.to_vec())
}

/// Waits until the client has noticed that its connection ended.
async fn noticed(disk: &NbdDisk, peer: fake::Peer) {
    drop(peer);
    while disk.requests.pool().live() > 0 {
        tokio::task::yield_now().await;
    }
}
