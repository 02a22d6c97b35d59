//! Headers that every request to a provider carries, and checks that apply to every reply.

use crate::error::{Error, Kind, Result};
use crate::provider::Provider;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest, Md5};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// The range of API versions that the client speaks (Joyent CloudAPI 6.5, "Versioning").
const JOYENT_VERSION: &str = "~6.5";

/// Adds the headers that the provider requires on every request.
pub(super) fn request_headers(provider: Provider, headers: &mut HeaderMap) {
    if provider == Provider::Joyent {
        let name = HeaderName::from_static("x-api-version");
        headers.insert(name, HeaderValue::from_static(JOYENT_VERSION));
    }
}

/// Compares a reply's body with its `Content-MD5`, if it has one: "An MD5 checksum of the response; you
/// should check this" (Joyent CloudAPI 6.5, "HTTP Response Headers"). A mismatch means damage in transit, so
/// the request may be retried.
pub(super) fn check_digest(headers: &HeaderMap, body: &[u8]) -> Result<()> {
    let Some(expected) = headers.get("content-md5").and_then(|value| value.to_str().ok()) else {
        return Ok(());
    };
    let found = BASE64.encode(Md5::digest(body));
    if expected.trim() == found {
        return Ok(());
    }
    Err(Error::new(
        Kind::ShortReply,
        format!(
            "the reply was damaged: its Content-MD5 is {:.100}, but its body has {found}",
            expected.trim()
        ),
    ))
}

/// Returns the provider's id of the request: "X-RequestId" in one place of the manual, "X-Request-Id" in its
/// samples (Joyent CloudAPI 6.5, "HTTP Response Headers" and its samples).
pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    ["x-requestid", "x-request-id"].iter().find_map(|name| headers.get(*name)?.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_reply_is_told_from_a_whole_one() {
        let mut headers = HeaderMap::new();
        assert!(check_digest(&headers, b"x").is_ok(), "nothing to compare with");
        // Recorded from a later server of the same API.
        headers.insert("content-md5", HeaderValue::from_static("pzU/fN3OgI3gAydHoLe+UA=="));
        assert!(check_digest(&headers, br#"{"key":"value"}"#).is_ok());
        let error = check_digest(&headers, br#"{"key":"valux"}"#).unwrap_err();
        assert!(error.kind().is_retryable() && error.to_string().contains("Content-MD5"), "{error}");
    }

    #[test]
    fn a_request_id_has_two_spellings() {
        for name in ["X-RequestId", "X-Request-Id"] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::try_from(name).unwrap(), HeaderValue::from_static("4bcf467e"));
            assert_eq!(request_id(&headers), Some("4bcf467e"));
        }
        assert_eq!(request_id(&HeaderMap::new()), None);
    }
}
