//! A server whose replies a test specifies, with one request per connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A received request.
#[derive(Clone, Debug)]
pub struct Got {
    /// The method and the target.
    pub line: String,
    /// The header lines.
    pub headers: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Got {
    /// Returns the value of a header, or an empty string.
    pub fn header(&self, name: &str) -> &str {
        let pairs = self.headers.lines().filter_map(|line| line.split_once(':'));
        let mut values =
            pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
        values.next().unwrap_or_default()
    }
}

/// The server. It ends when this is dropped.
pub struct Fake {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Fake {
    /// Replies to each request with `answer`: the complete reply without `Connection`.
    pub fn start(answer: impl Fn(&Got) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, got) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopped, seen, answer) = (Arc::clone(&stop), Arc::clone(&got), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                // A client that goes away is not a failure of the server.
                std::thread::spawn(move || serve(stream, &seen, &*answer));
            }
        });
        Self { address, stop, got }
    }

    /// Returns the URL of a container.
    pub fn url(&self) -> String {
        format!("http://{}/account/images", self.address)
    }

    /// Returns the requests so far.
    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Got>>, answer: &dyn Fn(&Got) -> String) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_mins(1))).ok()?;
    let mut reader = BufReader::new(stream);
    let mut got = Got { line: String::new(), headers: String::new(), body: Vec::new() };
    reader.read_line(&mut got.line).ok()?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        got.headers.push_str(&line);
    }
    let len = got.header("content-length").parse().unwrap_or(0);
    got.body.resize(len, 0);
    reader.read_exact(&mut got.body).ok()?;
    let answer = answer(&got).replacen("\r\n", "\r\nConnection: close\r\n", 1);
    seen.lock().unwrap().push(got);
    reader.get_mut().write_all(answer.as_bytes()).ok()
}
