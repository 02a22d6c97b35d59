//! The emulator seen from outside: raw HTTP over a real socket.

mod accounts;
mod client;
mod cloudsigma;
mod control;
mod drives;
mod faults;
mod hooks;
mod servers;
mod transfer;
mod wrong;

use super::{Config, Emulator, Faults};
use crate::provider::Provider;
use client::Client;
use std::path::Path;

pub(super) const USER: &str = "6339d58e-2c04-4279-acde-dc39fe2c0bc7";
pub(super) const SECRET: &str = "secret key: with colon";

fn config(provider: Provider, data: &Path, faults: &str) -> Config {
    Config { faults: Faults::parse(faults).unwrap(), ..Config::new(provider, data, USER, SECRET) }
}

/// An emulator with its own directory, and a client of it.
struct Site {
    emulator: Emulator,
    client: Client,
    data: tempfile::TempDir,
}

impl Site {
    fn new(provider: Provider, faults: &str) -> Site {
        let data = tempfile::tempdir().unwrap();
        let emulator = Emulator::start_logged(config(provider, data.path(), faults)).unwrap();
        let client = Client::new(emulator.address());
        Site { emulator, client, data }
    }

    /// Makes a drive and gives its UUID.
    fn drive(&mut self, size: u64) -> String {
        let reply = self.client.post("/drives/create", format!("name test\nsize {size}\n"));
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.value("drive")
    }
}

#[test]
fn a_secret_is_not_shown() {
    let config = config(Provider::OpenHosting, Path::new("/nowhere"), "");
    assert!(!format!("{config:?}").contains(SECRET));
}

#[test]
fn what_cannot_be_started_says_why() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(Provider::OpenHosting, "");
    let taken = Config { listen: site.emulator.address(), ..config(Provider::OpenHosting, data.path(), "") };
    assert_eq!(Emulator::start(taken).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}
