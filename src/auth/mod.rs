//! How a request proves who makes it: HTTP Basic, OAuth 1.0a, HTTP Signature.
//!
//! An [`Auth`] adds its headers to each attempt anew, since OAuth's nonce and the signed date of HTTP Signature may be
//! used only once. It sees what is sent and never changes it.

pub mod oauth;
pub mod signature;

use crate::error::{Error, Kind, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

/// The credentials of a remote, ready to be put on requests.
#[derive(Clone, Debug)]
pub enum Auth {
    /// None: the request goes as it is.
    None,
    /// HTTP Basic (RFC 7617); the header's value is marked as sensitive.
    Basic(HeaderValue),
    /// OAuth 1.0a with HMAC-SHA1 (RFC 5849).
    OAuth(Arc<oauth::Signer>),
    /// HTTP Signature with an RSA key, as Joyent has it.
    Signature(Arc<signature::Signer>),
}

/// What of a request a signature may cover.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The method.
    pub method: &'a Method,
    /// The URL as it will be requested.
    pub url: &'a Url,
    /// The body, if it is `application/x-www-form-urlencoded`.
    pub form: Option<&'a [u8]>,
}

impl Auth {
    /// User and secret of HTTP Basic.
    pub fn basic(user: &str, secret: &SecretString) -> Result<Self> {
        let encoded = SecretString::from(format!("Basic {}", Self::pair(user, secret).expose_secret()));
        sensitive(&encoded).map(Auth::Basic)
    }

    /// User and secret as HTTP Basic writes them, in base 64: as secret as the secret.
    pub fn pair(user: &str, secret: &SecretString) -> SecretString {
        let pair = SecretString::from(format!("{user}:{}", secret.expose_secret()));
        BASE64.encode(pair.expose_secret()).into()
    }

    /// Adds the headers of one attempt.
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
                    .map_err(|e| Error::new(Kind::Auth, "the date cannot be put into a header").source(e))?;
                headers.insert(DATE, date);
            }
        }
        Ok(())
    }
}

/// A header's value that no log shows.
fn sensitive(text: &SecretString) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(text.expose_secret())
        .map_err(|_| Error::new(Kind::Auth, "the credentials cannot be put into a header"))?;
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
