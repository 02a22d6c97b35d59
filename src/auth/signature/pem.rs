//! The armour around keys (RFC 7468), and the older one with headers in it (RFC 1421, as OpenSSL writes it).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

/// What stood between two lines of dashes.
pub(super) struct Armoured {
    /// `RSA PRIVATE KEY`.
    pub(super) label: String,
    /// `DEK-Info` and so on.
    pub(super) headers: Vec<(String, String)>,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl Armoured {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| &**value)
    }
}

/// The first armoured text in another; `None` if there is none, or none that is whole.
pub(super) fn first(text: &str) -> Option<Armoured> {
    let (_, rest) = text.split_once("-----BEGIN ")?;
    let (label, rest) = rest.split_once("-----")?;
    let (inside, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let mut headers = Vec::new();
    let mut coded = Zeroizing::new(String::with_capacity(inside.len()));
    for line in inside.lines().map(str::trim) {
        match line.split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => coded.push_str(line),
        }
    }
    let bytes = Zeroizing::new(BASE64.decode(coded.as_bytes()).ok()?);
    Some(Armoured { label: label.to_owned(), headers, bytes })
}
