//! Remotes: the accounts, how to sign in, and the default.
//!
//! A [`Config`] combines a TOML file with the environment:
//!
//! ```toml
//! default_remote = "oh"
//!
//! [remotes.oh]
//! provider = "openhosting"
//! url = "https://api-east1.openhosting.com/"
//! user = "6339d58e-…"
//! secret_command = "pass show openhosting"   # or secret_file = "…", or secret = "…"
//! ```
//!
//! Rules:
//!
//! - The file is given by the flag, else by `DISKFERRY_CONFIG`, else it is `config.toml` in the configuration
//!   directory. A file that was given must exist; the default need not.
//! - The vendors' variables define remotes too, which replace remotes of the same name in the file.
//! - `local:` always exists and cannot be redefined. It is the default if nothing else is configured.
//! - A malformed file is an error for every command. An invalid remote is an error only for commands that use
//!   it.
//! - Secrets are held in [`secrecy::SecretString`] and returned only by [`Remote::secret`]; no error and no
//!   `Debug` shows one. Relative paths in the file start from the file's directory, `~/` from the home
//!   directory.

mod environment;
mod file;
mod listing;
mod private;
mod profile;
mod remote;
mod secret;
mod service;
mod target;
pub mod value;
mod vendor;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use environment::{Dirs, Environment};
pub use file::check_name;
pub use listing::RemoteSummary;
pub use private::private_directory;
pub use profile::{Profile, Value};
use remote::is_presentable;
pub use remote::{AuthScheme, Endpoint, Origin, Remote, parse_address, parse_base};
pub use service::{DiskService, Service};
pub use target::{Object, Target, is_remote_name};
pub use write::{EmulatedRemote, Write, config_text, emulator_profile, write_private};

use crate::nearest::nearest;
use crate::{Error, Result};
use secret::SecretSource;

/// The name of the built-in remote.
pub const LOCAL: &str = "local";

/// The configuration file and the environment, combined.
#[derive(Clone, Debug)]
pub struct Config {
    path: Option<PathBuf>,
    default: Option<(String, usize)>,
    remotes: BTreeMap<String, Defined>,
    warnings: Vec<String>,
    home: Option<PathBuf>,
}

/// A remote as defined; it is validated when it is used.
#[derive(Clone, Debug)]
struct Defined {
    profile: Profile,
    origin: Origin,
    /// The variable with the secret.
    variable: Option<&'static str>,
}

/// The remote that is used if none is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRemote {
    /// Its name.
    pub name: String,
    /// Whether it is `local:` only because nothing is configured, which the user should be told.
    pub nothing_configured: bool,
}

impl Config {
    /// Reads the file given by `flag` or by the environment.
    pub fn load(flag: Option<&Path>, env: &Environment) -> Result<Config> {
        Self::read(flag, env, true)
    }

    /// Like [`Config::load`], for a command that writes the file: it need not exist yet.
    pub fn load_or_new(flag: Option<&Path>, env: &Environment) -> Result<Config> {
        Self::read(flag, env, false)
    }

    fn read(flag: Option<&Path>, env: &Environment, must_exist: bool) -> Result<Config> {
        let named = match flag {
            Some(path) => Some((path.to_owned(), "--config")),
            None => env.path("DISKFERRY_CONFIG").map(|path| (path, "DISKFERRY_CONFIG")),
        };
        let path = match &named {
            Some((path, _)) => Some(path.clone()),
            None => env.config_dir().map(|dir| dir.join("config.toml")),
        };
        let read = path.as_deref().map(file::read).transpose()?.flatten();
        if let (None, Some((path, by)), true) = (&read, &named, must_exist) {
            let path = path.display();
            return Err(Error::usage(format!("no configuration file {path}, which is given by {by}"))
                .hint("create it with `diskferry remote add`, or use another file"));
        }
        let (file, warnings) = read.unwrap_or_default();
        let mut config = Config {
            path,
            default: file.default_remote,
            remotes: BTreeMap::new(),
            warnings,
            home: env.path("HOME"),
        };
        for (name, (profile, line)) in file.remotes {
            let origin = Origin::File { path: config.path.clone().unwrap_or_default(), line };
            config.remotes.insert(name, Defined { profile, origin, variable: None });
        }
        for vendor::Made { name, profile, secret, variables } in vendor::remotes(env) {
            let origin = Origin::Environment(variables);
            config.remotes.insert(name.to_owned(), Defined { profile, origin, variable: secret });
        }
        Ok(config)
    }

    /// Returns a remote by its name.
    pub fn remote(&self, name: &str) -> Result<Remote> {
        if name == LOCAL {
            return Ok(Remote::local());
        }
        let defined = self.remotes.get(name).ok_or_else(|| self.unknown(name))?;
        let base = match &defined.origin {
            Origin::File { path, .. } => path.parent(),
            _ => None,
        };
        let home = self.home.as_deref();
        let mut remote = remote::resolve(name, &defined.profile, defined.origin.clone(), base, home)?;
        if let Some(variable) = defined.variable {
            remote.secret = SecretSource::Variable(variable);
        }
        Ok(remote)
    }

    /// Returns the remote to use if none is given: the default in the file, else the only configured one,
    /// else `local:`. It is an error if there are several.
    pub fn default_remote(&self) -> Result<DefaultRemote> {
        let this = |name: &str| DefaultRemote { name: name.to_owned(), nothing_configured: false };
        if let Some((name, line)) = &self.default {
            if name != LOCAL && !self.remotes.contains_key(name) {
                let path = self.path.as_deref().unwrap_or(Path::new("")).display();
                return Err(self.unknown(name).context(format_args!("{path}:{line}: default_remote")));
            }
            return Ok(this(name));
        }
        let mut names = self.remotes.keys();
        match (names.next(), names.next()) {
            (None, _) => Ok(DefaultRemote { name: LOCAL.into(), nothing_configured: true }),
            (Some(only), None) => Ok(this(only)),
            (Some(first), Some(_)) => Err(Error::usage(format!(
                "no remote given, and there are several: {}",
                self.remotes.keys().map(|name| format!("{name}:")).collect::<Vec<_>>().join(" ")
            ))
            .hint(format!("give one, or set `default_remote = {first:?}` in the configuration file"))),
        }
    }

    /// Returns the names of all remotes, including `local`, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.remotes.keys().cloned().collect();
        names.push(LOCAL.to_owned());
        names.sort();
        names
    }

    /// Returns the path of the configuration file, whether it exists or not, or `None` if the environment
    /// does not determine it.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns warnings about the configuration.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn unknown(&self, name: &str) -> Error {
        let names = self.names();
        let list = names.iter().map(|name| format!("`{name}:`")).collect::<Vec<_>>().join(", ");
        let near = nearest(name, names.iter().map(|name| (name, name.as_str())));
        let hint = match (vendor::variables_for(name), near) {
            (Some(variables), _) => format!("the remotes are {list}; set {variables} to make `{name}:`"),
            (None, Some(near)) => format!("did you mean `{near}:`? The remotes are {list}"),
            (None, None) => format!("the remotes are {list}; `diskferry remote add` adds one"),
        };
        Error::usage(format!("there is no remote `{name}:`")).hint(hint)
    }
}

#[cfg(test)]
mod tests;
