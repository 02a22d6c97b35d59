//! The OAuth login: request a token, have the user authorize it, exchange it for an access token (RFC 5849,
//! 2; SpotCloud Buyer API 1.2, 1.1).

use super::client::{ApiRequest, Client};
use crate::auth::Auth;
use crate::auth::oauth::{Credentials, Signer};
use crate::error::{Error, Kind, Result};
use crate::provider::catalogue::Call;
use reqwest::Url;
use secrecy::ExposeSecret;
use std::sync::Arc;

/// The path at which the user authorizes a request token.
const AUTHORIZE: &str = "/_ah/OAuthAuthorizeToken";

/// A request token.
#[derive(Clone, Debug)]
pub struct Requested {
    token: Credentials,
    /// The URL at which the user authorizes it.
    pub visit: Url,
}

impl Requested {
    /// Encodes the token with its secret, for a private file.
    pub fn to_json(&self) -> String {
        serde_json::json!({
            "key": self.token.key, "secret": self.token.secret.expose_secret(), "visit": self.visit.as_str(),
        })
        .to_string()
    }

    /// Decodes what [`Requested::to_json`] returned.
    pub fn from_json(text: &str) -> Option<Self> {
        let fields: serde_json::Value = serde_json::from_str(text).ok()?;
        let field = |name: &str| fields.get(name)?.as_str();
        Some(Self {
            token: Credentials { key: field("key")?.to_owned(), secret: field("secret")?.into() },
            visit: field("visit")?.parse().ok()?,
        })
    }
}

/// Requests a request token. The verifier is shown to the user (`oob`), because there is no server here to
/// call back.
pub async fn request_token(client: &Client, consumer: &Credentials) -> Result<Requested> {
    let signer = Signer::new(consumer.clone(), None).with("oauth_callback", "oob");
    let token = ask(client, "oauth.request_token", signer).await?;
    let mut visit = client.url(AUTHORIZE);
    visit.query_pairs_mut().append_pair("oauth_token", &token.key);
    Ok(Requested { token, visit })
}

/// Exchanges an authorized request token for an access token. A server of OAuth 1.0 shows no verifier and
/// needs none.
pub async fn access_token(
    client: &Client,
    consumer: &Credentials,
    requested: &Requested,
    verifier: Option<&str>,
) -> Result<Credentials> {
    let signer = Signer::new(consumer.clone(), Some(requested.token.clone()));
    let signer = match verifier {
        Some(verifier) => signer.with("oauth_verifier", verifier),
        None => signer,
    };
    ask(client, "oauth.access_token", signer).await
}

/// Sends one of the two signed requests. It is not retried, because a token is issued once.
async fn ask(client: &Client, id: &'static str, signer: Signer) -> Result<Credentials> {
    let call = Call::find(client.provider(), id)?;
    let client = client.with_auth(Auth::OAuth(Arc::new(signer)));
    let reply = client.call(&ApiRequest::get(call.path)).await.map_err(|e| e.context(id))?;
    let field = |name: &str| {
        url::form_urlencoded::parse(&reply.body)
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    match (field("oauth_token"), field("oauth_token_secret")) {
        (Some(key), Some(secret)) if !key.is_empty() => Ok(Credentials { key, secret: secret.into() }),
        _ => Err(Error::new(Kind::Protocol, format!("{id}: the reply has no token"))
            .hint("check the remote's url: another server may have replied")),
    }
}
