//! A client that shares nothing with diskferry: plain HTTP over a socket of its own.

use crate::world::{SECRET, USER};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The attempts after which the remote counts as gone: enough for any share of faults.
const ATTEMPTS: u32 = 60;

/// Another client of the same account.
#[derive(Clone, Copy, Debug)]
pub struct Foreign(pub SocketAddr);

impl Foreign {
    /// Writes bytes to a drive, and retries until the remote acknowledges them.
    pub fn write(self, drive: &str, offset: u64, bytes: &[u8]) {
        self.insist("POST", &format!("/drives/{drive}/write/{offset}"), bytes);
    }

    /// Creates a drive and returns its UUID.
    pub fn create(self, name: &str, size: u64) -> String {
        let text = self.insist("POST", "/drives/create", format!("name {name}\nsize {size}\n").as_bytes());
        let text = String::from_utf8_lossy(&text).into_owned();
        let drive = text.lines().find_map(|line| line.strip_prefix("drive ")).map(str::trim);
        drive.unwrap_or_else(|| panic!("no drive in the reply {text}")).to_owned()
    }

    /// Reads the first `size` bytes of a drive, or fewer if it is shorter.
    pub fn read(self, drive: &str, size: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < size {
            let len = (size - bytes.len() as u64).min(1 << 20);
            let piece = self.insist("GET", &format!("/drives/{drive}/read/{}/{len}", bytes.len()), &[]);
            if piece.is_empty() {
                break;
            }
            bytes.extend(piece);
        }
        bytes
    }

    fn insist(self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            match self.send(method, path, body) {
                // 507: the drive was created for a shorter source, and nothing is written.
                Ok((200..=299 | 507, reply)) => return reply,
                Ok((status, reply)) => last = format!("{status} {}", String::from_utf8_lossy(&reply)),
                Err(error) => last = error.to_string(),
            }
        }
        panic!("{method} {path} of the foreign client failed {ATTEMPTS} times: {last}");
    }

    /// Sends one request on a connection of its own.
    fn send(self, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(self.0)?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        let credentials = STANDARD.encode(format!("{USER}:{SECRET}"));
        let kind = if path.contains("/write/") { "application/octet-stream" } else { "text/plain" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: far\r\nConnection: close\r\nAuthorization: Basic {credentials}\r\n\
             Accept: */*\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        // The reply may arrive before the body is read; the rest of the body is then discarded.
        let _ = stream.write_all(body);
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply)?;
        let early = || io::Error::new(io::ErrorKind::UnexpectedEof, "the reply ended early");
        let end = reply.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(early)?;
        let head = String::from_utf8_lossy(&reply[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(early)?;
        let body = reply.split_off(end + 4);
        if head.contains("transfer-encoding: chunked") {
            return unchunk(&body).map(|body| (status, body)).ok_or_else(early);
        }
        let len =
            head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if len.is_some_and(|len| len != body.len()) {
            return Err(early());
        }
        Ok((status, body))
    }
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let len = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        if len == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..len)?);
        rest = rest.get(len + 2..)?;
    }
}
