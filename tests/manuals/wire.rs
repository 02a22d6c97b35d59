//! One HTTP request and its answer, over a socket, with nothing of the program's.

use super::golden::Header;
use std::io::{Read, Write};
use std::net::TcpStream;

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: String,
    pub headers: Vec<Header>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}

/// Sends a request to `address` and reads the answer to its end.
pub fn exchange(address: &str, first: &str, headers: &[Header], body: &[u8]) -> Answer {
    let mut connection = TcpStream::connect(address).unwrap();
    let own = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let read = first.starts_with("GET") || first.starts_with("HEAD");
    let length = (!read).then(|| format!("Content-Length: {}\r\n", body.len()));
    let head: String = own.chain(length).collect();
    let first = format!("{first} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    connection.write_all(format!("{first}{head}\r\n").as_bytes()).unwrap();
    // A server that refuses a body before it reads it may close the connection.
    let _ = connection.write_all(body);
    let mut bytes = Vec::new();
    connection.read_to_end(&mut bytes).unwrap();
    parse(&bytes).unwrap_or_else(|| panic!("{first}: no answer: {}", String::from_utf8_lossy(&bytes)))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Option<Vec<Header>> = lines
        .map(|line| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned())))
        .collect();
    let mut answer = Answer { status, headers: headers?, body: String::new() };
    let body = &bytes[end + 4..];
    let whole = match answer.header("transfer-encoding") {
        Some("chunked") => unchunked(body)?,
        _ => body.to_vec(),
    };
    answer.body = String::from_utf8_lossy(&whole).into_owned();
    Some(answer)
}

fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        whole.extend(body.get(end + 2..end + 2 + size)?);
        body = body.get(end + 4 + size..)?;
    }
}
