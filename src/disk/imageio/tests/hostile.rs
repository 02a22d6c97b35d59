//! Servers that are wrong, broken, or of another kind.

use super::fake::{Fake, Reply, Seen, reply, usual};
use super::{TICKET, open, open_with};
use crate::disk::{Body, Buffers, Extent, ReadAt, WriteAt};
use crate::error::{Error, Kind};
use crate::transport::client::Options;
use bytes::Bytes;
use futures_util::FutureExt;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const SIZE: u64 = 1 << 20;

const PAGE: &str = "<html>Welcome to the Hotel. Please log in.</html>";

/// Replies like this to one request and normally to all others.
fn only(request: &'static str, answer: impl Fn() -> Reply + Send + Sync + 'static) -> Fake {
    Fake::image(SIZE, move |seen| (seen.what == request).then(&answer))
}

fn body() -> Body {
    Body::Raw(Bytes::from_static(b"bytes"))
}

fn endless(head: &str, more: &str) -> Reply {
    Reply::Endless(format!("HTTP/1.1 200 X\r\n{head}\r\n").into_bytes(), more.repeat(1000).into_bytes())
}

async fn open_error(fake: &Fake) -> Error {
    let error = open(&fake.url(), TICKET).await.err().expect("it must not open");
    assert!(!error.to_string().contains(TICKET), "{error}");
    error
}

#[tokio::test]
async fn a_captive_portal_is_no_image() {
    let portal = Fake::new(|_| reply(200, "Content-Type: text/html\r\n", PAGE));
    let error = open_error(&portal).await;
    assert!(error.kind() == Kind::Protocol && error.hint_text().unwrap().contains("portal"), "{error}");
    // A proxy's page with one of the server's statuses is not about the ticket.
    let proxy = Fake::new(|_| reply(403, "Content-Type: text/html\r\n", PAGE));
    let error = open_error(&proxy).await;
    assert!(error.kind() == Kind::Protocol && error.hint_text().unwrap().contains("portal"), "{error}");
    let gateway = Fake::new(|_| reply(502, "Content-Type: text/html\r\n", PAGE));
    let error = open_error(&gateway).await;
    assert!(error.kind() == Kind::Unavailable && !error.to_string().contains("Hotel"), "{error}");
}

/// Only status 200 with an empty body acknowledges a write.
#[tokio::test]
async fn nothing_else_acknowledges_a_write() {
    let chunked = || {
        let text = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        Reply::Bytes(text.as_bytes().to_vec())
    };
    let answers: [fn() -> Reply; 9] = [
        || reply(200, "Content-Type: text/html\r\n", PAGE),
        || reply(200, "Content-Type: text/html\r\n", ""),
        || reply(200, "", "ok"),
        || reply(201, "", ""),
        || Reply::Bytes(b"HTTP/1.1 204 X\r\n\r\n".to_vec()),
        || reply(206, "", ""),
        || reply(302, "Location: http://elsewhere/\r\n", ""),
        || reply(200, "Content-Encoding: gzip\r\n", ""),
        || Reply::Bytes(b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n".to_vec()),
    ];
    for (n, answer) in answers.into_iter().chain([chunked as fn() -> Reply]).enumerate() {
        let fake = Fake::image(SIZE, move |seen| {
            (seen.what.starts_with("PUT") || seen.what.starts_with("PATCH")).then(answer)
        });
        let disk = open(&fake.url(), TICKET).await.unwrap();
        for refused in [
            disk.write_at(0, body()).await.map(drop),
            disk.zero_at(0..10).await.map(drop),
            disk.flush().await,
        ] {
            let error = refused.expect_err(&format!("answer {n} was taken"));
            assert!(!error.kind().is_retryable(), "{n}: {error}");
        }
    }
}

#[tokio::test]
async fn what_is_read_is_the_range_that_was_asked_for() {
    let answers: [(fn() -> Reply, Kind); 7] = [
        (|| reply(206, "Content-Range: bytes 11-20/1048576\r\n", "0123456789"), Kind::Protocol),
        (|| reply(206, "Content-Range: bytes 10-18/1048576\r\n", "012345678"), Kind::Protocol),
        (|| reply(206, "", "0123456789"), Kind::Protocol),
        (|| reply(200, "Content-Range: bytes 10-19/1048576\r\n", "0123456789"), Kind::Protocol),
        (|| reply(206, "Content-Range: bytes 10-19/1048576\r\n", "012345678"), Kind::ShortReply),
        (|| reply(206, "Content-Range: bytes 10-19/1048576\r\n", "0123456789a"), Kind::Protocol),
        (
            || reply(416, "Content-Range: bytes */5\r\n", "Requested range out of allowed range"),
            Kind::Refused,
        ),
    ];
    for (n, (answer, kind)) in answers.into_iter().enumerate() {
        let fake = Fake::image(SIZE, move |seen| (seen.range == "bytes=10-19").then(answer));
        let disk = open(&fake.url(), TICKET).await.unwrap();
        let error = disk.read_at(10, 10, Buffers::new(1).take(0)).await.expect_err("it was taken");
        assert_eq!(error.kind(), kind, "{n}: {error}");
    }
}

#[tokio::test]
async fn sizes_that_cannot_be_are_refused() {
    let sizes: [fn(&Seen) -> Reply; 5] = [
        |_| reply(416, "Content-Range: bytes */0\r\n", ""),
        |seen| usual(if seen.range == "bytes=0-0" { 10 } else { 11 }, seen),
        |seen| match &*seen.range {
            "bytes=0-0" => usual(10, seen),
            _ => reply(416, "Content-Range: bytes */10\r\n", ""),
        },
        |_| reply(206, "Content-Range: bytes 0-0/99999999999999999999\r\n", "x"),
        |seen| match &*seen.range {
            "bytes=0-0" => reply(206, "Content-Range: bytes 0-0/*\r\n", "x"),
            _ => reply(200, "", ""),
        },
    ];
    for (n, size) in sizes.into_iter().enumerate() {
        let fake = Fake::image(SIZE, move |seen| (seen.what == "GET ").then(|| size(seen)));
        let error = open_error(&fake).await;
        assert!(matches!(error.kind(), Kind::Protocol | Kind::Source), "{n}: {error}");
    }
    // As documented, a server may omit the size; then the length of the whole is the size.
    let documented = Fake::image(SIZE, |seen| {
        (seen.what == "GET ").then(|| match &*seen.range {
            "bytes=0-0" => reply(206, "Content-Range: bytes 0-0/*\r\n", "x"),
            _ => Reply::Bytes(b"HTTP/1.1 200 X\r\nContent-Length: 5000\r\n\r\n".to_vec()),
        })
    });
    assert_eq!(ReadAt::info(&open(&documented.url(), TICKET).await.unwrap()).size, 5000);
}

#[tokio::test]
async fn bodies_without_an_end_have_one() {
    let fake = only("OPTIONS ", || endless("", "{\"features\": ["));
    let error = open_error(&fake).await;
    assert!(error.to_string().contains("64 KiB limit"), "{error}");
    let error = open_error(&only("OPTIONS ", || {
        Reply::Endless(b"HTTP/1.1 403 X\r\n\r\n".to_vec(), vec![b'a'; 1000])
    }))
    .await;
    assert!(error.kind() == Kind::Auth && error.to_string().len() < 1000, "{error}");
    let fake = only("GET /checksum?algorithm=sha256&block_size=4194304", || endless("", "          "));
    let error = open(&fake.url(), TICKET).await.unwrap().checksum().await.unwrap_err();
    assert!(error.to_string().contains("4 KiB limit"), "{error}");
    let fake = only("GET /extents?context=zero", || endless("", "        "));
    let error = open(&fake.url(), TICKET).await.unwrap().extents(0..SIZE).await.unwrap_err();
    assert!(error.to_string().contains("limit of 128 MiB"), "{error}");
    let fake = Fake::image(SIZE, |seen| {
        (seen.range == "bytes=0-9").then(|| {
            let head = "HTTP/1.1 206 X\r\nContent-Range: bytes 0-9/1048576\r\n\r\n";
            Reply::Endless(head.as_bytes().to_vec(), vec![b'a'; 1000])
        })
    });
    let disk = open(&fake.url(), TICKET).await.unwrap();
    let error = disk.read_at(0, 10, Buffers::new(1).take(0)).await.unwrap_err();
    assert!(
        error.kind() == Kind::Protocol && error.to_string().contains("more than the expected 10 bytes"),
        "{error}"
    );
}

#[tokio::test]
async fn extents_that_cannot_be_are_refused() {
    let lists = [
        r#"[{"start":0,"length":600000,"zero":true},{"start":500000,"length":600000,"zero":true}]"#,
        r#"[{"start":524288,"length":524288,"zero":true},{"start":0,"length":524288,"zero":true}]"#,
        r#"[{"start":0,"length":1048575,"zero":true}]"#,
        PAGE,
    ];
    for list in lists {
        let fake = only("GET /extents?context=zero", || reply(200, "", list));
        let disk = open(&fake.url(), TICKET).await.unwrap();
        let error = disk.extents(0..SIZE).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{error}");
        assert_eq!(disk.checksum().await.unwrap_err().kind(), Kind::Protocol);
    }
}

/// Neighbouring extents alternate, so that none can be left out; everything beyond the limit is data.
#[tokio::test]
async fn two_million_extents_cost_no_more_than_one() {
    const EACH: u64 = 512;
    const ALL: u64 = 2_000_000;
    let list = || {
        let mut list = String::from("[");
        for n in 0..ALL {
            let (start, zero) = (n * EACH, n % 2 == 0);
            let comma = if n == 0 { "" } else { "," };
            write!(list, r#"{comma}{{"start":{start},"length":{EACH},"zero":{zero}}}"#).unwrap();
        }
        list + "]"
    };
    let fake = Fake::image(EACH * ALL, move |seen| {
        (seen.what == "GET /extents?context=zero").then(|| reply(200, "", &list()))
    });
    let disk = open(&fake.url(), TICKET).await.unwrap();
    let extent = |range, zero| Extent { range, zero };
    assert_eq!(
        disk.extents(0..2 * EACH).await.unwrap(),
        [extent(0..EACH, true), extent(EACH..2 * EACH, false)]
    );
    let end = EACH * ALL;
    assert_eq!(disk.extents(end - 4 * EACH..end).await.unwrap(), [extent(end - 4 * EACH..end, false)]);
    assert_eq!(fake.seen().iter().filter(|seen| seen.contains("extents")).count(), 1);
    // The end of the image is unknown then.
    assert_eq!(disk.checksum().await.unwrap(), None);
}

#[tokio::test]
async fn a_list_that_may_be_older_than_a_write_is_not_believed() {
    let hold = AtomicU32::new(0);
    let fake = Fake::image(SIZE, move |seen| match &*seen.what {
        "GET /extents?context=zero" => Some(reply(200, "", r#"[{"start":0,"length":1048576,"zero":true}]"#)),
        "PUT ?flush=n" if hold.fetch_add(1, Ordering::Relaxed) == 0 => Some(Reply::Hold),
        _ => None,
    });
    let disk = open(&fake.url(), TICKET).await.unwrap();
    let data = |range| [Extent { range, zero: false }];
    {
        // In flight while the list is made.
        let mut write = disk.write_at(0, body());
        assert!((&mut write).now_or_never().is_none());
        assert_eq!(disk.extents(0..SIZE).await.unwrap(), data(0..SIZE));
    }
    // Dropped: its outcome is unknown.
    assert_eq!(disk.extents(0..SIZE).await.unwrap(), data(0..SIZE));
    // Over before the list is made, or begun after it.
    let disk = open(&fake.url(), TICKET).await.unwrap();
    let _ = disk.write_at(SIZE - 5, body()).await.unwrap();
    assert_eq!(disk.extents(0..SIZE).await.unwrap(), [Extent { range: 0..SIZE, zero: true }]);
    let _ = disk.write_at(10, body()).await.unwrap();
    let extent = |range, zero| Extent { range, zero };
    assert_eq!(
        disk.extents(0..SIZE).await.unwrap(),
        [extent(0..10, true), extent(10..15, false), extent(15..SIZE, true)]
    );
}

/// "When using PUT you should send again all the data sent since the last flush."
#[tokio::test]
async fn after_a_failed_write_the_next_flush_fails_once() {
    for request in ["PUT ?flush=n", "PATCH "] {
        let count = AtomicU32::new(0);
        let fake = Fake::image(SIZE, move |seen| {
            let is = seen.what == request && !seen.body.ends_with(b"\"flush\"}");
            (is && count.fetch_add(1, Ordering::Relaxed) == 1).then(|| reply(500, "", "Server failed"))
        });
        let disk = open(&fake.url(), TICKET).await.unwrap();
        assert!(WriteAt::info(&disk).volatile);
        let write = || async {
            if request == "PATCH " {
                disk.zero_at(0..10).await.map(drop)
            } else {
                disk.write_at(0, body()).await.map(drop)
            }
        };
        write().await.unwrap();
        disk.flush().await.unwrap();
        assert_eq!(write().await.unwrap_err().kind(), Kind::Unavailable);
        // The retry succeeds, and the writes before it are lost all the same.
        write().await.unwrap();
        assert_eq!(disk.flush().await.unwrap_err().kind(), Kind::Io);
        disk.flush().await.unwrap();
    }
}

#[tokio::test]
async fn a_broken_connection_loses_nothing_but_its_own_write() {
    let count = AtomicU32::new(0);
    let fake = Fake::image(SIZE, move |seen| {
        (seen.what == "PUT ?flush=n" && count.fetch_add(1, Ordering::Relaxed) == 0).then_some(Reply::Close)
    });
    let disk = open(&fake.url(), TICKET).await.unwrap();
    assert_eq!(disk.write_at(0, body()).await.unwrap_err().kind(), Kind::Connection);
    let _ = disk.write_at(0, body()).await.unwrap();
    disk.flush().await.unwrap();
}

#[tokio::test]
async fn a_flush_that_failed_or_had_no_answer_is_not_repeated() {
    let answers: [fn() -> Reply; 2] = [|| reply(500, "", "Server failed"), || Reply::Close];
    for answer in answers {
        let count = AtomicU32::new(0);
        let fake = Fake::image(SIZE, move |seen| {
            (seen.what == "PATCH " && count.fetch_add(1, Ordering::Relaxed) == 0).then(answer)
        });
        let disk = open(&fake.url(), TICKET).await.unwrap();
        assert_eq!(disk.flush().await.unwrap_err().kind(), Kind::Io);
        disk.flush().await.unwrap();
    }
    // A dropped flush may have failed too.
    let count = AtomicU32::new(0);
    let fake = Fake::image(SIZE, move |seen| {
        (seen.what == "PATCH " && count.fetch_add(1, Ordering::Relaxed) == 0).then_some(Reply::Hold)
    });
    let disk = open(&fake.url(), TICKET).await.unwrap();
    let mut flush = disk.flush();
    while !fake.seen().iter().any(|seen| seen == "PATCH ") {
        assert!((&mut flush).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    drop(flush);
    assert_eq!(disk.flush().await.unwrap_err().kind(), Kind::Io);
    disk.flush().await.unwrap();
}

/// Each reply takes much longer than the idle deadline.
#[tokio::test]
async fn a_server_has_time_where_it_has_to_work() {
    let fake = Fake::image(SIZE << 10, |seen| {
        let is_open =
            seen.what == "OPTIONS " || seen.range.len() > "bytes=0-9".len() || seen.range == "bytes=0-0";
        if !is_open {
            std::thread::sleep(Duration::from_secs(2));
        }
        let hex = "0".repeat(64);
        seen.what.contains("/checksum").then(|| {
            reply(200, "", &format!(r#"{{"algorithm":"sha256","block_size":4194304,"checksum":"{hex}"}}"#))
        })
    });
    let options = Options { idle: Duration::from_millis(400), ..Options::default() };
    let disk = open_with(&fake.url(), TICKET, options).await.unwrap();
    disk.flush().await.unwrap();
    assert!(disk.zero_at(0..SIZE << 10).await.unwrap().is_some());
    assert_eq!(disk.extents(0..1).await.unwrap(), [Extent { range: 0..1, zero: false }]);
    assert!(disk.checksum().await.unwrap().is_some());
    // A read without progress is abandoned.
    let read = disk.read_at(0, 10, Buffers::new(1).take(0)).await;
    assert_eq!(read.unwrap_err().kind(), Kind::Timeout);
    assert_eq!(disk.write_at(0, body()).await.unwrap_err().kind(), Kind::Timeout);
}

#[tokio::test]
async fn statuses_say_what_may_be_repeated() {
    let kinds = [
        (400, Kind::Refused),
        (401, Kind::Auth),
        (403, Kind::Auth),
        (404, Kind::NotFound),
        (408, Kind::Unavailable),
        (409, Kind::Busy),
        (416, Kind::Refused),
        (429, Kind::SlowDown),
        (500, Kind::Unavailable),
        (503, Kind::Unavailable),
        (507, Kind::Full),
        (599, Kind::Unavailable),
        (302, Kind::Protocol),
    ];
    for (status, kind) in kinds {
        let text = format!("No such ticket {TICKET}");
        let fake = only("PUT ?flush=n", move || reply(status, "Retry-After: 7\r\n", &text));
        let disk = open(&fake.url(), TICKET).await.unwrap();
        let error = disk.write_at(0, body()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!error.to_string().contains(TICKET), "{error}");
        if kind != Kind::Protocol {
            assert!(error.server_message().unwrap().contains("No such ticket (hidden)"), "{error}");
            assert_eq!(error.retry_delay().unwrap().as_secs(), 7);
        }
    }
}

#[tokio::test]
async fn an_old_server_flushes_with_every_write_and_has_one_writer() {
    for status in [405, 204] {
        let fake = Fake::image(SIZE, move |seen| {
            let empty = format!(
                "HTTP/1.1 {status} X\r\n{}\r\n",
                if status == 405 { "Content-Length: 0\r\n" } else { "" }
            );
            (seen.what == "OPTIONS ").then(|| Reply::Bytes(empty.into_bytes()))
        });
        let disk = open(&fake.url(), TICKET).await.unwrap();
        let info = WriteAt::info(&disk);
        assert_eq!((info.readers, info.writers, info.volatile, info.size), (1, 1, false, SIZE));
        assert!(disk.zero_at(0..10).await.unwrap().is_none());
        let _ = disk.write_at(0, body()).await.unwrap();
        disk.flush().await.unwrap();
        assert_eq!(disk.extents(5..10).await.unwrap(), [Extent { range: 5..10, zero: false }]);
        assert!(disk.checksum().await.unwrap().is_none() && disk.dirty_extents().await.unwrap().is_none());
        assert!(
            fake.seen().iter().all(|seen| !seen.starts_with("PATCH") && !seen.contains('/')),
            "{:?}",
            fake.seen()
        );
    }
}

#[tokio::test]
async fn dirty_extents_are_asked_for_where_there_are_some() {
    let fake = only("GET /extents?context=dirty", || {
        reply(
            200,
            "",
            r#"[{"start":0,"length":4096,"dirty":false},{"start":4096,"length":1044480,"dirty":true,"zero":true}]"#,
        )
    });
    let dirty = open(&fake.url(), TICKET).await.unwrap().dirty_extents().await.unwrap().unwrap();
    let changed = std::slice::from_ref(&(4096..SIZE));
    assert_eq!((&dirty.changed[..], &dirty.zeros[..]), (changed, changed));
    let fake = only("GET /extents?context=dirty", || reply(404, "", "Ticket does not support dirty extents"));
    assert_eq!(open(&fake.url(), TICKET).await.unwrap().dirty_extents().await.unwrap(), None);
}
