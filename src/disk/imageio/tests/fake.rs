//! A server that sends exactly the bytes that a test specifies.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// A received request.
pub(super) struct Seen {
    /// `GET /images/TICKET?query`, without the ticket: `GET ?query`.
    pub(super) what: String,
    /// The header `Range`.
    pub(super) range: String,
    pub(super) body: Vec<u8>,
}

/// A reply.
pub(super) enum Reply {
    /// These bytes; the connection stays open.
    Bytes(Vec<u8>),
    /// The first bytes, then the second ones endlessly.
    Endless(Vec<u8>, Vec<u8>),
    /// No reply; the connection is closed.
    Close,
    /// No reply; the connection stays open until the client closes it.
    Hold,
}

/// A complete reply: status, further headers (each ends with `\r\n`), body.
pub(super) fn reply(status: u16, headers: &str, body: &str) -> Reply {
    let len = body.len();
    Reply::Bytes(format!("HTTP/1.1 {status} X\r\nContent-Length: {len}\r\n{headers}\r\n{body}").into_bytes())
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

pub(super) struct Fake {
    address: SocketAddr,
    ending: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Fake {
    /// A server that replies with `handler`.
    pub(super) fn new(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (ending, handler): (Arc<AtomicBool>, Arc<Handler>) = (Arc::default(), Arc::new(handler));
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (end, all) = (Arc::clone(&ending), Arc::clone(&seen));
        let accepting = std::thread::spawn(move || {
            for connection in listener.incoming() {
                if end.load(Ordering::Acquire) {
                    return;
                }
                let (handler, all) = (Arc::clone(&handler), Arc::clone(&all));
                // The thread ends with its connection, and that with the client's.
                std::thread::spawn(move || serve(&connection.unwrap(), &*handler, &all));
            }
        });
        Self { address, ending, seen, accepting: Some(accepting) }
    }

    /// An image of `size` bytes `x` that allows everything, unless `special` replies differently.
    pub(super) fn image(size: u64, special: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Self::new(move |seen| special(seen).unwrap_or_else(|| usual(size, seen)))
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/images/", self.address)
    }

    /// The requests so far.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}

/// The reply of a real server.
pub(super) fn usual(size: u64, seen: &Seen) -> Reply {
    match seen.what.split_once(' ') {
        Some(("OPTIONS", _)) => reply(
            200,
            "Allow: OPTIONS,GET,PUT,PATCH\r\n",
            r#"{"features":["checksum","extents","flush","zero"],"max_readers":8,"max_writers":8}"#,
        ),
        Some(("GET", "")) => {
            let (first, last) = seen.range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
            let body = "x".repeat(usize::try_from(last + 1 - first).unwrap());
            reply(206, &format!("Content-Range: bytes {first}-{last}/{size}\r\n"), &body)
        }
        Some(("GET", below)) if below.starts_with("/extents") => {
            reply(200, "", &format!(r#"[{{"start":0,"length":{size},"zero":false,"dirty":true}}]"#))
        }
        Some(("PUT" | "PATCH", _)) => reply(200, "", ""),
        _ => reply(404, "", "No handler"),
    }
}

fn serve(connection: &TcpStream, handler: &Handler, all: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(connection);
    while let Some(seen) = request(&mut reader) {
        all.lock().unwrap().push(seen.what.clone());
        let mut out = connection;
        let written = match handler(&seen) {
            Reply::Bytes(bytes) => out.write_all(&bytes),
            Reply::Endless(head, more) => {
                let endless = |mut out: &TcpStream| loop {
                    out.write_all(&more)?;
                };
                out.write_all(&head).and_then(|()| endless(connection))
            }
            Reply::Close => return,
            Reply::Hold => {
                let _ = reader.read(&mut [0]);
                return;
            }
        };
        if written.is_err() {
            return;
        }
    }
}

fn request(reader: &mut impl BufRead) -> Option<Seen> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let (method, rest) = line.split_once(' ')?;
    let target = rest.split(' ').next()?;
    let below = target.strip_prefix("/images/").and_then(|target| target.strip_prefix(super::TICKET));
    let what = format!("{method} {}", below.unwrap_or(target));
    let (mut range, mut len) = (String::new(), 0);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("range") => value.trim().clone_into(&mut range),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                len = value.trim().parse().unwrap();
            }
            Some(_) => {}
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { what, range, body })
}
