//! Addresses that swallow connections, or lead where no server has any business; and replies that announce too much.

use super::server::{Answer, reply, start};
use super::world::{DRIVE, World};
use rustix::net::{AddressFamily, SocketType};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(40);

/// An address where a SYN gets no answer, as behind a firewall that drops: a listener that accepts nothing and whose queue
/// is full. Nothing leaves this machine.
fn black_hole() -> (String, Vec<OwnedFd>) {
    let socket = || rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    let listener = socket();
    rustix::net::bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let address = SocketAddrV4::try_from(rustix::net::getsockname(&listener).unwrap()).unwrap();
    let mut open = vec![listener];
    // The queue holds one more than it was asked for; what does not fit is left trying.
    for _ in 0..3 {
        let client = socket();
        rustix::io::ioctl_fionbio(&client, true).unwrap();
        let _ = rustix::net::connect(&client, &address);
        open.push(client);
    }
    (format!("http://{address}/"), open)
}

#[test]
fn a_server_that_answers_no_syn_is_given_up() {
    let (url, _open) = black_hole();
    let world = World::new(&url);
    let image = world.image(100_000);
    let drive = format!("oh:{DRIVE}");
    for args in [&["drive", "info", &drive][..], &["upload", &image, &drive], &["download", &drive, "out"]] {
        let ended = world.run(LIMIT, &[args, &["--retries", "1", "--timeout", "1s"]].concat());
        assert!(matches!(ended.code, 1 | 3), "{}", ended.stderr);
        assert!(ended.stderr.contains("no connection"), "{}", ended.stderr);
        assert!(ended.stderr.contains("after 2 attempts"), "{}", ended.stderr);
    }
}

#[test]
fn an_appliance_does_not_lead_to_addresses_inside() {
    for inside in ["http://169.254.169.254/latest/meta-data", "http://[fe80::1]/", "http://0.0.0.0:80/"] {
        let world = World::new(&start(move |request| {
            if request.path.contains("/buyer/") {
                let json = "Content-Type: application/json\r\n";
                return reply("200 OK", json, r#"{"name":"a","size":1000000}"#);
            }
            reply("302 Found", &format!("Location: {inside}\r\n"), "")
        }));
        let ended = world.run(LIMIT, &["download", "spot:appliance/k", "out", "--retries", "0"]);
        ended.failed(1, &["redirects", "inside"]);
    }
}

#[test]
fn a_reply_that_announces_more_than_may_be_is_not_waited_for() {
    let world = World::new(&start(|_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000000000\r\n\r\n";
        Answer::Bytes(head.into())
    }));
    let ended =
        world.run(LIMIT, &["drive", "info", &format!("oh:{DRIVE}"), "--timeout", "30s", "--retries", "0"]);
    ended.failed(1, &["limit"]);
    assert!(ended.took < Duration::from_secs(25), "it waited: {:?}", ended.took);
}
