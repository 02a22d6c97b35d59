//! OAuth 1.0a with HMAC-SHA1 (RFC 5849), as SpotCloud requires it (SpotCloud Buyer API 1.2, 1).
//!
//! The parameters are sent in the `Authorization` header. The signature covers the method, the URL as
//! requested (including scheme and port), its query parameters, and those of an
//! `application/x-www-form-urlencoded` body; other bodies are not signed. [`base`] builds the base string.

mod base;

use super::Outgoing;
use crate::error::{Error, Kind, Result};
use crate::wire::percent::encode;
use aws_lc_rs::hmac;
use base::{Parameters, base_string};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret, SecretString};
use std::time::{SystemTime, UNIX_EPOCH};

/// A key and its secret, of a consumer or of a token.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The key, which is public.
    pub key: String,
    /// The secret of the key.
    pub secret: SecretString,
}

/// Signs requests.
#[derive(Clone, Debug)]
pub struct Signer {
    consumer: Credentials,
    token: Option<Credentials>,
    /// Additional protocol parameters, such as `oauth_callback`.
    extra: Vec<(&'static str, String)>,
}

impl Signer {
    /// Creates a signer for a consumer, with the token of a user if there is one.
    pub fn new(consumer: Credentials, token: Option<Credentials>) -> Self {
        Self { consumer, token, extra: Vec::new() }
    }

    /// Adds a protocol parameter.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.extra.push((name, value.into()));
        self
    }

    /// Returns the value of the `Authorization` header for one attempt, with a fresh nonce.
    pub fn authorization(&self, request: Outgoing<'_>) -> Result<SecretString> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|e| Error::new(Kind::Auth, "this machine's clock is set before 1970").source(e))?;
        let nonce = uuid::Uuid::new_v4().simple().to_string();
        Ok(self.authorization_at(request, now.as_secs(), &nonce))
    }

    fn authorization_at(&self, request: Outgoing<'_>, timestamp: u64, nonce: &str) -> SecretString {
        let mut protocol: Vec<(&str, String)> = vec![
            ("oauth_consumer_key", self.consumer.key.clone()),
            ("oauth_nonce", nonce.to_owned()),
            ("oauth_signature_method", "HMAC-SHA1".to_owned()),
            ("oauth_timestamp", timestamp.to_string()),
            ("oauth_version", "1.0".to_owned()),
        ];
        protocol.extend(self.token.iter().map(|token| ("oauth_token", token.key.clone())));
        protocol.extend(self.extra.iter().cloned());
        let mut signed = Parameters::of_query(request.url.query().unwrap_or_default().as_bytes());
        signed.add_form(request.form.unwrap_or_default());
        for (name, value) in &protocol {
            signed.add(name, value);
        }
        let text = base_string(request.method.as_str(), request.url, signed);
        protocol.push(("oauth_signature", self.signature(&text)));
        let pairs: Vec<String> =
            protocol.iter().map(|(name, value)| format!("{name}=\"{}\"", encode(value))).collect();
        format!("OAuth {}", pairs.join(", ")).into()
    }

    /// Returns the HMAC-SHA1 of a base string in base64 (RFC 5849, 3.4.2).
    fn signature(&self, text: &str) -> String {
        let token = self.token.as_ref().map_or("", |token| token.secret.expose_secret());
        let secret =
            SecretString::from(format!("{}&{}", encode(self.consumer.secret.expose_secret()), encode(token)));
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose_secret().as_bytes());
        BASE64.encode(hmac::sign(&key, text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::{Method, Url};

    fn credentials(key: &str, secret: &str) -> Credentials {
        Credentials { key: key.into(), secret: secret.into() }
    }

    fn sign(
        signer: &Signer,
        method: &Method,
        url: &str,
        form: Option<&[u8]>,
        at: u64,
        nonce: &str,
    ) -> String {
        let url: Url = url.parse().unwrap();
        let value = signer.authorization_at(Outgoing { method, url: &url, form }, at, nonce);
        value.expose_secret().to_owned()
    }

    /// Returns the decoded signature of a header value.
    fn signature(header: &str) -> String {
        let coded = header.split("oauth_signature=\"").nth(1).unwrap().split('"').next().unwrap();
        url::form_urlencoded::parse(format!("s={coded}").as_bytes()).next().unwrap().1.into_owned()
    }

    /// OAuth Core 1.0, appendix A.5. It includes `oauth_version`, as diskferry does.
    #[test]
    fn the_photos_are_signed_as_in_oauth_core() {
        let signer = Signer::new(
            credentials("dpf43f3p2l4k3l03", "kd94hf93k423kf44"),
            Some(credentials("nnch734d00sl2jdk", "pfkkdhi9sl3r4s00")),
        );
        let url = "http://photos.example.net/photos?file=vacation.jpg&size=original";
        let header = sign(&signer, &Method::GET, url, None, 1_191_242_096, "kllo9940pd9333jh");
        assert_eq!(signature(&header), "tR3+Ty81lMeYAr/Fid0kMTYa/WM=");
        assert!(header.starts_with("OAuth oauth_consumer_key=\"dpf43f3p2l4k3l03\", "), "{header}");
        assert!(header.contains("oauth_token=\"nnch734d00sl2jdk\""), "{header}");
        assert!(!header.contains("kd94hf93k423kf44") && !header.contains("pfkkdhi9sl3r4s00"));
    }

    /// RFC 5849, 1.2: the three requests of the printing service. They omit the optional `oauth_version`, so
    /// the base string is built from its parts here.
    #[test]
    fn the_printing_service_is_signed_as_in_the_rfc() {
        let consumer = || credentials("dpf43f3p2l4k3l03", "kd94hf93k423kf44");
        let case = |token: Option<Credentials>, method: &str, url: &str, parameters: &[(&str, &str)]| {
            let url: Url = url.parse().unwrap();
            let mut signed = Parameters::of_query(url.query().unwrap_or_default().as_bytes());
            for (name, value) in parameters {
                signed.add(name, value);
            }
            Signer::new(consumer(), token).signature(&base_string(method, &url, signed))
        };
        assert_eq!(
            case(
                None,
                "POST",
                "https://photos.example.net/initiate",
                &[
                    ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
                    ("oauth_signature_method", "HMAC-SHA1"),
                    ("oauth_timestamp", "137131200"),
                    ("oauth_nonce", "wIjqoS"),
                    ("oauth_callback", "http://printer.example.com/ready"),
                ],
            ),
            "74KNZJeDHnMBp0EMJ9ZHt/XKycU="
        );
        assert_eq!(
            case(
                Some(credentials("hh5s93j4hdidpola", "hdhd0244k9j7ao03")),
                "POST",
                "https://photos.example.net/token",
                &[
                    ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
                    ("oauth_token", "hh5s93j4hdidpola"),
                    ("oauth_signature_method", "HMAC-SHA1"),
                    ("oauth_timestamp", "137131201"),
                    ("oauth_nonce", "walatlh"),
                    ("oauth_verifier", "hfdp7dh39dks9884"),
                ],
            ),
            "gKgrFCywp7rO0OXSjdot/IHF7IU="
        );
        assert_eq!(
            case(
                Some(credentials("nnch734d00sl2jdk", "pfkkdhi9sl3r4s00")),
                "GET",
                "http://photos.example.net/photos?file=vacation.jpg&size=original",
                &[
                    ("oauth_consumer_key", "dpf43f3p2l4k3l03"),
                    ("oauth_token", "nnch734d00sl2jdk"),
                    ("oauth_signature_method", "HMAC-SHA1"),
                    ("oauth_timestamp", "137131202"),
                    ("oauth_nonce", "chapoH"),
                ],
            ),
            "MdpQcU8iPSUjWoN/UDMsK2sui9I="
        );
    }

    #[test]
    fn everything_that_is_signed_changes_the_signature() {
        let signer = Signer::new(credentials("c", "s"), Some(credentials("t", "u")));
        let base = sign(&signer, &Method::POST, "https://h/p?a=1", Some(b"x=y"), 1, "n");
        let other = Signer::new(credentials("c", "S"), Some(credentials("t", "u")));
        for changed in [
            sign(&signer, &Method::PUT, "https://h/p?a=1", Some(b"x=y"), 1, "n"),
            sign(&signer, &Method::POST, "http://h/p?a=1", Some(b"x=y"), 1, "n"),
            sign(&signer, &Method::POST, "https://h:8443/p?a=1", Some(b"x=y"), 1, "n"),
            sign(&signer, &Method::POST, "https://h/q?a=1", Some(b"x=y"), 1, "n"),
            sign(&signer, &Method::POST, "https://h/p?a=2", Some(b"x=y"), 1, "n"),
            sign(&signer, &Method::POST, "https://h/p?a=1", Some(b"x=z"), 1, "n"),
            sign(&signer, &Method::POST, "https://h/p?a=1", None, 1, "n"),
            sign(&signer, &Method::POST, "https://h/p?a=1", Some(b"x=y"), 2, "n"),
            sign(&signer, &Method::POST, "https://h/p?a=1", Some(b"x=y"), 1, "m"),
            sign(&other, &Method::POST, "https://h/p?a=1", Some(b"x=y"), 1, "n"),
        ] {
            assert_ne!(signature(&base), signature(&changed), "{changed}");
        }
        let same = sign(&signer, &Method::POST, "https://h:443/p?a=1", Some(b"x=y"), 1, "n");
        assert_eq!(signature(&base), signature(&same), "the default port is no part of it");
    }

    #[test]
    fn no_secret_is_shown() {
        let signer = Signer::new(credentials("c", "hunter2"), Some(credentials("t", "hunter3")));
        assert!(!format!("{signer:?}").contains("hunter"));
    }
}
