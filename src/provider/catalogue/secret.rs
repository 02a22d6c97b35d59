//! Secrets: a flag in the tables of keys marks them, and everything that prints or stores values asks here.
//!
//! A key is secret if its row says so ([`Key::secret`]). For keys whose names people make up (`user:*`,
//! `metadata.*`, `tag.*`, and undocumented keys), the words of the name decide: `root_pw`, `api-token` and
//! `mysql.password` are secret.

use super::{Key, all, answered, nearest};
use crate::provider::Provider;
use crate::wire::elastic::Properties;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// The text that replaces a secret in output.
pub const HIDDEN: &str = "(hidden)";

/// The text that replaces a secret in a command that is shown so that it can be run again. It is refused as a
/// value.
pub const GIVE_AGAIN: &str = "(hidden: give it again)";

/// A secret of fewer characters is hidden only where it stands alone, since it may be part of any word.
const SHORT: usize = 4;

/// Strings that make a name secret wherever they occur in it.
const TELLING: [&str; 8] =
    ["password", "passwd", "passphrase", "secret", "credential", "token", "privatekey", "apikey"];

/// Words that make a name secret if they are a whole word of it.
const WORDS: [&str; 4] = ["pw", "pwd", "pass", "psk"];

/// The rows of all secret keys.
static SECRET: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let sent = all().flat_map(|call| call.input.keys()).map(|(key, _)| key);
    let mut secret: Vec<Key> = Vec::new();
    for key in sent.chain(Provider::ALL.into_iter().flat_map(answered)).filter(|key| key.secret) {
        if !secret.iter().any(|known| known.name == key.name) {
            secret.push(*key);
        }
    }
    secret
});

/// Returns whether the value of a key is secret.
pub fn is_secret_key(name: &str) -> bool {
    SECRET.iter().any(|key| key.matches(name) || key.alias == Some(name)) || is_telling(name)
}

/// Returns whether a key as typed by a person is secret, or may be a misspelling of a secret key.
fn is_secret_as_typed(name: &str) -> bool {
    is_secret_key(name) || nearest::nearest(name, SECRET.iter().map(|key| (key, key.name))).is_some()
}

fn is_telling(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let letters: String = name.chars().filter(|c| !matches!(c, '-' | '_')).collect();
    TELLING.iter().any(|telling| letters.contains(telling))
        || name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| WORDS.contains(&word))
}

/// A secret of fewer characters is not searched for in texts, since a single letter occurs everywhere.
const SHORTEST: usize = 2;

/// Returns whether a value is worth hiding. Empty values, switches and placeholders are not.
fn hides(value: &str) -> bool {
    !matches!(value, "" | "true" | "false" | "on" | "off" | HIDDEN | GIVE_AGAIN)
}

/// Returns the properties of an object with its secrets hidden.
pub fn without_secrets(object: &Properties) -> Properties {
    let shown = |(key, value): (&str, &str)| {
        let hide = hides(value) && is_secret_key(key);
        (key.to_owned(), if hide { HIDDEN.to_owned() } else { value.to_owned() })
    };
    object.iter().map(shown).collect()
}

/// Returns a JSON value with its secrets hidden at any depth. Names stay visible: the fields of `credentials`
/// are users.
pub fn json_without_secrets(value: &Value) -> Value {
    hide_in(value, false)
}

fn hide_in(value: &Value, secret: bool) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), hide_in(value, secret || is_secret_key(key))))
                .collect(),
        ),
        Value::Array(items) => items.iter().map(|item| hide_in(item, secret)).collect(),
        Value::String(text) if secret && hides(text) => HIDDEN.into(),
        Value::Number(_) if secret => HIDDEN.into(),
        other => other.clone(),
    }
}

/// Returns keys and values that may be stored: secrets are replaced.
pub fn kept(keys: &[(String, String)]) -> Vec<(String, String)> {
    let hide = |(key, value): &(String, String)| hides(value) && is_secret_as_typed(key);
    let kept = |pair: &(String, String)| if hide(pair) { HIDDEN.to_owned() } else { pair.1.clone() };
    keys.iter().map(|pair| (pair.0.clone(), kept(pair))).collect()
}

/// The query parameters of a request to Azure itself. All others belong to the shared access signature, which
/// makes such a query a credential.
const ASKED_OF_AZURE: [&str; 7] = ["comp", "restype", "include", "prefix", "marker", "maxresults", "timeout"];

/// Returns a URL with the secrets in its query hidden. If it has a shared access signature (`sig`; Azure
/// Storage REST reference, `Create a service SAS`), the whole token is a secret.
pub fn url(url: &url::Url) -> String {
    let Some(query) = url.query() else { return url.to_string() };
    let signed = query.split('&').any(|pair| pair.split('=').next() == Some("sig"));
    let is_secret = |key: &str| is_secret_key(key) || (signed && !ASKED_OF_AZURE.contains(&key));
    let shown = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, value)) if hides(value) && is_secret(key) => format!("{key}={HIDDEN}"),
        None if signed => HIDDEN.to_owned(),
        _ => pair.to_owned(),
    });
    let shown = shown.collect::<Vec<_>>().join("&");
    format!("{}?{shown}", &url.as_str()[..url.as_str().find('?').unwrap_or_default()])
}

/// Returns the offset of the secret in a word of a command line, if there is one. `before` is the preceding
/// word.
fn secret_in(before: Option<&str>, word: &str) -> Option<usize> {
    // Options whose value is a secret. The value of an option that names a file or variable is not one.
    const OPTIONS: [&str; 3] = ["--secret", "--secret-command", "--verifier"];
    if before.is_some_and(|before| OPTIONS.contains(&before)) {
        return Some(0);
    }
    let mut start = 0;
    let (mut key, mut value) = word.split_once('=')?;
    if OPTIONS.contains(&key) {
        return Some(key.len() + 1);
    }
    if key.starts_with('-') {
        if let Some((inner, rest)) = value.split_once('=') {
            // --set=KEY=VALUE
            start = key.len() + 1;
            (key, value) = (inner, rest);
        } else if !key.contains(':') {
            // `--vnc-password-file=FILE` has no secret, but `--vnc:password=VALUE` is a mistyped key with
            // one.
            return None;
        }
    }
    let is_key = !key.is_empty() && !key.contains(|c: char| c == '/' || c.is_whitespace());
    (is_key && hides(value) && is_secret_as_typed(key.trim_start_matches('-')))
        .then_some(start + key.len() + 1)
}

/// Returns the words of a command line, fit to be shown and stored: each secret is replaced by
/// [`GIVE_AGAIN`].
pub fn command_without_secrets(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let words: Vec<String> = words.into_iter().collect();
    let before = std::iter::once(None).chain(words.iter().map(|word| Some(word.as_str())));
    before
        .zip(&words)
        .map(|(before, word)| match secret_in(before, word) {
            Some(at) => format!("{}{GIVE_AGAIN}", &word[..at]),
            None => word.clone(),
        })
        .collect()
}

/// Hides the secrets that this process was given or has looked up, wherever they occur in a text: a server
/// may repeat what it was sent. Clones share their secrets.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Mutex<Vec<SecretString>>>);

impl Redactor {
    /// Creates a redactor for the secrets in a command line.
    pub fn of_command<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Self {
        let new = Self::default();
        let mut before: Option<S> = None;
        for word in words {
            if let Some(at) = secret_in(before.as_ref().map(AsRef::as_ref), word.as_ref()) {
                new.hide(&word.as_ref()[at..]);
            }
            before = Some(word);
        }
        new
    }

    /// Adds a secret, in every form in which it may come back.
    pub fn hide(&self, secret: &str) {
        if !hides(secret) || secret.chars().count() < SHORTEST {
            return;
        }
        let debug = format!("{secret:?}");
        let words = secret.split_whitespace().collect::<Vec<_>>().join(" ");
        let forms = [secret, &debug[1..debug.len() - 1], &crate::wire::percent::encode(secret), &words]
            .map(str::to_owned);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for form in forms {
            if !form.is_empty() && !known.iter().any(|known| known.expose_secret() == form) {
                known.push(form.into());
            }
        }
        // The longest first, since it may contain another one.
        known.sort_by_key(|known| std::cmp::Reverse(known.expose_secret().len()));
    }

    /// Adds the secrets among keys and their values.
    pub fn hide_keys<'a>(&self, keys: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (_, value) in keys.into_iter().filter(|(key, _)| is_secret_as_typed(key)) {
            self.hide(value);
        }
    }

    /// Adds the secrets in a JSON value, at any depth.
    pub fn hide_json(&self, value: &Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match value {
                        Value::String(text) => self.hide_keys([(key.as_str(), text.as_str())]),
                        value => self.hide_json(value),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.hide_json(item)),
            _ => {}
        }
    }

    /// Returns the text with all known secrets replaced.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = Cow::Borrowed(text);
        for secret in known.iter() {
            let secret = secret.expose_secret();
            if out.contains(secret) {
                out = Cow::Owned(replaced(&out, secret));
            }
        }
        out
    }

    /// Replaces all known secrets in the strings of a JSON value.
    pub fn redact_json(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(redacted) = self.redact(text) {
                    *text = redacted;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_json(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.redact_json(field)),
            _ => {}
        }
    }
}

/// Omits the secrets.
impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

fn replaced(text: &str, secret: &str) -> String {
    if secret.chars().count() >= SHORT {
        return text.replace(secret, HIDDEN);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(secret) {
        let (before, after) = (&rest[..at], &rest[at + secret.len()..]);
        let joins = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        // The preceding character may be in `out` already.
        let previous = before.chars().next_back().or_else(|| out.chars().next_back());
        out.push_str(before);
        out.push_str(if joins(previous) || joins(after.chars().next()) { secret } else { HIDDEN });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests;
