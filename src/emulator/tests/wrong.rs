//! Wrong answers: each does what it says, to the requests that can meet it, and is counted and logged.

use super::client::{Client, Ending, Request};
use super::{Site, config};
use crate::emulator::Dialect::{CloudSigma, OpenHosting};
use crate::emulator::{Emulator, FaultKind};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

const SIZE: u64 = 1 << 20;

/// Returns a site whose drive holds a pattern, and whose faults begin afterwards.
fn site(faults: &str) -> (Site, String) {
    let mut calm = Site::new(OpenHosting, "");
    let uuid = calm.drive(SIZE);
    assert_eq!(calm.client.post(&format!("/drives/{uuid}/write"), pattern()).status, 204);
    let Site { emulator, data, .. } = calm;
    drop(emulator);
    let emulator = Emulator::start_logged(config(OpenHosting, data.path(), faults)).unwrap();
    let client = Client::new(emulator.address()).deadlines(Duration::from_secs(10));
    (Site { emulator, client, data }, uuid)
}

/// Returns bytes in which no two blocks of 4 KiB are equal.
fn pattern() -> Vec<u8> {
    (0..u32::try_from(SIZE / 4).unwrap()).flat_map(|word| (word / 7 + 1).to_le_bytes()).collect()
}

impl Site {
    fn raw(&self, uuid: &str) -> Vec<u8> {
        std::fs::read(self.data.path().join(format!("drives/{uuid}.raw"))).unwrap()
    }

    /// Returns the faults in the log.
    fn met(&self) -> Vec<FaultKind> {
        self.emulator.log().iter().filter_map(|logged| logged.fault).collect()
    }
}

#[test]
fn a_dropped_write_is_acknowledged_and_counted_and_not_there() {
    let (mut site, uuid) = site("drop=1");
    for _ in 0..3 {
        assert_eq!(site.client.post(&format!("/drives/{uuid}/write/4096"), vec![9; 8192]).status, 204);
    }
    assert!(site.raw(&uuid) == pattern());
    let info = site.client.get(&format!("/drives/{uuid}/info"));
    assert_eq!(info.value("write:requests"), "4", "the API knows nothing of what is lost behind it");
    assert_eq!(site.met(), [FaultKind::Drop; 3]);
    assert_eq!((site.emulator.silent_faults(), site.emulator.faults_dealt()), (3, 0));
    // A write that fails by itself is not a fault.
    assert_eq!(site.client.post(&format!("/drives/{uuid}/write/{SIZE}"), vec![9; 1]).status, 507);
    assert_eq!(site.emulator.silent_faults(), 3);
}

#[test]
fn a_misplaced_write_lands_in_another_block_and_a_misplaced_read_comes_from_one() {
    let (mut site, uuid) = site("misplace=1,seed=3");
    assert_eq!(site.client.post(&format!("/drives/{uuid}/write/8192"), vec![9; 4096]).status, 204);
    let (raw, before) = (site.raw(&uuid), pattern());
    let blocks = raw.chunks(4096).zip(before.chunks(4096)).enumerate();
    let changed: Vec<usize> =
        blocks.filter(|(_, (now, before))| now != before).map(|(block, _)| block).collect();
    assert!(changed.len() == 1 && changed[0] != 2, "{changed:?}");
    assert!(raw[changed[0] * 4096..][..4096].iter().all(|byte| *byte == 9));

    let read = site.client.get(&format!("/drives/{uuid}/read/4096/4096"));
    assert_eq!((read.status, read.body.len()), (200, 4096));
    let from: Vec<usize> =
        raw.chunks(4096).enumerate().filter(|(_, block)| *block == read.body).map(|(at, _)| at).collect();
    assert!(!from.is_empty() && !from.contains(&1), "{from:?}");
    // The whole drive cannot move anywhere else.
    assert!(site.client.get(&format!("/drives/{uuid}/read/0/1M")).body == raw);
    assert_eq!(site.met(), [FaultKind::Misplace; 2]);
    assert_eq!(site.emulator.silent_faults(), 2);
}

#[test]
fn one_bit_is_bent_on_the_drive_or_on_the_way() {
    let differ = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum::<u32>();
    let (mut site, uuid) = site("bend=1,seed=8");
    let read = site.client.get(&format!("/drives/{uuid}/read/0/1M"));
    assert_eq!(differ(&read.body, &pattern()), 1);
    assert!(site.raw(&uuid) == pattern());
    assert_eq!(site.client.post(&format!("/drives/{uuid}/write/5000"), vec![0; 70_000]).status, 204);
    let mut expected = pattern();
    expected[5000..75_000].fill(0);
    let raw = site.raw(&uuid);
    assert_eq!(differ(&raw, &expected), 1);
    assert_eq!(differ(&raw[5000..75_000], &expected[5000..75_000]), 1);
    // An empty read has no bit to flip.
    assert_eq!(site.client.get(&format!("/drives/{uuid}/read/0/0")).body, b"");
    assert_eq!(site.met(), [FaultKind::Bend; 2]);
}

#[test]
fn a_late_acknowledgement_comes_after_its_time_and_the_bytes_before() {
    let (mut site, uuid) = site("late=1,late-for=400ms");
    let started = Instant::now();
    assert_eq!(site.client.post(&format!("/drives/{uuid}/write"), "applied").status, 204);
    assert!(started.elapsed() >= Duration::from_millis(400));
    // The write of a client that does not wait that long was carried out all the same.
    let mut hasty = Client::new(site.emulator.address()).deadlines(Duration::from_millis(100));
    let write = Request::new("POST", &format!("/drives/{uuid}/write/4096")).body("hasty");
    assert!(matches!(hasty.send(&write), Ending::Silence));
    assert!(site.emulator.settle(Duration::from_secs(10)) || site.raw(&uuid)[4096..].starts_with(b"hasty"));
    assert_eq!((&site.raw(&uuid)[..7], &site.raw(&uuid)[4096..4101]), (&b"applied"[..], &b"hasty"[..]));
    assert_eq!(site.emulator.faults_dealt(), 2);
}

#[test]
fn a_page_is_a_success_that_did_nothing() {
    let (mut site, uuid) = site("page=1,seed=1");
    let mut statuses = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let write = site.client.post(&format!("/drives/{uuid}/write"), vec![9; 4096]);
        assert!(write.header("content-type").unwrap().starts_with("text/html"));
        assert!(write.text().contains("<html>"));
        statuses.insert(write.status);
        assert!(site.client.get(&format!("/drives/{uuid}/info")).text().contains("<html>"));
    }
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [200, 202, 206]);
    assert!(site.raw(&uuid) == pattern());
    assert_eq!((site.emulator.faults_dealt(), site.client.connections), (40, 1));
}

#[test]
fn a_write_is_redirected_and_a_read_is_not() {
    let (mut site, uuid) = site("redirect-writes=1");
    let path = format!("/drives/{uuid}/write/4096");
    let write = site.client.post(&path, vec![9; 4096]);
    assert_eq!(
        (write.status, write.header("location")),
        (307, Some(&*format!("http://emulator/elsewhere{path}")))
    );
    assert!(site.client.get(&format!("/drives/{uuid}/read/0/1M")).body == pattern());
    assert_eq!(site.client.post(&format!("/elsewhere{path}"), "followed").status, 404);
    assert_eq!(site.met(), [FaultKind::RedirectWrite]);
}

#[test]
fn a_long_read_has_more_bytes_than_were_asked_for() {
    let (mut site, uuid) = site("long=1");
    let read = site.client.get(&format!("/drives/{uuid}/read/4096/4096"));
    assert_eq!(read.status, 200);
    assert!(read.body.len() > 4096 && read.body[..4096] == pattern()[4096..8192], "{}", read.body.len());
    assert_eq!((site.met(), site.client.connections), (vec![FaultKind::Long], 1));
}

#[test]
fn a_bomb_is_small_until_it_is_unpacked() {
    let (mut site, uuid) = site("bomb=1");
    let read = site.client.get(&format!("/drives/{uuid}/read/0/4096"));
    assert_eq!((read.status, read.header("content-encoding")), (200, Some("gzip")));
    assert!(read.body.len() < 32 << 20, "{}", read.body.len());
    let mut unpacked = flate2::read::MultiGzDecoder::new(&*read.body);
    let mut piece = vec![1; 1 << 20];
    for _ in 0..100 {
        unpacked.read_exact(&mut piece).unwrap();
    }
    assert!(piece.iter().all(|byte| *byte == 0));
    assert_eq!(site.client.post(&format!("/drives/{uuid}/write"), "x").status, 204);
}

/// Returns the bytes that answer a request, up to this many.
fn endless(site: &Site, request: &str, bytes: usize) -> Vec<u8> {
    let mut stream = std::net::TcpStream::connect(site.emulator.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let credentials = crate::emulator::auth::base64(format!("{}:{}", super::USER, super::SECRET).as_bytes());
    let head = format!("{request} HTTP/1.1\r\nHost: emulator\r\nAuthorization: Basic {credentials}\r\n");
    let body = if request.starts_with("POST") { "Content-Length: 7\r\n\r\napplied" } else { "\r\n" };
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut seen = vec![0; bytes];
    stream.read_exact(&mut seen).unwrap();
    seen
}

#[test]
fn endless_replies_end_with_the_client_and_the_emulator_goes_on() {
    for (faults, starts, has, bytes) in [
        ("headers=1", "HTTP/1.1 200 OK\r\nX-Endless:", "header\r\nX-Endless: header\r\n", 1 << 20),
        ("interim=1", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n", "100", 200),
        ("drip=1,drip-every=1ms", "HTTP/1.1 200 OK\r\n", "transfer-encoding: chunked\r\n", 300),
    ] {
        let (site, uuid) = site(faults);
        for request in [format!("POST /drives/{uuid}/write"), format!("POST /drives/{uuid}/write/9")] {
            let seen = String::from_utf8(endless(&site, &request, bytes)).unwrap();
            assert!(seen.starts_with(starts) && seen.contains(has), "{faults}: {seen:.200}");
        }
        assert_eq!(&site.raw(&uuid)[..7], b"applied", "{faults}: it was carried out");
        assert!(site.emulator.settle(Duration::from_secs(10)), "{faults}: a connection is left");
        assert_eq!(site.emulator.faults_dealt(), 2);
    }
}

#[test]
fn a_read_drips_to_its_end() {
    let (mut site, uuid) = site("drip=1,drip-every=1ms");
    let started = Instant::now();
    let read = site.client.get(&format!("/drives/{uuid}/read/100/200"));
    assert!(read.body == pattern()[100..300]);
    assert!(started.elapsed() >= Duration::from_millis(150), "{:?}", started.elapsed());
}

#[test]
fn a_create_makes_the_drive_and_does_not_say_so() {
    for (create, status) in
        [("page", Some(200)), ("nameless", Some(200)), ("failed", Some(500)), ("lost", None)]
    {
        for refused in [false, true] {
            let faults = format!("create={create}{}", if refused { "+refused" } else { "" });
            let mut site = Site::new(CloudSigma, &faults);
            let make = Request::new("POST", "/drives/create").body("name test\nsize 4096\n");
            match (site.client.send(&make), status) {
                (Ending::Reply(reply), Some(status)) => {
                    assert_eq!((reply.status, reply.get("drive")), (status, None), "{faults}");
                }
                (Ending::Reset, None) => {}
                (other, _) => panic!("{faults}: {other:?}"),
            }
            let drives = |site: &mut Site| site.client.get("/drives/list").lines().len();
            assert_eq!(drives(&mut site), 1, "{faults}");
            if refused {
                assert_eq!(site.client.reply(&make).status, 400);
                assert_eq!(drives(&mut site), 1, "{faults}");
            }
            assert!(site.client.reply(&make).get("drive").is_some());
            assert_eq!(site.emulator.faults_dealt(), 1 + u64::from(refused));
        }
    }
}

#[test]
fn the_mix_has_no_wrong_answers() {
    use FaultKind::{Busy, Reset, Short, Stall, Unavailable};
    let (mut site, uuid) = site("error=1,seed=2");
    site.client = Client::new(site.emulator.address()).deadlines(Duration::from_millis(50));
    for _ in 0..40 {
        site.client.send(&Request::new("GET", &format!("/drives/{uuid}/read/0/16")));
    }
    let mixed = [Busy, Unavailable, Reset, Short, Stall];
    assert!(site.met().len() == 40 && site.met().iter().all(|kind| mixed.contains(kind)), "{:?}", site.met());
}
