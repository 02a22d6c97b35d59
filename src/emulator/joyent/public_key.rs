//! SSH public keys in OpenSSH's format: `ssh-rsa BASE64 comment`. The base64 is the key as in RFC 4253,
//! section 6.6: the type, the exponent and the modulus, each preceded by its length.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

/// An RSA key. Keys of other types cannot sign requests (Joyent CloudAPI 6.5, "Authorization").
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    /// Big endian, without leading zeros.
    pub(super) exponent: Vec<u8>,
    /// Big endian, without leading zeros.
    pub(super) modulus: Vec<u8>,
    blob: Vec<u8>,
}

impl PublicKey {
    /// Parses a line of a `.pub` file; the error is a sentence.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        match words.next() {
            Some("ssh-rsa") => {}
            Some(kind) if kind.starts_with("ssh-") || kind.starts_with("ecdsa-") => {
                return Err(format!("a key of the kind {kind} cannot sign requests; an RSA key can"));
            }
            _ => return Err("an OpenSSH public key is wanted, as in a .pub file".to_owned()),
        }
        let blob = words.next().and_then(|word| STANDARD.decode(word).ok());
        let blob = blob.ok_or("the key behind ssh-rsa is not base64")?;
        let mut rest = &*blob;
        let mut next = || field(&mut rest).ok_or("the key is cut short");
        let (kind, exponent, modulus) = (next()?, next()?, next()?);
        if kind != b"ssh-rsa" || !rest.is_empty() {
            return Err("the key is not what its first word says".to_owned());
        }
        let (exponent, modulus) = (number(exponent), number(modulus));
        if exponent.is_empty() || modulus.is_empty() {
            return Err("the key's numbers are zero or negative".to_owned());
        }
        let (exponent, modulus) = (exponent.to_vec(), modulus.to_vec());
        Ok(PublicKey { exponent, modulus, blob })
    }

    /// Returns the MD5 fingerprint, `aa:bb:…`, as `ssh-keygen -l -E md5` prints it.
    pub(super) fn fingerprint(&self) -> String {
        let digest: Vec<String> = Md5::digest(&self.blob).iter().map(|byte| format!("{byte:02x}")).collect();
        digest.join(":")
    }
}

/// Returns the MD5 fingerprint of a key in the format of a `.pub` file, by the emulator's own reading.
///
/// # Errors
/// Fails if the key cannot sign requests; the error is a sentence.
pub fn fingerprint(text: &str) -> Result<String, String> {
    PublicKey::parse(text).map(|key| key.fingerprint())
}

/// Takes a field from the front: four bytes of length, then the bytes.
fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, behind) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (field, behind) = behind.split_at_checked(length)?;
    *rest = behind;
    Some(field)
}

/// Returns the bytes of a positive number, or none if it is not positive.
fn number(field: &[u8]) -> &[u8] {
    if field.first().is_none_or(|first| first & 0x80 != 0) {
        return &[];
    }
    let zeros = field.iter().take_while(|byte| **byte == 0).count();
    &field[zeros..]
}
