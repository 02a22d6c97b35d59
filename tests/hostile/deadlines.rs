//! Every exchange ends, whatever keeps it alive: bytes one by one, interim replies, headers without an end.

use super::server::{Answer, page, reply, start, text};
use super::world::{DRIVE, Ended, World};
use std::time::Duration;

const SIZE: usize = 100_000;

/// The deadline that is given with `--timeout`.
const IDLE: &str = "1s";

/// Two attempts and the wait between them, with time to spare on a busy machine.
const LIMIT: Duration = Duration::from_secs(40);

/// Shorter than the deadline: to whoever looks at bytes alone the connection is alive.
const DRIP: Duration = Duration::from_millis(200);

fn forever(head: &str, piece: &[u8]) -> Answer {
    Answer::Forever(head.into(), piece.to_vec(), DRIP)
}

/// As fast as the connection takes it.
fn flood(head: &str, piece: &[u8]) -> Answer {
    Answer::Forever(head.into(), piece.repeat((64 << 10) / piece.len()), Duration::ZERO)
}

/// An upload to a server that answers writes like this.
fn upload(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Ended {
    let world = World::new(&start(move |request| match &*request.path {
        path if path.contains("/write") => answer(),
        path if path.contains("/read/") => {
            reply("200 OK", "", vec![0; path.rsplit('/').next().unwrap().parse().unwrap()])
        }
        _ => text(format!("drive {DRIVE}\nname a\nsize {SIZE}\n")),
    }));
    let image = world.image(SIZE);
    world.run(LIMIT, &["upload", &image, &format!("oh:{DRIVE}"), "--retries", "1", "--timeout", IDLE])
}

/// Something small that is asked of a server that answers everything like this.
fn ask(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Ended {
    let world = World::new(&start(move |_| answer()));
    let drive = format!("oh:{DRIVE}");
    let ended = world.run(LIMIT, &["drive", "info", &drive, "--retries", "1", "--timeout", IDLE]);
    assert_ne!(ended.code, 0);
    ended
}

#[test]
fn a_write_reply_that_never_ends_is_given_up() {
    for answer in [
        || forever("HTTP/1.1 204 No Con", b"t"),
        || forever("HTTP/1.1 204 No Content\r\nX: ", b"x"),
        || forever("", b"HTTP/1.1 100 Continue\r\n\r\n"),
        || flood("", b"HTTP/1.1 100 Continue\r\n\r\n"),
        || flood("HTTP/1.1 204 No Content\r\n", b"X: y\r\n"),
        || flood("HTTP/1.1 204 No Content\r\nX: ", b"x"),
        || forever("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
        || forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        || flood("HTTP/1.1 200 OK\r\n\r\n", b"x"),
        || forever("HTTP/1.1 503 Busy\r\nContent-Length: 1000000\r\n\r\n", b"x"),
        || flood("HTTP/1.1 503 Busy\r\n\r\n", b"x"),
    ] {
        let ended = upload(answer);
        assert!(ended.code == 1 || ended.code == 3, "{}", ended.stderr);
    }
}

#[test]
fn a_reply_to_a_call_that_never_ends_is_given_up() {
    ask(|| forever("HTTP/1.1 200 OK\r\n\r\n", b"x"));
    ask(|| forever("HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"x"));
    ask(|| forever("", b"HTTP/1.1 102 Processing\r\n\r\n"));
    ask(|| forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0;", b"x"));
    ask(|| forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n"));
    let endless = ask(|| flood("HTTP/1.1 200 OK\r\n\r\n", b"a b\n"));
    assert!(endless.stderr.contains("limit"), "{}", endless.stderr);
}

#[test]
fn a_drive_that_drips_is_given_up() {
    let world = World::new(&start(|request| match &*request.path {
        path if path.contains("/read/") => forever(
            &format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", path.rsplit('/').next().unwrap()),
            b"x",
        ),
        _ => text(format!("drive {DRIVE}\nname a\nsize {SIZE}\n")),
    }));
    let drive = format!("oh:{DRIVE}");
    let ended = world.run(LIMIT, &["download", &drive, "out", "--retries", "1", "--timeout", IDLE]);
    ended.failed(3, &["stalled"]);
}

#[test]
fn an_appliance_that_drips_is_given_up() {
    for ranges in [false, true] {
        let world = World::new(&start(move |request| {
            if request.path.contains("/buyer/") {
                return reply(
                    "200 OK",
                    "Content-Type: application/json\r\n",
                    r#"{"name":"a","size":1000000}"#,
                );
            }
            let (from, to) = request.range(1_000_000);
            match (ranges, to - from) {
                (true, 0) => reply(
                    "206 Partial Content",
                    &format!("ETag: \"a\"\r\nContent-Range: bytes {from}-{to}/1000000\r\n"),
                    "x",
                ),
                (true, _) => forever(
                    &format!(
                        "HTTP/1.1 206 Partial Content\r\nETag: \"a\"\r\nContent-Length: {}\r\n\
                         Content-Range: bytes {from}-{to}/1000000\r\n\r\n",
                        to - from + 1
                    ),
                    b"x",
                ),
                (false, _) => forever("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x"),
            }
        }));
        for args in [&["download", "spot:appliance/k", "out"][..], &["download", "spot:appliance/k", "-"]] {
            let ended = world.run(LIMIT, &[args, &["--retries", "1", "--timeout", IDLE]].concat());
            assert!(ended.code == 3 || ended.code == 1, "{}", ended.stderr);
            assert!(ended.stderr.contains("stalled"), "{}", ended.stderr);
        }
    }
}

#[test]
fn redirects_of_an_appliance_end() {
    let world = World::new(&start(|request| match &*request.path {
        path if path.contains("/buyer/") => {
            reply("200 OK", "Content-Type: application/json\r\n", r#"{"name":"a","size":1000000}"#)
        }
        path => reply("302 Found", &format!("Location: {path}x\r\n"), ""),
    }));
    world.run(LIMIT, &["download", "spot:appliance/k", "out"]).failed(1, &["redirects more than 5 times"]);
    let world = World::new(&start(|request| match &*request.path {
        path if path.contains("/buyer/") => {
            reply("200 OK", "Content-Type: application/json\r\n", r#"{"name":"a","size":1000000}"#)
        }
        path if path.contains("portal") => page("200 OK"),
        _ => reply("302 Found", "Location: /portal\r\n", ""),
    }));
    world.run(LIMIT, &["download", "spot:appliance/k", "out"]).failed(1, &["text/html", "captive portal"]);
}
