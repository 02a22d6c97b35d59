//! OAuth 1.0a with HMAC-SHA1, checked by the emulator's own code (RFC 5849; SpotCloud Buyer API 1.2, 1).
//!
//! The protocol parameters come in the `Authorization` header, in the query or in a form. The signature
//! covers the method, the URL that was requested, and every parameter of the query, of a form and of the
//! header, except the signature itself and the header's realm. A body of another kind is not signed.

use crate::emulator::auth::{base64, same};
use axum::http::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::request::Parts;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use url::form_urlencoded;

/// A request's parameters, decoded.
#[derive(Clone, Debug, Default)]
pub(super) struct Presented {
    /// All parameters that are signed.
    signed: Vec<(String, String)>,
    signature: Option<String>,
}

impl Presented {
    /// Collects the parameters of a request. `body` counts only if it is a form.
    pub(super) fn of(head: &Parts, body: &[u8]) -> Self {
        let mut new = Presented::default();
        let header =
            head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if let Some((scheme, rest)) = header.split_once(' ')
            && scheme.eq_ignore_ascii_case("oauth")
        {
            for pair in rest.split(',') {
                let Some((name, value)) = pair.trim().split_once('=') else { continue };
                // A parameter of this name in a query or a form is signed like any other (RFC 5849,
                // 3.4.1.3.1).
                if name != "realm" {
                    new.take(decode(name), decode(value.trim_matches('"')));
                }
            }
        }
        new.take_form(head.uri.query().unwrap_or_default().as_bytes());
        if is_form(head) {
            new.take_form(body);
        }
        new
    }

    fn take_form(&mut self, form: &[u8]) {
        for (name, value) in form_urlencoded::parse(form) {
            self.take(name.into_owned(), value.into_owned());
        }
    }

    fn take(&mut self, name: String, value: String) {
        match &*name {
            "oauth_signature" => self.signature = Some(value),
            _ => self.signed.push((name, value)),
        }
    }

    /// Returns a protocol parameter, or `None` if it is given twice.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.signed.iter().filter(|(given, _)| given == name).map(|(_, value)| &**value);
        match (found.next(), found.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        }
    }

    /// Returns whether the signature is this request's under these two secrets.
    pub(super) fn is_signed_by(&self, method: &str, url: &str, consumer: &str, token: &str) -> bool {
        let Some(signature) = &self.signature else { return false };
        let right = sign(&base_string(method, url, &self.signed), consumer, token);
        same(signature.as_bytes(), right.as_bytes())
    }
}

/// Returns whether a request carries the right signature for a consumer's and a token's secret, or `None` if
/// no request can be made of these parts. This is the emulator's check without a connection, for tests that
/// sign with other code.
pub fn is_signed(
    method: &str,
    url: &url::Url,
    authorization: &str,
    form: Option<&[u8]>,
    consumer_secret: &str,
    token_secret: &str,
) -> Option<bool> {
    let host = url.host_str()?;
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{query}", url.path()))
        .header(HOST, host)
        .header(AUTHORIZATION, authorization);
    if form.is_some() {
        request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    }
    let head = request.body(()).ok()?.into_parts().0;
    let presented = Presented::of(&head, form.unwrap_or_default());
    let url = url_of(&head, url.scheme() == "https");
    Some(presented.is_signed_by(method, &url, consumer_secret, token_secret))
}

/// Returns whether a request's body is a form, which is signed.
pub(super) fn is_form(head: &Parts) -> bool {
    let kind = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Returns the requested URL without its query, as it is signed: scheme and host in lower case, no default
/// port.
pub(super) fn url_of(head: &Parts, secure: bool) -> String {
    let host = head.headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let host = host.trim().to_ascii_lowercase();
    let (scheme, default) = if secure { ("https", ":443") } else { ("http", ":80") };
    let host = host.strip_suffix(default).unwrap_or(&host);
    format!("{scheme}://{host}{}", head.uri.path())
}

fn base_string(method: &str, url: &str, parameters: &[(String, String)]) -> String {
    let mut encoded: Vec<(String, String)> =
        parameters.iter().map(|(name, value)| (encode(name), encode(value))).collect();
    encoded.sort();
    let joined: Vec<String> = encoded.into_iter().map(|(name, value)| name + "=" + &value).collect();
    [encode(&method.to_uppercase()), encode(url), encode(&joined.join("&"))].join("&")
}

fn sign(text: &str, consumer: &str, token: &str) -> String {
    let key = format!("{}&{}", encode(consumer), encode(token));
    // HMAC accepts keys of any length. If it did not, no signature could be right.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(key.as_bytes()) else { return String::new() };
    mac.update(text.as_bytes());
    base64(&mac.finalize().into_bytes())
}

/// Returns the signature of a request, encoded for a header.
#[cfg(test)]
pub(super) fn signature_for_tests(head: &Parts, body: &[u8], consumer: &str, token: &str) -> String {
    let presented = Presented::of(head, body);
    encode(&sign(
        &base_string(head.method.as_str(), &url_of(head, false), &presented.signed),
        consumer,
        token,
    ))
}

/// Encodes a text by RFC 5849, section 3.6.
fn encode(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Decodes a text. Invalid escapes stay as they are, and a plus is a plus.
pub(super) fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let digits =
            bytes.clone().take(2).map(|digit| char::from(digit).to_digit(16)).collect::<Option<Vec<_>>>();
        match digits.as_deref() {
            Some([high, low]) if byte == b'%' => {
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                bytes.nth(1);
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_rfcs_request_has_the_rfcs_base_string() {
        // RFC 5849, sections 3.4.1.1 and 3.4.1.3.1.
        let head = head(
            "POST",
            "/request?b5=%3D%253D&a3=a&c%40=&a2=r%20b",
            &[
                ("Host", "EXAMPLE.COM:80"),
                ("Content-Type", "application/x-www-form-urlencoded"),
                (
                    "Authorization",
                    "OAuth realm=\"Example\", oauth_consumer_key=\"9djdj82h48djs9d2\", \
                     oauth_token=\"kkk9d7dh3k39sjv7\", oauth_signature_method=\"HMAC-SHA1\", \
                     oauth_timestamp=\"137131201\", oauth_nonce=\"7d8f3e4a\", \
                     oauth_signature=\"djosJKDKJSD8743243%2Fjdk33klY%3D\"",
                ),
            ],
        );
        let presented = Presented::of(&head, b"c2&a3=2+q");
        assert_eq!(
            base_string("post", &url_of(&head, false), &presented.signed),
            "POST&http%3A%2F%2Fexample.com%2Frequest&a2%3Dr%2520b%26a3%3D2%2520q%26a3%3Da%26b5%3D%253D%25253D%26c%2540%3D\
             %26c2%3D%26oauth_consumer_key%3D9djdj82h48djs9d2%26oauth_nonce%3D7d8f3e4a%26oauth_signature_method%3DHMAC-SHA\
             1%26oauth_timestamp%3D137131201%26oauth_token%3Dkkk9d7dh3k39sjv7"
        );
        assert_eq!(presented.signature.as_deref(), Some("djosJKDKJSD8743243/jdk33klY="));
        assert_eq!((presented.get("oauth_token"), presented.get("a3")), (Some("kkk9d7dh3k39sjv7"), None));
    }

    #[test]
    fn the_photos_are_signed_and_nothing_else_is() {
        // OAuth Core 1.0, appendix A.5.
        let header = "OAuth oauth_consumer_key=\"dpf43f3p2l4k3l03\",oauth_token=\"nnch734d00sl2jdk\",\
                      oauth_signature_method=\"HMAC-SHA1\",oauth_signature=\"tR3%2BTy81lMeYAr%2FFid0kMTYa%2FWM%3D\",\
                      oauth_timestamp=\"1191242096\",oauth_nonce=\"kllo9940pd9333jh\",oauth_version=\"1.0\"";
        let check = |method: &str, uri: &str, host: &str, header: &str, body: &[u8], secret: &str| {
            let form = ("Content-Type", "application/x-www-form-urlencoded");
            let head = head(method, uri, &[("Host", host), ("Authorization", header), form]);
            let url = url_of(&head, false);
            Presented::of(&head, body).is_signed_by(method, &url, "kd94hf93k423kf44", secret)
        };
        let (uri, host, secret) =
            ("/photos?file=vacation.jpg&size=original", "photos.example.net", "pfkkdhi9sl3r4s00");
        assert!(check("GET", uri, host, header, b"", secret));
        assert!(check("GET", "/photos?size=original&file=vacation.jpg", host, header, b"", secret));
        assert!(!check("POST", uri, host, header, b"", secret));
        assert!(!check("GET", "/photo?file=vacation.jpg&size=original", host, header, b"", secret));
        assert!(!check("GET", "/photos?file=vacation.jpg&size=small", host, header, b"", secret));
        assert!(!check("GET", uri, "photos.example.org", header, b"", secret));
        assert!(!check("GET", uri, "photos.example.net:8080", header, b"", secret));
        assert!(!check("GET", uri, host, header, b"a=b", secret));
        assert!(!check("GET", uri, host, header, b"", "another"));
        assert!(
            !check("GET", &format!("{uri}&realm=a"), host, header, b"", secret),
            "a realm in the query is signed"
        );
        assert!(!check("GET", uri, host, &header.replace("kllo", "kllp"), b"", secret));
        assert!(!check("GET", uri, host, &header.replace("WM%3D", "WN%3D"), b"", secret));
        assert!(!check("GET", uri, host, &header.replace("oauth_signature=", "x="), b"", secret));
    }

    #[test]
    fn what_is_no_encoding_stays() {
        assert_eq!(decode("a%20b+c%2"), "a b+c%2");
        assert_eq!(decode("%zz%C3%A9"), "%zzé");
    }
}
