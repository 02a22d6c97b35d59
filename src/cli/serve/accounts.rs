//! The accounts that `serve` accepts: of the options, and of a file.

use crate::emulator::AccountConfig;
use crate::error::{Error, Result};
use crate::provider::Provider;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

/// The user where none is given.
const USER: &str = "11111111-1111-4111-8111-111111111111";

/// An account.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) user: String,
    pub(super) secret: String,
    /// Whether nobody gave the secret.
    pub(super) made_up: bool,
    /// Names and texts of public SSH keys.
    keys: Vec<(String, String)>,
    appliances: Vec<(String, PathBuf)>,
}

impl Account {
    fn new(user: String, secret: Option<String>) -> Self {
        let made_up = secret.is_none();
        let secret = secret.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        Account { user, secret, made_up, keys: Vec::new(), appliances: Vec::new() }
    }

    /// The account as a provider has it.
    pub(super) fn of(&self, provider: Provider) -> AccountConfig {
        AccountConfig {
            user: self.user.clone(),
            secret: self.secret.clone(),
            keys: if provider == Provider::Joyent { self.keys.clone() } else { Vec::new() },
            appliances: if provider == Provider::SpotCloud { self.appliances.clone() } else { Vec::new() },
        }
    }
}

/// The file of `--accounts`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountsFile {
    accounts: Vec<FileAccount>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileAccount {
    user: String,
    secret: Option<String>,
    /// Joyent's public keys by name, as `.pub` files.
    #[serde(default)]
    keys: BTreeMap<String, PathBuf>,
    /// `SpotCloud`'s appliances by key.
    #[serde(default)]
    appliances: BTreeMap<String, PathBuf>,
}

/// The accounts of the options, those of the file behind them; one of our own where there are none.
pub(super) fn read(users: &[String], secrets: &[String], file: Option<&Path>) -> Result<Vec<Account>> {
    let mut users = users.to_vec();
    if users.is_empty() && (file.is_none() || !secrets.is_empty()) {
        users.push(USER.to_owned());
    }
    if secrets.len() > users.len() {
        let (given, users) = (secrets.len(), users.len());
        return Err(Error::usage(format!("--secret is given {given} times, for {users} of --user"))
            .hint("give each user a secret: `--user alice --secret a --user bob --secret b`"));
    }
    let secrets = secrets.iter().cloned().map(Some).chain(std::iter::repeat(None));
    let mut accounts: Vec<Account> =
        users.into_iter().zip(secrets).map(|(user, secret)| Account::new(user, secret)).collect();
    if let Some(path) = file {
        accounts.extend(of_file(path)?);
    }
    let mut seen = HashSet::new();
    if let Some(twice) = accounts.iter().find(|account| !seen.insert(account.user.to_ascii_lowercase())) {
        return Err(Error::usage(format!("user {} is given twice", twice.user))
            .hint("give each account a user of its own"));
    }
    if accounts.iter().any(|account| account.user.is_empty()) {
        return Err(Error::usage("a user has no name").hint("`--user alice`"));
    }
    Ok(accounts)
}

fn of_file(path: &Path) -> Result<Vec<Account>> {
    let wrong = |error: String| {
        Error::usage(format!("cannot use --accounts {}: {}", path.display(), error.trim_end()))
            .hint("each account is `[[accounts]]` with `user = \"…\"` and `secret = \"…\"`")
    };
    let text = String::from_utf8(super::read(path)?).map_err(|e| wrong(e.to_string()))?;
    let file: AccountsFile = toml::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    if file.accounts.is_empty() {
        return Err(wrong("it has no accounts".to_owned()));
    }
    // Its own paths are from where it is.
    let dir = path.parent().unwrap_or(Path::new("."));
    let account = |account: FileAccount| -> Result<Account> {
        let FileAccount { user, secret, keys, appliances } = account;
        let mut account = Account::new(user, secret);
        for (name, file) in keys {
            account.keys.push((name, public_key(&dir.join(file))?));
        }
        for (key, file) in appliances {
            account.appliances.push((key, appliance(dir.join(file))?));
        }
        Ok(account)
    };
    file.accounts.into_iter().map(account).collect()
}

/// The accounts with keys and appliances of the options, which are the first one's.
pub(super) fn with_keys(
    mut accounts: Vec<Account>,
    keys: &[String],
    appliances: &[String],
) -> Result<Vec<Account>> {
    if let Some(first) = accounts.first_mut() {
        for text in keys {
            let (name, path) = named_file("--key", text, "laptop=id_rsa.pub")?;
            first.keys.push((name, public_key(&path)?));
        }
        for text in appliances {
            let (key, path) = named_file("--appliance", text, "ubuntu=disk.img.gz")?;
            first.appliances.push((key, appliance(path)?));
        }
    }
    Ok(accounts)
}

fn named_file(option: &str, text: &str, example: &str) -> Result<(String, PathBuf)> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.to_owned(), path.into())),
        _ => Err(Error::usage(format!("{option} {text}: expected NAME=FILE"))
            .hint(format!("`{option} {example}`"))),
    }
}

fn public_key(path: &Path) -> Result<String> {
    String::from_utf8(super::read(path)?).map_err(|_| {
        Error::usage(format!("{} is not a public key", path.display()))
            .hint("name the file that ends in .pub")
    })
}

fn appliance(path: PathBuf) -> Result<PathBuf> {
    let shown = path.display();
    let meta =
        std::fs::metadata(&path).map_err(|e| Error::io(format!("cannot read the appliance {shown}"), e))?;
    if !meta.is_file() {
        return Err(Error::usage(format!("the appliance {shown} is not a file"))
            .hint("name an image, as in `--appliance ubuntu=disk.img.gz`"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    fn file(text: &str) -> Result<Vec<Account>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accounts.toml");
        std::fs::write(dir.path().join("a.pub"), "ssh-rsa AAAA a").unwrap();
        std::fs::write(&path, text).unwrap();
        read(&[], &[], Some(&path))
    }

    #[test]
    fn users_and_secrets_go_in_pairs() {
        let accounts = read(&strings(&["alice", "bob"]), &strings(&["a"]), None).unwrap();
        let seen: Vec<_> = accounts.iter().map(|a| (&*a.user, a.made_up)).collect();
        assert_eq!(seen, [("alice", false), ("bob", true)]);
        assert_eq!(accounts[0].secret, "a");
        let alone = read(&[], &strings(&["s"]), None).unwrap();
        assert_eq!((&*alone[0].user, &*alone[0].secret), (USER, "s"));
        for (users, secrets, says) in [
            (&["alice"][..], &["a", "b"][..], "2 times, for 1"),
            (&["alice", "Alice"], &[], "twice"),
            (&[""], &[], "no name"),
        ] {
            let error = read(&strings(users), &strings(secrets), None).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(says) && error.hint_text().is_some(), "{error}");
        }
    }

    #[test]
    fn a_file_has_accounts_with_keys() {
        let accounts = file(
            "[[accounts]]\nuser = \"alice\"\nsecret = \"a\"\nkeys = { laptop = \"a.pub\" }\n\
             [[accounts]]\nuser = \"bob\"\n",
        )
        .unwrap();
        assert_eq!(accounts.len(), 2);
        assert_eq!(accounts[0].of(Provider::Joyent).keys, [("laptop".into(), "ssh-rsa AAAA a".into())]);
        assert!(accounts[0].of(Provider::Crosspeer).keys.is_empty() && accounts[1].made_up);
        for (text, says) in [
            ("accounts = []", "no accounts"),
            ("[[accounts]]\nsecret = \"a\"", "user"),
            ("[[accounts]]\nuser = \"a\"\npassword = \"a\"", "password"),
            ("[[accounts]]\nuser = \"a\"\nappliances = { x = \".\" }", "not a file"),
        ] {
            let error = file(text).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(says) && error.hint_text().is_some(), "{text}: {error}");
        }
    }
}
