//! The remotes as shown by `remote list` and `remote show`, without secrets.

use super::profile::Value;
use super::{Config, LOCAL};
use crate::{Error, Result};

/// The properties of a remote for display.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteSummary {
    /// The name, without the colon.
    pub name: String,
    /// The name of the provider in the configuration.
    pub provider: String,
    /// The address; `None` if it is invalid or must not be shown.
    pub endpoint: Option<String>,
    /// The user, account or consumer.
    pub user: Option<String>,
    /// Where the secret comes from.
    pub secret: String,
    /// Where the remote was defined.
    pub origin: String,
    /// Whether it is the default remote.
    pub is_default: bool,
    /// Why it cannot be used, if that is so.
    pub problem: Option<String>,
}

impl Config {
    /// Returns all remotes sorted by name, including invalid ones.
    pub fn summaries(&self) -> Vec<RemoteSummary> {
        self.names().iter().filter_map(|name| self.summary(name).ok()).collect()
    }

    /// Returns a remote. An invalid definition is not an error but reported in the summary.
    pub fn summary(&self, name: &str) -> Result<RemoteSummary> {
        let is_default = self.default_remote().is_ok_and(|default| default.name == name);
        let defined = self.remotes.get(name);
        let origin = match defined {
            Some(defined) => defined.origin.to_string(),
            None if name == LOCAL => super::Origin::BuiltIn.to_string(),
            None => return Err(self.unknown(name)),
        };
        let written = defined.and_then(|defined| defined.profile.provider.clone());
        Ok(match self.remote(name) {
            Ok(remote) => RemoteSummary {
                name: name.to_owned(),
                provider: remote.provider.name().to_owned(),
                endpoint: Some(remote.endpoint.to_string()),
                user: remote.user.clone().or(remote.account.clone()).or(remote.consumer_key.clone()),
                secret: secret_words(&remote),
                origin,
                is_default,
                problem: remote.check_plain_http().err().map(|e| e.to_string()),
            },
            Err(e) => RemoteSummary {
                name: name.to_owned(),
                provider: written.unwrap_or_else(|| "unknown".into()),
                endpoint: None,
                user: None,
                secret: "unknown".into(),
                origin,
                is_default,
                problem: Some(e.to_string()),
            },
        })
    }

    /// Returns the configured keys of a remote, with secrets and commands hidden.
    pub fn show(&self, name: &str) -> Result<Vec<(&'static str, String)>> {
        let Some(defined) = self.remotes.get(name) else {
            let summary = self.summary(name)?;
            return Ok(vec![
                ("provider", summary.provider),
                ("url", summary.endpoint.unwrap_or_default()),
                ("origin", summary.origin),
            ]);
        };
        let mut shown: Vec<_> = defined
            .profile
            .entries()
            .into_iter()
            .map(|(key, value)| {
                let value = match value {
                    Value::Text(_) if key == "url" => {
                        defined.profile.url_shown().unwrap_or_default().to_owned()
                    }
                    Value::Text(text) => text.to_owned(),
                    Value::Path(path) => path.display().to_string(),
                    Value::Flag(flag) => flag.to_string(),
                    Value::Secret(_) => "(hidden)".to_owned(),
                };
                (key, value)
            })
            .collect();
        if let Some(variable) = defined.variable {
            shown.push(("secret", format!("{variable} (hidden)")));
        }
        shown.push(("origin", defined.origin.to_string()));
        Ok(shown)
    }

    /// Checks a remote without the network: its definition, that its credentials would be encrypted, and that
    /// its secret can be obtained.
    pub fn check(&self, name: &str, env: &super::Environment) -> Result<()> {
        let remote = self.remote(name)?;
        remote.check_plain_http()?;
        let missing = |what: &str, key: &str| {
            Error::new(crate::Kind::Auth, format!("remote {name} ({}): no {what}", remote.origin))
                .hint(format!("add {key} to `[remotes.{name}]`"))
        };
        match remote.auth_scheme() {
            _ if name == LOCAL => Ok(()),
            super::AuthScheme::Basic if remote.user.is_none() => Err(missing("user", "user")),
            super::AuthScheme::Basic => remote.secret(env).map(drop),
            super::AuthScheme::OAuth if remote.consumer_key.is_none() => {
                Err(missing("consumer key", "consumer_key"))
            }
            super::AuthScheme::OAuth if remote.token.is_none() || remote.token_secret.is_none() => {
                Err(missing("token", "token and token_secret")
                    .hint(format!("run `diskferry remote login {name}`")))
            }
            super::AuthScheme::Signature if remote.account.is_none() => Err(missing("account", "account")),
            super::AuthScheme::Signature if remote.key_id.is_none() => Err(missing("key id", "key_id")),
            super::AuthScheme::Bearer if remote.has_secret() => remote.secret(env).map(drop),
            super::AuthScheme::OAuth | super::AuthScheme::Signature | super::AuthScheme::Bearer => Ok(()),
        }
    }
}

fn secret_words(remote: &super::Remote) -> String {
    match remote.auth_scheme() {
        super::AuthScheme::Basic | super::AuthScheme::Bearer => remote.secret_source(),
        super::AuthScheme::OAuth => match (&remote.token, &remote.token_secret) {
            (Some(_), Some(_)) => "token (hidden)".into(),
            _ => "no token yet".into(),
        },
        super::AuthScheme::Signature => match &remote.identity {
            Some(path) => format!("identity {}", path.display()),
            None => "SSH agent".into(),
        },
    }
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
