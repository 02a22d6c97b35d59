//! What a client may send to the emulator without blocking it for the others.

use base64::Engine;
use diskferry::emulator::{Config, Emulator};
use diskferry::provider::Provider;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn a_post_of_a_hundred_thousand_keys_does_not_block_it() {
    let data = tempfile::tempdir().unwrap();
    let config = Config::new(Provider::OpenHosting, data.path().to_owned(), "u", "s");
    let emulator = Emulator::start_logged(config).unwrap();
    let mut text = "name a\nsize 1000\n".to_owned();
    let mut json = r#"{"name":"b","size":1000"#.to_owned();
    for i in 0..100_000 {
        let _ = writeln!(text, "user:key{i} {i}");
        let _ = write!(json, r#","user:key{i}":"{i}""#);
    }
    json.push('}');
    for (kind, body) in [("text/plain", text), ("application/json", json)] {
        let start = Instant::now();
        let mut connection = TcpStream::connect(emulator.address()).unwrap();
        write!(
            connection,
            "POST /drives/create HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic {}\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            base64::engine::general_purpose::STANDARD.encode("u:s"),
            body.len()
        )
        .unwrap();
        let mut reply = String::new();
        connection.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 "), "{reply:.200}");
        eprintln!("{kind}: {:?} {:.60}", start.elapsed(), reply);
        assert!(start.elapsed() < Duration::from_secs(8), "{kind}: {:?}", start.elapsed());
    }
}
