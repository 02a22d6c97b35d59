//! An HTTP client of one request a connection: every answer has to close it.

use super::{LOGIN, PASSWORD};
use crate::emulator::auth::base64;
use md5::{Digest, Md5};
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A request to be sent.
pub(super) struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    /// As a careful client sends it: password, version, JSON wanted.
    pub(super) fn new(method: &str, path: &str) -> Request {
        let credentials = base64(format!("{LOGIN}:{PASSWORD}").as_bytes());
        Self::bare(method, path)
            .header("Authorization", &format!("Basic {credentials}"))
            .header("X-Api-Version", "~6.5")
            .header("Accept", "application/json")
    }

    /// Without any of that.
    pub(super) fn bare(method: &str, path: &str) -> Request {
        Request { head: format!("{method} {path} HTTP/1.1\r\nHost: api.example.com\r\n"), body: Vec::new() }
    }

    pub(super) fn header(self, name: &str, value: &str) -> Request {
        Request { head: format!("{}{name}: {value}\r\n", self.head), ..self }
    }

    /// With one header's value changed.
    pub(super) fn instead(self, name: &str, value: &str) -> Request {
        let lines = self.head.split_inclusive("\r\n").filter(|line| !line.starts_with(&format!("{name}:")));
        Request { head: lines.collect(), ..self }.header(name, value)
    }

    pub(super) fn form(self, form: &str) -> Request {
        self.body("application/x-www-form-urlencoded", form)
    }

    pub(super) fn body(self, kind: &str, body: &str) -> Request {
        let length = body.len().to_string();
        Request { body: body.into(), ..self.header("Content-Type", kind).header("Content-Length", &length) }
    }

    /// A body as it is to stand on the wire, in chunks.
    pub(super) fn chunked(self, body: &str) -> Request {
        Request { body: body.into(), ..self.header("Transfer-Encoding", "chunked") }
    }

    fn bytes(&self) -> Vec<u8> {
        [self.head.as_bytes(), b"\r\n", &self.body].concat()
    }
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) reason: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| &**v)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The code of an error.
    pub(super) fn code(&self) -> String {
        let json = self.json();
        assert!(json["message"].as_str().is_some_and(|message| !message.is_empty()), "{json}");
        json["code"].as_str().unwrap().to_owned()
    }

    /// Checks the headers that every answer has.
    pub(super) fn check(&self, with_body: bool) {
        for name in ["date", "server", "x-response-time", "access-control-allow-origin"] {
            assert!(self.header(name).is_some(), "no {name}: {self:?}");
        }
        assert_eq!(self.header("x-api-version"), Some("6.5.0"));
        assert_eq!(self.header("connection"), Some("close"));
        let id = self.header("x-requestid").unwrap();
        assert!(crate::emulator::drives::is_uuid(id), "{id}");
        assert_eq!(self.header("x-request-id"), Some(id));
        if with_body {
            let digest = base64(&Md5::digest(&self.body));
            assert_eq!(self.header("content-md5"), Some(&*digest), "{self:?}");
        }
    }
}

/// Sends a request and reads until the other side closes.
pub(super) fn send(address: SocketAddr, request: &Request) -> io::Result<Reply> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    exchange(stream, request)
}

/// As [`send`], over a connection that is there.
pub(super) fn exchange(mut stream: impl Read + Write, request: &Request) -> io::Result<Reply> {
    stream.write_all(&request.bytes())?;
    stream.flush()?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all)?;
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().splitn(3, ' ').skip(1);
    let status = words.next().and_then(|word| word.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let reason = words.next().unwrap_or_default().to_owned();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    Ok(Reply { status, reason, headers, body: all[end + 4..].to_vec() })
}
