//! The state of the account: keys, machines, instrumentations.

use super::analytics::Instrumentation;
use super::failure::Failure;
use super::machine::{Machine, State};
use super::public_key::PublicKey;
use crate::emulator::clock::SECOND;
use crate::emulator::store::{Settle, Store};
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::path::Path;

/// How long a deleted machine can still be queried, in microseconds: a day.
const REMEMBERED: u64 = 24 * 60 * 60 * SECOND;

/// The state of the account: `account.json` in the data directory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Account {
    pub(super) keys: Vec<Key>,
    /// The machines, including deleted ones until they are forgotten.
    pub(super) machines: Vec<Machine>,
    pub(super) instrumentations: Vec<Instrumentation>,
    /// How many instrumentations were ever created; their numbers are not reused.
    pub(super) instrumented: u64,
    /// How many addresses were ever assigned.
    pub(super) addresses: u32,
}

pub(super) type Accounts = Store<Account>;

/// A public key of the account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) name: String,
    /// The key in OpenSSH's format.
    pub(super) text: String,
    /// When it was added, in microseconds since the epoch.
    pub(super) created: u64,
}

impl Account {
    /// Returns a key by its name or its fingerprint. A name that equals another key's fingerprint takes
    /// precedence.
    pub(super) fn key(&self, name: &str) -> Option<&Key> {
        let is = |key: &&Key| PublicKey::parse(&key.text).is_ok_and(|key| key.fingerprint() == name);
        self.keys.iter().find(|key| key.name == name).or_else(|| self.keys.iter().find(is))
    }

    /// Returns a machine that exists.
    pub(super) fn machine(&self, id: &str) -> Result<&Machine, Failure> {
        let machine = self.machines.iter().find(|machine| machine.id.eq_ignore_ascii_case(id));
        machine.ok_or_else(|| Failure::missing("The machine", id))?.alive()
    }

    /// Returns a machine that exists, for changes.
    pub(super) fn machine_mut(&mut self, id: &str) -> Result<&mut Machine, Failure> {
        self.machine(id)?;
        let machine = self.machines.iter_mut().find(|machine| machine.id.eq_ignore_ascii_case(id));
        machine.ok_or_else(|| Failure::missing("The machine", id))
    }

    /// Returns the machines that exist.
    pub(super) fn alive(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(|machine| machine.state != State::Deleted)
    }

    /// Returns an instrumentation by its number.
    pub(super) fn instrumentation(&mut self, id: &str) -> Result<&mut Instrumentation, Failure> {
        let found = self.instrumentations.iter_mut().find(|one| one.id == id);
        found.ok_or_else(|| Failure::missing("The instrumentation", id))
    }
}

impl Settle for Account {
    type Context = ();

    fn is_due(&self, _context: &(), now: u64) -> bool {
        self.machines.iter().any(|machine| machine.is_due(now) || forgotten(machine, now))
            || self.instrumentations.iter().any(|one| one.is_idle(now))
    }

    fn settle(&mut self, _context: &(), now: u64) -> io::Result<()> {
        self.machines.retain(|machine| !forgotten(machine, now));
        self.machines.iter_mut().for_each(|machine| machine.settle(now));
        self.instrumentations.retain(|one| !one.is_idle(now));
        Ok(())
    }
}

fn forgotten(machine: &Machine, now: u64) -> bool {
    machine.state == State::Deleted && machine.updated.saturating_add(REMEMBERED) < now
}

/// Opens the account under a data directory, and adds these keys to its own.
pub(super) fn open(data: &Path, keys: &[(String, String)]) -> io::Result<Accounts> {
    let accounts = Accounts::open(data.join("account.json"), ())?;
    for (name, text) in keys {
        PublicKey::parse(text)
            .map_err(|wrong| io::Error::new(ErrorKind::InvalidInput, format!("key {name}: {wrong}")))?;
        accounts.change(|account, now| {
            let (name, text) = (name.clone(), text.trim().to_owned());
            if !account.keys.iter().any(|old| old.name == name && old.text == text) {
                account.keys.retain(|old| old.name != name);
                account.keys.push(Key { name, text, created: now });
            }
            Ok::<_, io::Error>(())
        })?;
    }
    Ok(accounts)
}
