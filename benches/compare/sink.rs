//! A server that costs nothing: enough of Open Hosting's API for an upload, a download and a migration, with
//! drives that discard everything.
//!
//! A new drive always reads as zero, so `--verify full` fails by design. The drive [`IMAGE_DRIVE`] reads as
//! the file given with `--image`. The kernel discards bodies and sends the image, so neither is copied to
//! this process. Each connection has a thread.

#![allow(unsafe_code)] // The standard library cannot discard what a socket has received.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The drive that reads as the file given with `--image`.
const IMAGE_DRIVE: &str = "00000000-0000-4000-8000-000000000001";

/// How much a limited server takes or gives at a time, so that connections share its rate evenly.
const SLICE: u64 = 64 << 10;

#[derive(clap::Args)]
pub struct Options {
    /// The address to listen on; port 0 takes a free one
    #[arg(default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The file that drive 00000000-0000-4000-8000-000000000001 reads as
    #[arg(long)]
    image: Option<PathBuf>,
    /// How long the server thinks before each reply to a read or a write, in milliseconds
    #[arg(long, default_value_t = 0.0)]
    wait: f64,
    /// The most bytes a second that the server takes and gives over all connections, in MB/s
    #[arg(long)]
    rate: Option<f64>,
    /// The share of reads and writes that are answered with 503, from 0 to 1
    #[arg(long, default_value_t = 0.0)]
    errors: f64,
}

/// The state that all connections share.
struct Sink {
    image: Option<(PathBuf, u64)>,
    wait: Duration,
    rate: Option<f64>,
    errors: f64,
    /// When the rate-limited server will be idle.
    busy_until: Mutex<Instant>,
    /// The properties of each drive, as `KEY VALUE` lines.
    drives: Mutex<HashMap<String, String>>,
    requests: AtomicU64,
}

/// Serves until the process is killed. Prints the address once it listens.
pub fn run(options: &Options) -> io::Result<()> {
    let image = match &options.image {
        Some(path) => Some((path.clone(), path.metadata()?.len())),
        None => None,
    };
    let sink = Arc::new(Sink {
        wait: Duration::from_secs_f64(options.wait / 1e3),
        rate: options.rate.map(|rate| rate * 1e6),
        errors: options.errors,
        busy_until: Mutex::new(Instant::now()),
        drives: Mutex::default(),
        requests: AtomicU64::new(0),
        image,
    });
    if let Some((_, size)) = &sink.image {
        sink.drives().insert(IMAGE_DRIVE.into(), format!("drive {IMAGE_DRIVE}\nname image\nsize {size}\n"));
    }
    let listener = TcpListener::bind(options.listen)?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let sink = Arc::clone(&sink);
        // A broken connection is noticed by the client.
        std::thread::spawn(move || sink.serve(&stream).unwrap_or_default());
    }
}

/// The head of a request.
struct Head {
    method: String,
    path: String,
    length: u64,
    /// Whether the client waits for `100 Continue`.
    expects: bool,
}

impl Sink {
    fn drives(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.drives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the requests of a connection until it is closed.
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        // Small, so that little of a body is read with the head.
        let mut reader = BufReader::with_capacity(2 << 10, stream);
        while let Some(head) = read_head(&mut reader)? {
            let mut out = stream;
            if head.expects {
                out.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            let mut parts = head.path.trim_matches('/').split('/');
            let [area, id, action, offset, len] = std::array::from_fn(|_| parts.next().unwrap_or_default());
            match (head.method.as_str(), area, id, action) {
                ("POST", "drives", _, "write") => {
                    self.discard(&mut reader, head.length)?;
                    if self.fails() {
                        reply(out, "503 Service Unavailable", "busy\n")?;
                    } else {
                        out.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
                    }
                }
                ("GET", "drives", _, "read") => match (offset.parse(), len.parse()) {
                    (Ok(_), Ok(_)) if self.fails() => reply(out, "503 Service Unavailable", "busy\n")?,
                    (Ok(offset), Ok(len)) => self.send(out, id, offset, len)?,
                    _ => reply(out, "400 Bad Request", "an offset and a length are needed\n")?,
                },
                ("GET", "drives", "info", _) => {
                    let all: Vec<_> = self.drives().values().cloned().collect();
                    reply(out, "200 OK", &all.join("\n"))?;
                }
                ("GET", "drives", _, "info") => match self.drives().get(id) {
                    Some(properties) => reply(out, "200 OK", properties)?,
                    None => reply(out, "404 Not Found", "no such drive\n")?,
                },
                ("POST", "drives", "create", _) => {
                    let mut properties = String::new();
                    (&mut reader).take(head.length).read_to_string(&mut properties)?;
                    let mut drives = self.drives();
                    let id = format!("00000000-0000-4000-8000-{:012x}", drives.len() + 16);
                    let properties = format!("drive {id}\n{}\n", properties.trim());
                    reply(out, "200 OK", &properties)?;
                    drives.insert(id, properties);
                }
                _ => {
                    self.discard(&mut reader, head.length)?;
                    reply(out, "404 Not Found", "the sink has no such call\n")?;
                }
            }
        }
        Ok(())
    }

    /// Waits for the configured time and returns whether to fail the request.
    fn fails(&self) -> bool {
        std::thread::sleep(self.wait);
        // Spread evenly and repeatably: request n fails if n times the share passes an integer.
        let n = self.requests.fetch_add(1, Ordering::Relaxed) as f64;
        ((n + 1.0) * self.errors).floor() > (n * self.errors).floor()
    }

    /// Waits until the server's rate allows `len` more bytes.
    fn pace(&self, len: u64) {
        let Some(rate) = self.rate else { return };
        let until = {
            let mut busy_until = self.busy_until.lock().unwrap_or_else(PoisonError::into_inner);
            *busy_until = (*busy_until).max(Instant::now()) + Duration::from_secs_f64(len as f64 / rate);
            *busy_until
        };
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
    }

    /// Discards the next `len` bytes of a connection.
    fn discard(&self, reader: &mut BufReader<&TcpStream>, mut len: u64) -> io::Result<()> {
        let buffered = (reader.buffer().len() as u64).min(len);
        reader.consume(usize::try_from(buffered).map_err(io::Error::other)?);
        len -= buffered;
        let most = if self.rate.is_some() { SLICE } else { 1 << 30 };
        while len > 0 {
            let slice = usize::try_from(len.min(most)).map_err(io::Error::other)?;
            let socket = reader.get_ref().as_raw_fd();
            // SAFETY: with MSG_TRUNC a TCP socket discards the bytes and writes nothing through the pointer
            // (tcp(7)).
            let n = unsafe { libc::recv(socket, std::ptr::null_mut(), slice, libc::MSG_TRUNC) };
            match u64::try_from(n) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    len -= n;
                    self.pace(n);
                }
                Err(_) => return Err(io::Error::last_os_error()),
            }
        }
        Ok(())
    }

    /// Sends `len` bytes of a drive.
    fn send(&self, mut out: &TcpStream, drive: &str, offset: u64, len: u64) -> io::Result<()> {
        write!(
            out,
            "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {len}\r\n\r\n"
        )?;
        let mut file = match &self.image {
            Some((path, _)) if drive == IMAGE_DRIVE => {
                let mut file = File::open(path)?;
                file.seek(SeekFrom::Start(offset))?;
                Some(file)
            }
            _ => None,
        };
        let mut left = len;
        while left > 0 {
            let slice = if self.rate.is_some() { left.min(SLICE) } else { left };
            self.pace(slice);
            // `copy` has the kernel send a file.
            let sent = match &mut file {
                Some(file) => io::copy(&mut file.take(slice), &mut out)?,
                None => io::copy(&mut io::repeat(0).take(slice), &mut out)?,
            };
            if sent < slice {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= slice;
        }
        Ok(())
    }
}

/// Reads the head of the next request, or returns `None` if the connection was closed.
fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut head = Head { method, path, length: 0, expects: false };
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(Some(head)) };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.trim().parse().map_err(io::Error::other)?,
            "transfer-encoding" => return Err(io::Error::other("the sink needs a Content-Length")),
            "expect" => head.expects = true,
            _ => {}
        }
    }
}

/// Sends a reply of text in one piece.
fn reply(mut out: &TcpStream, status: &str, text: &str) -> io::Result<()> {
    let len = text.len();
    let reply =
        format!("HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len}\r\n\r\n{text}");
    out.write_all(reply.as_bytes())
}
