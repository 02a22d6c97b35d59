//! Authenticates requests: HTTP Basic, OAuth 1.0a, HTTP Signature.
//!
//! An [`Auth`] adds its headers anew to each attempt, because OAuth's nonce and the signed date of HTTP
//! Signature are valid only once. It reads the request and never changes it.

pub mod oauth;
pub mod signature;

use crate::error::{Error, Kind, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

/// The credentials of a remote, ready for use.
#[derive(Clone, Debug)]
pub enum Auth {
    /// None: requests are sent unchanged.
    None,
    /// HTTP Basic (RFC 7617). The header value is marked as sensitive.
    Basic(HeaderValue),
    /// OAuth 1.0a with HMAC-SHA1 (RFC 5849).
    OAuth(Arc<oauth::Signer>),
    /// HTTP Signature with an RSA key, in Joyent's form.
    Signature(Arc<signature::Signer>),
}

/// The parts of a request that a signature may cover.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The method.
    pub method: &'a Method,
    /// The URL as requested.
    pub url: &'a Url,
    /// The body, if it is `application/x-www-form-urlencoded`.
    pub form: Option<&'a [u8]>,
}

impl Auth {
    /// Creates the credentials of HTTP Basic.
    pub fn basic(user: &str, secret: &SecretString) -> Result<Self> {
        let encoded = SecretString::from(format!("Basic {}", Self::pair(user, secret).expose_secret()));
        sensitive(&encoded).map(Auth::Basic)
    }

    /// Returns user and secret in the base64 form of HTTP Basic, which is as secret as the secret.
    pub fn pair(user: &str, secret: &SecretString) -> SecretString {
        let pair = SecretString::from(format!("{user}:{}", secret.expose_secret()));
        BASE64.encode(pair.expose_secret()).into()
    }

    /// Adds the headers for one attempt.
    pub async fn sign(&self, request: Outgoing<'_>, headers: &mut HeaderMap) -> Result<()> {
        match self {
            Auth::None => {}
            Auth::Basic(value) => {
                headers.insert(AUTHORIZATION, value.clone());
            }
            Auth::OAuth(signer) => {
                headers.insert(AUTHORIZATION, sensitive(&signer.authorization(request)?)?);
            }
            Auth::Signature(signer) => {
                let date = signature::date();
                headers.insert(AUTHORIZATION, sensitive(&signer.authorization(&date).await?)?);
                let date = HeaderValue::from_str(&date)
                    .map_err(|e| Error::new(Kind::Auth, "cannot encode the date as a header").source(e))?;
                headers.insert(DATE, date);
            }
        }
        Ok(())
    }
}

/// Returns a header value that is hidden in logs.
fn sensitive(text: &SecretString) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text.expose_secret())
        .map_err(|_| Error::new(Kind::Auth, "cannot encode the credentials as a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn basic_is_that_of_the_standard() {
        // RFC 7617, section 2.
        let auth = Auth::basic("Aladdin", &"open sesame".into()).unwrap();
        let mut headers = HeaderMap::new();
        let url = "http://h/".parse().unwrap();
        auth.sign(Outgoing { method: &Method::GET, url: &url, form: None }, &mut headers).await.unwrap();
        assert_eq!(headers[AUTHORIZATION], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(headers[AUTHORIZATION].is_sensitive());
        assert!(!format!("{auth:?}").contains("QWxhZGRp"));
    }
}
