//! The emulator over the wire: raw HTTP over a real socket.

mod accounts;
pub(super) mod client;
mod cloudsigma;
mod control;
mod drives;
mod faults;
mod hooks;
mod manual;
mod servers;
mod transfer;
mod wrong;

use super::{Config, Emulator, Faults};
use crate::emulator::Dialect;
use client::Client;
use std::path::Path;

pub(super) const USER: &str = "6339d58e-2c04-4279-acde-dc39fe2c0bc7";
pub(super) const SECRET: &str = "secret key: with colon";

fn config(provider: Dialect, data: &Path, faults: &str) -> Config {
    Config { faults: Faults::parse(faults).unwrap(), ..Config::new(provider, data, USER, SECRET) }
}

/// An emulator with its own directory, and its client.
struct Site {
    emulator: Emulator,
    client: Client,
    data: tempfile::TempDir,
}

impl Site {
    fn new(provider: Dialect, faults: &str) -> Site {
        let data = tempfile::tempdir().unwrap();
        let emulator = Emulator::start_logged(config(provider, data.path(), faults)).unwrap();
        let client = Client::new(emulator.address());
        Site { emulator, client, data }
    }

    /// Creates a drive and returns its UUID.
    fn drive(&mut self, size: u64) -> String {
        let reply = self.client.post("/drives/create", format!("name test\nsize {size}\n"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.value("drive")
    }
}

#[test]
fn a_secret_is_not_shown() {
    let config = config(Dialect::OpenHosting, Path::new("/nowhere"), "");
    assert!(!format!("{config:?}").contains(SECRET));
}

#[test]
fn what_cannot_be_started_says_why() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(Dialect::OpenHosting, "");
    let taken = Config { listen: site.emulator.address(), ..config(Dialect::OpenHosting, data.path(), "") };
    assert_eq!(Emulator::start(taken).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

/// Code that both sides share could be wrong on both sides at once.
#[test]
fn the_emulator_shares_no_code_with_the_client() {
    let mut dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/emulator")];
    let mut files = 0;
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for (n, line) in text.lines().enumerate() {
                for (at, krate) in line.match_indices(concat!("crate", "::")) {
                    let module = &line[at + krate.len()..];
                    assert!(module.starts_with("emulator"), "{}:{}: {line}", path.display(), n + 1);
                }
            }
            files += 1;
        }
    }
    assert!(files > 50, "{files}");
}
