//! OAuth 1.0a: the emulator's own reading of RFC 5849 accepts what the client signs, and rejects what nobody
//! signed.

use super::input::Input;
use diskferry::auth::Outgoing;
use diskferry::auth::oauth::{Credentials, Signer};
use diskferry::emulator::oauth_is_signed;
use reqwest::{Method, Url};
use secrecy::ExposeSecret;

/// The input is a byte, two keys and two secrets, the address and a form. If the byte is odd, the first line
/// is a header that nobody signed.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let [header, token, consumer_secret, token_secret, path] = std::array::from_fn(|_| input.line());
    let Ok(url) = Url::parse(&format!("http{}://h{path}", if flags & 2 == 0 { "" } else { "s" })) else {
        return;
    };
    if url.host_str().is_none() {
        return;
    }
    let method =
        [Method::GET, Method::POST, Method::PUT, Method::DELETE][usize::from(flags >> 2 & 3)].clone();
    let form = (flags & 16 != 0).then_some(input.rest());
    if flags & 1 == 1 {
        for secure in [false, true] {
            let url = if secure { url.as_str() } else { "http://h/?oauth_signature=x" };
            let Ok(url) = Url::parse(url) else { return };
            let signed = oauth_is_signed(method.as_str(), &url, &header, form, SECRET, SECRET);
            assert_ne!(signed, Some(true), "nobody knows the secret");
        }
        return;
    }
    let credentials = |key: &str, secret: &str| Credentials { key: key.to_owned(), secret: secret.into() };
    let consumer = credentials(&header, &consumer_secret);
    let token = (!token.is_empty()).then(|| credentials(&token, &token_secret));
    let other = if token.is_some() { &*token_secret } else { "" };
    let signer = Signer::new(consumer, token);
    let request = Outgoing { method: &method, url: &url, form };
    let value = signer.authorization(request).expect("a clock after 1970");
    let value = value.expose_secret();
    assert!(value.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{value:?}");
    // A URL with a signature among its parameters is never requested.
    if url
        .query_pairs()
        .chain(url::form_urlencoded::parse(form.unwrap_or_default()))
        .any(|(name, _)| name == "oauth_signature")
    {
        return;
    }
    let check = |method: &Method, url: &Url, consumer: &str| {
        oauth_is_signed(method.as_str(), url, value, form, consumer, other)
    };
    let Some(is_right) = check(&method, &url, &consumer_secret) else { return };
    assert!(is_right, "{method} {url} as {value}");
    assert_eq!(check(&Method::PATCH, &url, &consumer_secret), Some(false), "the method is signed");
    assert_eq!(check(&method, &url, SECRET), Some(false), "the secret is the consumer's");
    // The order of the parameters does not matter; their values do.
    if let Some((first, rest)) = url.query().and_then(|query| query.split_once('&')) {
        let mut turned = url.clone();
        turned.set_query(Some(&format!("{rest}&{first}")));
        assert_eq!(check(&method, &turned, &consumer_secret), Some(true), "{url} and {turned}");
    }
    let mut more = url.clone();
    more.query_pairs_mut().append_pair("more", "");
    assert_eq!(check(&method, &more, &consumer_secret), Some(false), "{url} and {more}");
}

const SECRET: &str = "a secret that no input has guessed";
