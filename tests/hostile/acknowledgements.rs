//! What is no answer of the provider's is no acknowledgement: pages, other statuses, redirects, encodings.

use super::server::{Answer, PAGE, Request, done, page, reply, start, text};
use super::world::{DRIVE, World};
use std::time::Duration;

const SIZE: usize = 100_000;

const LIMIT: Duration = Duration::from_secs(20);

fn info(size: impl std::fmt::Display) -> Answer {
    text(format!("drive {DRIVE}\nname a\nsize {size}\n"))
}

/// The last part of a path to a drive's bytes: how many are asked for.
fn asked(request: &Request) -> usize {
    request.path.rsplit('/').next().unwrap().parse().unwrap()
}

/// A server with one drive whose writes are answered like this.
fn writes(answer: impl Fn() -> Answer + Send + Sync + 'static) -> World {
    World::new(&start(move |request| match &*request.path {
        path if path.contains("/write") => answer(),
        path if path.contains("/read/") => {
            reply("200 OK", "Content-Type: application/octet-stream\r\n", vec![0; asked(request)])
        }
        _ => info(SIZE),
    }))
}

fn reads(answer: impl Fn(usize) -> Answer + Send + Sync + 'static) -> World {
    World::new(&start(move |request| match &*request.path {
        path if path.contains("/read/") => answer(asked(request)),
        _ => info(SIZE),
    }))
}

fn upload(world: &World) -> super::world::Ended {
    let image = world.image(SIZE);
    world.run(LIMIT, &["upload", &image, &format!("oh:{DRIVE}"), "--retries", "1", "--timeout", "2s"])
}

fn download(world: &World) -> super::world::Ended {
    let drive = format!("oh:{DRIVE}");
    world.run(LIMIT, &["download", &drive, "out", "--retries", "1", "--timeout", "2s"])
}

#[test]
fn a_write_is_acknowledged_by_a_204() {
    let ended = upload(&writes(done));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
}

#[test]
fn a_page_or_another_status_is_no_acknowledgement_of_a_write() {
    for status in ["200 OK", "201 Created", "202 Accepted", "203 Odd", "206 Partial Content"] {
        upload(&writes(move || page(status))).failed(3, &[&status[..3], "text/html", "captive portal"]);
        upload(&writes(move || reply(status, "", ""))).failed(3, &[&status[..3], "204"]);
    }
}

#[test]
fn a_204_that_announces_a_body_is_no_acknowledgement() {
    let odd = || Answer::Bytes(b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\nsurprise!".to_vec());
    upload(&writes(odd)).failed(3, &["204", "9 bytes"]);
    let usual = || Answer::Bytes(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n".to_vec());
    assert_eq!(upload(&writes(usual)).code, 0, "no body is said by a length of 0, too");
}

#[test]
fn a_redirected_write_is_an_error_that_shows_where_to_without_harm() {
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let moved = move || reply(status, "Location: http://portal.example/\u{9b}31mlogin\r\n", "");
        let ended = upload(&writes(moved));
        ended.failed(3, &[&status[..3], "portal.example"]);
        assert!(!ended.stderr.contains('\u{9b}'), "{:?}", ended.stderr);
    }
}

#[test]
fn a_read_is_answered_by_a_200_of_its_own_bytes_as_they_are() {
    let octets = "Content-Type: application/octet-stream\r\n";
    assert_eq!(download(&reads(move |len| reply("200 OK", octets, vec![7; len]))).code, 0);
    // As long as it should be.
    let html = |len: usize| reply("200 OK", "Content-Type: Text/HTML\r\n", vec![b'x'; len]);
    download(&reads(html)).failed(3, &["text/html", "captive portal"]);
    let packed = |len: usize| reply("200 OK", "Content-Encoding: gzip\r\n", vec![b'x'; len]);
    download(&reads(packed)).failed(3, &["gzip"]);
    for status in ["201 Created", "202 Accepted", "203 Odd", "206 Partial Content"] {
        let other = move |len: usize| reply(status, octets, vec![b'x'; len]);
        download(&reads(other)).failed(3, &[&status[..3]]);
    }
}

#[test]
fn a_page_is_no_reply_to_a_call() {
    let all = World::new(&start(|_| page("200 OK")));
    let drive = format!("oh:{DRIVE}");
    let image = all.image(SIZE);
    for args in [
        &["download", &drive, "out"][..],
        &["upload", &image, &drive],
        &["upload", &image, "oh:"],
        &["drive", "list", "oh:"],
        &["drive", "info", &drive],
        &["drive", "create", "oh:", "--name", "a", "--size", "1M"],
        &["call", "oh:", "drives.info", DRIVE],
        &["call", "oh:", "drives.destroy", DRIVE],
        &["download", "spot:appliance/k", "out"],
    ] {
        let ended = all.run(LIMIT, args);
        // Whether a create that is answered with a page made a drive is not known: the next run asks.
        let makes = args == ["upload", &image, "oh:"];
        ended.failed(if makes { 3 } else { 1 }, &["text/html"]);
        let hint = if makes { "looks for the drive" } else { "captive portal" };
        assert!(ended.stderr.contains(hint), "{args:?}: {}", ended.stderr);
        assert!(!ended.stdout.contains("<html"), "{args:?}: {}", ended.stdout);
    }
    // The title of the page is not taken for a drive even where the page calls itself plain text.
    let plain = World::new(&start(|_| text(PAGE)));
    assert_eq!(plain.run(LIMIT, &["download", &drive, "out"]).code, 1);
}

#[test]
fn an_encoded_reply_is_not_read_as_if_it_were_plain() {
    let world = World::new(&start(|_| reply("200 OK", "Content-Encoding: br\r\n", "drive x\nsize 1\n")));
    world.run(LIMIT, &["drive", "info", &format!("oh:{DRIVE}")]).failed(1, &["br"]);
}
