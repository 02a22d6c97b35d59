//! Reads and writes.

use super::Site;
use super::client::{Client, Ending, Request};
use crate::emulator::Dialect::{Crosspeer, OpenHosting};
use flate2::{Compression, write::GzEncoder};
use std::io::Write;
use std::os::unix::fs::MetadataExt;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn pattern(len: u32) -> Vec<u8> {
    (0..len).map(|i| (i / 3).wrapping_mul(0x9e37_79b9).to_be_bytes()[0] | 1).collect()
}

fn write_gzip(client: &mut Client, path: &str, body: Vec<u8>) -> u16 {
    client.reply(&Request::new("POST", path).header("Content-Encoding", "gzip").body(body)).status
}

#[test]
fn what_is_written_is_read() {
    let mut site = Site::new(OpenHosting, "");
    let uuid = site.drive(10_000_000);
    let (read, write) = (format!("/drives/{uuid}/read"), format!("/drives/{uuid}/write"));
    let bytes = pattern(10_000_000);
    // Open Hosting's first example writes the whole image at once.
    assert_eq!(site.client.post(&write, bytes.clone()).status, 204);
    let all = site.client.get(&read);
    assert_eq!(all.header("content-type"), Some("application/octet-stream"));
    assert!(all.body == bytes);

    assert!(site.client.get(&format!("{read}/1k")).body == bytes[1024..]);
    assert!(site.client.post(&format!("{read}/5/4M"), "").body == bytes[5..5 + (4 << 20)]);
    assert!(site.client.get(&format!("{read}/9999990/100")).body == bytes[9_999_990..]);
    assert_eq!(site.client.get(&format!("{read}/10000000/5")).body, b"");
    assert_eq!(site.client.get(&format!("{read}/7/0")).body, b"");
    for (bad, status) in [("10000001", 400), ("-1", 400), ("0/1.5k", 400)] {
        let reply = site.client.get(&format!("{read}/{bad}"));
        assert_eq!((reply.status, reply.header("x-elastic-error")), (status, Some("usage")), "{bad}");
    }

    let member = [gzip(b"first "), gzip(&pattern(70_000))].concat();
    assert_eq!(write_gzip(&mut site.client, &format!("{write}/1M"), member), 204);
    let expected = [b"first ", &*pattern(70_000)].concat();
    assert!(site.client.get(&format!("{read}/1M/70006")).body == expected);
    let info = site.client.get(&format!("/drives/{uuid}/info"));
    assert_eq!((info.value("write:bytes"), info.value("write:requests")), ("10070006".into(), "2".into()));
}

#[test]
fn crosspeer_limits_every_read() {
    let mut site = Site::new(Crosspeer, "");
    let uuid = site.drive((4 << 20) + 1);
    assert_eq!(site.client.get(&format!("/drives/{uuid}/read")).status, 400);
    assert_eq!(site.client.get(&format!("/drives/{uuid}/read/1")).body.len(), 4 << 20);
}

#[test]
fn a_write_is_applied_whole_or_not_at_all() {
    let mut site = Site::new(OpenHosting, "");
    let uuid = site.drive(1 << 20);
    let write = format!("/drives/{uuid}/write");
    let good = gzip(&pattern(5000));
    let cut = good[..good.len() - 4].to_vec();
    for (offset, body) in [("0", cut), ("0", b"no gzip".to_vec()), ("0", Vec::new())] {
        assert_eq!(write_gzip(&mut site.client, &format!("{write}/{offset}"), body), 400);
    }
    // One byte too many, plain and packed; an offset beyond the end; a bomb.
    for (offset, len) in [((1 << 20) - 99, 100), (1 << 20, 1), ((1 << 20) + 1, 0)] {
        let path = format!("{write}/{offset}");
        let plain = site.client.post(&path, pattern(len));
        assert_eq!((plain.status, plain.header("x-elastic-error")), (507, Some("full")), "{offset}");
        assert_eq!(write_gzip(&mut site.client, &path, gzip(&pattern(len))), 507, "{offset}");
    }
    assert_eq!(write_gzip(&mut site.client, &write, gzip(&vec![0; 64 << 20])), 507);
    assert_eq!(site.client.post(&write, vec![1; 20 << 20]).status, 507);
    // A body that is cut off.
    let mut other = Client::new(site.emulator.address());
    let half = Request::new("POST", &write).header("Content-Length", "100000");
    other.send_part(&half, &pattern(50_000));
    drop(other);
    let encoded = Request::new("POST", &write).header("Content-Encoding", "br").body("x");
    assert_eq!(site.client.reply(&encoded).status, 400);

    assert!(site.client.get(&format!("/drives/{uuid}/read")).body == vec![0; 1 << 20]);
    assert_eq!(site.client.post(&format!("{write}/1048575"), "x").status, 204);
    assert_eq!(site.client.connections, 1);
}

/// A chunk that was compressed wrongly, or damaged in transit, does not get onto a drive: its gzip member has
/// the checksum of the original bytes.
#[test]
fn a_body_with_a_wrong_checksum_is_refused() {
    let mut site = Site::new(OpenHosting, "");
    let bytes = pattern(100_000);
    let uuid = site.drive(100_000);
    let (read, write) = (format!("/drives/{uuid}/read"), format!("/drives/{uuid}/write/0"));
    let body = gzip(&bytes);
    // In the compressed data, in the CRC-32, in the length.
    for at in [body.len() / 2, body.len() - 8, body.len() - 4] {
        let mut damaged = body.clone();
        damaged[at] ^= 1;
        assert_eq!(write_gzip(&mut site.client, &write, damaged), 400, "byte {at}");
        assert!(site.client.get(&read).body == vec![0; 100_000], "byte {at}");
    }
    assert_eq!(write_gzip(&mut site.client, &write, body), 204);
    assert!(site.client.get(&read).body == bytes);
}

#[test]
fn a_chunked_transfer_is_refused() {
    let mut site = Site::new(OpenHosting, "");
    let uuid = site.drive(100);
    let request =
        Request::new("POST", &format!("/drives/{uuid}/write")).header("Transfer-Encoding", "chunked");
    let Ending::Reply(reply) = site.client.send(&request.raw("3\r\nabc\r\n0\r\n\r\n")) else { panic!() };
    assert_eq!((reply.status, reply.header("x-elastic-error")), (400, Some("usage")));
    assert_eq!(site.client.get(&format!("/drives/{uuid}/read")).body, [0; 100]);
}

#[test]
fn zeros_keep_the_file_sparse() {
    let mut site = Site::new(OpenHosting, "");
    let uuid = site.drive(64 << 20);
    let write = |site: &mut Site, offset: u64, body: Vec<u8>| {
        assert_eq!(site.client.post(&format!("/drives/{uuid}/write/{offset}"), body).status, 204);
    };
    write(&mut site, 0, pattern(8 << 20));
    write(&mut site, 0, vec![0; 8 << 20]);
    assert_eq!(
        write_gzip(&mut site.client, &format!("/drives/{uuid}/write/32M"), gzip(&vec![0; 32 << 20])),
        204
    );
    let raw = site.data.path().join(format!("drives/{uuid}.raw"));
    assert!(std::fs::metadata(raw).unwrap().blocks() < 64, "zeros take room");
    assert!(site.client.get(&format!("/drives/{uuid}/read")).body.iter().all(|b| *b == 0));
}

#[test]
fn a_dirty_drive_shows_noise_until_it_is_written() {
    let mut site = Site::new(OpenHosting, "dirty=1");
    let uuid = site.drive(1 << 20);
    let read = format!("/drives/{uuid}/read");
    let noise = site.client.get(&read).body;
    assert!(noise.chunks(512).all(|sector| sector.iter().any(|b| *b != 0)));
    assert!(site.client.get(&read).body == noise);
    assert_eq!(site.client.post(&format!("/drives/{uuid}/write/1000"), vec![0; 200_000]).status, 204);
    let mut expected = noise;
    expected[1000..201_000].fill(0);
    assert!(site.client.get(&read).body == expected);
}
