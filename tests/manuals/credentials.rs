//! What proves who asks and what was said, made and checked by the letter of the documents with nothing of the program's: HTTP Basic (RFC 7617),
//! and OAuth 1.0a with HMAC-SHA1 (RFC 5849, 3.4).

use super::world::{SECRET, USER};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use diskferry::provider::Provider;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// A request as far as it is signed; the path may have a query, the form is of a urlencoded body.
pub struct Signed<'r> {
    pub method: &'r str,
    /// Scheme, host and port, without a slash at the end.
    pub site: &'r str,
    pub path: &'r str,
    pub form: &'r str,
}

/// The header for a request; `token` is OAuth's, with its secret.
pub fn header(provider: Provider, signed: &Signed<'_>, token: Option<(&str, &str)>) -> String {
    match provider {
        Provider::SpotCloud => oauth(signed, token),
        _ => basic(),
    }
}

/// Checks the header of a request.
pub fn check(provider: Provider, header: &str, signed: &Signed<'_>) -> Result<(), String> {
    if provider != Provider::SpotCloud {
        let right = basic();
        return if header == right { Ok(()) } else { Err(format!("authorization: {header}, not {right}")) };
    }
    let pairs = header.strip_prefix("OAuth ").ok_or_else(|| format!("authorization: {header}"))?;
    let mut own = Vec::new();
    let mut signature = String::new();
    for pair in pairs.split(", ") {
        let value = pair
            .split_once('=')
            .and_then(|(name, value)| Some((name, value.strip_prefix('"')?.strip_suffix('"')?)));
        match value {
            Some(("oauth_signature", value)) => signature = decode(value),
            Some((name, value)) => own.push((name.to_owned(), decode(value))),
            None => return Err(format!("authorization: {pair} is no NAME=\"VALUE\"")),
        }
    }
    for name in ["consumer_key", "token", "signature_method", "timestamp", "nonce", "version"] {
        let name = format!("oauth_{name}");
        if !own.iter().any(|(own, _)| *own == name) {
            return Err(format!("authorization: {name} is missing"));
        }
    }
    let right = sign(signed, own, SECRET);
    if signature == right { Ok(()) } else { Err("authorization: the signature is wrong".to_owned()) }
}

/// The value of a header that stands for the MD5 of the body (RFC 1864).
pub const DIGEST: &str = "(digest of the body)";

/// The MD5 of a body as `Content-MD5` has it.
pub fn digest(body: &[u8]) -> String {
    STANDARD.encode(Md5::digest(body))
}

fn basic() -> String {
    format!("Basic {}", STANDARD.encode(format!("{USER}:{SECRET}")))
}

/// No two requests may have the same nonce.
static NONCE: AtomicU64 = AtomicU64::new(0);

/// The header of a request, with a token and its secret if there is one.
fn oauth(signed: &Signed<'_>, token: Option<(&str, &str)>) -> String {
    let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let nonce = format!("{}-{}", std::process::id(), NONCE.fetch_add(1, Ordering::Relaxed));
    let mut own: Vec<(String, String)> = [
        ("oauth_consumer_key", USER),
        ("oauth_nonce", &*nonce),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", &*time.to_string()),
        ("oauth_version", "1.0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    own.extend(token.map(|(token, _)| ("oauth_token".to_owned(), token.to_owned())));
    let signature = sign(signed, own.clone(), token.map_or("", |(_, secret)| secret));
    own.push(("oauth_signature".to_owned(), signature));
    let pairs: Vec<String> = own.iter().map(|(n, v)| format!("{n}=\"{}\"", encode(v))).collect();
    format!("OAuth {}", pairs.join(", "))
}

/// The signature over the parameters of the header, of the query and of the form.
fn sign(signed: &Signed<'_>, own: Vec<(String, String)>, token_secret: &str) -> String {
    let (path, query) = signed.path.split_once('?').unwrap_or((signed.path, ""));
    let sent = query.split('&').chain(signed.form.split('&')).filter_map(|pair| pair.split_once('='));
    let sent = sent.map(|(name, value)| (decode(name), decode(value)));
    let mut all: Vec<(String, String)> =
        own.into_iter().chain(sent).map(|(name, value)| (encode(&name), encode(&value))).collect();
    all.sort();
    let joined: Vec<String> = all.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let url = format!("{}{path}", signed.site);
    let text = [encode(signed.method), encode(&url), encode(&joined.join("&"))].join("&");
    let key = format!("{}&{}", encode(SECRET), encode(token_secret));
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

fn encode(text: &str) -> String {
    let free = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if free(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn decode(text: &str) -> String {
    super::node::decoded(text)
}
