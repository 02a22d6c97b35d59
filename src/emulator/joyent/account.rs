//! What the account has: keys, machines, instrumentations. One JSON file, `account.json` in the data directory.
//!
//! The file is the truth: it is read again when it changed, and changed under a lock of the file system. Time passes
//! only when somebody looks: what is over by then is settled by the next call.

use super::analytics::Instrumentation;
use super::failure::Failure;
use super::machine::{Machine, State};
use super::public_key::PublicKey;
use crate::emulator::clock::{Date, SECOND, now};
use crate::emulator::drives::{Stamp, load, lock, make_dir, store};
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How long a machine that was deleted can still be asked for, in microseconds: a day.
const REMEMBERED: u64 = 24 * 60 * 60 * SECOND;

/// The state of the account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Account {
    pub(super) keys: Vec<Key>,
    /// Those that were deleted too, until they are forgotten.
    pub(super) machines: Vec<Machine>,
    pub(super) instrumentations: Vec<Instrumentation>,
    /// How many instrumentations there ever were; their numbers are not used again.
    pub(super) instrumented: u64,
    /// How many addresses were ever given out.
    pub(super) addresses: u32,
}

/// A public key of the account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) name: String,
    /// As OpenSSH writes it.
    pub(super) text: String,
    /// Microseconds since the epoch.
    pub(super) created: u64,
}

impl Key {
    /// Whether a path means this key: by its name or by its fingerprint.
    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name || PublicKey::parse(&self.text).is_ok_and(|key| key.fingerprint() == name)
    }
}

impl Account {
    /// A key by its name or its fingerprint. A name that looks like another key's fingerprint is a name first.
    pub(super) fn key(&self, name: &str) -> Option<&Key> {
        let named = self.keys.iter().find(|key| key.name == name);
        named.or_else(|| self.keys.iter().find(|key| key.is(name)))
    }

    /// A machine by its UUID, deleted or not.
    pub(super) fn find(&self, id: &str) -> Result<&Machine, Failure> {
        let machine = self.machines.iter().find(|machine| machine.id.eq_ignore_ascii_case(id));
        machine.ok_or_else(|| Failure::missing("The machine", id))
    }

    /// A machine that is there, to look at.
    pub(super) fn machine(&self, id: &str) -> Result<&Machine, Failure> {
        self.find(id)?.alive()
    }

    /// A machine that is there, to change it.
    pub(super) fn machine_mut(&mut self, id: &str) -> Result<&mut Machine, Failure> {
        self.machine(id)?;
        let machine = self.machines.iter_mut().find(|machine| machine.id.eq_ignore_ascii_case(id));
        machine.ok_or_else(|| Failure::missing("The machine", id))
    }

    /// The machines that are there.
    pub(super) fn alive(&self) -> impl Iterator<Item = &Machine> {
        self.machines.iter().filter(|machine| machine.state != State::Deleted)
    }

    /// An instrumentation by its number.
    pub(super) fn instrumentation(&self, id: &str) -> Result<&Instrumentation, Failure> {
        let found = self.instrumentations.iter().find(|one| one.id == id);
        found.ok_or_else(|| Failure::missing("The instrumentation", id))
    }

    /// Whether something is over that the state does not show yet.
    fn is_due(&self, now: u64) -> bool {
        self.machines.iter().any(|machine| machine.is_due(now) || forgotten(machine, now))
    }

    /// Brings the state up to a time.
    fn settle(&mut self, now: u64) {
        self.machines.retain(|machine| !forgotten(machine, now));
        for machine in &mut self.machines {
            machine.settle(now);
        }
    }
}

fn forgotten(machine: &Machine, now: u64) -> bool {
    machine.state == State::Deleted && machine.updated.saturating_add(REMEMBERED) < now
}

/// A point in time as this API writes it, `2011-06-27T19:52:40+00:00`.
pub(super) fn iso(micros: u64) -> String {
    format!("{}+00:00", Date::of(micros).to_the_second().replace(' ', "T"))
}

/// The account on disk.
#[derive(Debug)]
pub(super) struct Accounts {
    path: PathBuf,
    known: Mutex<Option<(Arc<Account>, Stamp)>>,
}

impl Accounts {
    /// The account under a data directory, which is made if need be, with these keys among its own.
    pub(super) fn open(data: &Path, keys: &[(String, String)]) -> io::Result<Self> {
        make_dir(data)?;
        let accounts = Accounts { path: data.join("account.json"), known: Mutex::default() };
        for (name, key) in keys {
            PublicKey::parse(key)
                .map_err(|wrong| io::Error::new(ErrorKind::InvalidInput, format!("key {name}: {wrong}")))?;
            let installed = accounts.change(|account| {
                let (name, text) = (name.clone(), key.trim().to_owned());
                if account.keys.iter().any(|old| old.name == name && old.text == text) {
                    return Ok(());
                }
                account.keys.retain(|old| old.name != name);
                account.keys.push(Key { name, text, created: now() });
                Ok(())
            });
            installed.map_err(|failure| io::Error::other(failure.message))?;
        }
        Ok(accounts)
    }

    /// The account as it is now.
    pub(super) fn read(&self) -> Result<Arc<Account>, Failure> {
        let account = self.load()?;
        if account.is_due(now()) {
            self.change(|_| Ok(()))?;
            return Ok(self.load()?);
        }
        Ok(account)
    }

    /// Changes the account; if the change is refused nothing changes.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Account) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let _lock = lock(&self.path.with_extension("lock"))?;
        let mut account = Account::clone(&*self.load()?);
        account.settle(now());
        let outcome = change(&mut account)?;
        let stamp = store(&self.path, &account)?;
        *self.known() = Some((Arc::new(account), stamp));
        Ok(outcome)
    }

    fn known(&self) -> MutexGuard<'_, Option<(Arc<Account>, Stamp)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self) -> io::Result<Arc<Account>> {
        let mut known = self.known();
        let stamp = match Stamp::now(&self.path) {
            Ok(stamp) => stamp,
            // A new account has nothing.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Arc::default()),
            Err(error) => return Err(error),
        };
        if let Some((account, current)) = &*known
            && *current == stamp
        {
            return Ok(Arc::clone(account));
        }
        let (account, stamp): (Account, Stamp) = load(&self.path)?;
        let account = Arc::new(account);
        *known = Some((Arc::clone(&account), stamp));
        Ok(account)
    }
}
