//! An HTTP client that does nothing by itself: no retry, no pool, and every ending of a connection told apart.

use super::{SECRET, USER};
use crate::wire::elastic::text;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How a request ended.
#[derive(Debug)]
pub(super) enum Ending {
    Reply(Reply),
    /// The reply's body ended early; so many bytes came.
    Short(usize),
    /// Closed before any reply.
    Closed,
    Reset,
    /// Nothing came, or nothing more, within the client's deadlines.
    Silence,
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
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

    /// The value of a key of the first object.
    pub(super) fn value(&self, key: &str) -> String {
        self.get(key).unwrap_or_else(|| panic!("no {key} in {}", self.text()))
    }

    pub(super) fn get(&self, key: &str) -> Option<String> {
        text::parse(&self.text()).first().and_then(|object| object.get(key).map(str::to_owned))
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }
}

/// A request to be sent.
pub(super) struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    pub(super) fn new(method: &str, path: &str) -> Request {
        let credentials = crate::emulator::auth::base64(format!("{USER}:{SECRET}").as_bytes());
        Self::bare(method, path).header("Authorization", &format!("Basic {credentials}"))
    }

    /// Without credentials.
    pub(super) fn bare(method: &str, path: &str) -> Request {
        Self::bare_at(method, path, "emulator")
    }

    /// To a host by its name, without credentials.
    pub(super) fn bare_at(method: &str, path: &str, host: &str) -> Request {
        Request { head: format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n"), body: Vec::new() }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Request {
        self.head = format!("{}{name}: {value}\r\n", self.head);
        self
    }

    pub(super) fn body(self, body: impl Into<Vec<u8>>) -> Request {
        let body = body.into();
        Request { body: body.clone(), ..self.header("Content-Length", &body.len().to_string()) }
    }

    /// A body as it is to stand on the wire.
    pub(super) fn raw(self, body: &str) -> Request {
        Request { body: body.into(), ..self }
    }
}

/// One connection at a time, kept alive while it lasts.
pub(super) struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
    deadlines: Duration,
    /// Connections made so far.
    pub(super) connections: u32,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Client {
        Client { address, connection: None, deadlines: Duration::from_secs(20), connections: 0 }
    }

    pub(super) fn deadlines(mut self, deadlines: Duration) -> Client {
        self.deadlines = deadlines;
        self
    }

    pub(super) fn get(&mut self, path: &str) -> Reply {
        self.reply(&Request::new("GET", path))
    }

    /// A POST, empty or with text.
    pub(super) fn post(&mut self, path: &str, body: impl Into<Vec<u8>>) -> Reply {
        self.reply(&Request::new("POST", path).body(body))
    }

    pub(super) fn reply(&mut self, request: &Request) -> Reply {
        match self.send(request) {
            Ending::Reply(reply) => reply,
            other => panic!("no reply but {other:?} to {}", request.head),
        }
    }

    pub(super) fn send(&mut self, request: &Request) -> Ending {
        let ending = self.try_send(request).unwrap_or_else(|error| match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ending::Reset,
            ErrorKind::UnexpectedEof => Ending::Closed,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Ending::Silence,
            _ => panic!("{error}"),
        });
        if !matches!(ending, Ending::Reply(_)) {
            self.connection = None;
        }
        ending
    }

    /// Sends a request's head and some of its body, and expects nothing.
    pub(super) fn send_part(&mut self, request: &Request, body: &[u8]) {
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
        let connection = self.connect()?;
        connection.get_mut().write_all(format!("{}\r\n", request.head).as_bytes())?;
        connection.get_mut().write_all(&request.body)?;
        let mut line = String::new();
        let mut next = |connection: &mut BufReader<TcpStream>| {
            line.clear();
            match connection.read_line(&mut line)? {
                0 => Err(io::Error::from(ErrorKind::UnexpectedEof)),
                _ => Ok(line.trim_end().to_owned()),
            }
        };
        let status = next(connection)?.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = next(connection)?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut reply = Reply { status, headers, body: Vec::new() };
        let length = reply.header("content-length").map_or(0, |value| value.parse().unwrap());
        reply.body = vec![0; length];
        let mut got = 0;
        while got < length {
            match connection.read(&mut reply.body[got..])? {
                0 => return Ok(Ending::Short(got)),
                n => got += n,
            }
        }
        Ok(Ending::Reply(reply))
    }
}
