//! Reads the configuration file.
//!
//! An error has the file, the line and, for an unknown key, the nearest known one. It shows neither the line
//! nor a value, since either may be a secret. For the same reason the TOML parser's own error, which contains
//! the whole text, is converted here and not passed on.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::LOCAL;
use super::profile::Profile;
use super::target::is_remote_name;
use crate::nearest::nearest;
use crate::{Error, Result};

/// The contents of the file.
#[derive(Debug, Default)]
pub(super) struct File {
    /// The default remote, and the line that sets it.
    pub default_remote: Option<(String, usize)>,
    /// The remotes, each with its first line.
    pub remotes: BTreeMap<String, (Profile, usize)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    default_remote: Option<Spanned<String>>,
    #[serde(default)]
    remotes: BTreeMap<Spanned<String>, Profile>,
}

/// Reads and parses the file. Also returns warnings about its permissions. Returns `None` if it does not
/// exist.
pub(super) fn read(path: &Path) -> Result<Option<(File, Vec<String>)>> {
    let Some(text) = read_text(path)? else { return Ok(None) };
    let file = parse(&text, path)?;
    let mut warnings = Vec::new();
    if file.remotes.values().any(|(profile, _)| profile.holds_secret())
        && let Ok(metadata) = fs::metadata(path)
        && metadata.permissions().mode() & 0o044 != 0
    {
        let path = path.display();
        warnings.push(format!(
            "{path} contains a secret and is readable by others: run `chmod 600 {path}`, or use `secret_command`"
        ));
    }
    Ok(Some((file, warnings)))
}

/// Returns the text of the file, or `None` if it does not exist.
pub(super) fn read_text(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(format!("cannot read the configuration {}", path.display()), e)),
    }
}

/// Parses the text of a configuration file. `path` is used in errors.
pub(super) fn parse(text: &str, path: &Path) -> Result<File> {
    let at = |line: usize| format!("{}:{line}", path.display());
    let raw: Raw = toml::from_str(text).map_err(|e| {
        let start = e.span().map(|span| span.start);
        let place = start.map_or_else(|| path.display().to_string(), |start| at(line(text, start)));
        explain(e.message(), start.and_then(|start| key_at(text, start))).context(place)
    })?;
    let mut file = File::default();
    if let Some(name) = raw.default_remote {
        let line = line(text, name.span().start);
        let name = name.into_inner();
        // Accept a colon after the name, as on the command line.
        let name = name.strip_suffix(':').map(str::to_owned).unwrap_or(name);
        file.default_remote = Some((name, line));
    }
    for (name, profile) in raw.remotes {
        let line = line(text, name.span().start);
        let name = name.into_inner();
        check_name(&name).map_err(|e| e.context(at(line)))?;
        file.remotes.insert(name, (profile, line));
    }
    Ok(file)
}

/// Returns an error if a name cannot be that of a remote.
pub fn check_name(name: &str) -> Result<()> {
    if name == LOCAL {
        return Err(Error::usage("the name `local` is reserved for the built-in emulator")
            .hint("use another name for the remote"));
    }
    if !is_remote_name(name) {
        return Err(Error::usage(format!("`{name}` is not a valid name of a remote"))
            .hint("use letters, digits, `_`, `.` and `-`, but no `-` at the beginning, as in my-cloud"));
    }
    Ok(())
}

/// Returns the line number of a byte, from 1.
fn line(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count() + 1
}

/// Returns the key of the `key = value` line that contains a byte, if it is a plain one.
fn key_at(text: &str, at: usize) -> Option<&str> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |n| n + 1);
    let (key, _) = text.get(start..)?.lines().next()?.split_once('=')?;
    let key = key.trim();
    let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    plain.then_some(key)
}

/// Converts a message of the TOML parser, removing the values that it repeats.
fn explain(message: &str, key: Option<&str>) -> Error {
    if message.starts_with("unknown field") {
        // unknown field `X`, expected one of `A`, `B`
        let mut names = message.split('`').skip(1).step_by(2);
        let unknown = names.next().unwrap_or_default();
        let known: Vec<_> = names.collect();
        let list = known.join(", ");
        let hint = match nearest(unknown, known.into_iter().map(|known| (known, known))) {
            Some(near) => format!("did you mean `{near}`? The keys here are {list}"),
            None => format!("the keys here are {list}"),
        };
        return Error::usage(format!("unknown key `{unknown}`")).hint(hint);
    }
    // invalid type: integer `12345`, expected a string
    let without_value = message.strip_prefix("invalid ").and_then(|rest| {
        let (found, expected) = rest.rsplit_once(", expected ")?;
        let (_, found) = found.split_once(": ")?;
        let found = found.split(['`', '"']).next()?.trim_end();
        Some(format!("{} expected {expected}, got {found}", key.map_or("here", |k| k)))
    });
    let message = without_value.unwrap_or_else(|| message.trim_end().replace('\n', "; "));
    Error::usage(message).hint("the configuration is TOML: put text in double quotes, as in user = \"me\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Error {
        parse(text, Path::new("/c.toml")).expect_err(text)
    }

    #[test]
    fn remotes_know_their_lines() -> Result<()> {
        let text = "default_remote = \"b:\"\n\n[remotes.a]\nuser = \"u\"\n\n[remotes.b]\nuser = \"v\"\n";
        let file = parse(text, Path::new("/c.toml"))?;
        assert_eq!(file.default_remote, Some(("b".into(), 1)));
        assert_eq!(file.remotes["a"].1, 3);
        assert_eq!(file.remotes["b"].1, 6);
        let file = parse("[remotes]\na.user = \"u\"\nb = { user = \"v\" }\n", Path::new("/c.toml"))?;
        assert_eq!((file.remotes["a"].1, file.remotes["b"].1), (2, 3));
        Ok(())
    }

    #[test]
    fn an_unknown_key_names_file_line_and_the_nearest() {
        let e = refused("[remotes.oh]\nprovider = \"openhosting\"\nsecretcommand = \"x\"\n");
        assert_eq!(e.kind().exit_code(), 2);
        assert!(e.to_string().contains("/c.toml:3: unknown key `secretcommand`"), "{e}");
        assert!(
            e.hint_text().unwrap_or_default().contains("did you mean `secret_command`?"),
            "{:?}",
            e.hint_text()
        );
        let e = refused("defaultremote = \"x\"\n");
        assert!(e.to_string().contains("/c.toml:1"), "{e}");
        assert!(e.hint_text().unwrap_or_default().contains("default_remote"), "{:?}", e.hint_text());
    }

    #[test]
    fn no_error_shows_a_value() {
        for text in [
            "[remotes.a]\nsecret = 8412345\n",
            "[remotes.a]\nsecret = [\"8412345\"]\n",
            "[remotes.a]\nallow_http = \"8412345\"\n",
            "[remotes.a]\nallow_http = \"8412345, expected 8412345\"\n",
            "[remotes]\na = \"8412345\"\n",
            "[remotes.a]\nsecret = \"8412345\n",
            "[remotes.a]\nsecret = 8412345x\n",
            "[remotes.a]\nsecret = x8412345\n",
            "[remotes.a]\nsecret 8412345\n",
            "[remotes.a]\nsecret = \"x\\8412345\"\n",
            "[remotes.a]\nsecret = \"x\" 8412345\n",
            "default_remote = 8412345\n",
        ] {
            let e = refused(text);
            assert!(e.to_string().starts_with("/c.toml:"), "{e}");
            assert!(!format!("{e} {e:?} {:?}", e.hint_text()).contains("8412345"), "{text} {e:?}");
        }
        let e = refused("[remotes.a]\nuser = \"u\"\nsecret = 8412345\n");
        assert!(e.to_string().contains("/c.toml:3: secret"), "{e}");
        assert!(e.to_string().contains("expected a string, got integer"), "{e}");
    }

    proptest::proptest! {
        /// However a file is broken, the error does not contain the secret.
        #[test]
        fn no_slip_of_the_pen_shows_the_secret(
            edits in proptest::collection::vec((0..200usize, "[\"'=\\[\\]{}.,#\n\\\\ x0-]?"), 1..5)
        ) {
            let (before, after) = (
                "[remotes.a]\nprovider = \"openhosting\"\nurl = \"https://h/\"\nsecret = \"",
                "\"\nuser = \"me\"\n[remotes.b]\nsecret = 'x'\nallow_http = true\n",
            );
            let mut text: Vec<_> = before.chars().chain(['\0']).chain(after.chars()).collect();
            for (at, new) in edits {
                let at = at % text.len();
                if text[at] != '\0' {
                    text.splice(at..=at, new.chars());
                }
            }
            let text: String = text.into_iter().collect();
            if let Err(e) = parse(&text.replace('\0', "hunter2"), Path::new("/c.toml")) {
                proptest::prop_assert!(!format!("{e:?} {:?}", e.hint_text()).contains("hunter2"), "{e:?}");
            }
        }
    }

    #[test]
    fn local_and_names_out_of_reach_are_refused() {
        let e = refused("\n[remotes.local]\nuser = \"u\"\n");
        assert!(e.to_string().contains("/c.toml:2") && e.to_string().contains("local"), "{e}");
        for name in ["my cloud", "a:b", "-x", "é", ""] {
            let e = refused(&format!("[remotes.\"{name}\"]\nuser = \"u\"\n"));
            assert!(e.to_string().contains("not a valid name"), "{e}");
        }
    }
}
