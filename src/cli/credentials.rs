//! From a remote's profile to the credentials that go on its requests.

use crate::auth::Auth;
use crate::auth::oauth::{Credentials, Signer};
use crate::config::{AuthScheme, Environment, Remote};
use crate::error::{Error, Kind, Result};
use std::sync::Arc;

/// The credentials of a remote. Looks the secret up, which may run a command.
pub fn auth_of(remote: &Remote, env: &Environment) -> Result<Auth> {
    match remote.auth_scheme() {
        AuthScheme::Basic => {
            let user = remote.user.as_deref().ok_or_else(|| missing(remote, "user"))?;
            Auth::basic(user, &remote.secret(env)?)
        }
        AuthScheme::OAuth => {
            let consumer = consumer(remote)?;
            let (Some(key), Some(secret)) = (remote.token.clone(), remote.token_secret.clone()) else {
                return Err(Error::new(Kind::Auth, format!("remote {} has no access token", remote.name))
                    .hint(format!("get one with `diskferry remote login {}:`", remote.name)));
            };
            let token = Some(Credentials { key, secret });
            Ok(Auth::OAuth(Arc::new(Signer::new(consumer, token))))
        }
        AuthScheme::Signature => Err(Error::usage("signing with a key is not there yet")),
    }
}

/// The OAuth consumer of a remote.
pub fn consumer(remote: &Remote) -> Result<Credentials> {
    let key = remote.consumer_key.clone().ok_or_else(|| missing(remote, "consumer_key"))?;
    let secret = remote.consumer_secret.clone().ok_or_else(|| missing(remote, "consumer_secret"))?;
    Ok(Credentials { key, secret })
}

fn missing(remote: &Remote, key: &str) -> Error {
    Error::new(Kind::Auth, format!("remote {} ({}) has no {key}", remote.name, remote.origin))
        .hint(format!("add {key} to [remotes.{}]", remote.name))
}
