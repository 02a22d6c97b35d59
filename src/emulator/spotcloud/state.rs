//! What is kept of the account: tokens, instances, and what was changed about appliances. A file that several emulators may
//! use at the same time; memory is only a cache of it.

use super::reply::Refusal;
use crate::emulator::drives::{Stamp, load, lock, make_dir, store};
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The state of the account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Account {
    pub(super) requests: Vec<RequestToken>,
    pub(super) tokens: Vec<Token>,
    pub(super) instances: Vec<Instance>,
    /// Names that appliances were given.
    pub(super) names: Vec<(String, String)>,
    /// Keys of appliances that were deleted.
    pub(super) deleted: Vec<String>,
    /// How many instances there ever were; their numbers are not used again.
    pub(super) made: u64,
}

/// A token that stands for the user.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Token {
    pub(super) key: String,
    pub(super) secret: String,
}

/// A token that asks the user, and its verifier once the user has agreed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RequestToken {
    pub(super) token: Token,
    /// As it was sent; none in the manner of OAuth 1.0.
    pub(super) callback: Option<String>,
    pub(super) verifier: Option<String>,
}

/// A machine that runs an appliance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Instance {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) appliance: String,
    pub(super) hardware: String,
    /// Microseconds since the epoch.
    pub(super) created: u64,
    pub(super) address: String,
}

/// The account on disk.
#[derive(Debug)]
pub(super) struct Accounts {
    path: PathBuf,
}

impl Accounts {
    /// The account under a data directory, which is made if need be.
    pub(super) fn open(data: &Path) -> io::Result<Self> {
        make_dir(data)?;
        Ok(Accounts { path: data.join("spotcloud.json") })
    }

    /// The account as it is now.
    pub(super) fn read(&self) -> Result<Account, Refusal> {
        match load(&self.path) {
            Ok((account, Stamp { .. })) => Ok(account),
            // A new account has nothing.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Account::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes the account; if the change is refused nothing changes.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Account) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let _lock = lock(&self.path.with_extension("lock"))?;
        let mut account = self.read()?;
        let outcome = change(&mut account)?;
        store(&self.path, &account)?;
        Ok(outcome)
    }
}
