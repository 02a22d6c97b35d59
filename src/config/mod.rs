//! Remotes: where the accounts are, how to sign in, and which one is meant.
//!
//! A [`Config`] is one TOML file and the environment, read together:
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
//! The rules:
//!
//! - The file is the one that is named by the flag, else by `DISKFERRY_CONFIG`, else `config.toml` in the configuration
//!   directory. A file that was named must exist; the last one need not.
//! - The vendors' variables make remotes too, and these replace remotes of the same name in the file.
//! - `local:` always exists and cannot be redefined. It is the default while nothing else is configured.
//! - What is wrong with the form of the file is an error for every command. What is wrong with one remote is an error
//!   only for who uses that remote.
//! - Secrets are in [`secrecy::SecretString`] and come out only by [`Remote::secret`]; no error and no `Debug` shows
//!   one. Relative paths in the file start from the file's directory, `~/` from the home directory.

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
pub use listing::RemoteSummary;
pub use private::private_directory;
pub use profile::{Profile, Value};
use remote::is_presentable;
pub use remote::{AuthScheme, Endpoint, Origin, Remote, parse_base};
pub use service::{FarEnd, Service};
pub use target::{Object, Target, is_remote_name};
pub use write::{Write, config_text, emulator_profile, write_private};

pub(crate) use crate::provider::catalogue::nearest_word as nearest;
use crate::{Error, Result};
use secret::SecretSource;

/// The name of the remote that always exists.
pub const LOCAL: &str = "local";

/// The configuration file and the environment, resolved.
#[derive(Clone, Debug)]
pub struct Config {
    path: Option<PathBuf>,
    default: Option<(String, usize)>,
    remotes: BTreeMap<String, Defined>,
    warnings: Vec<String>,
    home: Option<PathBuf>,
}

/// A remote as it was defined, checked only when it is asked for.
#[derive(Clone, Debug)]
struct Defined {
    profile: Profile,
    origin: Origin,
    /// The variable with the secret.
    variable: Option<&'static str>,
}

/// The remote that is meant where none is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRemote {
    /// Its name.
    pub name: String,
    /// Whether it is `local:` for no other reason than that nothing is configured, which the user should be told.
    pub nothing_configured: bool,
}

impl Config {
    /// Reads the file that `flag`, else the environment, names.
    pub fn load(flag: Option<&Path>, env: &Environment) -> Result<Config> {
        Self::read(flag, env, true)
    }

    /// The same for a command that writes the file: a named file need not exist yet.
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
            return Err(Error::usage(format!("there is no configuration file {path}, which {by} names"))
                .hint("create it with `diskferry remote add`, or name another"));
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

    /// The remote of this name.
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

    /// The remote that is meant where none is named: what the file says, else the only one that is configured, else
    /// `local:`. With several to choose from it is an error.
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
                "no remote is named, and there are several: {}",
                self.remotes.keys().map(|name| format!("{name}:")).collect::<Vec<_>>().join(" ")
            ))
            .hint(format!("name one, or set default_remote = {first:?} in the configuration file"))),
        }
    }

    /// All remotes by name, `local` among them, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.remotes.keys().cloned().collect();
        names.push(LOCAL.to_owned());
        names.sort();
        names
    }

    /// The configuration file, whether it exists or not; `None` if the environment does not say where it would be.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What the user should be told about the configuration.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn unknown(&self, name: &str) -> Error {
        let names = self.names();
        let list = names.iter().map(|name| format!("`{name}:`")).collect::<Vec<_>>().join(", ");
        let near = nearest(name, names.iter().map(String::as_str));
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
