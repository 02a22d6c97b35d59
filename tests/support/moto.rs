//! moto, a server that speaks Amazon's S3, for tests.
//!
//! It is looked up in `DISKFERRY_MOTO`, on `PATH`, and in `target/clients-moto`, where `tests/clients/pypi`
//! installs it.
#![allow(dead_code, reason = "every suite has a copy of its own and uses a part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The bucket that exists from the start.
pub const BUCKET: &str = "backups";

/// A running server. It stops, and its data is gone, when this is dropped.
pub struct Moto {
    child: Child,
    address: String,
}

impl Moto {
    /// Starts a server with an empty bucket, or returns `None` if moto is not installed.
    pub fn start() -> Option<Self> {
        let Some(program) = find() else {
            crate::skipped::skipped("moto_server is not installed (tests/clients/pypi does it)");
            return None;
        };
        let mut child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        // From here on a panic stops the server.
        let mut started = Self { child, address: String::new() };
        let (tell, told) = mpsc::channel();
        // Read to the end, so that the server never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("Running on http://") {
                    let _ = tell.send(address.trim().to_owned());
                }
            }
        });
        started.address = told.recv_timeout(Duration::from_mins(1)).expect("moto does not start");
        let made = started.request("PUT", BUCKET);
        assert!(made.starts_with("HTTP/1.1 200"), "{made}");
        Some(started)
    }

    /// Returns the server's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the environment variables that a client needs.
    pub fn variables(&self) -> Vec<(String, String)> {
        let all = [
            ("AWS_ENDPOINT", self.url()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", "an-id".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "a-secret-key".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
        ];
        all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// Sends a request without a body, and returns the whole response.
    pub fn request(&self, method: &str, path: &str) -> String {
        String::from_utf8_lossy(&self.answer(method, path)).into_owned()
    }

    /// Writes all objects of the bucket below `prefix` to a directory.
    pub fn copy_to(&self, prefix: &str, directory: &Path) {
        let listed = self.request("GET", &format!("{BUCKET}?list-type=2&prefix={prefix}"));
        assert!(listed.contains("<IsTruncated>false</IsTruncated>"), "{listed}");
        let keys = listed.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        for (key, _) in keys {
            let answer = self.answer("GET", &format!("{BUCKET}/{key}"));
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{key}: {}", String::from_utf8_lossy(&answer));
            let head = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head ends");
            let path = directory.join(key.strip_prefix(prefix).unwrap().trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, &answer[head + 4..]).unwrap();
        }
    }

    fn answer(&self, method: &str, path: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        write!(
            stream,
            "{method} /{path} HTTP/1.1\r\nHost: {}\r\nAuthorization: AWS an-id:unchecked\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            self.address
        )
        .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("DISKFERRY_MOTO") {
        return Some(PathBuf::from(named));
    }
    let name = "moto_server";
    let on_path =
        std::env::var_os("PATH").into_iter().flat_map(|all| std::env::split_paths(&all).collect::<Vec<_>>());
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let installed = target.join("clients-moto/bin");
    on_path.chain([installed]).map(|directory| directory.join(name)).find(|program| program.is_file())
}
