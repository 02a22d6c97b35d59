//! RSA public keys in SSH's format (RFC 4253, 6.6): `ssh-rsa BASE64 comment`, and their fingerprints.

use crate::error::{Error, Kind, Result};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD as BASE64, STANDARD_NO_PAD as UNPADDED};
use md5::{Digest, Md5};
use sha2::Sha256;
use std::path::Path;

/// A public key in SSH's wire format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// The bytes: the type, then the numbers.
    pub blob: Vec<u8>,
    /// The comment.
    pub comment: String,
}

impl PublicKey {
    /// Reads the key from a `.pub` file. If the file is a private key, the error says so and contains none of
    /// it.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = super::pem::read(path)
            .map_err(|e| Error::new(Kind::Auth, format!("cannot read the public key {shown}")).source(e))?;
        if text.contains("PRIVATE KEY-----") {
            return Err(Error::usage(format!("{shown} is a private key, which must not be uploaded"))
                .hint("use the file with the public key, whose name ends in `.pub`"));
        }
        Self::parse(&text).ok_or_else(|| {
            Error::usage(format!("{shown} is not a public RSA key"))
                .hint("expected a line that begins with ssh-rsa")
        })
    }

    /// Parses the key in a line.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.trim().splitn(3, char::is_whitespace);
        if words.next()? != "ssh-rsa" {
            return None;
        }
        let blob = BASE64.decode(words.next()?).ok()?;
        let comment = words.next().unwrap_or_default().trim().to_owned();
        is_rsa(&blob).then_some(Self { blob, comment })
    }

    /// Creates a key from a modulus and an exponent, big-endian.
    pub fn of_numbers(modulus: &[u8], exponent: &[u8]) -> Self {
        let mut blob = Vec::new();
        put(&mut blob, b"ssh-rsa");
        for number in [exponent, modulus] {
            let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
            let number = &number[start..];
            // A number with its first bit set would be negative.
            let sign = number.first().is_some_and(|byte| byte & 0x80 != 0);
            put(&mut blob, &[if sign { &[0][..] } else { &[] }, number].concat());
        }
        Self { blob, comment: String::new() }
    }

    /// Returns the MD5 fingerprint, by which Joyent names keys: `aa:bb:…`.
    pub fn md5(&self) -> String {
        let pairs: Vec<String> = Md5::digest(&self.blob).iter().map(|byte| format!("{byte:02x}")).collect();
        pairs.join(":")
    }

    /// Returns the SHA-256 fingerprint in OpenSSH's current form: `SHA256:…`.
    pub fn sha256(&self) -> String {
        format!("SHA256:{}", UNPADDED.encode(Sha256::digest(&self.blob)))
    }

    /// Returns whether a name refers to this key by a fingerprint or the comment.
    pub fn is(&self, name: &str) -> bool {
        let name = name.strip_prefix("MD5:").unwrap_or(name);
        name.eq_ignore_ascii_case(&self.md5())
            || name == self.sha256()
            || (!name.is_empty() && name == self.comment)
    }
}

/// Returns whether a blob is an RSA key.
pub(super) fn is_rsa(blob: &[u8]) -> bool {
    blob.starts_with(b"\0\0\0\x07ssh-rsa")
}

/// Appends a string with its length (RFC 4251, 5).
pub(super) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend(bytes);
}

/// Removes a string from the front.
pub(super) fn take<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = from.split_first_chunk()?;
    let (bytes, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
    *from = rest;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_those_of_ssh_keygen() {
        let key = PublicKey::read(Path::new("testdata/keys/test-rsa.pub")).unwrap();
        // `ssh-keygen -l -E md5 -f test-rsa.pub` and `ssh-keygen -l -f test-rsa.pub`.
        let told = include_str!("../../../testdata/keys/fingerprints.txt");
        assert!(told.contains(&format!("MD5:{} ", key.md5())), "{}", key.md5());
        assert!(told.contains(&format!("{} ", key.sha256())), "{}", key.sha256());
        assert!(key.is(&key.md5()) && key.is(&format!("MD5:{}", key.md5())) && key.is(&key.sha256()));
        assert!(!key.is("") && !key.is("other"));
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        let error = PublicKey::read(Path::new("testdata/keys/test-rsa.pem")).unwrap_err();
        assert!(error.to_string().contains("is a private key"), "{error}");
        assert_eq!(PublicKey::read(Path::new("/nowhere")).unwrap_err().kind(), Kind::Auth);
        for bad in ["", "ssh-rsa", "ssh-rsa !!", "ssh-ed25519 AAAA", "ssh-rsa AAAA"] {
            assert_eq!(PublicKey::parse(bad), None, "{bad}");
        }
    }
}
