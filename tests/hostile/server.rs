//! A server that answers whatever a test says, byte for byte: it knows no rules of HTTP that it could keep by mistake.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub path: String,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }

    /// The first and the last byte of the range that is asked for, or of `size` bytes.
    pub fn range(&self, size: u64) -> (u64, u64) {
        let ends = self.header("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
        let (from, to) = ends.unwrap_or(("0", ""));
        (from.parse().unwrap(), to.parse().unwrap_or(size - 1))
    }
}

/// What a request is answered with.
pub enum Answer {
    /// These bytes and nothing else, the connection kept.
    Bytes(Vec<u8>),
    /// These bytes, then these again and again, with a pause before each, until the client has gone.
    Forever(Vec<u8>, Vec<u8>, Duration),
}

/// A whole reply: the status line after the version, more header lines, and a body with its length.
pub fn reply(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    let mut out =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n", body.len()).into_bytes();
    out.extend_from_slice(body);
    Answer::Bytes(out)
}

/// A reply of a 204.
pub fn done() -> Answer {
    Answer::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())
}

/// A reply in plain text.
pub fn text(body: impl AsRef<[u8]>) -> Answer {
    reply("200 OK", "Content-Type: text/plain\r\n", body)
}

/// The page of a network that wants a click first.
pub const PAGE: &str = "<!DOCTYPE html><html><head><title>Hotel Wifi</title></head></html>";

pub fn page(status: &str) -> Answer {
    reply(status, "Content-Type: text/html; charset=utf-8\r\n", PAGE)
}

/// Starts one on a port of its own, and says its address. It ends with the process.
pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let answer = Arc::clone(&answer);
            // A client that goes away is no failure of this side.
            std::thread::spawn(move || connection.and_then(|connection| serve(&connection, &*answer)));
        }
    });
    url
}

fn serve(connection: &TcpStream, answer: &dyn Fn(&Request) -> Answer) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut reader = BufReader::new(connection);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            lines.push(line.trim_end().to_owned());
        }
        let mut words = lines.first().map(String::as_str).unwrap_or_default().split(' ');
        let mut request = Request { path: words.nth(1).unwrap_or_default().to_owned(), ..Request::default() };
        for line in &lines[1..] {
            let (name, value) = line.split_once(": ").unwrap_or((line, ""));
            request.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let length = request.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        match answer(&request) {
            Answer::Bytes(bytes) => (&*connection).write_all(&bytes)?,
            Answer::Forever(head, piece, pause) => {
                (&*connection).write_all(&head)?;
                loop {
                    std::thread::sleep(pause);
                    (&*connection).write_all(&piece)?;
                }
            }
        }
    }
}
