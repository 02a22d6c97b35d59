//! What the account has beside drives: servers, resources, groups, its profile and its money. One JSON file,
//! `account.json` beside the drives.
//!
//! As with drives the file is the truth: it is read again when it changed, and changed under a lock of the file system.
//! Time passes only when somebody looks: a shutdown that is over, or use that is due to be billed, is settled by the
//! next call.

mod billing;
mod network;
mod server;

pub(super) use billing::{Ledger, MINUTES_BILLED, Money, PRICES, Subscription, SubscriptionKind};
pub(super) use network::{Resource, ResourceKind};
pub(super) use server::{Server, Status, is_device};

use super::answer::Refusal;
use super::clock::now;
use super::drives::{Drives, Stamp, load, lock, store};
use crate::wire::elastic::Properties;
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The state of the account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Account {
    pub(super) servers: Vec<Server>,
    pub(super) resources: Vec<Resource>,
    pub(super) groups: Vec<Group>,
    /// What of the profile was set.
    #[serde(with = "pairs")]
    pub(super) profile: Properties,
    pub(super) ledger: Ledger,
}

/// A group of servers (CloudSigma API 1.0, "UI API").
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) uuid: String,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) servers: Vec<String>,
}

impl Account {
    /// A server by its UUID, to change it.
    pub(super) fn server(&mut self, uuid: &str) -> Result<&mut Server, Refusal> {
        let server = self.servers.iter_mut().find(|server| server.uuid.eq_ignore_ascii_case(uuid));
        server.ok_or_else(|| Refusal::missing(format!("Server {uuid} does not exist")))
    }

    /// A server by its UUID, to look at.
    pub(super) fn find_server(&self, uuid: &str) -> Result<&Server, Refusal> {
        let server = self.servers.iter().find(|server| server.uuid.eq_ignore_ascii_case(uuid));
        server.ok_or_else(|| Refusal::missing(format!("Server {uuid} does not exist")))
    }

    /// A group by its UUID.
    pub(super) fn group(&mut self, uuid: &str) -> Result<&mut Group, Refusal> {
        self.groups
            .iter_mut()
            .find(|group| group.uuid.eq_ignore_ascii_case(uuid))
            .ok_or_else(|| Refusal::missing(format!("Server group {uuid} does not exist")))
    }

    /// The running servers that use a drive, each with the device it is.
    pub(super) fn claims(&self, drive: &str) -> Vec<(&Server, String)> {
        self.servers
            .iter()
            .filter(|server| server.status.runs())
            .filter_map(|server| {
                let device = server.devices().find(|(_, uuid)| uuid.eq_ignore_ascii_case(drive));
                device.map(|(key, _)| (server, key.to_owned()))
            })
            .collect()
    }

    /// Brings the state up to a time.
    fn settle(&mut self, now: u64) {
        for server in &mut self.servers {
            if server.ends.is_some_and(|ends| ends <= now) {
                server.stop();
            }
        }
        self.servers.retain(|server| !server.gone);
        let servers: Vec<&str> = self.servers.iter().map(|server| &*server.uuid).collect();
        for group in &mut self.groups {
            group.servers.retain(|server| servers.contains(&&**server));
        }
    }
}

/// The account on disk.
#[derive(Debug)]
pub(super) struct Accounts {
    path: PathBuf,
    drives: Arc<Drives>,
    /// Whether use costs anything.
    bills: bool,
    limit: Option<Money>,
    known: Mutex<Option<(Arc<Account>, Stamp)>>,
}

impl Accounts {
    /// The account under a data directory. Use is billed where the provider tells of it, or where there is a limit.
    pub(super) fn open(data: &Path, drives: Arc<Drives>, bills: bool, limit: Option<Money>) -> Self {
        let bills = bills || limit.is_some();
        Accounts { path: data.join("account.json"), drives, bills, limit, known: Mutex::default() }
    }

    /// The account as it is now.
    pub(super) fn read(&self) -> Result<Arc<Account>, Refusal> {
        let account = self.load()?;
        let now = now();
        let ended = account.servers.iter().any(|server| server.ends.is_some_and(|ends| ends <= now));
        if ended || self.bills && account.ledger.is_due(now) {
            self.change(|_| Ok(()))?;
            return Ok(self.load()?);
        }
        Ok(account)
    }

    /// Changes the account; if the change is refused nothing changes.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Account) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let _lock = lock(&self.path.with_extension("lock"))?;
        let mut account = Account::clone(&*self.load()?);
        account.settle(now());
        if self.bills && account.ledger.is_due(now()) {
            account.bill(now(), self.disk()?);
        }
        let outcome = change(&mut account)?;
        account.settle(now());
        let stamp = store(&self.path, &account)?;
        *self.known() = Some((Arc::new(account), stamp));
        Ok(outcome)
    }

    /// Bytes of all drives.
    pub(super) fn disk(&self) -> Result<u64, Refusal> {
        Ok(self.drives.all()?.iter().map(|drive| drive.record().size).fold(0, u64::saturating_add))
    }

    fn known(&self) -> MutexGuard<'_, Option<(Arc<Account>, Stamp)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self) -> io::Result<Arc<Account>> {
        let mut known = self.known();
        let stamp = match Stamp::now(&self.path) {
            Ok(stamp) => stamp,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // A new account has nothing.
                let mut new = Account::default();
                new.ledger.set_limit(self.limit);
                return Ok(Arc::new(new));
            }
            Err(error) => return Err(error),
        };
        if let Some((account, current)) = &*known
            && *current == stamp
        {
            return Ok(Arc::clone(account));
        }
        let (mut account, stamp): (Account, Stamp) = load(&self.path)?;
        account.ledger.set_limit(self.limit);
        let account = Arc::new(account);
        *known = Some((Arc::clone(&account), stamp));
        Ok(account)
    }
}

/// Properties as a list of pairs, which keeps their order.
pub(super) mod pairs {
    use crate::wire::elastic::Properties;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in crate::emulator) fn serialize<S: Serializer>(
        properties: &Properties,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(properties.iter())
    }

    pub(in crate::emulator) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Properties, D::Error> {
        Vec::<(String, String)>::deserialize(from).map(|pairs| pairs.into_iter().collect())
    }
}
