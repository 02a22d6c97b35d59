//! HTTP Signature in the form of CloudAPI 6.5: `Signature keyId="/LOGIN/keys/NAME",algorithm="rsa-sha256"
//! BASE64`, which signs only the value of the `Date` header (Joyent CloudAPI 6.5, "HTTP Signature
//! Authentication").
//!
//! It is read as the server of that time read it: a `keyId` without quotes is an error, `headers="date"` is
//! allowed, and the signature follows the parameters. The later form, with a parameter `signature`, has
//! nothing there.

use super::public_key::PublicKey;
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RsaParameters,
    RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::time::{Duration, SystemTime};

/// How far the client's clock may be off ("Authorization").
const SKEW: Duration = Duration::from_mins(5);

/// The content of the header after `Signature `.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    key_id: &'a str,
    parameters: &'static RsaParameters,
    signature: Vec<u8>,
}

impl<'a> Claim<'a> {
    /// Parses what follows the scheme; the error is a sentence.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        let (mut key_id, mut algorithm, mut headers) = (None, None, None);
        let mut rest = text.trim_start();
        loop {
            let (name, behind) = rest.split_once('=').ok_or("the parameters cannot be read")?;
            let behind = behind
                .strip_prefix('"')
                .ok_or_else(|| format!("{name} was not specified: it is not quoted"))?;
            let (value, behind) = behind.split_once('"').ok_or_else(|| format!("{name} does not end"))?;
            match name {
                "keyId" => key_id = Some(value),
                "algorithm" => algorithm = Some(value),
                "headers" => headers = Some(value),
                _ => {}
            }
            let Some(more) = behind.strip_prefix(',') else {
                rest = behind;
                break;
            };
            rest = more.trim_start();
        }
        let key_id = key_id.ok_or("keyId was not specified")?;
        let parameters = match algorithm.map(str::to_ascii_lowercase).as_deref() {
            Some("rsa-sha256") => &RSA_PKCS1_2048_8192_SHA256,
            // SSH agents sign with this.
            Some("rsa-sha1") => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Some(other) => return Err(format!("{other} is not supported; rsa-sha256 is")),
            None => return Err("algorithm was not specified".to_owned()),
        };
        if headers.is_some_and(|headers| !headers.trim().eq_ignore_ascii_case("date")) {
            return Err("only the Date header is signed".to_owned());
        }
        let signature = rest.trim();
        if signature.is_empty() {
            return Err("signature was empty".to_owned());
        }
        let signature = STANDARD.decode(signature).map_err(|_| "the signature is not base64")?;
        Ok(Claim { key_id, parameters, signature })
    }

    /// Returns the name of the key, or its fingerprint, if it belongs to this account. `my` does not stand
    /// for the login here.
    pub(super) fn key_of(&self, login: &str) -> Option<&'a str> {
        let name = self.key_id.strip_prefix('/')?.strip_prefix(login)?.strip_prefix("/keys/")?;
        (!name.is_empty()).then_some(name)
    }

    /// Returns whether the signature was made with a key, of a `Date` header.
    pub(super) fn is_of(&self, key: &PublicKey, date: &str) -> bool {
        RsaPublicKeyComponents { n: &key.modulus, e: &key.exponent }
            .verify(self.parameters, date.as_bytes(), &self.signature)
            .is_ok()
    }
}

/// Returns whether what follows `Signature ` was made of a `Date` header, with the private half of a key in
/// the format of a `.pub` file. This is the emulator's check without a connection, for tests that sign with
/// other code.
///
/// # Errors
/// Fails if the header or the key cannot be parsed; the error is a sentence.
pub fn is_of(header: &str, key: &str, date: &str) -> Result<bool, String> {
    let claim = Claim::parse(header)?;
    Ok(claim.is_of(&PublicKey::parse(key)?, date))
}

/// Checks that a `Date` header is close enough to a time; the error is a sentence.
pub(super) fn check_date(date: &str, now: SystemTime) -> Result<(), String> {
    let then = httpdate::parse_http_date(date).map_err(|_| "the Date header is no date")?;
    // The header has no fraction of a second, so it is dropped from the clock too.
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let then = then.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    if now.abs_diff(then) > SKEW.as_secs() {
        return Err(format!("the clock skew is greater than {} s", SKEW.as_secs()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = "keyId=\"/demo/keys/foo\",algorithm=\"rsa-sha256\" AAAA";

    #[test]
    fn the_form_of_the_time_is_read() {
        for text in [
            FORM,
            "keyId=\"/demo/keys/foo\",headers=\"date\",algorithm=\"rsa-sha1\" AAAA",
            "algorithm=\"RSA-SHA256\",keyId=\"/demo/keys/foo\"   AAAA",
            "keyId=\"/demo/keys/foo\", algorithm=\"rsa-sha256\" AAAA",
        ] {
            let claim = Claim::parse(text).unwrap();
            assert_eq!(claim.key_of("demo"), Some("foo"), "{text}");
            assert_eq!(claim.signature, [0; 3], "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused_with_the_reason() {
        for (text, says) in [
            ("keyId=/demo/keys/foo,algorithm=\"rsa-sha256\" AAAA", "keyId was not specified"),
            ("keyId=\"/demo/keys/foo\",algorithm=\"rsa-sha256\",signature=\"AAAA\"", "signature was empty"),
            ("algorithm=\"rsa-sha256\" AAAA", "keyId was not specified"),
            ("keyId=\"/demo/keys/foo\" AAAA", "algorithm was not specified"),
            ("keyId=\"/demo/keys/foo\",algorithm=\"hmac-sha256\" AAAA", "not supported"),
            ("keyId=\"/demo/keys/foo\",algorithm=\"rsa-sha256\",headers=\"date host\" AAAA", "only the Date"),
            ("keyId=\"/demo/keys/foo\",algorithm=\"rsa-sha256\" *", "not base64"),
            ("keyId=\"/demo/keys/foo", "does not end"),
            ("", "cannot be read"),
        ] {
            let message = Claim::parse(text).unwrap_err();
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn a_key_is_the_accounts_own() {
        let claim = Claim::parse(FORM).unwrap();
        assert_eq!(claim.key_of("dem"), None);
        assert_eq!(claim.key_of("other"), None);
        let mine = FORM.replace("demo", "my");
        assert_eq!(Claim::parse(&mine).unwrap().key_of("demo"), None);
    }

    #[test]
    fn the_skew_is_limited_both_ways() {
        let date = "Sat, 11 Jun 2011 23:56:29 GMT";
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_307_836_589);
        for (off, allowed) in [(0, true), (300, true), (301, false)] {
            let off = Duration::from_secs(off);
            assert_eq!(check_date(date, at + off).is_ok(), allowed, "{off:?}");
            assert_eq!(check_date(date, at - off).is_ok(), allowed, "-{off:?}");
        }
        assert!(check_date(date, at + Duration::from_millis(300_900)).is_ok());
        assert!(check_date("yesterday", at).is_err());
    }
}
