//! The account's state: tokens, instances, and changes of appliances.

use crate::emulator::store::{Settle, Store};
use serde::{Deserialize, Serialize};
use std::io;

/// The state of the account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Account {
    pub(super) requests: Vec<RequestToken>,
    pub(super) tokens: Vec<Token>,
    pub(super) instances: Vec<Instance>,
    /// Appliances that were renamed: their keys and names.
    pub(super) names: Vec<(String, String)>,
    /// Keys of appliances that were deleted.
    pub(super) deleted: Vec<String>,
    /// How many instances were ever created; their numbers are not reused.
    pub(super) made: u64,
}

pub(super) type Accounts = Store<Account>;

impl Settle for Account {
    type Context = ();

    fn is_due(&self, _context: &(), now: u64) -> bool {
        self.instances.iter().any(|instance| instance.deadline <= now)
    }

    /// Removes instances past their deadline, when they terminate themselves (SpotCloud Buyer API 1.2, 2.2).
    fn settle(&mut self, _context: &(), now: u64) -> io::Result<()> {
        self.instances.retain(|instance| instance.deadline > now);
        Ok(())
    }
}

/// A token that represents the user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Token {
    pub(super) key: String,
    pub(super) secret: String,
}

/// A token that waits for the user's consent, and its verifier once the user has agreed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RequestToken {
    pub(super) token: Token,
    /// The callback that was sent; none in the OAuth 1.0 flow.
    pub(super) callback: Option<String>,
    pub(super) verifier: Option<String>,
}

/// A machine that runs an appliance. Points in time are microseconds since the epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Instance {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) appliance: String,
    pub(super) hardware: String,
    pub(super) created: u64,
    pub(super) deadline: u64,
    pub(super) address: String,
}
