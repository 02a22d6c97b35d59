//! Servers that violate the protocol: the result is a clear error, in bounded memory and time, and never
//! wrong bytes.

use super::super::protocol::{option, option_reply};
use super::fake::{
    CONTEXT, FLUSH, Fake, block_info, chunk, chunk_head, data, error, export_info, greeting, hole, reply,
    simple, statuses,
};
use super::{options, read};
use crate::disk::{Extent, ReadAt};
use crate::error::{Error, Kind};

/// Reads 100 bytes at offset 1000 from a server that sends this reply and then waits.
async fn reading(answer: impl FnOnce(u64) -> Vec<u8>) -> Result<Vec<u8>, Error> {
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    let serving = async {
        let cookie = peer.request().await.cookie;
        peer.raw(&answer(cookie)).await;
        peer
    };
    let (got, _peer) = tokio::join!(read(&disk, 1000, 100), serving);
    got
}

#[tokio::test]
async fn chunks_in_any_order_make_up_a_read() {
    let got = reading(|cookie| {
        [
            data(cookie, 0, 1060, &[3; 40]),
            hole(cookie, 0, 1020, 40),
            data(cookie, 0, 1000, &[1; 20]),
            chunk(cookie, 1, 0, &[]),
        ]
        .concat()
    });
    assert_eq!(got.await.unwrap(), [&[1; 20][..], &[0; 40], &[3; 40]].concat());
}

#[tokio::test]
async fn a_reply_that_does_not_fit_its_read_is_refused() {
    type Answer = fn(u64) -> Vec<u8>;
    let answers: [(&str, Answer); 14] = [
        ("begins with", |_| vec![0x48; 16]),
        ("unknown cookie", |cookie| data(cookie + 1, 1, 1000, &[1; 100])),
        ("twice", |cookie| [data(cookie, 0, 1000, &[1; 60]), data(cookie, 1, 1050, &[1; 50])].concat()),
        ("twice", |cookie| [data(cookie, 0, 1000, &[1; 100]), hole(cookie, 1, 1099, 1)].concat()),
        ("not requested", |cookie| data(cookie, 1, 999, &[1; 100])),
        ("not requested", |cookie| data(cookie, 1, 1001, &[1; 100])),
        ("not requested", |cookie| hole(cookie, 1, 1000, u32::MAX)),
        ("not requested", |cookie| hole(cookie, 1, 1000, 0)),
        ("type 1 and 109 bytes", |cookie| chunk_head(cookie, 1, 1, 109)),
        ("type 1 and 4294967295 bytes", |cookie| chunk_head(cookie, 1, 1, u32::MAX)),
        ("ends before its contents", |cookie| data(cookie, 1, 1000, &[1; 99])),
        ("ends before its contents", |cookie| chunk(cookie, 1, 0, &[])),
        ("simple reply", |cookie| [simple(cookie, 0), vec![1; 100]].concat()),
        ("type 5", |cookie| statuses(cookie, CONTEXT, &[(100, 0)])),
    ];
    for (what, answer) in answers {
        let error = reading(answer).await.expect_err(what);
        assert_eq!(error.kind(), Kind::Protocol, "{what}: {error}");
        assert!(error.to_string().contains(what), "{what}: {error}");
    }
    // Errors that never end.
    let endless = reading(|cookie| error(cookie, 0, 5, "").repeat(2000)).await.unwrap_err();
    assert!(endless.to_string().contains("too many errors"), "{endless}");
    let error = reading(|cookie| error(cookie, 0, 0, "")).await.unwrap_err();
    assert!(error.to_string().contains("the error 0"), "{error}");
}

#[tokio::test]
async fn an_error_chunk_fails_its_request_alone() {
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    let serving = async {
        for n in 0..2 {
            let came = peer.request().await;
            if n == 0 {
                // Some data, an error, and more data that is ignored.
                peer.raw(&data(came.cookie, 0, 0, &[1; 10])).await;
                peer.raw(&error(came.cookie, 0, 5, "bad sector")).await;
                peer.raw(&data(came.cookie, 1, 50, &[1; 10])).await;
            } else {
                peer.raw(&data(came.cookie, 1, came.offset, &[7; 100])).await;
            }
        }
    };
    let reading = async {
        let failed = read(&disk, 0, 100).await.unwrap_err();
        assert_eq!(failed.kind(), Kind::Unavailable);
        assert!(failed.to_string().ends_with("EIO, input/output error: bad sector"), "{failed}");
        assert_eq!(read(&disk, 200, 100).await.unwrap(), [7; 100], "on the same connection");
    };
    tokio::join!(serving, reading);
}

#[tokio::test]
async fn a_connection_that_ends_in_a_reply_may_be_tried_again() {
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    let serving = async {
        let cookie = peer.request().await.cookie;
        peer.raw(&data(cookie, 1, 1000, &[1; 100])[..50]).await;
        drop(peer);
        let mut peer = fake.accept().await;
        let cookie = peer.request().await.cookie;
        peer.raw(&data(cookie, 1, 1000, &[2; 100])).await;
        peer
    };
    let reading = async {
        let error = read(&disk, 1000, 100).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Connection, "{error}");
        assert_eq!(read(&disk, 1000, 100).await.unwrap(), [2; 100]);
    };
    tokio::join!(serving, reading);
}

/// Returns the extents of the first 10,000 bytes if the server answers the first query like this.
async fn asking(answer: impl FnOnce(u64) -> Vec<u8>) -> Result<Vec<Extent>, Error> {
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    let serving = async {
        let cookie = peer.request().await.cookie;
        peer.raw(&answer(cookie)).await;
        peer
    };
    tokio::join!(disk.extents(0..10_000), serving).0
}

#[tokio::test]
async fn block_descriptors_that_make_no_sense_are_refused() {
    type Answer = fn(u64) -> Vec<u8>;
    let answers: [(&str, Answer); 6] = [
        ("without a length", |cookie| statuses(cookie, CONTEXT, &[(5, 0), (0, 0)])),
        ("more block descriptors", |cookie| statuses(cookie, CONTEXT, &[(10_000, 0), (1, 0)])),
        ("context 8", |cookie| statuses(cookie, 8, &[(10_000, 0)])),
        ("type 5 and 4294967292 bytes", |cookie| chunk_head(cookie, 1, 5, u32::MAX - 3)),
        ("ends before its contents", |cookie| chunk(cookie, 1, 0, &[])),
        ("simple reply", |cookie| simple(cookie, 0)),
    ];
    for (what, answer) in answers {
        let error = asking(answer).await.expect_err(what);
        assert_eq!(error.kind(), Kind::Protocol, "{what}: {error}");
        assert!(error.to_string().contains(what), "{what}: {error}");
    }
}

#[tokio::test]
async fn a_server_that_tells_byte_by_byte_is_left_alone() {
    let fake = Fake::start(FLUSH).await;
    let (disk, mut peer) = fake.open(&options()).await;
    let serving = async {
        let mut asked = 0_u32;
        while let Ok(came) = tokio::time::timeout(std::time::Duration::from_secs(1), peer.request()).await {
            asked += 1;
            peer.raw(&statuses(came.cookie, CONTEXT, &[(1, 3)])).await;
        }
        (asked, peer)
    };
    let (extents, (asked, _peer)) = tokio::join!(disk.extents(0..1 << 20), serving);
    assert_eq!(asked, 1 << 14);
    let extent = |range, zero| Extent { range, zero };
    assert_eq!(extents.unwrap(), [extent(0..1 << 14, true), extent(1 << 14..1 << 20, false)]);
}

#[tokio::test]
async fn a_handshake_that_makes_no_sense_is_refused() {
    let ack = |to| reply(to, option_reply::ACK, &[]);
    let go = |replies: &[Vec<u8>]| {
        let start = [greeting(3), reply(option::STRUCTURED, option_reply::UNSUPPORTED, &[])].concat();
        [start, replies.concat()].concat()
    };
    let told = |data: &[u8]| reply(option::GO, option_reply::INFO, data);
    let mut oldstyle = greeting(3);
    oldstyle[8..16].copy_from_slice(&0x0000_4202_8186_1253_u64.to_be_bytes());
    for (what, raw) in [
        ("not an NBD server", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("oldstyle", oldstyle),
        ("begins with 0x4141", [greeting(3), vec![0x41; 20]].concat()),
        ("a reply to option 8", [greeting(3), ack(option::GO)].concat()),
        ("of 4294967295 bytes", {
            let mut reply = ack(option::STRUCTURED);
            reply[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
            [greeting(3), reply].concat()
        }),
        ("without its size", go(&[ack(option::GO)])),
        ("of 13 bytes", go(&[told(&[&export_info(1, 1)[..], &[0; 3]].concat())])),
        ("an export of 9223372036854775808 bytes", go(&[told(&export_info(1 << 63, 1)), ack(option::GO)])),
        ("minimum block size of 3", go(&[told(&block_info(3, 1 << 20))])),
        ("largest payload of 5", go(&[told(&block_info(512, 5))])),
        ("too much information", go(&vec![told(&[0, 9]); 5000])),
        ("type 2 to opening", go(&[reply(option::GO, option_reply::SERVER, &[0; 4])])),
        (
            "its last 1 cannot be reached",
            go(&[told(&export_info(513, 1)), told(&block_info(512, 1 << 20)), ack(option::GO)]),
        ),
    ] {
        let fake = Fake::start(FLUSH).await;
        let opened = fake.open_against(&raw);
        let error = opened.await.err().unwrap_or_else(|| panic!("{what}: it was opened"));
        assert!(error.to_string().contains(what), "{what}: {error}");
        assert!(!error.kind().is_retryable(), "{what}: {error}");
    }
}

/// Every byte of a reply's headers matters: if it is changed or missing, the read fails.
#[tokio::test]
async fn a_reply_that_is_damaged_anywhere_is_no_answer() {
    let whole = |cookie| {
        let pieces = [data(cookie, 0, 1000, &[1; 8]), hole(cookie, 0, 1008, 92), chunk(cookie, 1, 0, &[])];
        pieces.concat()
    };
    // The data of the read.
    let contents = 28..36;
    for at in 0..whole(0).len() {
        for cut in [false, true] {
            let fake = Fake::start(FLUSH).await;
            let (disk, mut peer) = fake.open(&options()).await;
            let serving = async {
                let mut bytes = whole(peer.request().await.cookie);
                if cut {
                    bytes.truncate(at);
                } else {
                    bytes[at] ^= 0x11;
                }
                peer.raw(&bytes).await;
                drop(peer);
            };
            let (got, ()) = tokio::join!(read(&disk, 1000, 100), serving);
            match got {
                Err(error) => {
                    assert!(matches!(error.kind(), Kind::Protocol | Kind::Connection), "{at}: {error}");
                }
                Ok(got) => {
                    // Reserved flag bits must be ignored, and the last bytes may come in the last chunk.
                    let flags = [4, 40, 41, 72].contains(&at);
                    assert!(!cut && (contents.contains(&at) || flags), "{at} {cut}");
                    assert_eq!(got.len(), 100);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_list_without_an_end_is_refused() {
    let listed = reply(option::LIST, option_reply::SERVER, &[0, 0, 0, 1, b'y']);
    let fake = Fake::start(FLUSH).await;
    let raw = [greeting(3), listed.repeat(5000)].concat();
    let (address, options) = (fake.address(), options());
    let (listed, ()) = tokio::join!(crate::disk::nbd::list(&address, &options), fake.say(&raw));
    let error = listed.unwrap_err();
    assert!(
        error.kind() == Kind::Protocol && error.to_string().contains("more than 4096 exports"),
        "{error}"
    );
    // A name that exceeds its reply, and one that is not UTF-8.
    for name in [&[0, 0, 0, 9, b'y'][..], &[0, 0], &[0, 0, 0, 1, 0xff]] {
        let raw = [greeting(3), reply(option::LIST, option_reply::SERVER, name)].concat();
        let (listed, ()) = tokio::join!(crate::disk::nbd::list(&address, &options), fake.say(&raw));
        assert_eq!(listed.unwrap_err().kind(), Kind::Protocol);
    }
}
