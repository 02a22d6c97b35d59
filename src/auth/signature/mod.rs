//! HTTP Signature with an RSA key, in the form of Joyent's `CloudAPI` 6.5 ("Authorization"): the value of the
//! `Date` header is signed (RSASSA-PKCS1-v1_5 with SHA-256), and the header is `Signature
//! keyId="/LOGIN/keys/NAME",algorithm="rsa-sha256" BASE64`.
//!
//! The manual prints the key id once without quotes; servers of its time required them. The key is in a file
//! ([`key`]) or in an SSH agent ([`agent`]).

pub mod agent;
mod cost;
pub mod key;
mod pem;
pub mod public;

use crate::error::{Error, Kind, Result};
use agent::Agent;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::SecretString;
use std::fmt;
use std::time::SystemTime;

/// Signs requests.
pub struct Signer {
    key_id: String,
    key: Key,
}

/// A private key.
pub enum Key {
    /// In memory.
    Held(KeyPair),
    /// In an SSH agent.
    Agent(Agent),
}

impl Signer {
    /// Creates a signer for an account's key. `name` is the name of the key on the account, its fingerprint,
    /// or the complete `/LOGIN/keys/NAME`.
    pub fn new(account: &str, name: &str, key: Key) -> Result<Self> {
        let key_id = if name.starts_with('/') { name.to_owned() } else { format!("/{account}/keys/{name}") };
        // "the `keyId` parameter cannot use the my shortcut" (Joyent CloudAPI 6.5, "Appendix").
        if key_id.starts_with("/my/") {
            return Err(Error::usage("the id of a key must have the account, not `my`")
                .hint("set `account` to the login"));
        }
        if key_id.contains(['"', '\\']) || key_id.chars().any(char::is_control) {
            return Err(Error::usage(format!("`{key_id}` is not a valid id of a key")));
        }
        Ok(Self { key_id, key })
    }

    /// Returns the value of the `Authorization` header for a request with this `Date`.
    pub async fn authorization(&self, date: &str) -> Result<SecretString> {
        let signature = match &self.key {
            Key::Held(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), date.as_bytes(), &mut signature)
                    .map_err(|e| Error::new(Kind::Auth, "cannot sign with the key").source(e))?;
                signature
            }
            Key::Agent(agent) => agent.sign(date.as_bytes()).await?,
        };
        let coded = BASE64.encode(signature);
        Ok(format!("Signature keyId=\"{}\",algorithm=\"rsa-sha256\" {coded}", self.key_id).into())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// Returns the current time in the form of the `Date` header (RFC 9110, 5.6.7).
pub fn date() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::path::Path;

    /// Created by `printf 'Tue, 10 May 2011 05:15:30 GMT' | openssl dgst -sha256 -sign
    /// testdata/keys/test-rsa.pem | base64 -w0`. Signatures of this kind are deterministic.
    const GOLDEN: &str = include_str!("../../../testdata/keys/golden.txt");

    #[tokio::test]
    async fn a_signature_is_that_of_openssl() {
        let mut no = || panic!("the key is not encrypted");
        let loaded = key::load(Path::new("testdata/keys/test-rsa.pem"), &mut no).unwrap();
        let signer = Signer::new("demo", "foo", Key::Held(loaded.pair)).unwrap();
        let value = signer.authorization("Tue, 10 May 2011 05:15:30 GMT").await.unwrap();
        assert_eq!(
            value.expose_secret(),
            format!("Signature keyId=\"/demo/keys/foo\",algorithm=\"rsa-sha256\" {}", GOLDEN.trim())
        );
        assert_eq!(format!("{signer:?}"), "Signer { key_id: \"/demo/keys/foo\", .. }");
    }

    #[test]
    fn the_id_of_a_key_names_its_account() {
        let pair = || {
            let mut no = || panic!("the key is not encrypted");
            Key::Held(key::load(Path::new("testdata/keys/test-rsa.pem"), &mut no).unwrap().pair)
        };
        assert_eq!(Signer::new("demo", "/demo/keys/a b", pair()).unwrap().key_id, "/demo/keys/a b");
        assert_eq!(Signer::new("demo", "a1:b2", pair()).unwrap().key_id, "/demo/keys/a1:b2");
        for (account, name) in [("my", "foo"), ("demo", "/my/keys/foo"), ("demo", "a\"b")] {
            assert_eq!(Signer::new(account, name, pair()).unwrap_err().kind(), Kind::Usage, "{name}");
        }
    }

    #[test]
    fn a_date_has_the_form_of_the_standard() {
        let date = date();
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
    }
}
