//! The credentials of a remote, from its profile.

use super::output::Output;
use super::prompt;
use crate::auth::Auth;
use crate::auth::oauth::{self, Credentials};
use crate::auth::signature::agent::Agent;
use crate::auth::signature::public::PublicKey;
use crate::auth::signature::{Key, Signer, key};
use crate::config::{AuthScheme, Environment, Origin, Remote};
use crate::error::{Error, Kind, Result};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

/// Returns the credentials of a remote. This looks up the secret, which may run a command.
pub async fn auth_of(remote: &Remote, env: &Environment, output: &Output) -> Result<Auth> {
    // Check this before a secret is looked up.
    remote.check_plain_http()?;
    match remote.auth_scheme() {
        AuthScheme::Basic => {
            let user = remote.user.as_deref().ok_or_else(|| missing(remote, "user"))?;
            let secret = remote.secret(env)?;
            hide(&secret, output);
            hide(&Auth::pair(user, &secret), output);
            Auth::basic(user, &secret)
        }
        AuthScheme::OAuth => {
            let consumer = consumer(remote)?;
            let (Some(key), Some(secret)) = (remote.token.clone(), remote.token_secret.clone()) else {
                return Err(Error::new(Kind::Auth, format!("remote `{}:` has no access token", remote.name))
                    .hint(format!("get one with `diskferry remote login {}:`", remote.name)));
            };
            hide(&secret, output);
            hide(&consumer.secret, output);
            let token = Some(Credentials { key, secret });
            Ok(Auth::OAuth(Arc::new(oauth::Signer::new(consumer, token))))
        }
        AuthScheme::Bearer => Ok(Auth::None),
        AuthScheme::Signature => signer(remote, env, output).await.map(|s| Auth::Signature(Arc::new(s))),
    }
}

/// Returns the secret of a remote that has no user, if it has one. The secret is a ticket or a token.
pub fn bearer(remote: &Remote, env: &Environment, output: &Output) -> Result<Option<SecretString>> {
    remote.check_plain_http()?;
    if !remote.has_secret() {
        return Ok(None);
    }
    let secret = remote.secret(env)?;
    hide(&secret, output);
    Ok(Some(secret))
}

/// Returns the signer of a remote: with the private key in the file `identity`, or with a key of the SSH
/// agent. If the file is a public key, the agent must hold the private one.
async fn signer(remote: &Remote, env: &Environment, output: &Output) -> Result<Signer> {
    let account = remote.account.as_deref().ok_or_else(|| missing(remote, "account"))?;
    let at = |error: Error| error.context(format_args!("remote {}", remote.name));
    let public = match &remote.identity {
        Some(path) if path.extension().is_some_and(|ending| ending == "pub") => {
            Some(PublicKey::read(path).map_err(at)?)
        }
        _ => None,
    };
    let (key, fingerprint) = match &remote.identity {
        Some(path) if public.is_none() => {
            let mut passphrase = || {
                if remote.has_secret() {
                    remote.secret(env)
                } else {
                    prompt::secret(&format!("passphrase of {}", path.display()))
                }
            };
            let loaded = key::load(path, &mut passphrase).map_err(at)?;
            if let Some(warning) = &loaded.warning {
                output.warn(warning);
            }
            (Key::Held(loaded.pair), loaded.public.md5())
        }
        _ => {
            let socket = env.path("SSH_AUTH_SOCK").ok_or_else(|| {
                at(Error::new(Kind::Auth, "no key to sign with")).hint(
                    "set `identity` to the file of a private key, or start an SSH agent (`SSH_AUTH_SOCK`)",
                )
            })?;
            let agent = Agent::find(&socket, remote.key_id.as_deref(), public.as_ref()).await.map_err(at)?;
            let fingerprint = agent.public().md5();
            (Key::Agent(agent), fingerprint)
        }
    };
    // A key of an account can also be addressed by its fingerprint.
    Signer::new(account, remote.key_id.as_deref().unwrap_or(&fingerprint), key).map_err(at)
}

/// Returns the OAuth consumer of a remote.
pub fn consumer(remote: &Remote) -> Result<Credentials> {
    let key = remote.consumer_key.clone().ok_or_else(|| missing(remote, "consumer_key"))?;
    let secret = remote.consumer_secret.clone().ok_or_else(|| missing(remote, "consumer_secret"))?;
    Ok(Credentials { key, secret })
}

/// Hides a secret from all messages, even if a server repeats it.
fn hide(secret: &SecretString, output: &Output) {
    output.redactor().hide(secret.expose_secret());
}

fn missing(remote: &Remote, key: &str) -> Error {
    Error::new(Kind::Auth, format!("remote `{}:` ({}) has no `{key}`", remote.name, remote.origin)).hint(
        match &remote.origin {
            Origin::Environment(variables) => {
                // This variable holds both the user and the secret, but had no colon to separate them.
                let variable = variables.iter().find(|name| name.ends_with("AUTH")).unwrap_or(&"OHAUTH");
                format!("write the user, a colon and the secret: `export {variable}=USER:SECRET`")
            }
            _ => format!("add `{key}` to `[remotes.{}]`", remote.name),
        },
    )
}
