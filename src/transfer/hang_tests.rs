//! What must not hang: threads that panic, threads that block for ever, disks that never answer.

use super::Context;
use super::download::to_stream;
use super::fetch::fetch;
use super::ledger::Ledger;
use crate::chunk::Geometry;
use crate::encode::digest::Algorithm;
use crate::error::{Error, Kind, Result};
use crate::event;
use crate::stop::{Stopper, pair};
use crate::transport::Readable;
use crate::transport::retry::Retry;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

/// A drive of zeros.
struct Zeros;

impl Readable for Zeros {
    fn name(&self) -> String {
        "zeros".to_owned()
    }

    fn read_limit(&self) -> u64 {
        u64::MAX
    }

    async fn read_at(&self, _offset: u64, len: u64, into: &mut Vec<u8>) -> Result<()> {
        into.resize(into.len() + usize::try_from(len).unwrap(), 0);
        Ok(())
    }
}

/// A drive that never answers.
struct Silent;

impl Readable for Silent {
    fn name(&self) -> String {
        "silent".to_owned()
    }

    fn read_limit(&self) -> u64 {
        u64::MAX
    }

    async fn read_at(&self, _offset: u64, _len: u64, _into: &mut Vec<u8>) -> Result<()> {
        std::future::pending().await
    }
}

/// Standard output that nobody reads.
struct Blocked(Receiver<()>);

impl Write for Blocked {
    fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.recv();
        Ok(0)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn context() -> (Context, Stopper) {
    let (stopper, stop) = pair();
    let meters = Arc::default();
    let retry =
        Retry { retries: 2, observer: event::nobody(), meters: Arc::clone(&meters), stop: stop.clone() };
    let context = Context { observer: event::nobody(), meters, stop, retry, concurrency: 4, workers: 2 };
    (context, stopper)
}

fn geometry() -> Geometry {
    Geometry::new(40_000, 4_000)
}

#[tokio::test]
async fn a_panic_while_a_chunk_lands_is_an_error() {
    let (context, _stopper) = context();
    let land = |chunk: crate::chunk::FetchedChunk| {
        if chunk.index == 1 { panic!("a bug for the test") } else { Ok(chunk.index) }
    };
    let failures = fetch(&Zeros, geometry(), 0..10, &context, 2, land, |_| Ok(())).await.unwrap();
    let error = failures.into_error(1, 10).unwrap();
    assert!(error.to_string().contains("landing thread has died"), "{error}");
}

#[tokio::test]
async fn reads_that_never_end_are_given_up_when_the_stop_is_asked_for() {
    let (context, stopper) = context();
    let fetching = fetch(&Silent, geometry(), 0..10, &context, 1, |chunk| Ok(chunk.index), |_| Ok(()));
    let (failures, ()) = tokio::join!(fetching, async { stopper.stop() });
    assert_eq!(failures.unwrap().into_error(10, 10).unwrap().kind(), Kind::Interrupted);
}

#[tokio::test]
async fn a_disk_that_blocks_for_ever_is_given_up_when_the_stop_is_over() {
    let (context, stopper) = context();
    let (_open, blocked) = channel::<()>();
    let blocked = std::sync::Mutex::new(blocked);
    let land = move |_| {
        let _ = blocked.lock().unwrap().recv();
        Err::<(), _>(Error::new(Kind::Io, "never"))
    };
    let fetching = fetch(&Zeros, geometry(), 0..10, &context, 1, land, |()| Ok(()));
    let stopping = async {
        stopper.stop();
        tokio::task::yield_now().await;
        stopper.give_up();
    };
    let (failures, ()) = tokio::join!(fetching, stopping);
    assert_eq!(failures.unwrap().into_error(10, 10).unwrap().kind(), Kind::Interrupted);
}

#[tokio::test]
async fn standard_output_that_nobody_reads_does_not_hold_up_a_stop() {
    let (context, stopper) = context();
    let (_open, blocked) = channel();
    let mut ledger = Ledger::new(geometry(), Algorithm::Blake3);
    let streaming = to_stream(&Zeros, Box::new(Blocked(blocked)), false, &mut ledger, &context);
    let (ended, ()) = tokio::join!(streaming, async { stopper.stop() });
    assert_eq!(ended.unwrap_err().kind(), Kind::Interrupted);
}
