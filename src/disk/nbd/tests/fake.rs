//! A server that performs the handshake and then sends exactly the bytes that a test specifies.

use super::super::protocol::{
    ALLOCATION, GREETING, OPTION, OPTION_REPLY, REQUEST, SIMPLE_REPLY, STRUCTURED_REPLY, info, option,
    option_reply,
};
use super::super::{NbdAddress, NbdDisk, NbdOptions, Purpose};
use crate::error::Result;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Export flags: it has flags and can be flushed.
pub(super) const FLUSH: u16 = 1 | 1 << 2;
/// The export flag for write-zeroes.
pub(super) const ZEROES: u16 = 1 << 6;
/// The export flag for coherent connections.
pub(super) const MULTI_CONN: u16 = 1 << 8;

/// The id of the metadata context for extents.
pub(super) const CONTEXT: u32 = 7;

/// The deadline for a client, so that one that does not do what a test expects fails the test instead of
/// hanging it.
const DEADLINE: Duration = Duration::from_secs(20);

/// A server and its export.
pub(super) struct Fake {
    pub(super) listener: TcpListener,
    pub(super) size: u64,
    pub(super) flags: u16,
    pub(super) structured: bool,
    /// Whether `GO` is supported.
    pub(super) go: bool,
    pub(super) minimum: u32,
}

/// A connection to the server.
pub(super) struct Peer {
    pub(super) socket: TcpStream,
}

/// A received request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Came {
    pub(super) command: u16,
    pub(super) cookie: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) body: Vec<u8>,
}

impl Fake {
    pub(super) async fn start(flags: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        Self { listener, size: 1 << 20, flags, structured: true, go: true, minimum: 1 }
    }

    pub(super) fn address(&self) -> NbdAddress {
        let port = self.listener.local_addr().unwrap().port();
        NbdAddress::parse(&format!("nbd://127.0.0.1:{port}/x")).unwrap()
    }

    /// Opens a client and returns it with the server's end of its connection.
    pub(super) async fn open(&self, options: &NbdOptions) -> (NbdDisk, Peer) {
        let address = self.address();
        let opening = NbdDisk::open(&address, Purpose::Write, options, std::sync::Arc::default());
        let (disk, peer) = tokio::join!(opening, self.accept());
        (disk.unwrap(), peer)
    }

    /// Opens the export against a server that sends `raw` after its greeting.
    pub(super) async fn open_against(&self, raw: &[u8]) -> Result<NbdDisk> {
        let (address, options) = (self.address(), super::options());
        let opening = NbdDisk::open(&address, Purpose::Read, &options, std::sync::Arc::default());
        tokio::join!(opening, self.say(raw)).0
    }

    /// Sends `raw` to the next client, and reads until that is gone.
    pub(super) async fn say(&self, raw: &[u8]) {
        let mut socket = self.client().await;
        // The client may have closed the connection already.
        let _ = socket.write_all(raw).await;
        let mut sink = Vec::new();
        let _ = socket.read_to_end(&mut sink).await;
    }

    /// Closes the connection of the next client.
    pub(super) async fn hang_up(&self) {
        drop(self.client().await);
    }

    async fn client(&self) -> TcpStream {
        let accepting = tokio::time::timeout(DEADLINE, self.listener.accept());
        accepting.await.expect("a client connects").unwrap().0
    }

    /// Performs the handshake with the next client.
    pub(super) async fn accept(&self) -> Peer {
        let mut peer = Peer { socket: self.client().await };
        peer.raw(&greeting(3)).await;
        peer.take(4).await;
        loop {
            let head = peer.take(16).await;
            assert_eq!(head[..8], OPTION.to_be_bytes());
            let number = u32::from_be_bytes(head[8..12].try_into().unwrap());
            let len = u32::from_be_bytes(head[12..].try_into().unwrap());
            peer.take(len as usize).await;
            let ack = reply(number, option_reply::ACK, &[]);
            match number {
                option::STRUCTURED if self.structured => peer.raw(&ack).await,
                option::SET_META_CONTEXT => {
                    let context = [&CONTEXT.to_be_bytes()[..], ALLOCATION.as_bytes()].concat();
                    peer.raw(&reply(number, option_reply::META_CONTEXT, &context)).await;
                    peer.raw(&ack).await;
                }
                option::GO if self.go => {
                    peer.raw(&reply(number, option_reply::INFO, &export_info(self.size, self.flags))).await;
                    peer.raw(&reply(number, option_reply::INFO, &block_info(self.minimum, 1 << 25))).await;
                    peer.raw(&ack).await;
                    return peer;
                }
                option::LIST if !self.go => {
                    peer.raw(&reply(number, option_reply::SERVER, &[0, 0, 0, 1, b'x'])).await;
                    peer.raw(&ack).await;
                }
                option::EXPORT_NAME => {
                    // Without padding, as negotiated.
                    peer.raw(&export_info(self.size, self.flags)[2..]).await;
                    return peer;
                }
                option::ABORT => return peer,
                _ => peer.raw(&reply(number, option_reply::UNSUPPORTED, &[])).await,
            }
        }
    }
}

impl Peer {
    /// Receives the next request.
    pub(super) async fn request(&mut self) -> Came {
        let head = self.take(28).await;
        assert_eq!(head[..4], REQUEST.to_be_bytes());
        let number = |at: usize| u64::from_be_bytes(head[at..at + 8].try_into().unwrap());
        let command = u16::from_be_bytes([head[6], head[7]]);
        let length = u32::from_be_bytes(head[24..].try_into().unwrap());
        let body = if command == 1 { self.take(length as usize).await } else { Vec::new() };
        Came { command, cookie: number(8), offset: number(16), length, body }
    }

    /// Receives the next request, which must be of this type, and answers it with a simple reply without an
    /// error.
    pub(super) async fn acknowledge(&mut self, command: u16) -> Came {
        let came = self.request().await;
        assert_eq!(came.command, command, "{came:?}");
        self.raw(&simple(came.cookie, 0)).await;
        came
    }

    /// Checks that the client closes the connection, after a disconnect request if it had the time.
    pub(super) async fn ended(mut self) {
        let mut rest = Vec::new();
        let _ = self.socket.read_to_end(&mut rest).await;
    }

    pub(super) async fn raw(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    async fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let reading = tokio::time::timeout(DEADLINE, self.socket.read_exact(&mut bytes));
        reading.await.expect("the client sends something").unwrap();
        bytes
    }
}

pub(super) fn greeting(flags: u16) -> Vec<u8> {
    [&GREETING.to_be_bytes()[..], &OPTION.to_be_bytes(), &flags.to_be_bytes()].concat()
}

pub(super) fn reply(to: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let len = u32::try_from(data.len()).unwrap();
    let head = [&OPTION_REPLY.to_be_bytes()[..], &to.to_be_bytes(), &kind.to_be_bytes(), &len.to_be_bytes()];
    [&head.concat(), data].concat()
}

pub(super) fn export_info(size: u64, flags: u16) -> Vec<u8> {
    [&info::EXPORT.to_be_bytes()[..], &size.to_be_bytes(), &flags.to_be_bytes()].concat()
}

pub(super) fn block_info(minimum: u32, maximum: u32) -> Vec<u8> {
    let sizes = [minimum.to_be_bytes(), minimum.max(4096).to_be_bytes(), maximum.to_be_bytes()];
    [&info::BLOCK_SIZE.to_be_bytes()[..], &sizes.concat()].concat()
}

pub(super) fn simple(cookie: u64, error: u32) -> Vec<u8> {
    [&SIMPLE_REPLY.to_be_bytes()[..], &error.to_be_bytes(), &cookie.to_be_bytes()].concat()
}

/// A chunk with its correct length.
pub(super) fn chunk(cookie: u64, flags: u16, kind: u16, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap();
    [&chunk_head(cookie, flags, kind, len)[..], payload].concat()
}

pub(super) fn chunk_head(cookie: u64, flags: u16, kind: u16, len: u32) -> Vec<u8> {
    let magic = STRUCTURED_REPLY.to_be_bytes();
    [&magic[..], &flags.to_be_bytes(), &kind.to_be_bytes(), &cookie.to_be_bytes(), &len.to_be_bytes()]
        .concat()
}

/// A data chunk.
pub(super) fn data(cookie: u64, flags: u16, offset: u64, bytes: &[u8]) -> Vec<u8> {
    chunk(cookie, flags, 1, &[&offset.to_be_bytes()[..], bytes].concat())
}

/// A hole chunk.
pub(super) fn hole(cookie: u64, flags: u16, offset: u64, len: u32) -> Vec<u8> {
    chunk(cookie, flags, 2, &[&offset.to_be_bytes()[..], &len.to_be_bytes()].concat())
}

/// A chunk of block descriptors.
pub(super) fn statuses(cookie: u64, context: u32, descriptors: &[(u32, u32)]) -> Vec<u8> {
    let mut payload = context.to_be_bytes().to_vec();
    for (len, flags) in descriptors {
        payload.extend_from_slice(&len.to_be_bytes());
        payload.extend_from_slice(&flags.to_be_bytes());
    }
    chunk(cookie, 1, 5, &payload)
}

/// An error chunk.
pub(super) fn error(cookie: u64, flags: u16, number: u32, message: &str) -> Vec<u8> {
    let len = u16::try_from(message.len()).unwrap();
    let payload = [&number.to_be_bytes()[..], &len.to_be_bytes(), message.as_bytes()].concat();
    chunk(cookie, flags, 1 << 15 | 1, &payload)
}
