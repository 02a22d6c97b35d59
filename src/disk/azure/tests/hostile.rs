//! Servers that misbehave, and failures that the emulator does not have.

use super::fake::{Fake, Got};
use super::{container, copy, to_make};
use crate::chunk::Geometry;
use crate::digest::Algorithm;
use crate::disk::azure::{BlobInfo, PageBlob, crc64};
use crate::disk::memory::MemoryDisk;
use crate::disk::store::CreateError;
use crate::disk::{Body, Buffers, Evidence, Extent, ReadAt, WriteAt};
use crate::engine::ledger::Ledger;
use crate::error::{Error, Kind};
use bytes::Bytes;
use futures_util::FutureExt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

const TOKEN: &str = "sv=2020-08-04&sp=rw&se=2999-01-01&sig=hunter2%2Bsecret";

const MADE: &str = "HTTP/1.1 201 Created\r\nETag: \"0x2\"\r\nContent-Length: 0\r\n\r\n";

const PORTAL: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"0x1\"\r\nContent-Length: 9\r\n\r\n<html>hi\n";

fn blob(size: u64) -> BlobInfo {
    BlobInfo {
        name: "b".to_owned(),
        size,
        etag: "\"0x1\"".to_owned(),
        mark: None,
        lease: "available".to_owned(),
    }
}

fn disk(server: &Fake, size: u64) -> PageBlob {
    container(&server.url(), TOKEN).disk(&blob(size), None)
}

async fn read(disk: &PageBlob, range: Range<u64>) -> Error {
    disk.read_at(range.start, range.end - range.start, Buffers::new(1).take(0)).await.unwrap_err()
}

async fn write(disk: &PageBlob, offset: u64, len: usize) -> Result<(), Error> {
    disk.write_at(offset, Body::Raw(Bytes::from(vec![1; len]))).await.map(drop)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn failed(status: &str, code: &str, detail: &str) -> String {
    let body =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>No.</Message>{detail}</Error>");
    answer(status, "Content-Type: application/xml\r\nRetry-After: 3\r\n", &body)
}

#[tokio::test]
async fn a_write_is_acknowledged_by_201_and_nothing_else() {
    for (reply, retryable) in [
        (PORTAL.to_owned(), false),
        (answer("200 OK", "ETag: \"0x2\"\r\n", ""), false),
        (answer("202 Accepted", "ETag: \"0x2\"\r\n", ""), false),
        (answer("204 No Content", "ETag: \"0x2\"\r\n", ""), false),
        (answer("301 Moved", "Location: http://elsewhere/\r\n", ""), false),
        // Without an ETag the reply is not from the blob service.
        (answer("201 Created", "", ""), false),
        // The server received other bytes than were sent.
        (answer("201 Created", "ETag: \"0x2\"\r\nx-ms-content-crc64: AAAAAAAAAAA=\r\n", ""), true),
        (failed("503 Busy", "ServerBusy", ""), true),
        (failed("500 Error", "OperationTimedOut", ""), true),
        ("HTTP/1.1 2".to_owned(), true),
    ] {
        let said = reply.clone();
        let server = Fake::start(move |_| said.clone());
        let error = write(&disk(&server, 8192), 0, 512).await.expect_err(&reply);
        assert_eq!(error.kind().is_retryable(), retryable, "{reply}: {error}");
        assert_eq!(server.got().len(), 1, "one attempt: {reply}");
        let got = &server.got()[0];
        assert_eq!(got.header("x-ms-content-crc64"), crc64(&[1; 512]));
        assert_eq!((got.header("x-ms-range"), got.header("x-ms-page-write")), ("bytes=0-511", "update"));
        assert!(got.line.starts_with("PUT /account/images/b?comp=page&sv="), "{}", got.line);
    }
}

#[tokio::test]
async fn what_azure_would_refuse_is_never_sent() {
    let server = Fake::start(|_| MADE.to_owned());
    let disk = disk(&server, 8 << 20);
    for (offset, len) in [(0, (4 << 20) + 512), ((8 << 20) - 512, 1024), (8 << 20, 512), (u64::MAX - 1, 512)]
    {
        let error = write(&disk, offset, len).await.unwrap_err();
        assert_eq!((error.kind(), error.at_offset()), (Kind::Refused, Some(offset)), "{error}");
    }
    assert!(disk.zero_at((8 << 20) - 512..(8 << 20) + 512).await.is_err());
    assert!(disk.write_at(0, Body::Gzip(Bytes::from_static(b"x"))).await.is_err());
    assert!(server.got().is_empty());
}

/// The emulator accepts writes that Azure refuses, so the requests are checked here.
#[tokio::test]
async fn chunks_of_16_mib_go_in_writes_of_4_mib() {
    let server = Fake::start(|_| MADE.to_owned());
    let (size, geometry) = (33 << 20, Geometry::new(33 << 20, 16 << 20));
    let from = MemoryDisk::new(vec![5; size]);
    let copy = copy(Arc::new(from), Arc::new(disk(&server, size as u64)));
    copy.run_once(&mut Ledger::new(geometry, Algorithm::Blake3), &super::context()).await.unwrap();
    let got = server.got();
    let mut ranges: Vec<(u64, u64)> = got
        .iter()
        .map(|got| {
            let (start, end) =
                got.header("x-ms-range").strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            let (start, end): (u64, u64) = (start.parse().unwrap(), end.parse::<u64>().unwrap() + 1);
            assert!(end - start <= 4 << 20 && end - start == got.body.len() as u64, "{start}..{end}");
            assert!(start.is_multiple_of(512) && end.is_multiple_of(512));
            (start, end)
        })
        .collect();
    ranges.sort_unstable();
    assert!(ranges.windows(2).all(|two| two[0].1 == two[1].0) && ranges.len() == 9, "{ranges:?}");
}

#[tokio::test]
async fn a_token_that_expires_ends_the_transfer_and_is_not_shown() {
    let detail = "<AuthenticationErrorDetail>Signature not valid in the specified time frame: Start [a] - Expiry [b] - Current \
                  [c]</AuthenticationErrorDetail>";
    let echo = "<AuthenticationErrorDetail>Signature did not match. String to sign used was rw hunter2+secret</AuthenticationErrorDetail>";
    for (detail, words) in [(detail, "not valid at this time"), (echo, "was refused")] {
        let server = Fake::start(move |_| failed("403 Forbidden", "AuthenticationFailed", detail));
        let disk = disk(&server, 8192);
        for error in [write(&disk, 0, 512).await.unwrap_err(), read(&disk, 0..512).await] {
            assert!(error.to_string().contains(words), "{error}");
            assert!((error.kind().exit_code(), error.kind().is_retryable()) == (4, false));
            assert!(error.hint_text().unwrap().contains("new SAS token"), "{error}");
            assert!(!format!("{error:?} {:?}", error.hint_text()).contains("hunter2"), "{error:?}");
        }
        // The write was refused, so the blob is unchanged.
        let server = Fake::start(|_| head(8192, "0x9"));
        let moved = container(&server.url(), TOKEN).disk(&blob(8192), None);
        assert!(moved.changed().await.unwrap().is_some());
    }
}

fn head(size: u64, etag: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nETag: \"{etag}\"\r\nx-ms-blob-type: PageBlob\r\nContent-Length: {size}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_read_is_believed_only_as_the_range_that_was_asked_for() {
    let part = |range: &str, body: &str| {
        answer("206 Partial", &format!("ETag: \"0x1\"\r\nContent-Range: {range}\r\n"), body)
    };
    for (reply, retryable) in [
        (PORTAL.to_owned(), false),
        (answer("200 OK", "ETag: \"0x1\"\r\n", "1234"), false),
        (part("bytes 0-3/8192", "1234"), false),
        (part("bytes 4-7/9216", "1234"), false),
        (part("", "1234"), false),
        (part("bytes 4-7/8192", "12345"), false),
        (part("bytes 4-7/8192", "123"), true),
        (failed("412 Precondition", "ConditionNotMet", ""), false),
        (failed("503 Busy", "", ""), true),
    ] {
        let said = reply.clone();
        let server = Fake::start(move |_| said.clone());
        let error = read(&disk(&server, 8192), 4..8).await;
        assert_eq!(error.kind().is_retryable(), retryable, "{reply}: {error}");
        assert_eq!(server.got()[0].header("if-match"), "\"0x1\"");
    }
    let server = Fake::start(move |_| part("bytes 4-7/8192", "1234"));
    let got = disk(&server, 8192).read_at(4, 4, Buffers::new(1).take(0)).await.unwrap();
    assert_eq!(got.as_slice(), b"1234");
    // Nothing is requested outside the blob.
    assert_eq!(read(&disk(&server, 8192), 8191..8193).await.kind(), Kind::Refused);
    assert_eq!(server.got().len(), 1);
}

#[tokio::test]
async fn a_condition_that_our_own_write_has_broken_is_tried_again() {
    let server = Fake::start(|got: &Got| {
        if got.line.starts_with("PUT") {
            MADE.to_owned()
        } else {
            failed("412 Precondition", "ConditionNotMet", "")
        }
    });
    let disk = disk(&server, 8192);
    let reading = disk.read_at(0, 4, Buffers::new(1).take(0));
    // The read is in flight when the write begins.
    let (error, written) = tokio::join!(reading, write(&disk, 0, 512));
    written.unwrap();
    assert_eq!(error.unwrap_err().kind(), Kind::Busy);
    // From then on reads are unconditional.
    let _ = read(&disk, 0..4).await;
    assert_eq!(server.got().last().unwrap().header("if-match"), "");
}

fn pages(ranges: &str) -> String {
    answer(
        "200 OK",
        "ETag: \"0x1\"\r\nContent-Type: application/xml\r\nx-ms-blob-content-length: 8192\r\n",
        &format!("<PageList>{ranges}</PageList>"),
    )
}

#[tokio::test]
async fn a_list_of_pages_is_read_in_parts_and_not_believed_blindly() {
    let range =
        |start: u64, end: u64| format!("<PageRange><Start>{start}</Start><End>{end}</End></PageRange>");
    let first = pages(&(range(0, 511) + "<NextMarker>2</NextMarker>"));
    let second = pages(&range(4096, 4607));
    let server =
        Fake::start(move |got| if got.line.contains("marker=2") { second.clone() } else { first.clone() });
    let extents = disk(&server, 8192).extents(0..8192).await.unwrap();
    let data: Vec<_> =
        extents.iter().filter(|extent| !extent.zero).map(|extent| extent.range.clone()).collect();
    assert_eq!(data, [0..512, 4096..4608]);
    // A list that repeats itself ends, and the rest is data.
    let round = pages("<NextMarker>2</NextMarker>");
    let server = Fake::start(move |_| round.clone());
    let extents = disk(&server, 8192).extents(512..8192).await.unwrap();
    assert_eq!(extents, [Extent { range: 512..8192, zero: false }]);
    assert_eq!(server.got()[0].header("x-ms-range"), "bytes=512-8191");
    let outside = pages(&range(4096, 4607));
    let other = pages("").replace("8192", "9216");
    let flood = answer("200 OK", "x-ms-blob-content-length: 8192\r\n", &"<PageList>".repeat(2 << 20));
    for reply in
        [PORTAL.to_owned(), outside, other, flood, answer("200 OK", "x-ms-blob-content-length: 8192\r\n", "")]
    {
        let server = Fake::start(move |_| reply.clone());
        let error = disk(&server, 8192).extents(0..1024).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol, "{error}");
    }
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_makes_one_blob() {
    let made = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&made);
    let server = Fake::start(move |got| match got.line.split(' ').next() {
        // The first request creates the blob, and its reply is lost.
        Some("PUT") if count.fetch_add(1, Ordering::SeqCst) == 0 => String::new(),
        Some("PUT") => failed("409 Conflict", "BlobAlreadyExists", ""),
        _ => head(1024, "0x1").replacen("\r\n", "\r\nx-ms-meta-diskferry: t1\r\n", 1),
    });
    let own = super::retrying(&server.url(), TOKEN, 2);
    let blob = own.create(&to_make("new", 1000)).await.unwrap();
    assert_eq!((blob.mark.as_deref(), blob.size), (Some("t1"), 1024));
    assert_eq!(made.load(Ordering::SeqCst), 2);
    let put = &server.got()[0];
    assert_eq!((put.header("if-none-match"), put.header("x-ms-blob-content-length")), ("*", "1024"));
    // Without another attempt the blob is looked up.
    made.store(0, Ordering::SeqCst);
    let blob = container(&server.url(), TOKEN).create(&to_make("new", 1000)).await.unwrap();
    assert_eq!(blob.mark.as_deref(), Some("t1"));
    // Somebody else's blob is not taken for it.
    let other = super::BlobToMake { transfer: "t2", ..to_make("new", 1000) };
    made.store(0, Ordering::SeqCst);
    let failed = container(&server.url(), TOKEN).create(&other).await;
    assert!(matches!(failed, Err(CreateError::Unknown(_))), "{failed:?}");
    let failed = container(&server.url(), TOKEN).create(&other).await;
    assert!(matches!(failed, Err(CreateError::Refused(_))), "{failed:?}");
}

/// An abandoned write may arrive late, with the page's former bytes: the condition refuses it.
#[tokio::test]
async fn a_page_is_merged_with_what_it_has_now() {
    let round = AtomicU32::new(0);
    let server = Fake::start(move |got: &Got| {
        let now = round.load(Ordering::SeqCst);
        if !got.line.starts_with("PUT") {
            let body = char::from(b'a' + u8::try_from(now).unwrap()).to_string().repeat(512);
            let headers = format!("ETag: \"0x{now}\"\r\nContent-Range: bytes 512-1023/8192\r\n");
            return answer("206 Partial", &headers, &body);
        }
        round.store(now + 1, Ordering::SeqCst);
        if now < 2 { failed("412 Precondition", "ConditionNotMet", "") } else { MADE.to_owned() }
    });
    write(&disk(&server, 8192), 600, 10).await.unwrap();
    let puts: Vec<Got> = server.got().into_iter().filter(|got| got.line.starts_with("PUT")).collect();
    let conditions: Vec<&str> = puts.iter().map(|got| got.header("if-match")).collect();
    assert_eq!(conditions, ["\"0x0\"", "\"0x1\"", "\"0x2\""]);
    let mut merged = vec![b'c'; 512];
    merged[88..98].fill(1);
    assert!(puts[2].body == merged && puts[2].header("x-ms-range") == "bytes=512-1023");
    // It ends eventually.
    let server = Fake::start(|got: &Got| {
        if got.line.starts_with("PUT") {
            failed("412 Precondition", "ConditionNotMet", "")
        } else {
            let headers = "ETag: \"0x1\"\r\nContent-Range: bytes 512-1023/8192\r\n";
            answer("206 Partial", headers, &"a".repeat(512))
        }
    });
    assert_eq!(write(&disk(&server, 8192), 600, 10).await.unwrap_err().kind(), Kind::Busy);
}

#[tokio::test]
async fn a_write_that_was_given_up_leaves_nothing_to_be_noted() {
    let server = Fake::start(
        |got: &Got| if got.line.starts_with("PUT") { MADE.to_owned() } else { head(8192, "0x3") },
    );
    let disk = disk(&server, 8192);
    let mut given_up = disk.write_at(0, Body::Raw(Bytes::from(vec![1; 512])));
    assert!((&mut given_up).now_or_never().is_none());
    drop(given_up);
    // The blob has an unknown ETag, which may be that of the write.
    assert!(disk.changed().await.unwrap().is_none());
    assert_eq!(disk.evidence().await.unwrap(), Evidence::default());
    assert!(container(&server.url(), TOKEN).disk(&blob(8192), None).changed().await.unwrap().is_some());
}

#[tokio::test]
async fn other_blobs_and_impossible_sizes_are_refused() {
    for (reply, words) in [
        (head(8192, "0x1").replace("PageBlob", "BlockBlob"), "expected a page blob, got a BlockBlob"),
        (head(8192, "0x1").replace("x-ms-blob-type: PageBlob\r\n", ""), "unknown type"),
        (head(8191, "0x1"), "valid size"),
        (head(9 << 40, "0x1"), "valid size"),
        (head(8192, "0x1").replace("ETag", "X"), "ETag"),
    ] {
        let said = reply.clone();
        let server = Fake::start(move |_| said.clone());
        let error = container(&server.url(), TOKEN).info("b").await.unwrap_err();
        assert!(error.to_string().contains(words), "{reply}: {error}");
    }
    let server = Fake::start(|_| MADE.to_owned());
    for (name, size) in [("b", 0), ("b", u64::MAX), ("", 512), ("../b", 512)] {
        let failed = container(&server.url(), TOKEN).create(&to_make(name, size)).await;
        assert!(matches!(failed, Err(CreateError::Refused(_))), "{name} {size}");
    }
    assert!(disk(&server, 8192).sized(7680).is_err() && disk(&server, 8192).sized(7681).is_ok());
    assert!(server.got().is_empty());
}
