//! Edits the configuration file.
//!
//! Comments and order are kept. The new file is written beside the old one, readable by its owner only, and
//! replaces it only if it parses as a valid configuration. A bad value leaves the old file.

use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use toml_edit::{DocumentMut, Item, Table};
use url::Url;

use super::profile::{Profile, Value};
use super::{Config, LOCAL, file, remote};
use crate::provider::Provider;
use crate::{Error, Result};

/// What [`Config::write_remote`] does with an existing remote of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Fail.
    New,
    /// Replace it.
    Replace,
    /// Keep its keys, except those that the new one sets, as after a login.
    Update,
}

impl Config {
    /// Writes a remote to the configuration file, creating it if necessary, and returns the path of the file.
    /// The configuration in memory is unchanged.
    pub fn write_remote(&self, name: &str, profile: &Profile, how: Write) -> Result<PathBuf> {
        file::check_name(name)?;
        self.edit(|document| {
            let remotes = remotes(document)?;
            let exists = remotes.contains_key(name);
            if exists && how == Write::New {
                return Err(Error::usage(format!("the remote `{name}` exists already")).hint(format!(
                    "use another name, or remove it first with `diskferry remote remove {name}`"
                )));
            }
            if !exists || how == Write::Replace {
                remotes.remove(name);
                remotes.insert(name, Item::Table(Table::new()));
            }
            let table = remotes.get_mut(name).and_then(Item::as_table_like_mut).ok_or_else(not_a_table)?;
            for (key, value) in profile.entries() {
                table.insert(key, toml_edit::value(toml_value(value)?));
            }
            Ok(())
        })
    }

    /// Removes a remote from the configuration file, and `default_remote` if that refers to it. Returns the
    /// path of the file.
    pub fn remove_remote(&self, name: &str) -> Result<PathBuf> {
        if name == LOCAL {
            return Err(Error::usage("the remote `local` is built in and cannot be removed")
                .hint("remove its drives one by one with `diskferry drive destroy local:DRIVE`"));
        }
        self.edit(|document| {
            let Some(removed) = remotes(document)?.remove(name) else {
                return Err(match self.remotes.get(name) {
                    Some(defined) => Error::usage(format!(
                        "the remote `{name}` is defined by {}, not in the configuration file",
                        defined.origin
                    ))
                    .hint("unset the variables instead"),
                    None => self.unknown(name),
                });
            };
            keep_comments(document, &removed)?;
            let default = document.get("default_remote").and_then(Item::as_str);
            if default.is_some_and(|default| default.trim_end_matches(':') == name) {
                document.remove("default_remote");
            }
            Ok(())
        })
    }

    /// Sets the default remote in the configuration file. Returns the path of the file.
    pub fn write_default(&self, name: &str) -> Result<PathBuf> {
        self.edit(|document| {
            let known =
                name == LOCAL || self.remotes.contains_key(name) || remotes(document)?.contains_key(name);
            if !known {
                return Err(self.unknown(name));
            }
            document.insert("default_remote", toml_edit::value(name));
            Ok(())
        })
    }

    /// Reads the file, edits it with `change`, validates the result and replaces the file.
    fn edit(&self, change: impl FnOnce(&mut DocumentMut) -> Result<()>) -> Result<PathBuf> {
        let path = self.path.as_deref().ok_or_else(|| {
            Error::usage("cannot determine the configuration file: HOME is not set")
                .hint("set HOME, or give the file in DISKFERRY_CONFIG or with `--config`")
        })?;
        let text = file::read_text(path)?.unwrap_or_default();
        let before = file::parse(&text, path)?;
        // The parser's own error would contain the text. It is not expected here, because the file was parsed
        // before.
        let mut document: DocumentMut =
            text.parse().map_err(|_| Error::usage(format!("cannot edit {}", path.display())))?;
        change(&mut document)?;
        let text = document.to_string();
        let after = file::parse(&text, path)?;
        let home = self.home.as_deref();
        for (name, (profile, line)) in &after.remotes {
            // Other remotes may be invalid as before; whether the edited one is valid shows in its errors.
            let origin = |line| super::Origin::File { path: path.to_owned(), line };
            let check = |profile, line| remote::resolve(name, profile, origin(line), path.parent(), home);
            let was_wrong = before.remotes.get(name).is_some_and(|(old, line)| check(old, *line).is_err());
            if !was_wrong {
                check(profile, *line)?;
            }
        }
        write_private(path, &text)?;
        Ok(path.to_owned())
    }
}

/// Writes a file atomically that only its owner can read. A symbolic link is kept and its target is written.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let failed = |e| Error::io(format!("cannot write {}", path.display()), e);
    // A missing file cannot be canonicalized; its path is used as it is.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if target.exists() && !target.is_file() {
        return Err(Error::usage(format!("cannot write {}: it is not a regular file", path.display()))
            .hint("use another file"));
    }
    let dir = match target.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    // The temporary file has mode 0600 from the start.
    let mut temporary = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    temporary.write_all(text.as_bytes()).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(&target).map_err(|e| failed(e.error))?;
    Ok(())
}

/// Returns the text of a configuration file with these remotes.
pub fn config_text<'a>(remotes: impl IntoIterator<Item = (&'a str, &'a Profile)>) -> Result<String> {
    let mut document = DocumentMut::new();
    for (name, profile) in remotes {
        let remotes = self::remotes(&mut document)?;
        let mut table = Table::new();
        for (key, value) in profile.entries() {
            table.insert(key, toml_edit::value(toml_value(value)?));
        }
        remotes.insert(name, Item::Table(table));
    }
    Ok(document.to_string())
}

/// A remote of the emulator.
pub struct EmulatedRemote {
    /// Its name in the configuration.
    pub name: String,
    /// Whose API it has.
    pub provider: Provider,
    /// Where it listens.
    pub url: Url,
    /// With `SpotCloud`, the key of the consumer and of the token alike.
    pub user: String,
    /// With `SpotCloud`, the secret of both.
    pub secret: SecretString,
}

/// The text of a configuration file with remotes of the emulator.
pub fn emulator_profile(remotes: &[EmulatedRemote], ca_file: Option<&Path>) -> Result<String> {
    let profiles: Vec<_> = remotes
        .iter()
        .map(|remote| {
            let mut profile = Profile {
                provider: Some(remote.provider.name().to_owned()),
                url: Some(remote.url.to_string()),
                ca_file: ca_file.map(Path::to_owned),
                ..Profile::default()
            };
            let (user, secret) = (Some(remote.user.clone()), Some(remote.secret.clone()));
            if remote.provider == Provider::SpotCloud {
                (profile.consumer_key, profile.consumer_secret) = (user.clone(), secret.clone());
                (profile.token, profile.token_secret) = (user, secret);
            } else {
                (profile.user, profile.secret) = (user, secret);
            }
            (&*remote.name, profile)
        })
        .collect();
    config_text(profiles.iter().map(|(name, profile)| (*name, profile)))
}

/// Returns the table of remotes, creating it if necessary.
fn remotes(document: &mut DocumentMut) -> Result<&mut dyn toml_edit::TableLike> {
    let item = document.entry("remotes").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true); // [remotes.NAME] says enough; a [remotes] above it would be noise
        Item::Table(table)
    });
    item.as_table_like_mut().ok_or_else(not_a_table)
}

/// Keeps comments above a removed remote that a blank line separates from it, because they are about the file
/// or are another remote that was commented out.
fn keep_comments(document: &mut DocumentMut, removed: &Item) -> Result<()> {
    let Some(table) = removed.as_table() else { return Ok(()) };
    let above = table.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
    let kept = above.rfind("\n\n").map_or("", |end| &above[..end + 2]);
    if kept.trim().is_empty() {
        return Ok(());
    }
    let next = remotes(document)?
        .iter_mut()
        .filter_map(|(_, item)| item.as_table_mut())
        .filter(|other| other.position() > table.position())
        .min_by_key(|other| other.position());
    if let Some(next) = next {
        let own = next.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
        let prefix = format!("{kept}{}", own.trim_start_matches('\n'));
        next.decor_mut().set_prefix(prefix);
    } else {
        let trailing = format!("{kept}{}", document.trailing().as_str().unwrap_or_default());
        document.set_trailing(trailing);
    }
    Ok(())
}

fn not_a_table() -> Error {
    Error::usage("the remotes in the configuration are not tables")
        .hint("begin a remote with `[remotes.NAME]`")
}

fn toml_value(value: Value<'_>) -> Result<toml_edit::Value> {
    Ok(match value {
        Value::Text(text) => text.into(),
        Value::Secret(secret) => secret.expose_secret().into(),
        Value::Flag(flag) => flag.into(),
        Value::Path(path) => path
            .to_str()
            .ok_or_else(|| {
                Error::usage(format!("cannot write the path {}, because it is not UTF-8", path.display()))
                    .hint("rename the file")
            })?
            .into(),
    })
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
