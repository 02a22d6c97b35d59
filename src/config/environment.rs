//! The process's environment, taken once, and the directories that follow from it.
//!
//! Nothing in this crate reads a variable anywhere else, so a test can say what the environment is. A variable that is
//! set to nothing counts as not set, as the shell's `${NAME:-}` and the XDG directory specification have it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A snapshot of environment variables.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The variables of this process. A process without `HOME` gets its user's home directory, if there is one.
    pub fn process() -> Self {
        let mut new = Environment(std::env::vars_os().collect());
        if new.os("HOME").is_none()
            && let Some(home) = std::env::home_dir()
        {
            new.0.insert("HOME".into(), home.into());
        }
        new
    }

    /// An environment of just these variables.
    pub fn from_pairs<K: Into<OsString>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Environment(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }

    /// The value of a variable that is set, not empty and valid UTF-8.
    pub fn get(&self, name: &str) -> Option<String> {
        self.os(name)?.to_str().map(str::to_owned)
    }

    /// The value of a variable that names a file or directory.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.os(name).map(PathBuf::from)
    }

    /// All variables, to hand on to a command.
    pub(super) fn all(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.0.iter().map(|(k, v)| (&**k, &**v))
    }

    fn os(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(|v| &**v).filter(|v| !v.is_empty())
    }

    /// `$VARIABLE/diskferry`, or `$HOME/FALLBACK/diskferry`. The specification has relative paths ignored.
    fn xdg(&self, variable: &str, fallback: &str) -> Option<PathBuf> {
        let base = self.path(variable).filter(|p| p.is_absolute());
        Some(base.or_else(|| Some(self.path("HOME")?.join(fallback)))?.join("diskferry"))
    }

    /// The directory of the configuration file, if the environment says enough to know it.
    pub(super) fn config_dir(&self) -> Option<PathBuf> {
        self.xdg("XDG_CONFIG_HOME", ".config")
    }
}

/// The names alone: values may be credentials.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment ")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Where diskferry keeps its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    /// The configuration: `$XDG_CONFIG_HOME/diskferry`, or `~/.config/diskferry`.
    pub config: PathBuf,
    /// What is kept: `$XDG_DATA_HOME/diskferry`, or `~/.local/share/diskferry`.
    pub data: PathBuf,
    /// What can be lost at the price of work: `$XDG_STATE_HOME/diskferry`, or `~/.local/state/diskferry`.
    pub state: PathBuf,
}

impl Dirs {
    /// The directories that the environment names. Nothing is created.
    pub fn from_environment(env: &Environment) -> Result<Self> {
        let find = |variable: &str, fallback: &str| {
            env.xdg(variable, fallback).ok_or_else(|| {
                Error::usage(format!(
                    "there is no place for diskferry's files: neither HOME nor {variable} is set"
                ))
                .hint(format!("set HOME, or set {variable} to the full path of a directory"))
            })
        };
        Ok(Dirs {
            config: find("XDG_CONFIG_HOME", ".config")?,
            data: find("XDG_DATA_HOME", ".local/share")?,
            state: find("XDG_STATE_HOME", ".local/state")?,
        })
    }

    /// Where the drives of `local:` are.
    pub fn local(&self) -> PathBuf {
        self.data.join("local")
    }

    /// Where it is kept who on this machine writes to what.
    pub fn destinations(&self) -> PathBuf {
        self.state.join("destinations")
    }

    /// Where it is kept what disks hold, chunk by chunk.
    pub fn contents(&self) -> PathBuf {
        self.state.join("contents")
    }

    /// Where it is kept which members of a set are done.
    pub fn sets(&self) -> PathBuf {
        self.state.join("sets")
    }

    /// Where the journals of transfers are.
    pub fn transfers(&self) -> PathBuf {
        self.state.join("transfers")
    }
}

/// `path` with a leading `~/` replaced by the home directory; anything else as it is.
pub(super) fn expand_home(path: &Path, home: Option<&Path>) -> Result<PathBuf> {
    match (path.strip_prefix("~"), home) {
        (Err(_), _) => Ok(path.to_owned()),
        (Ok(rest), Some(home)) => Ok(home.join(rest)),
        (Ok(_), None) => Err(Error::usage(format!(
            "{} begins with ~, but there is no home directory: HOME is not set",
            path.display()
        ))
        .hint("set HOME, or write the full path")),
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
