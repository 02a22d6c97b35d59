//! Fingerprints identify a request by the part of its content that is the same in every run of a client.
//!
//! Faults are drawn from the fingerprint, so that two runs meet the same faults however their requests
//! interleave. What varies between runs is left out: UUIDs and other long hexadecimal words, which servers
//! and clients generate, and the parameters of OAuth, which have a nonce. Only the first bytes of a long body
//! count. They are unpacked if the body is gzip, because a client's compression level may depend on the speed
//! of its machine.

use super::mix;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use flate2::write::GzDecoder;
use std::borrow::Cow;
use std::io::{self, Write};

/// How many bytes of a body count.
const PREFIX: usize = 64 << 10;

/// The most bytes of a packed body that are read.
const PACKED: usize = 128 << 10;

/// The length from which a hexadecimal word counts as an identifier.
const IDENTIFIER: usize = 16;

/// Returns a number that identifies a request's content.
pub(in crate::emulator) fn fingerprint(head: &Parts, body: &[u8]) -> u64 {
    let form = header(&head.headers, &CONTENT_TYPE)
        .is_some_and(|kind| kind.trim_start().starts_with("application/x-www-form-urlencoded"));
    let query = head.uri.query().map(unsigned).unwrap_or_default();
    let body = match std::str::from_utf8(body) {
        Ok(text) if form => Cow::Owned(without_identifiers(&unsigned(text)).into_bytes()),
        Ok(text) => Cow::Owned(without_identifiers(text).into_bytes()),
        Err(_) => Cow::Borrowed(body),
    };
    let path = without_identifiers(head.uri.path());
    number(&[head.method.as_str().as_bytes(), path.as_bytes(), query.as_bytes(), &body])
}

/// Hashes a name.
pub(super) fn of_name(name: &str) -> u64 {
    number(&[name.as_bytes()])
}

fn number(words: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for word in words {
        hasher.update(&(word.len() as u64).to_le_bytes());
        hasher.update(word);
    }
    let digest = *hasher.finalize().as_bytes();
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Combines two numbers.
pub(super) fn with(number: u64, other: u64) -> u64 {
    mix(mix(number).wrapping_add(other))
}

/// Returns the pairs of a query or form without OAuth's.
fn unsigned(pairs: &str) -> String {
    let kept: Vec<&str> = pairs.split('&').filter(|pair| !pair.starts_with("oauth_")).collect();
    kept.join("&")
}

/// Replaces each word that is a UUID, or hexadecimal and long, by `*`.
fn without_identifiers(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (head, tail) = rest.split_at(word);
        out.push_str(if is_identifier(head) { "*" } else { head });
        let other = tail.find(is_word).unwrap_or(tail.len());
        out.push_str(&tail[..other]);
        rest = &tail[other..];
    }
    out
}

fn is_identifier(word: &str) -> bool {
    // SpotCloud's identifiers begin with a letter and a dash.
    let word = word.split_once('-').filter(|(kind, _)| kind.len() == 1).map_or(word, |(_, word)| word);
    let hexadecimal = |word: &str| word.bytes().all(|b| b.is_ascii_hexdigit());
    crate::emulator::drives::is_uuid(word)
        // A word of digits alone is an offset.
        || word.len() >= IDENTIFIER && hexadecimal(word) && word.bytes().any(|b| b.is_ascii_alphabetic())
}

fn header<'h>(headers: &'h HeaderMap, name: &axum::http::HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Collects the bytes of a body that count, as they arrive.
pub(in crate::emulator) enum Prefix {
    Plain(Kept),
    Packed(Box<GzDecoder<Kept>>, usize),
    /// The bytes kept when the packed ones turned out not to be gzip.
    Broken(Kept),
}

/// Keeps the first bytes that are written to it.
#[derive(Default)]
pub(in crate::emulator) struct Kept(Vec<u8>);

impl Kept {
    fn is_full(&self) -> bool {
        self.0.len() == PREFIX
    }
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PREFIX - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        // The rest is discarded. An error would stop the decoder before it has consumed its input.
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Prefix {
    pub(in crate::emulator) fn of(headers: &HeaderMap) -> Prefix {
        match header(headers, &CONTENT_ENCODING).map(str::trim) {
            Some(coding) if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => {
                Prefix::Packed(Box::new(GzDecoder::new(Kept::default())), 0)
            }
            _ => Prefix::Plain(Kept::default()),
        }
    }

    /// Adds the next bytes; returns false if no more are needed.
    pub(in crate::emulator) fn take(&mut self, bytes: &[u8]) -> bool {
        match self {
            Prefix::Plain(kept) => {
                let _ = kept.write(bytes); // Cannot fail.
                !kept.is_full()
            }
            Prefix::Packed(decoder, packed) => {
                *packed += bytes.len();
                // In pieces, so that a bomb is not unpacked in full.
                for piece in bytes.chunks(4 << 10) {
                    if decoder.write_all(piece).is_err() {
                        *self = Prefix::Broken(Kept(std::mem::take(&mut decoder.get_mut().0)));
                        return false;
                    }
                    if decoder.get_ref().is_full() {
                        return false;
                    }
                }
                // What the decoder holds back is needed only at the end.
                *packed < PACKED
            }
            Prefix::Broken(_) => false,
        }
    }

    /// Returns the bytes that count.
    pub(in crate::emulator) fn into_bytes(self) -> Vec<u8> {
        match self {
            Prefix::Plain(kept) | Prefix::Broken(kept) => kept.0,
            Prefix::Packed(mut decoder, _) => {
                // A body that ends in the middle of a stream counts as far as it goes.
                let _ = decoder.flush();
                std::mem::take(&mut decoder.get_mut().0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;
    use flate2::{Compression, write::GzEncoder};

    fn print(method: &str, uri: &str, kind: &str, body: &str) -> u64 {
        let request = Request::builder().method(method).uri(uri).header(CONTENT_TYPE, kind);
        fingerprint(&request.body(()).unwrap().into_parts().0, body.as_bytes())
    }

    #[test]
    fn what_a_run_makes_up_does_not_count() {
        let drive = |id: &str, at: &str, body: &str| {
            print("POST", &format!("/drives/{id}/write/{at}"), "application/octet-stream", body)
        };
        let (one, other) = ("11111111-1111-4111-8111-111111111111", "6339d58e-2c04-4279-acde-dc39fe2c0bc7");
        assert_eq!(drive(one, "0", "x"), drive(other, "0", "x"));
        assert_ne!(drive(one, "0", "x"), drive(one, "4194304", "x"));
        assert_ne!(drive(one, "0", "x"), drive(one, "0", "y"));
        assert_ne!(drive(one, "0", "x"), print("GET", &format!("/drives/{one}/write/0"), "", "x"));
        let create = |transfer: &str| print("POST", "/drives/create", "text/plain", transfer);
        assert_eq!(
            create("name a\nuser:diskferry 0123456789abcdef"),
            create("name a\nuser:diskferry f00d456789abcdef")
        );
        assert_ne!(create("name a\nsize 1234567890123456"), create("name a\nsize 1234567890123457"));
        let list = |query: &str| print("GET", &format!("/api/v1/buyer/providers/list.json?{query}"), "", "");
        assert_eq!(list("city=Oslo&oauth_nonce=1"), list("city=Oslo&oauth_nonce=2"));
        assert_ne!(list("city=Oslo&oauth_nonce=1"), list("city=Rome&oauth_nonce=1"));
        let form = |body: &str| print("POST", "/_ah/x", "application/x-www-form-urlencoded", body);
        assert_eq!(form("oauth_nonce=1&a=b"), form("oauth_nonce=2&a=b"));
    }

    fn kept(body: &[u8], coding: &str, pieces: usize) -> Vec<u8> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, coding.parse().unwrap());
        let mut prefix = Prefix::of(&headers);
        for piece in body.chunks(pieces) {
            if !prefix.take(piece) {
                break;
            }
        }
        prefix.into_bytes()
    }

    #[test]
    fn a_packed_body_counts_as_what_is_in_it() {
        let plain: Vec<u8> = (0..200_000_u32).flat_map(|i| mix(u64::from(i)).to_le_bytes()).collect();
        let packed = |level| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::new(level));
            encoder.write_all(&plain).unwrap();
            encoder.finish().unwrap()
        };
        for (level, pieces) in [(1, 1 << 20), (6, 1000), (9, 64 << 10)] {
            assert!(kept(&packed(level), "gzip", pieces) == plain[..PREFIX], "level {level}");
        }
        assert!(kept(&plain, "identity", 5000) == plain[..PREFIX]);
        assert!(kept(b"no gzip at all", "gzip", 5).is_empty());
        // A small packed body is seen in full, too.
        let mut small = GzEncoder::new(Vec::new(), Compression::fast());
        small.write_all(b"small").unwrap();
        assert_eq!(kept(&small.finish().unwrap(), "gzip", 3), b"small");
    }
}
