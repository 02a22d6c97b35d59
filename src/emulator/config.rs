//! The configuration of an emulator.

use super::{Dialect, Faults, Tls};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The provider to emulate, with its address, data and account.
#[derive(Clone)]
pub struct Config {
    /// The provider whose API is emulated.
    pub provider: Dialect,
    /// The address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The directory of the account's drives and servers. It is created if it does not exist.
    pub data: PathBuf,
    /// The account's user: a UUID, or CloudSigma's e-mail address.
    pub user: String,
    /// The account's API key or password.
    pub secret: String,
    /// The faults to deal.
    pub faults: Faults,
    /// Names and public keys, as in a `.pub` file, that a Joyent account signs requests with. Empty for other
    /// providers.
    pub keys: Vec<(String, String)>,
    /// The certificate to present, if the listener speaks TLS.
    pub tls: Option<Tls>,
    /// The appliances of a `SpotCloud` account: their keys and files. Empty for other providers.
    pub appliances: Vec<(String, PathBuf)>,
    /// Further accounts, each with its own state.
    pub accounts: Vec<AccountConfig>,
    /// Whether the log names the forms of requests that the provider's manual does not document.
    pub strict: bool,
    /// How fast the emulator's clock runs: machines boot, and bills fall due, this many times as soon.
    pub time_scale: f64,
}

/// An account besides the first one.
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
        // Leaves out the secret.
        f.debug_struct("AccountConfig").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Config {
    /// Emulates a provider for one account over a directory, on a free loopback port, without faults, keys or
    /// TLS.
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
        // Leaves out the secret.
        let Config { provider, listen, data, user, faults, .. } = self;
        write!(f, "Config {{ {provider} on {listen} over {}, user {user}, {faults:?} }}", data.display())
    }
}
