//! Requests that are dropped, held back, stalled, concurrent, and on several connections.

use super::fake::{FLUSH, Fake, MULTI_CONN, ZEROES, data, error, hole, simple};
use super::{noticed, options, read, write};
use crate::disk::nbd::{NbdAddress, NbdDisk, NbdOptions, Purpose};
use crate::disk::{Extent, ReadAt, WriteAt};
use crate::error::Kind;
use crate::transport::limit::Bandwidth;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_request_that_is_dropped_is_not_sent_or_its_answer_is_thrown_away() {
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    // Queued, and dropped before the writer ran.
    assert!(read(&disk, 0, 10).now_or_never().is_none());
    let mut sent = Box::pin(read(&disk, 100, 10));
    let came = tokio::select! {
        came = peer.request() => came,
        _ = &mut sent => unreachable!("nothing was answered"),
    };
    assert_eq!(came.offset, 100, "the first was never sent");
    drop(sent);
    let serving = async {
        let next = peer.request().await;
        // The reply of the dropped request comes first, then half of the other one, then the rest of both.
        peer.raw(&data(came.cookie, 0, 100, &[1; 5])).await;
        peer.raw(&data(next.cookie, 0, 200, &[2; 5])).await;
        peer.raw(&data(came.cookie, 1, 105, &[1; 5])).await;
        peer.raw(&data(next.cookie, 1, 205, &[2; 5])).await;
    };
    let (got, ()) = tokio::join!(read(&disk, 200, 10), serving);
    assert_eq!(got.unwrap(), [2; 10]);
}

#[tokio::test]
async fn answers_come_in_any_order() {
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    let serving = async {
        let mut came = Vec::new();
        for _ in 0..40 {
            came.push(peer.request().await);
        }
        for request in came.iter().rev() {
            let byte = u8::try_from(request.offset / 1000).unwrap();
            peer.raw(&data(request.cookie, 1, request.offset, &[byte; 1000])).await;
        }
    };
    let reads = join_all((0..40_u64).map(|n| read(&disk, n * 1000, 1000)));
    for (n, got) in tokio::join!(reads, serving).0.into_iter().enumerate() {
        assert_eq!(got.unwrap(), [u8::try_from(n).unwrap(); 1000]);
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_times_out_and_is_connected_to_anew() {
    let fake = Fake::start(FLUSH).await;
    let options = NbdOptions { idle: Duration::from_millis(300), ..options() };
    let (disk, mut peer) = fake.open(&options).await;
    let serving = async {
        // Silent in the middle of a reply.
        let cookie = peer.request().await.cookie;
        peer.raw(&data(cookie, 1, 0, &[1; 100])[..60]).await;
        let mut next = fake.accept().await;
        let cookie = next.request().await.cookie;
        next.raw(&data(cookie, 1, 0, &[2; 100])).await;
        peer.ended().await;
    };
    let reading = async {
        let error = read(&disk, 0, 100).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout, "{error}");
        assert_eq!(read(&disk, 0, 100).await.unwrap(), [2; 100]);
    };
    tokio::join!(serving, reading);
}

#[tokio::test]
async fn a_server_that_never_greets_times_out() {
    let fake = Fake::start(FLUSH).await;
    let (address, options) = (fake.address(), NbdOptions { idle: Duration::ZERO, ..options() });
    let opening = NbdDisk::open(&address, Purpose::Read, &options, Arc::default());
    let (opened, ()) = tokio::join!(opening, fake.say(&[]));
    let error = opened.err().unwrap();
    assert_eq!(error.kind(), Kind::Timeout, "{error}");
    assert!(error.hint_text().is_some_and(|hint| hint.contains("--shared")));
}

#[tokio::test]
async fn the_bandwidth_limit_holds_and_is_no_stall() {
    // A piece takes half a second here, longer than the deadline.
    let bandwidth = Bandwidth::new(Some(1024), Some(1024));
    let options = NbdOptions { idle: Duration::from_millis(200), bandwidth, ..options() };
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options).await;
    let serving = async {
        let came = peer.request().await;
        peer.raw(&data(came.cookie, 1, 0, &[5; 2048])).await;
        assert_eq!(peer.acknowledge(1).await.body, [6; 2048]);
    };
    let moving = async {
        let start = Instant::now();
        assert_eq!(read(&disk, 0, 2048).await.unwrap(), [5; 2048]);
        assert!(start.elapsed() > Duration::from_millis(1700), "{:?}", start.elapsed());
        let start = Instant::now();
        write(&disk, 0, &[6; 2048]).await.unwrap();
        assert!(start.elapsed() > Duration::from_millis(1700), "{:?}", start.elapsed());
    };
    tokio::join!(serving, moving);
}

#[tokio::test]
async fn however_many_wait_one_connection_is_made() {
    let fake = Fake::start(FLUSH).await;
    let (disk, peer) = fake.open(&options()).await;
    noticed(&disk, peer).await;
    // A second connection would not be accepted, and its requests would not be answered.
    let serving = async {
        let mut peer = fake.accept().await;
        for _ in 0..10 {
            let came = peer.request().await;
            peer.raw(&data(came.cookie, 1, came.offset, &[1; 10])).await;
        }
    };
    let reads = join_all((0..10_u64).map(|n| read(&disk, n * 10, 10)));
    let (got, ()) = tokio::join!(reads, serving);
    assert!(got.into_iter().all(|got| got.is_ok()));
}

#[tokio::test]
async fn a_failure_to_connect_is_told_to_all_who_waited_for_it() {
    let fake = Fake::start(FLUSH).await;
    let (disk, peer) = fake.open(&options()).await;
    noticed(&disk, peer).await;
    // One attempt; a second one would wait until its deadline.
    let serving = fake.hang_up();
    let reads = join_all((0..10_u64).map(|n| read(&disk, n * 10, 10)));
    let start = Instant::now();
    let (got, ()) = tokio::join!(reads, serving);
    assert!(got.into_iter().all(|got| got.is_err_and(|e| e.kind() == Kind::Connection)));
    assert!(start.elapsed() < options().idle);
}

#[tokio::test]
async fn several_connections_are_made_only_where_they_are_allowed() {
    for (flags, wanted) in [(FLUSH | MULTI_CONN, 3), (FLUSH, 1)] {
        let fake = Fake::start(flags).await;
        let options = NbdOptions { connections: 3, ..options() };
        let (disk, first) = fake.open(&options).await;
        // Nothing is answered until all connections exist.
        let mut reads: FuturesUnordered<_> = (0..6_u64).map(|n| read(&disk, n * 10, 10)).collect();
        let mut peers = vec![first];
        while peers.len() < wanted {
            tokio::select! {
                peer = fake.accept() => peers.push(peer),
                _ = reads.next() => unreachable!("nothing was answered"),
            }
            while disk.requests.pool().live() < peers.len() {
                tokio::task::yield_now().await;
            }
            // One for the new connection, and one that finds every connection busy.
            reads.extend([read(&disk, 0, 10), read(&disk, 0, 10)]);
        }
        let reads = reads.collect::<Vec<_>>();
        let serving = join_all(peers.into_iter().map(async |mut peer| {
            let mut answered = 0;
            while let Ok(came) = tokio::time::timeout(Duration::from_secs(1), peer.request()).await {
                peer.raw(&data(came.cookie, 1, came.offset, &[9; 10])).await;
                answered += 1;
            }
            answered
        }));
        let (got, answered) = tokio::join!(reads, serving);
        assert!(got.into_iter().all(|got| got.unwrap() == [9; 10]));
        assert!(answered.iter().all(|answered| *answered > 0), "{answered:?}");
    }
}

#[tokio::test]
async fn a_part_of_a_block_is_read_changed_and_written_back() {
    let fake = Fake { minimum: 512, ..Fake::start(FLUSH | ZEROES).await };
    let (disk, mut peer) = fake.open(&options()).await;
    let serving = async {
        // 500..1500: the first block, the last one, and the one between them.
        let mut came = Vec::new();
        for _ in 0..5 {
            let request = peer.request().await;
            if request.command == 0 {
                peer.raw(&data(request.cookie, 1, request.offset, &[1; 512])).await;
            } else {
                peer.raw(&simple(request.cookie, 0)).await;
            }
            came.push(request);
        }
        came
    };
    let (written, came) = tokio::join!(write(&disk, 500, &[2; 1000]), serving);
    written.unwrap();
    let did: Vec<(u16, u64, u32)> = came.iter().map(|r| (r.command, r.offset, r.length)).collect();
    assert_eq!(did, [(0, 0, 512), (1, 0, 512), (0, 1024, 512), (1, 1024, 512), (1, 512, 512)]);
    assert_eq!(came[1].body, [&[1; 500][..], &[2; 12]].concat());
    assert_eq!(came[3].body, [&[2; 476][..], &[1; 36]].concat());
    assert_eq!(came[4].body, [2; 512]);
}

/// A write of a part of a block waits for an earlier one that is not answered yet, even if no caller waits
/// for that any more.
#[tokio::test]
async fn a_dropped_write_of_a_part_of_a_block_still_keeps_others_out() {
    let fake = Fake { minimum: 512, ..Fake::start(FLUSH).await };
    let (disk, mut peer) = fake.open(&options()).await;
    let mut first = Box::pin(write(&disk, 0, &[2; 100]));
    let serving = async {
        let came = peer.request().await;
        peer.raw(&data(came.cookie, 1, 0, &[1; 512])).await;
        peer.request().await
    };
    let came = tokio::select! {
        came = serving => came,
        _ = &mut first => unreachable!("nothing was acknowledged"),
    };
    assert_eq!(came.command, 1);
    drop(first);
    let mut second = Box::pin(write(&disk, 100, &[3; 100]));
    for _ in 0..100 {
        assert!((&mut second).now_or_never().is_none());
        tokio::task::yield_now().await;
        assert!(peer.request().now_or_never().is_none(), "the block is read while it is being written");
    }
    let serving = async {
        peer.raw(&simple(came.cookie, 0)).await;
        let read = peer.request().await;
        peer.raw(&hole(read.cookie, 1, 0, 512)).await;
        peer.acknowledge(1).await
    };
    let (written, came) = tokio::join!(second, serving);
    written.unwrap();
    assert_eq!(came.body[100..200], [3; 100]);
}

#[tokio::test]
async fn zeros_that_a_server_will_not_write_are_sent() {
    for (flags, number, expected) in [
        (FLUSH, None, Ok(false)),
        (FLUSH | ZEROES, Some(0), Ok(true)),
        (FLUSH | ZEROES, Some(95), Ok(false)),
        (FLUSH | ZEROES, Some(5), Err(Kind::Unavailable)),
        (FLUSH | ZEROES, Some(28), Err(Kind::Full)),
    ] {
        let fake = Fake::start(flags).await;
        let (disk, mut peer) = fake.open(&options()).await;
        let serving = async {
            let Some(number) = number else { return };
            let came = peer.request().await;
            assert_eq!((came.command, came.offset, came.length), (6, 7, 4096));
            let answer = if number == 0 { simple(came.cookie, 0) } else { error(came.cookie, 1, number, "") };
            peer.raw(&answer).await;
        };
        let (zeroed, ()) = tokio::join!(disk.zero_at(7..4103), serving);
        let zeroed = zeroed.map(|receipt| receipt.is_some()).map_err(|error| error.kind());
        assert_eq!(zeroed, expected, "{number:?}");
    }
}

#[tokio::test]
async fn without_a_context_everything_is_data() {
    let fake = Fake { structured: false, ..Fake::start(FLUSH).await };
    let (disk, _peer) = fake.open(&options()).await;
    assert_eq!(disk.extents(5..50).await.unwrap(), [Extent { range: 5..50, zero: false }]);
    assert!(disk.extents(0..(1 << 20) + 1).await.is_err());
}

#[tokio::test]
async fn an_export_of_another_size_is_a_change() {
    let mut fake = Fake::start(FLUSH).await;
    let (disk, peer) = fake.open(&options()).await;
    assert!(disk.changed().await.unwrap().is_none());
    noticed(&disk, peer).await;
    fake.size += 512;
    let (got, _) = tokio::join!(read(&disk, 0, 10), fake.accept());
    let error = got.unwrap_err();
    assert_eq!(error.kind(), Kind::Source);
    assert!(error.to_string().contains("its size was 1048576 and is 1049088"), "{error}");
    assert!(disk.changed().await.unwrap().is_some());
}

#[tokio::test]
async fn a_server_that_shuts_down_is_left_and_connected_to_anew() {
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    let serving = async {
        let came = peer.request().await;
        peer.raw(&error(came.cookie, 1, 108, "")).await;
        let mut next = fake.accept().await;
        let came = next.request().await;
        next.raw(&data(came.cookie, 1, 0, &[1; 10])).await;
        // The disconnect request of the old connection.
        assert_eq!(peer.request().await.command, 2);
    };
    let reading = async {
        assert_eq!(read(&disk, 0, 10).await.unwrap_err().kind(), Kind::Connection);
        assert_eq!(read(&disk, 0, 10).await.unwrap(), [1; 10]);
    };
    tokio::join!(serving, reading);
}

#[tokio::test]
async fn a_server_without_go_is_asked_for_its_list_first() {
    let fake = Fake { go: false, ..Fake::start(FLUSH).await };
    let (disk, mut peer) = fake.open(&options()).await;
    assert_eq!((disk.export().size, disk.export().block.minimum), (1 << 20, 1));
    let serving = async {
        let came = peer.request().await;
        peer.raw(&data(came.cookie, 1, 5, &[4; 10])).await;
    };
    let (got, ()) = tokio::join!(read(&disk, 5, 10), serving);
    assert_eq!(got.unwrap(), [4; 10]);
    // The server closes the connection for an export that it does not have.
    let other = NbdAddress::parse(&fake.address().to_string()).unwrap().with_export("y").unwrap();
    let options = options();
    let opening = NbdDisk::open(&other, Purpose::Read, &options, Arc::default());
    let error = tokio::join!(opening, fake.accept()).0.err().unwrap();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.to_string().ends_with("no export named `y`; the server has: `x`"), "{error}");
}
