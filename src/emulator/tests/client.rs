//! An HTTP client that does nothing by itself: it does not retry or pool, and it distinguishes every ending
//! of a connection.

use super::{SECRET, USER};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How a request ended.
#[derive(Debug)]
pub(in crate::emulator) enum Ending {
    Reply(Reply),
    /// The reply's body ended early, after this many bytes.
    Short(usize),
    /// Closed before any reply.
    Closed,
    Reset,
    /// Nothing, or nothing more, arrived within the client's deadlines.
    Silence,
    /// What arrived is not HTTP.
    Garbage,
}

#[derive(Debug)]
pub(in crate::emulator) struct Reply {
    pub(in crate::emulator) status: u16,
    pub(in crate::emulator) reason: String,
    headers: Vec<(String, String)>,
    pub(in crate::emulator) body: Vec<u8>,
}

/// The keys and values of one object in a reply.
#[derive(Debug)]
pub(in crate::emulator) struct Object(Vec<(String, String)>);

impl Object {
    pub(in crate::emulator) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| &**value)
    }
}

impl Reply {
    pub(in crate::emulator) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| &**v)
    }

    pub(in crate::emulator) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the value of a key of the first object.
    pub(in crate::emulator) fn value(&self, key: &str) -> String {
        self.get(key).unwrap_or_else(|| panic!("no {key} in {}", self.text()))
    }

    pub(in crate::emulator) fn get(&self, key: &str) -> Option<String> {
        self.objects().first().and_then(|object| object.get(key).map(str::to_owned))
    }

    /// Returns the objects, which blank lines separate.
    pub(in crate::emulator) fn objects(&self) -> Vec<Object> {
        let text = self.text();
        let pair = |line: &str| {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            (key.to_owned(), value.to_owned())
        };
        let blocks = text.split("\n\n").filter(|block| !block.is_empty());
        blocks.map(|block| Object(block.lines().map(pair).collect())).collect()
    }

    pub(in crate::emulator) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(in crate::emulator) fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }
}

/// A request to send.
pub(in crate::emulator) struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    pub(in crate::emulator) fn new(method: &str, path: &str) -> Request {
        let credentials = crate::emulator::auth::base64(format!("{USER}:{SECRET}").as_bytes());
        Self::bare(method, path).header("Authorization", &format!("Basic {credentials}"))
    }

    /// Creates a request without credentials.
    pub(in crate::emulator) fn bare(method: &str, path: &str) -> Request {
        Self::bare_at(method, path, "emulator")
    }

    /// Creates a request to a host name, without credentials.
    pub(in crate::emulator) fn bare_at(method: &str, path: &str, host: &str) -> Request {
        Request { head: format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n"), body: Vec::new() }
    }

    pub(in crate::emulator) fn header(mut self, name: &str, value: &str) -> Request {
        self.head = format!("{}{name}: {value}\r\n", self.head);
        self
    }

    /// Changes the value of one header.
    pub(in crate::emulator) fn instead(self, name: &str, value: &str) -> Request {
        let lines = self.head.split_inclusive("\r\n").filter(|line| !line.starts_with(&format!("{name}:")));
        Request { head: lines.collect(), ..self }.header(name, value)
    }

    pub(in crate::emulator) fn form(self, form: &str) -> Request {
        self.header("Content-Type", "application/x-www-form-urlencoded").body(form)
    }

    /// Sets a chunked body, as it is on the wire.
    pub(in crate::emulator) fn chunked(self, body: &str) -> Request {
        self.header("Transfer-Encoding", "chunked").raw(body)
    }

    pub(in crate::emulator) fn body(self, body: impl Into<Vec<u8>>) -> Request {
        let body = body.into();
        Request { body: body.clone(), ..self.header("Content-Length", &body.len().to_string()) }
    }

    /// Sets the body as it is on the wire.
    pub(in crate::emulator) fn raw(self, body: &str) -> Request {
        Request { body: body.into(), ..self }
    }
}

/// A client with one connection at a time, which it keeps alive.
pub(in crate::emulator) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
    deadlines: Duration,
    /// The number of connections made so far.
    pub(in crate::emulator) connections: u32,
}

impl Client {
    pub(in crate::emulator) fn new(address: SocketAddr) -> Client {
        Client { address, connection: None, deadlines: Duration::from_secs(20), connections: 0 }
    }

    pub(in crate::emulator) fn deadlines(mut self, deadlines: Duration) -> Client {
        self.deadlines = deadlines;
        self
    }

    pub(in crate::emulator) fn get(&mut self, path: &str) -> Reply {
        self.reply(&Request::new("GET", path))
    }

    /// Sends a POST, empty or with text.
    pub(in crate::emulator) fn post(&mut self, path: &str, body: impl Into<Vec<u8>>) -> Reply {
        self.reply(&Request::new("POST", path).body(body))
    }

    pub(in crate::emulator) fn reply(&mut self, request: &Request) -> Reply {
        match self.send(request) {
            Ending::Reply(reply) => reply,
            other => panic!("no reply but {other:?} to {}", request.head),
        }
    }

    pub(in crate::emulator) fn send(&mut self, request: &Request) -> Ending {
        let ending = self.try_send(request).unwrap_or_else(|error| match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ending::Reset,
            ErrorKind::UnexpectedEof => Ending::Closed,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Ending::Silence,
            ErrorKind::InvalidData => Ending::Garbage,
            _ => panic!("{error}"),
        });
        if !matches!(ending, Ending::Reply(_)) {
            self.connection = None;
        }
        ending
    }

    /// Sends a request's head and part of its body, and expects no reply.
    pub(in crate::emulator) fn send_part(&mut self, request: &Request, body: &[u8]) {
        let connection = self.connect().unwrap().get_mut();
        connection.write_all(format!("{}\r\n", request.head).as_bytes()).unwrap();
        connection.write_all(body).unwrap();
    }

    fn connect(&mut self) -> io::Result<&mut BufReader<TcpStream>> {
        if self.connection.is_none() {
            let stream = TcpStream::connect(self.address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(self.deadlines))?;
            self.connections += 1;
            self.connection = Some(BufReader::new(stream));
        }
        Ok(self.connection.as_mut().unwrap())
    }

    fn try_send(&mut self, request: &Request) -> io::Result<Ending> {
        let ending = exchange(self.connect()?, request)?;
        if matches!(&ending, Ending::Reply(reply) if reply.header("connection") == Some("close")) {
            self.connection = None;
        }
        Ok(ending)
    }
}

/// Sends a request over a connection and reads its reply.
pub(in crate::emulator) fn exchange<S: Read + Write>(
    connection: &mut BufReader<S>,
    request: &Request,
) -> io::Result<Ending> {
    connection.get_mut().write_all(format!("{}\r\n", request.head).as_bytes())?;
    connection.get_mut().write_all(&request.body)?;
    connection.get_mut().flush()?;
    let mut line = String::new();
    let mut next = |connection: &mut BufReader<S>| {
        line.clear();
        match connection.read_line(&mut line)? {
            0 => Err(io::Error::from(ErrorKind::UnexpectedEof)),
            _ => Ok(line.trim_end().to_owned()),
        }
    };
    let status_line = next(connection)?;
    let mut words = status_line.splitn(3, ' ').skip(1);
    let status = words.next().and_then(|word| word.parse().ok()).ok_or(ErrorKind::InvalidData)?;
    let reason = words.next().unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let line = next(connection)?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut reply = Reply { status, reason, headers, body: Vec::new() };
    let length = reply.header("content-length").map_or(0, |value| value.parse().unwrap());
    reply.body = vec![0; if request.head.starts_with("HEAD ") { 0 } else { length }];
    let mut got = 0;
    while got < reply.body.len() {
        match connection.read(&mut reply.body[got..])? {
            0 => return Ok(Ending::Short(got)),
            n => got += n,
        }
    }
    Ok(Ending::Reply(reply))
}
