//! Parses the PEM encoding of keys (RFC 7468), including the legacy form with headers (RFC 1421, as OpenSSL
//! writes it).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use zeroize::Zeroizing;

/// The longest key file in bytes. A key of 16,384 bits takes 13 KiB.
const LONGEST: u64 = 64 << 10;

/// Reads a key file.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::with_capacity(16 << 10);
    File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other("it is larger than the 64 KiB limit"));
    }
    Ok(text)
}

/// A PEM block.
pub(super) struct Armoured {
    /// The label, such as `RSA PRIVATE KEY`.
    pub(super) label: String,
    /// The headers, such as `DEK-Info`.
    pub(super) headers: Vec<(String, String)>,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

impl Armoured {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| &**value)
    }
}

/// Returns the first PEM block in a text, or `None` if there is no complete one.
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
