//! HTTP Basic Authentication. It shares no code with the client, so that a mistake of the client cannot
//! cancel itself out.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

/// The credentials of one account, as a request has to send them after `Basic `.
pub(super) struct Credentials(String);

impl Credentials {
    pub(super) fn new(user: &str, secret: &str) -> Self {
        Credentials(base64(format!("{user}:{secret}").as_bytes()))
    }

    /// Returns whether a request carries these credentials.
    pub(super) fn allow(&self, headers: &HeaderMap) -> bool {
        headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.trim().split_once(' '))
            .is_some_and(|(scheme, token)| {
                scheme.eq_ignore_ascii_case("basic") && same(token.trim().as_bytes(), self.0.as_bytes())
            })
    }
}

/// Compares two byte strings in a time that depends only on their length.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}

pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_usize, |bits, &b| bits << 8 | usize::from(b)) << (8 * (3 - group.len()));
        for i in 0..4 {
            let digit = char::from(ALPHABET[bits >> (18 - 6 * i) & 63]);
            out.push(if i <= group.len() { digit } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        // RFC 4648, section 10.
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn only_the_right_credentials_pass() {
        // RFC 7617, section 2: the Aladdin example.
        let credentials = Credentials::new("Aladdin", "open sesame");
        let allowed = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            credentials.allow(&headers)
        };
        assert!(allowed("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert!(allowed("basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert!(!allowed("Basic QWxhZGRpbjpvcGVuIHNlc2FtZR=="));
        assert!(!allowed("Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        assert!(!allowed("Basic"));
        assert!(!credentials.allow(&HeaderMap::new()));
    }
}
