//! A server that writes down what it is sent and says yes: it knows nothing of the client, nor of the emulator.

use std::fmt::Display;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    pub method: String,
    pub path: String,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Sent {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| &**value)
    }
}

/// How a request is answered: the status line after the version, more headers, and a body.
pub type Answer<S = &'static str> = (S, S, Vec<u8>);

pub struct Recorder {
    pub url: String,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl Recorder {
    /// One that says yes to everything, and answers a read of so many bytes with as many.
    pub fn yes() -> Self {
        Self::new(|sent, _| match sent.path.split_once("/read") {
            Some((_, rest)) => {
                let size = rest.rsplit('/').next().and_then(|size| size.parse().ok()).unwrap_or(3);
                ("200 OK", "", vec![7; size])
            }
            None => ("204 No Content", "", Vec::new()),
        })
    }

    /// One that answers as it is told; the number counts the requests from 0.
    pub fn new<S: Display>(answer: impl Fn(&Sent, usize) -> Answer<S> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/api/", listener.local_addr().unwrap());
        let sent: Arc<Mutex<Vec<Sent>>> = Arc::default();
        let all = Arc::clone(&sent);
        // The thread ends with the process.
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let _ = exchange(connection.unwrap(), &all, &answer);
            }
        });
        Self { url, sent }
    }

    /// What came in so far, and forgets it.
    pub fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut self.sent.lock().unwrap())
    }
}

fn exchange<S: Display>(
    connection: TcpStream,
    all: &Mutex<Vec<Sent>>,
    answer: &impl Fn(&Sent, usize) -> Answer<S>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let Some(first) = lines.first() else { return Ok(()) };
    let mut words = first.split(' ');
    let mut sent = Sent {
        method: words.next().unwrap_or_default().to_owned(),
        path: words.next().unwrap_or_default().to_owned(),
        ..Sent::default()
    };
    for line in &lines[1..] {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        sent.headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let length = sent.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    reader.take(length).read_to_end(&mut sent.body)?;
    let number = {
        let mut all = all.lock().unwrap();
        all.push(sent.clone());
        all.len() - 1
    };
    let (status, headers, body) = answer(&sent, number);
    let mut connection = connection;
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    )?;
    connection.write_all(&body)
}
