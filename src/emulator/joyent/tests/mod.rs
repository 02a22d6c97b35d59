//! CloudAPI seen from outside: raw HTTP over a real socket.

mod access;
mod analytics;
mod client;
mod machines;
mod requests;
mod tls;

use super::account::Account;
use super::machine::{Machine, State};
use super::offers::{Dataset, Kind, Package};
use crate::emulator::Dialect;
use crate::emulator::clock::now;
use crate::emulator::{Config, Emulator, Faults};
use client::{Client, Reply, Request, request};
use std::path::Path;

pub(super) const LOGIN: &str = "demo";
pub(super) const PASSWORD: &str = "secret: with colon";

/// The test key of `testdata/keys`, from `test-rsa.pub`.
pub(super) const PUBLIC: &str = include_str!("../../../../testdata/keys/test-rsa.pub");

/// The fingerprint of the test key by `ssh-keygen -l -E md5`.
pub(super) const FINGERPRINT: &str = "b8:5d:ed:86:22:dd:1a:2b:ee:d6:6f:ba:ca:79:ce:8e";

fn config(data: &Path, faults: &str) -> Config {
    Config { faults: Faults::parse(faults).unwrap(), ..Config::new(Dialect::Joyent, data, LOGIN, PASSWORD) }
}

/// An emulator with its own directory.
struct World {
    emulator: Emulator,
    data: tempfile::TempDir,
}

impl World {
    fn new(faults: &str) -> World {
        let data = tempfile::tempdir().unwrap();
        let emulator = Emulator::start_logged(config(data.path(), faults)).unwrap();
        World { emulator, data }
    }

    fn send(&self, request: &Request) -> Reply {
        Client::new(self.emulator.address()).reply(request)
    }

    fn get(&self, path: &str) -> Reply {
        self.send(&request("GET", path))
    }

    fn delete(&self, path: &str) -> Reply {
        self.send(&request("DELETE", path))
    }

    /// Sends a form by POST.
    fn post(&self, path: &str, form: &str) -> Reply {
        self.send(&request("POST", path).form(form))
    }

    /// Changes the account's file without the emulator's knowledge, as another process may.
    fn edit<T>(&self, change: impl FnOnce(&mut Account) -> T) -> T {
        let accounts = super::account::open(self.data.path(), &[]).unwrap();
        accounts.change(|account, _| Ok::<_, std::io::Error>(change(account))).unwrap()
    }

    /// Creates a machine in a state, without waiting for it, and returns its UUID.
    fn machine(&self, name: &str, kind: Kind, state: State) -> String {
        let dataset = Dataset::all().iter().find(|dataset| dataset.kind == kind).unwrap();
        let mut machine =
            Machine::new(name.to_owned(), dataset, &Package::all()[0], "10.88.88.9".to_owned(), now());
        (machine.state, machine.coming) = (state, None);
        let id = machine.id.clone();
        self.edit(|account| account.machines.push(machine));
        id
    }
}
