//! A remote as it is written in the configuration: the keys of `[remotes.NAME]`, before they are validated
//! together.
//!
//! [`Profile::entries`] is the single table of the keys, used to validate, show and write them.

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

use super::service::{DiskService, Service};
use crate::provider::Provider;
use crate::{Error, Result};

/// The keys of a remote in the configuration file. A command is treated as a secret, because some users write
/// the secret into it.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Profile {
    /// The provider: one of the names of [`Service`].
    pub provider: Option<String>,
    /// The base URL.
    pub url: Option<String>,
    /// The user of HTTP Basic.
    pub user: Option<String>,
    /// The API key or password.
    #[serde(deserialize_with = "secret")]
    pub secret: Option<SecretString>,
    /// A file whose first line is the secret.
    pub secret_file: Option<PathBuf>,
    /// A shell command that prints the secret.
    #[serde(deserialize_with = "secret")]
    pub secret_command: Option<SecretString>,
    /// Joyent: the login.
    pub account: Option<String>,
    /// Joyent: the name of the key on the account.
    pub key_id: Option<String>,
    /// Joyent: the private key's file.
    pub identity: Option<PathBuf>,
    /// `SpotCloud`: the OAuth consumer's key.
    pub consumer_key: Option<String>,
    /// `SpotCloud`: the OAuth consumer's secret.
    #[serde(deserialize_with = "secret")]
    pub consumer_secret: Option<SecretString>,
    /// `SpotCloud`: the OAuth access token.
    pub token: Option<String>,
    /// `SpotCloud`: the secret of the OAuth access token.
    #[serde(deserialize_with = "secret")]
    pub token_secret: Option<SecretString>,
    /// Whether credentials may be sent over plain http to another machine.
    pub allow_http: Option<bool>,
    /// A PEM file with trusted authorities.
    pub ca_file: Option<PathBuf>,
}

/// The value of a key.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Text that may be shown.
    Text(&'a str),
    /// Text that must not be shown.
    Secret(&'a SecretString),
    /// A file.
    Path(&'a Path),
    /// A boolean.
    Flag(bool),
}

impl Profile {
    /// Returns the keys that are set, in the order in which they are written.
    pub fn entries(&self) -> Vec<(&'static str, Value<'_>)> {
        fn text(v: Option<&String>) -> Option<Value<'_>> {
            v.map(|v| Value::Text(v))
        }
        fn path(v: Option<&PathBuf>) -> Option<Value<'_>> {
            v.map(|v| Value::Path(v))
        }
        fn secret(v: Option<&SecretString>) -> Option<Value<'_>> {
            v.map(Value::Secret)
        }
        [
            ("provider", text(self.provider.as_ref())),
            ("url", text(self.url.as_ref())),
            ("user", text(self.user.as_ref())),
            ("secret", secret(self.secret.as_ref())),
            ("secret_file", path(self.secret_file.as_ref())),
            ("secret_command", secret(self.secret_command.as_ref())),
            ("account", text(self.account.as_ref())),
            ("key_id", text(self.key_id.as_ref())),
            ("identity", path(self.identity.as_ref())),
            ("consumer_key", text(self.consumer_key.as_ref())),
            ("consumer_secret", secret(self.consumer_secret.as_ref())),
            ("token", text(self.token.as_ref())),
            ("token_secret", secret(self.token_secret.as_ref())),
            ("allow_http", self.allow_http.map(Value::Flag)),
            ("ca_file", path(self.ca_file.as_ref())),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }

    /// Returns the URL for display. An invalid URL is hidden, since it may contain credentials.
    pub fn url_shown(&self) -> Option<&str> {
        self.url.as_deref().map(|url| if super::is_presentable(url) { url } else { "(hidden: not valid)" })
    }

    /// Returns whether the profile contains a secret itself, not only where to get it.
    pub fn holds_secret(&self) -> bool {
        self.secret.is_some() || self.consumer_secret.is_some() || self.token_secret.is_some()
    }

    /// Returns the provider after checking that it supports every key.
    pub(super) fn check(&self) -> Result<Service> {
        let Some(name) = &self.provider else {
            let names = Service::names().collect::<Vec<_>>().join(", ");
            return Err(Error::usage("the key `provider` is missing")
                .hint(format!("set `provider` to one of {names}")));
        };
        let provider: Service = name.parse()?;
        let known = keys(provider);
        for (key, _) in self.entries() {
            if !known.contains(&key) {
                return Err(Error::usage(format!("`{key}` is not a key of a remote of {provider}"))
                    .hint(format!("the keys for {provider} are {}", known.join(", "))));
            }
        }
        let ways: Vec<_> =
            self.entries().into_iter().map(|(k, _)| k).filter(|k| k.starts_with("secret")).collect();
        if ways.len() > 1 {
            return Err(Error::usage(format!("{} are both set", ways.join(" and "))).hint("keep one of them"));
        }
        Ok(provider)
    }
}

/// Shows the keys that are set and hides secrets.
impl fmt::Debug for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (key, value) in self.entries() {
            match self.url_shown() {
                Some(url) if key == "url" => map.entry(&key, &url),
                _ => map.entry(&key, &value),
            };
        }
        map.finish()
    }
}

/// Returns the keys that a remote of a provider may have.
fn keys(service: Service) -> &'static [&'static str] {
    let provider = match service {
        Service::Api(provider) => provider,
        Service::Disks(DiskService::Nbd) => return &["provider", "url", "ca_file"],
        Service::Disks(DiskService::Imageio | DiskService::Azure) => {
            return &["provider", "url", "secret", "secret_file", "secret_command", "allow_http", "ca_file"];
        }
    };
    match provider {
        Provider::OpenHosting | Provider::Crosspeer | Provider::CloudSigma => {
            &["provider", "url", "user", "secret", "secret_file", "secret_command", "allow_http", "ca_file"]
        }
        Provider::Joyent => &[
            "provider",
            "url",
            "account",
            "key_id",
            "identity",
            "user",
            "secret",
            "secret_file",
            "secret_command",
            "allow_http",
            "ca_file",
        ],
        Provider::SpotCloud => &[
            "provider",
            "url",
            "consumer_key",
            "consumer_secret",
            "token",
            "token_secret",
            "allow_http",
            "ca_file",
        ],
    }
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
    String::deserialize(from).map(|text| Some(text.into()))
}
