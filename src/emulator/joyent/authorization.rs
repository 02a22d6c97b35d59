//! Authentication by the account's password or by the private half of one of its keys (Joyent CloudAPI 6.5,
//! "Authorization").

use super::Site;
use super::failure::{Code, Failure};
use super::public_key::PublicKey;
use super::signature::{Claim, check_date};
use crate::emulator::auth::Credentials;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, DATE};
use std::time::SystemTime;

/// Admits a request, or returns why not.
pub(super) fn check(site: &Site, credentials: &Credentials, headers: &HeaderMap) -> Result<(), Failure> {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let Some(authorization) = header(AUTHORIZATION) else {
        return Err(refused("an Authorization header is required"));
    };
    let (scheme, rest) = authorization.split_once(' ').unwrap_or((authorization, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return if credentials.allow(headers) {
            Ok(())
        } else {
            Err(refused("the login or the password is wrong"))
        };
    }
    if !scheme.eq_ignore_ascii_case("signature") {
        return Err(refused(format!("the scheme {scheme} is not supported; Basic and Signature are")));
    }
    let claim = Claim::parse(rest).map_err(refused)?;
    let date = header(DATE).ok_or_else(|| refused("a Date header is required"))?;
    check_date(date, SystemTime::now()).map_err(refused)?;
    let name = claim.key_of(&site.login).ok_or_else(|| refused("keyId names no key of this account"))?;
    let account = site.accounts.read()?;
    let key = account.key(name).ok_or_else(|| refused(format!("there is no key {name}")))?;
    let key = PublicKey::parse(&key.text).map_err(refused)?;
    if !claim.is_of(&key, date) {
        return Err(refused("the signature is not one of this key and date"));
    }
    Ok(())
}

/// Returns a 401. The manual's `NotAuthorized` is for other accounts' objects, and there is only one account
/// here.
fn refused(message: impl Into<String>) -> Failure {
    Failure::new(Code::INVALID_CREDENTIALS, message)
}
