//! The parts of an elastic provider's account besides drives: servers, resources, groups, profile and money.

mod billing;
mod network;
mod server;

pub(super) use billing::{Ledger, MINUTES_BILLED, Money, Product, Subscription};
pub(super) use network::Resource;
pub(super) use server::{Server, Status, is_device};

use super::answer::Refusal;
use super::drives::Drives;
use super::properties::Properties;
use super::store::{Settle, Store};
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;

/// The account's state: `account.json` beside the drives.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Account {
    pub(super) servers: Vec<Server>,
    pub(super) resources: Vec<Resource>,
    pub(super) groups: Vec<Group>,
    /// The profile keys that were set.
    pub(super) profile: Properties,
    pub(super) ledger: Ledger,
}

pub(super) type Accounts = Store<Account>;

/// A group of servers (CloudSigma API 1.0, "UI API").
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) uuid: String,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) servers: Vec<String>,
}

/// The costs of usage.
#[derive(Debug)]
pub(super) struct Costs {
    pub(super) drives: Arc<Drives>,
    /// Whether usage is billed: if the provider reports it, or if there is a limit.
    pub(super) bills: bool,
    pub(super) limit: Option<Money>,
}

impl Costs {
    /// Returns the total size of all drives in bytes.
    pub(super) fn disk(&self) -> io::Result<u64> {
        Ok(self.drives.all()?.iter().map(|drive| drive.record().size).fold(0, u64::saturating_add))
    }
}

impl Account {
    /// Returns a server by its UUID, for changes.
    pub(super) fn server(&mut self, uuid: &str) -> Result<&mut Server, Refusal> {
        let server = self.servers.iter_mut().find(|server| server.uuid.eq_ignore_ascii_case(uuid));
        server.ok_or_else(|| Refusal::missing(format!("Server {uuid} does not exist")))
    }

    /// Returns a server by its UUID.
    pub(super) fn find_server(&self, uuid: &str) -> Result<&Server, Refusal> {
        let server = self.servers.iter().find(|server| server.uuid.eq_ignore_ascii_case(uuid));
        server.ok_or_else(|| Refusal::missing(format!("Server {uuid} does not exist")))
    }

    pub(super) fn group(&mut self, uuid: &str) -> Result<&mut Group, Refusal> {
        let group = self.groups.iter_mut().find(|group| group.uuid.eq_ignore_ascii_case(uuid));
        group.ok_or_else(|| Refusal::missing(format!("Server group {uuid} does not exist")))
    }

    /// Returns the running servers that use a drive, each with the device that the drive is attached as.
    pub(super) fn claims(&self, drive: &str) -> Vec<(&Server, &str)> {
        let running = self.servers.iter().filter(|server| server.status.runs());
        let device =
            |server: &'_ Server| server.devices().position(|(_, uuid)| uuid.eq_ignore_ascii_case(drive));
        let used =
            running.filter_map(|server| server.devices().nth(device(server)?).map(|(key, _)| (server, key)));
        used.collect()
    }
}

impl Settle for Account {
    type Context = Costs;

    fn is_due(&self, costs: &Costs, now: u64) -> bool {
        costs.bills && self.ledger.is_due(now)
            || self.servers.iter().any(|server| server.ends.is_some_and(|ends| ends <= now))
    }

    fn settle(&mut self, costs: &Costs, now: u64) -> io::Result<()> {
        self.ledger.limit = costs.limit;
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
        if costs.bills && self.ledger.is_due(now) {
            self.bill(now, costs.disk()?);
        }
        Ok(())
    }
}
