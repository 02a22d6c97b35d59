//! `diskferry serve` as a process of its own, and clients of it.

use serde_json::Value;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tempfile::TempDir;

/// How long a line may take that has to come. Only a broken test waits so long.
const LIMIT: Duration = Duration::from_secs(60);

/// A directory in which commands run.
pub struct World {
    dir: TempDir,
}

/// A running `serve`. It is stopped when dropped.
pub struct Serve {
    child: Child,
    /// Where each provider listens, and `control`.
    urls: HashMap<String, String>,
    stderr: Receiver<String>,
}

impl World {
    pub fn new() -> Self {
        World { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_diskferry"));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.dir.path())
            .env("DISKFERRY_CONFIG", self.path("emulator.toml"))
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs to the end. What does not end is killed, and its status says so.
    pub fn run(&self, args: &[&str]) -> Output {
        let child = self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let id = rustix::process::Pid::from_child(&child);
        let (ended, wait) = channel();
        let output = std::thread::spawn(move || {
            let output = child.wait_with_output().unwrap();
            let _ = ended.send(());
            output
        });
        if wait.recv_timeout(LIMIT).is_err() {
            rustix::process::kill_process(id, rustix::process::Signal::KILL).unwrap();
        }
        output.join().unwrap()
    }

    /// Starts `serve` with these arguments and waits for `lines` of listeners.
    pub fn serve(&self, args: &[&str], lines: usize) -> Serve {
        let args: Vec<&str> = ["serve"].into_iter().chain(args.iter().copied()).collect();
        let mut child = self.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (say, stderr) = channel();
        let pipe = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || pipe.lines().map_while(Result::ok).for_each(|line| drop(say.send(line))));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let urls: HashMap<String, String> = stdout
            .lines()
            .take(lines)
            .map(|line| {
                let line = line.unwrap();
                let (what, url) = line.split_once(' ').unwrap_or_else(|| panic!("no listener: {line}"));
                (what.to_owned(), url.to_owned())
            })
            .collect();
        assert_eq!(urls.len(), lines, "it ended early: {:?}", stderr.try_iter().collect::<Vec<_>>());
        Serve { child, urls, stderr }
    }
}

impl Serve {
    /// HOST:PORT of a listener.
    pub fn address(&self, what: &str) -> &str {
        self.urls[what].trim_start_matches("http://").trim_end_matches('/')
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on stderr that has this in it.
    #[track_caller]
    pub fn says(&self, text: &str) -> String {
        loop {
            let line = self.stderr.recv_timeout(LIMIT).unwrap_or_else(|e| panic!("no {text:?}: {e}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Has it stop, and gives the last lines of stderr.
    pub fn stop(mut self) -> Vec<String> {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap();
        self.stderr.iter().collect()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request over a connection of its own: the status and the body. Zero where no reply came.
pub fn ask(address: &str, request: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let head = format!(
        "{request} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    let head = format!("{head}Authorization: Basic {}\r\n\r\n", "YWxpY2U6YQ==");
    let mut reply = Vec::new();
    let sent = stream.write_all(format!("{head}{body}").as_bytes());
    if sent.and_then(|()| stream.read_to_end(&mut reply)).is_err() {
        return (0, String::new());
    }
    let text = String::from_utf8_lossy(&reply).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}

/// The objects in a file of JSON lines.
pub fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
