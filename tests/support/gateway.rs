//! A proxy to a server that counts the bytes that pass, and acts at a counted moment. It uses nothing of the
//! crate.
#![allow(dead_code, reason = "each suite uses a part")]

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The server that a gateway leads to.
#[derive(Clone)]
pub enum To {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Bytes that have passed since [`Gateway::reset`], over all connections.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    /// From the client to the server.
    pub up: u64,
    /// From the server to the client.
    pub down: u64,
}

/// Called before any bytes pass; they wait until it returns. It is removed once it has returned true.
type Hook = Box<dyn FnMut(Passed) -> bool + Send>;

/// A listening gateway. It accepts no new connections once it is dropped.
pub struct Gateway {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    to: To,
    up: AtomicU64,
    down: AtomicU64,
    hook: Mutex<Option<Hook>>,
    /// The heads of HTTP requests, if HTTP is what passes.
    heads: Mutex<Vec<String>>,
    closed: AtomicBool,
}

impl Gateway {
    /// Creates a gateway on loopback.
    pub fn new(to: To) -> Self {
        Self::at(Ipv4Addr::LOCALHOST.into(), to)
    }

    /// Creates a gateway to the server at `HOST:PORT`, or at a URL that begins with it.
    pub fn to_url(url: &str) -> Self {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = rest.split('/').next().unwrap_or_default();
        Self::new(To::Tcp(host.parse().expect("an address and a port")))
    }

    pub fn to_socket(socket: &Path) -> Self {
        Self::new(To::Unix(socket.to_owned()))
    }

    /// Creates a gateway on another local address.
    pub fn at(host: IpAddr, to: To) -> Self {
        let listener = TcpListener::bind((host, 0)).expect("an address of this machine");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            to,
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            hook: Mutex::new(None),
            heads: Mutex::default(),
            closed: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.closed.load(Ordering::SeqCst) {
                    return;
                }
                // If nobody listens, the client's connection is closed.
                accepting.connect(client);
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns a URL with its host replaced by this gateway.
    pub fn url(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("://").expect("a URL");
        let path = rest.find('/').map_or("", |at| &rest[at..]);
        format!("{scheme}://{}{path}", self.address)
    }

    /// Calls `hook` before any bytes pass, until it returns true.
    pub fn set_hook(&self, hook: impl FnMut(Passed) -> bool + Send + 'static) {
        *lock(&self.shared.hook) = Some(Box::new(hook));
    }

    pub fn clear_hook(&self) {
        *lock(&self.shared.hook) = None;
    }

    /// Returns the bytes that have passed.
    pub fn passed(&self) -> Passed {
        self.shared.passed()
    }

    /// Resets the counts to zero.
    pub fn reset(&self) {
        self.shared.up.store(0, Ordering::SeqCst);
        self.shared.down.store(0, Ordering::SeqCst);
    }

    /// Returns the heads of the HTTP requests that have passed.
    pub fn heads(&self) -> Vec<String> {
        lock(&self.shared.heads).clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        // The accepting thread waits for one more connection.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn passed(&self) -> Passed {
        Passed { up: self.up.load(Ordering::SeqCst), down: self.down.load(Ordering::SeqCst) }
    }

    fn connect(self: &Arc<Self>, client: TcpStream) {
        let _ = client.set_nodelay(true);
        match &self.to {
            To::Tcp(address) => {
                let Ok(server) = TcpStream::connect(address) else { return };
                let _ = server.set_nodelay(true);
                let ends = (server.try_clone(), client.try_clone());
                let (Ok(from_server), Ok(from_client)) = ends else { return };
                let (close_server, close_client) = (closer(&server), closer(&client));
                self.pump(from_client, server, true, close_server);
                self.pump(from_server, client, false, close_client);
            }
            To::Unix(path) => {
                let Ok(server) = UnixStream::connect(path) else { return };
                let ends = (server.try_clone(), client.try_clone(), server.try_clone());
                let (Ok(from_server), Ok(from_client), Ok(closing)) = ends else { return };
                let close_client = closer(&client);
                let close_server = move || drop(closing.shutdown(Shutdown::Both));
                self.pump(from_client, server, true, close_server);
                self.pump(from_server, client, false, close_client);
            }
        }
    }

    /// Forwards the bytes from one side, in a thread of its own, and closes the other side when they end.
    fn pump(
        self: &Arc<Self>,
        mut from: impl Read + Send + 'static,
        mut to: impl Write + Send + 'static,
        up: bool,
        close: impl FnOnce() + Send + 'static,
    ) {
        let shared = Arc::clone(self);
        std::thread::spawn(move || {
            let mut heads = Heads::default();
            let mut buffer = vec![0; 64 << 10];
            while let Ok(len @ 1..) = from.read(&mut buffer) {
                let counter = if up { &shared.up } else { &shared.down };
                counter.fetch_add(len as u64, Ordering::SeqCst);
                if up {
                    heads.take(&buffer[..len], |head| lock(&shared.heads).push(head));
                }
                {
                    let mut hook = lock(&shared.hook);
                    if hook.as_mut().is_some_and(|hook| hook(shared.passed())) {
                        *hook = None;
                    }
                }
                if to.write_all(&buffer[..len]).is_err() {
                    break;
                }
            }
            close();
        });
    }
}

fn closer(stream: &TcpStream) -> impl FnOnce() + Send + 'static {
    let stream = stream.try_clone();
    move || {
        if let Ok(stream) = stream {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Finds the heads of HTTP requests in a stream.
#[derive(Default)]
struct Heads {
    /// Bytes of a body that are still to come.
    body: u64,
    head: Vec<u8>,
    /// Whether the stream is something other than HTTP.
    other: bool,
}

impl Heads {
    fn take(&mut self, mut bytes: &[u8], mut found: impl FnMut(String)) {
        while !bytes.is_empty() && !self.other {
            if self.body > 0 {
                let skip = usize::try_from(self.body).unwrap_or(usize::MAX).min(bytes.len());
                self.body -= skip as u64;
                bytes = &bytes[skip..];
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            if self.head.len() > 64 << 10 || !self.head[0].is_ascii_uppercase() {
                self.other = true;
            } else if self.head.ends_with(b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&std::mem::take(&mut self.head)).into_owned();
                self.body = length(&head);
                found(head);
            }
        }
    }
}

/// Returns the length of the body that follows a head.
pub fn length(head: &str) -> u64 {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lines.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().map_or(0, |(_, value)| value.trim().parse().expect("a length"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A hook that panics fails its test by itself.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
