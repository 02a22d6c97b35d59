//! Azurite, Microsoft's emulator of Azure Storage, as a server for tests, and tokens for it.
//!
//! It is looked up in `DISKFERRY_AZURITE`, on `PATH`, and in `target/clients-npm`, where `tests/clients/npm`
//! installs it.
#![allow(dead_code, reason = "every suite has a copy of its own and uses a part")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The account that every Azurite has, and its key (Azurite's README, `Default Storage Account`).
pub const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The container that exists from the start.
pub const CONTAINER: &str = "images";

/// A running server. It stops, and its data is removed, when this is dropped.
pub struct Azurite {
    child: Child,
    address: String,
    _data: tempfile::TempDir,
}

impl Azurite {
    /// Starts a server with an empty container, or returns `None` if Azurite is not installed.
    pub fn start() -> Option<Self> {
        let Some(program) = find() else {
            crate::skipped::skipped("azurite-blob is not installed (tests/clients/npm does it)");
            return None;
        };
        let data = tempfile::tempdir().unwrap();
        let mut child = Command::new(program)
            .args([
                "--blobHost",
                "127.0.0.1",
                "--blobPort",
                "0",
                "--disableProductStyleUrl",
                "--disableTelemetry",
                "--location",
            ])
            .arg(data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        // From here on a panic stops the server.
        let mut started = Self { child, address: String::new(), _data: data };
        let (tell, told) = mpsc::channel();
        // Read to the end, so that the server never blocks on a full pipe.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("listens on http://") {
                    let _ = tell.send(address.trim().to_owned());
                }
            }
        });
        started.address = told.recv_timeout(Duration::from_mins(1)).expect("Azurite does not start");
        let made = started.request("PUT", &format!("{CONTAINER}?restype=container"));
        assert!(made.starts_with("HTTP/1.1 201"), "{made}");
        Some(started)
    }

    /// Returns the container's URL.
    pub fn url(&self) -> String {
        format!("http://{}/{ACCOUNT}/{CONTAINER}", self.address)
    }

    /// Sends a request without a body, with a token of its own, and returns the whole response.
    pub fn request(&self, method: &str, path_and_query: &str) -> String {
        let (head, body) = self.exchange(method, path_and_query, "", &[]);
        format!("{head}\r\n\r\n{}", String::from_utf8_lossy(&body))
    }

    /// Creates a page blob of these bytes, a multiple of 512. Zeros are not written.
    pub fn put(&self, blob: &str, bytes: &[u8]) {
        let path = format!("{CONTAINER}/{}", path(blob));
        let size = format!("x-ms-blob-type: PageBlob\r\nx-ms-blob-content-length: {}\r\n", bytes.len());
        let (head, _) = self.exchange("PUT", &path, &size, &[]);
        assert!(head.starts_with("HTTP/1.1 201"), "{head}");
        let page = 64 << 10;
        for (n, piece) in bytes.chunks(page).enumerate().filter(|(_, piece)| piece.iter().any(|b| *b != 0)) {
            let (start, end) = (n * page, n * page + piece.len() - 1);
            let range = format!("x-ms-page-write: update\r\nx-ms-range: bytes={start}-{end}\r\n");
            let (head, _) = self.exchange("PUT", &format!("{path}?comp=page"), &range, piece);
            assert!(head.starts_with("HTTP/1.1 201"), "{head}");
        }
    }

    /// Returns the bytes of a blob.
    pub fn get(&self, blob: &str) -> Vec<u8> {
        let (head, body) = self.exchange("GET", &format!("{CONTAINER}/{}", path(blob)), "", &[]);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        body
    }

    /// Returns how many bytes of a blob are in pages that hold data.
    pub fn pages(&self, blob: &str) -> u64 {
        let (head, body) =
            self.exchange("GET", &format!("{CONTAINER}/{}?comp=pagelist", path(blob)), "", &[]);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let list = String::from_utf8(body).unwrap();
        let number = |text: &str, tag: &str| -> u64 {
            let (_, rest) = text.split_once(&format!("<{tag}>")).expect("a range has both ends");
            rest.split('<').next().unwrap_or_default().parse().expect("a number")
        };
        list.split("<PageRange>").skip(1).map(|range| number(range, "End") + 1 - number(range, "Start")).sum()
    }

    /// Sends a request with further headers, each with its line end. Returns the head and the body of the
    /// response.
    fn exchange(&self, method: &str, path_and_query: &str, headers: &str, body: &[u8]) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        let and = if path_and_query.contains('?') { '&' } else { '?' };
        let token = account_sas("2999-01-01T00:00:00Z", "rwdlac");
        write!(
            stream,
            "{method} /{ACCOUNT}/{path_and_query}{and}{token} HTTP/1.1\r\nHost: {}\r\nx-ms-version: 2020-10-02\r\n\
             {headers}Content-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        )
        .unwrap();
        stream.write_all(body).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let mut body = answer.split_off(end + 4);
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            body = dechunked(&body);
        }
        (head, body)
    }

    /// Overwrites 512 bytes of a blob with zeros, as another client would.
    pub fn interfere(&self, blob: &str) {
        let clear = "x-ms-page-write: clear\r\nx-ms-range: bytes=0-511\r\n";
        let (head, _) = self.exchange("PUT", &format!("{CONTAINER}/{}?comp=page", path(blob)), clear, &[]);
        assert!(head.starts_with("HTTP/1.1 201"), "{head}");
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("DISKFERRY_AZURITE") {
        return Some(PathBuf::from(named));
    }
    let name = "azurite-blob";
    let on_path =
        std::env::var_os("PATH").into_iter().flat_map(|all| std::env::split_paths(&all).collect::<Vec<_>>());
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
    let installed = target.join("clients-npm/node_modules/.bin");
    on_path.chain([installed]).map(|directory| directory.join(name)).find(|program| program.is_file())
}

/// Encodes a blob's name for a path.
fn path(blob: &str) -> String {
    blob.split('/').map(|part| encode(part).replace('+', "%20")).collect::<Vec<_>>().join("/")
}

/// Decodes a chunked body (RFC 9112, 7.1).
fn dechunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|two| two == b"\r\n").expect("a chunk has a size");
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
}

fn sign(text: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(KEY).unwrap()).unwrap();
    mac.update(text.as_bytes());
    encode(&STANDARD.encode(mac.finalize().into_bytes()))
}

fn encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Returns a token for everything in the account (Azure Storage REST reference, `Create an account SAS`,
/// version 2020-08-04).
pub fn account_sas(expiry: &str, permissions: &str) -> String {
    let signed = format!("{ACCOUNT}\n{permissions}\nb\nsco\n\n{expiry}\n\n\n2020-08-04\n");
    let signature = sign(&signed);
    format!("sv=2020-08-04&ss=b&srt=sco&sp={permissions}&se={}&sig={signature}", encode(expiry))
}

/// Returns a token for one blob, like a managed disk's (`Create a service SAS`, version 2018-11-09 and
/// later).
pub fn blob_sas(blob: &str, expiry: &str, permissions: &str) -> String {
    let resource = format!("/blob/{ACCOUNT}/{CONTAINER}/{blob}");
    let signed = format!("{permissions}\n\n{expiry}\n{resource}\n\n\n\n2020-08-04\nb\n\n\n\n\n\n");
    let signature = sign(&signed);
    format!("sv=2020-08-04&sr=b&sp={permissions}&se={}&sig={signature}", encode(expiry))
}
