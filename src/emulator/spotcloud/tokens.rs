//! The three steps to an access token (SpotCloud Buyer API 1.2, 1): by OAuth 1.0a with a verifier, or by
//! OAuth 1.0 with neither callback nor verifier, as in the manual's Python and PHP samples.

use super::Site;
use super::oauth::Presented;
use super::reply::{Refusal, respond};
use super::state::{RequestToken, Token};
use axum::body::Body;
use axum::http::header::{HeaderValue, LOCATION};
use axum::response::Response;
use url::form_urlencoded::Serializer;

/// The most request tokens kept; the oldest are dropped first.
const KEPT: usize = 100;

/// The `oauth_callback` of a client that no browser can reach.
const OUT_OF_BAND: &str = "oob";

fn secret() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn form(token: &Token, confirmed: bool) -> Response<Body> {
    let mut out = Serializer::new(String::new());
    out.append_pair("oauth_token", &token.key).append_pair("oauth_token_secret", &token.secret);
    if confirmed {
        out.append_pair("oauth_callback_confirmed", "true");
    }
    respond(200, "application/x-www-form-urlencoded", out.finish())
}

/// `/_ah/OAuthGetRequestToken`
pub(super) fn request(site: &Site, presented: &Presented) -> Result<Response<Body>, Refusal> {
    let token = Token { key: format!("r-{}", secret()), secret: secret() };
    let callback = presented.get("oauth_callback").map(str::to_owned);
    let reply = form(&token, callback.is_some());
    site.accounts.change(|account, _| {
        account.requests.push(RequestToken { token, callback, verifier: None });
        let surplus = account.requests.len().saturating_sub(KEPT);
        account.requests.drain(..surplus);
        Ok::<_, Refusal>(())
    })?;
    Ok(reply)
}

/// `/_ah/OAuthAuthorizeToken`: the consent page. Opening it here counts as consent.
pub(super) fn authorize(site: &Site, key: &str, callback: Option<&str>) -> Result<Response<Body>, Refusal> {
    let (verifier, callback) = site.accounts.change::<_, Refusal>(|account, _| {
        let request = account.requests.iter_mut().find(|request| request.token.key == key);
        let request = request.ok_or_else(|| Refusal::new(400, "This token is not known, or was used"))?;
        let verifier = request.verifier.get_or_insert_with(|| secret()[..12].to_owned()).clone();
        Ok((verifier, callback.map(str::to_owned).or_else(|| request.callback.clone())))
    })?;
    if let Some(Ok(mut back)) = callback.filter(|url| url != OUT_OF_BAND).map(|url| url.parse::<url::Url>()) {
        back.query_pairs_mut().append_pair("oauth_token", key).append_pair("oauth_verifier", &verifier);
        let mut response = respond(302, "text/plain", String::new());
        if let Ok(location) = HeaderValue::from_str(back.as_str()) {
            response.headers_mut().insert(LOCATION, location);
        }
        return Ok(response);
    }
    let page = format!(
        "<!DOCTYPE html>\n<title>Access granted</title>\n<p>The access is granted. The verifier is \
         <code id=\"verifier\">{verifier}</code></p>\n"
    );
    Ok(respond(200, "text/html; charset=utf-8", page))
}

/// `/_ah/OAuthGetAccessToken`. A request token can be exchanged once.
pub(super) fn access(site: &Site, presented: &Presented) -> Result<Response<Body>, Refusal> {
    let token = Token { key: format!("a-{}", secret()), secret: secret() };
    let reply = form(&token, false);
    site.accounts.change(|account, _| {
        let key = presented.get("oauth_token").unwrap_or_default();
        let at = account.requests.iter().position(|request| request.token.key == key);
        let at = at.ok_or_else(|| Refusal::new(401, "This token is not known, or was used"))?;
        let request = &account.requests[at];
        let Some(verifier) = &request.verifier else {
            return Err(Refusal::new(401, "The user has not agreed yet"));
        };
        let given = presented.get("oauth_verifier");
        if given.is_some_and(|given| given != verifier) || (given.is_none() && request.callback.is_some()) {
            return Err(Refusal::new(401, "The verifier is missing or wrong"));
        }
        account.requests.remove(at);
        account.tokens.push(token);
        Ok(())
    })?;
    Ok(reply)
}
