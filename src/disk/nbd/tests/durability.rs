//! The durability guarantees of flushes, including all races.

use super::fake::{FLUSH, Fake, MULTI_CONN, Peer, simple};
use super::{noticed, options, write};
use crate::disk::WriteAt;
use crate::disk::nbd::{NbdDisk, NbdOptions};
use crate::error::{Error, Kind};
use futures_util::FutureExt;
use futures_util::future::join_all;

const WRITE: u16 = 1;
const FLUSHES: u16 = 3;

/// Makes a write that is acknowledged.
async fn written(disk: &NbdDisk, peer: &mut Peer) {
    let (written, _) = tokio::join!(write(disk, 0, &[1; 10]), peer.acknowledge(WRITE));
    written.unwrap();
}

fn is_lost(error: &Error) -> bool {
    error.kind() == Kind::Io && error.to_string().contains("since the last flush may be lost")
}

#[tokio::test]
async fn what_was_flushed_survives_the_connection() {
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    assert!(WriteAt::info(&disk).volatile);
    written(&disk, &mut peer).await;
    let (flushed, _) = tokio::join!(disk.flush(), peer.acknowledge(FLUSHES));
    flushed.unwrap();
    noticed(&disk, peer).await;
    // A flush is sent all the same, because writes of an earlier run may not be safe yet.
    let (flushed, ()) = tokio::join!(disk.flush(), async {
        fake.accept().await.acknowledge(FLUSHES).await;
    });
    flushed.unwrap();
}

#[tokio::test]
async fn what_was_not_flushed_fails_the_next_flush_once() {
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    written(&disk, &mut peer).await;
    noticed(&disk, peer).await;
    // Nothing is sent to the server, since it cannot know.
    let error = disk.flush().now_or_never().expect("at once").unwrap_err();
    assert!(is_lost(&error), "{error}");
    // Written again, and flushed on the same connection.
    let serving = async {
        let mut peer = fake.accept().await;
        peer.acknowledge(WRITE).await;
        peer.acknowledge(FLUSHES).await;
    };
    let (done, ()) = tokio::join!(
        async {
            write(&disk, 0, &[1; 10]).await?;
            disk.flush().await
        },
        serving
    );
    done.unwrap();
}

#[tokio::test]
async fn a_write_acknowledged_during_a_flush_is_not_covered_by_it() {
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    written(&disk, &mut peer).await;
    let serving = async {
        let flush = peer.request().await;
        assert_eq!(flush.command, FLUSHES);
        written(&disk, &mut peer).await;
        peer.raw(&simple(flush.cookie, 0)).await;
        peer
    };
    let (flushed, peer) = tokio::join!(disk.flush(), serving);
    flushed.unwrap();
    noticed(&disk, peer).await;
    assert!(is_lost(&disk.flush().await.unwrap_err()));
}

#[tokio::test]
async fn a_flush_whose_connection_ends_says_so_and_the_next_one_what_that_means() {
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    written(&disk, &mut peer).await;
    let serving = async {
        peer.request().await;
        drop(peer);
    };
    let (flushed, ()) = tokio::join!(disk.flush(), serving);
    assert_eq!(flushed.unwrap_err().kind(), Kind::Connection);
    assert!(is_lost(&disk.flush().await.unwrap_err()));
}

/// The server reports once that it could not write; a second flush would succeed.
#[tokio::test]
async fn a_flush_that_is_refused_is_not_for_repeating() {
    const EIO: u32 = 5;
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    written(&disk, &mut peer).await;
    let serving = async {
        let flush = peer.request().await;
        assert_eq!(flush.command, FLUSHES);
        peer.raw(&simple(flush.cookie, EIO)).await;
    };
    let (flushed, ()) = tokio::join!(disk.flush(), serving);
    let error = flushed.unwrap_err();
    assert!(error.kind() == Kind::Io && error.to_string().contains("EIO"), "{error}");
    assert!(error.hint_text().unwrap().contains("run the same command again"));
}

#[tokio::test]
async fn a_flush_that_is_dropped_counts_once_it_is_answered() {
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    written(&disk, &mut peer).await;
    let mut flush = disk.flush();
    let came = tokio::select! {
        came = peer.request() => came,
        _ = &mut flush => unreachable!("nothing was answered"),
    };
    drop(flush);
    peer.raw(&simple(came.cookie, 0)).await;
    noticed(&disk, peer).await;
    let (flushed, ()) = tokio::join!(disk.flush(), async {
        fake.accept().await.acknowledge(FLUSHES).await;
    });
    flushed.unwrap();
}

#[tokio::test]
async fn what_was_never_acknowledged_is_not_lost() {
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    let serving = async {
        peer.request().await;
        drop(peer);
    };
    let (written, ()) = tokio::join!(write(&disk, 0, &[1; 10]), serving);
    assert_eq!(written.unwrap_err().kind(), Kind::Connection);
    let (flushed, ()) = tokio::join!(disk.flush(), async {
        fake.accept().await.acknowledge(FLUSHES).await;
    });
    flushed.unwrap();
}

#[tokio::test]
async fn every_connection_that_took_writes_is_flushed_and_vouches_for_itself_alone() {
    let fake = Fake::start(FLUSH | MULTI_CONN).await;
    let options = NbdOptions { connections: 2, ..options() };
    let (disk, mut first) = fake.open(&options).await;
    // One write waits on each connection.
    let mut one = Box::pin(write(&disk, 0, &[1; 10]));
    let mut extra = Box::pin(write(&disk, 10, &[1; 10]));
    let mut second = tokio::select! {
        biased;
        _ = &mut one => unreachable!("nothing was acknowledged"),
        _ = &mut extra => unreachable!("nothing was acknowledged"),
        peer = fake.accept() => peer,
    };
    while disk.requests.pool().live() < 2 {
        tokio::task::yield_now().await;
    }
    let two = write(&disk, 20, &[1; 10]);
    let serving = async {
        first.acknowledge(WRITE).await;
        first.acknowledge(WRITE).await;
        second.acknowledge(WRITE).await;
    };
    let (a, b, c, ()) = tokio::join!(one, extra, two, serving);
    for written in [a, b, c] {
        written.unwrap();
    }
    // Both are flushed, and only one of them replies.
    let serving = async {
        first.acknowledge(FLUSHES).await;
        second.request().await;
        drop(second);
    };
    let (flushed, ()) = tokio::join!(disk.flush(), serving);
    assert_eq!(flushed.unwrap_err().kind(), Kind::Connection);
    assert!(is_lost(&disk.flush().await.unwrap_err()));
    let (flushed, _) = tokio::join!(disk.flush(), first.acknowledge(FLUSHES));
    flushed.unwrap();
}

#[tokio::test]
async fn a_server_that_cannot_flush_is_not_asked_to() {
    let fake = Fake::start(1).await;
    let (disk, mut peer) = fake.open(&options()).await;
    assert!(!WriteAt::info(&disk).volatile);
    written(&disk, &mut peer).await;
    disk.flush().now_or_never().expect("at once").unwrap();
    noticed(&disk, peer).await;
    disk.flush().await.unwrap();
}

#[tokio::test]
async fn a_disk_that_is_dropped_says_goodbye_after_what_is_under_way() {
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    let writes = join_all((0..3).map(|n| write(&disk, n * 10, &[1; 10])));
    let serving = async {
        for _ in 0..3 {
            peer.acknowledge(WRITE).await;
        }
    };
    let (writes, ()) = tokio::join!(writes, serving);
    assert!(writes.into_iter().all(|written| written.is_ok()));
    drop(disk);
    assert_eq!(peer.request().await.command, 2);
}
