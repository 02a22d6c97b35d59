//! A snapshot of the process's environment, and the directories derived from it.
//!
//! No other module reads environment variables, so tests can set the environment. A variable with an empty
//! value counts as unset, as in the shell's `${NAME:-}` and the XDG base directory specification.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A snapshot of environment variables.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// Takes the variables of this process. If `HOME` is unset, the user's home directory is used, if there
    /// is one.
    pub fn process() -> Self {
        let mut new = Environment(std::env::vars_os().collect());
        if new.os("HOME").is_none()
            && let Some(home) = std::env::home_dir()
        {
            new.0.insert("HOME".into(), home.into());
        }
        new
    }

    /// Creates an environment of these variables only.
    pub fn from_pairs<K: Into<OsString>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Environment(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }

    /// Returns the value of a variable that is set, not empty and valid UTF-8.
    pub fn get(&self, name: &str) -> Option<String> {
        self.os(name)?.to_str().map(str::to_owned)
    }

    /// Returns the value of a variable that contains a path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.os(name).map(PathBuf::from)
    }

    /// Returns all variables, to pass to a command.
    pub(super) fn all(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(k, v)| (&**k, &**v))
    }

    fn os(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(|v| &**v).filter(|v| !v.is_empty())
    }

    /// Returns `$VARIABLE/diskferry` or `$HOME/FALLBACK/diskferry`. Relative paths are ignored, as the
    /// specification requires.
    fn xdg(&self, variable: &str, fallback: &str) -> Option<PathBuf> {
        let base = self.path(variable).filter(|p| p.is_absolute());
        Some(base.or_else(|| Some(self.path("HOME")?.join(fallback)))?.join("diskferry"))
    }

    /// Returns the directory of the configuration file, if the environment determines it.
    pub(super) fn config_dir(&self) -> Option<PathBuf> {
        self.xdg("XDG_CONFIG_HOME", ".config")
    }
}

/// Shows only the names, since values may be credentials.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment ")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The directories of diskferry's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    /// Configuration: `$XDG_CONFIG_HOME/diskferry` or `~/.config/diskferry`.
    pub config: PathBuf,
    /// Data: `$XDG_DATA_HOME/diskferry` or `~/.local/share/diskferry`.
    pub data: PathBuf,
    /// State, whose loss costs only work: `$XDG_STATE_HOME/diskferry` or `~/.local/state/diskferry`.
    pub state: PathBuf,
}

impl Dirs {
    /// Derives the directories from the environment. Nothing is created.
    pub fn from_environment(env: &Environment) -> Result<Self> {
        let find = |variable: &str, fallback: &str| {
            env.xdg(variable, fallback).ok_or_else(|| {
                Error::usage(format!(
                    "cannot determine the directories of diskferry: neither HOME nor {variable} is set"
                ))
                .hint(format!("set HOME, or set {variable} to an absolute path"))
            })
        };
        Ok(Dirs {
            config: find("XDG_CONFIG_HOME", ".config")?,
            data: find("XDG_DATA_HOME", ".local/share")?,
            state: find("XDG_STATE_HOME", ".local/state")?,
        })
    }

    /// Returns the directory of the drives of `local:`.
    pub fn local(&self) -> PathBuf {
        self.data.join("local")
    }

    /// Returns the directory of the destination files.
    pub fn destinations(&self) -> PathBuf {
        self.state.join("destinations")
    }

    /// Returns the directory of the records of disk contents.
    pub fn contents(&self) -> PathBuf {
        self.state.join("contents")
    }

    /// Returns the directory of the notes about sets.
    pub fn sets(&self) -> PathBuf {
        self.state.join("sets")
    }

    /// Returns the directory of the journals.
    pub fn transfers(&self) -> PathBuf {
        self.state.join("transfers")
    }
}

/// Replaces a leading `~/` by the home directory.
pub(super) fn expand_home(path: &Path, home: Option<&Path>) -> Result<PathBuf> {
    match (path.strip_prefix("~"), home) {
        (Err(_), _) => Ok(path.to_owned()),
        (Ok(rest), Some(home)) => Ok(home.join(rest)),
        (Ok(_), None) => Err(Error::usage(format!("{} begins with ~, but HOME is not set", path.display()))
            .hint("set HOME, or use an absolute path")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn the_xdg_variables_come_before_home() -> Result<()> {
        let env = Environment::from_pairs([("HOME", "/h"), ("XDG_DATA_HOME", "/d"), ("XDG_STATE_HOME", "")]);
        let dirs = Dirs::from_environment(&env)?;
        assert_eq!(dirs.config, Path::new("/h/.config/diskferry"));
        assert_eq!(dirs.local(), Path::new("/d/diskferry/local"));
        assert_eq!(dirs.transfers(), Path::new("/h/.local/state/diskferry/transfers"));
        Ok(())
    }

    #[test]
    fn a_relative_xdg_path_is_ignored() -> Result<()> {
        let env = Environment::from_pairs([("HOME", "/h"), ("XDG_DATA_HOME", "here")]);
        assert_eq!(Dirs::from_environment(&env)?.data, Path::new("/h/.local/share/diskferry"));
        Ok(())
    }

    #[test]
    fn no_home_is_an_error_that_names_the_variable() {
        let e = Dirs::from_environment(&Environment::from_pairs([("XDG_CONFIG_HOME", "/c")])).unwrap_err();
        assert_eq!(e.kind(), Kind::Usage);
        assert!(e.to_string().contains("XDG_DATA_HOME"), "{e}");
    }

    #[test]
    fn debug_shows_names_and_no_values() {
        let shown = format!("{:?}", Environment::from_pairs([("OHAUTH", "user:hunter2")]));
        assert!(shown.contains("OHAUTH") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn home_is_expanded_only_at_the_start() -> Result<()> {
        let home = Some(Path::new("/h"));
        assert_eq!(expand_home(Path::new("~/k"), home)?, Path::new("/h/k"));
        assert_eq!(expand_home(Path::new("/a/~/k"), home)?, Path::new("/a/~/k"));
        assert_eq!(expand_home(Path::new("~other/k"), home)?, Path::new("~other/k"));
        assert_eq!(expand_home(Path::new("~/k"), None).unwrap_err().kind(), Kind::Usage);
        Ok(())
    }
}
