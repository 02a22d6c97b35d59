//! What an emulator is started with.

use super::{Dialect, Faults, Tls};
use std::net::SocketAddr;
use std::path::PathBuf;

/// What to emulate, and where.
#[derive(Clone)]
pub struct Config {
    /// Whose API.
    pub provider: Dialect,
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The directory that the account's drives and servers are kept in; made if it is not there.
    pub data: PathBuf,
    /// The account's user: a UUID, or CloudSigma's e-mail address.
    pub user: String,
    /// The account's API key or password.
    pub secret: String,
    /// What goes wrong.
    pub faults: Faults,
    /// Names and public keys, as in a `.pub` file, that a Joyent account signs requests with; others have none.
    pub keys: Vec<(String, String)>,
    /// What the listener shows where it speaks TLS.
    pub tls: Option<Tls>,
    /// Keys of appliances that a `SpotCloud` account has, and the files that they are; others have none.
    pub appliances: Vec<(String, PathBuf)>,
    /// Further accounts, each with state of its own.
    pub accounts: Vec<AccountConfig>,
    /// Whether the log names the forms of requests that the provider's manual does not have.
    pub strict: bool,
    /// How fast the emulator's clock runs: machines boot, and what is billed is due, this many times as soon.
    pub time_scale: f64,
}

/// An account beside the first one.
#[derive(Clone)]
pub struct AccountConfig {
    /// As [`Config::user`].
    pub user: String,
    /// As [`Config::secret`].
    pub secret: String,
    /// As [`Config::keys`].
    pub keys: Vec<(String, String)>,
    /// As [`Config::appliances`].
    pub appliances: Vec<(String, PathBuf)>,
}

impl std::fmt::Debug for AccountConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the secret.
        f.debug_struct("AccountConfig").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Config {
    /// A provider on a free port of loopback, over a directory, for one account; without faults, keys or TLS.
    pub fn new(
        provider: impl Into<Dialect>,
        data: impl Into<PathBuf>,
        user: impl Into<String>,
        secret: impl Into<String>,
    ) -> Self {
        Config {
            provider: provider.into(),
            listen: ([127, 0, 0, 1], 0).into(),
            data: data.into(),
            user: user.into(),
            secret: secret.into(),
            faults: Faults::default(),
            keys: Vec::new(),
            tls: None,
            appliances: Vec::new(),
            accounts: Vec::new(),
            strict: false,
            time_scale: 1.0,
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the secret.
        let Config { provider, listen, data, user, faults, .. } = self;
        write!(f, "Config {{ {provider} on {listen} over {}, user {user}, {faults:?} }}", data.display())
    }
}
