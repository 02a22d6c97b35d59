//! Reads private RSA keys: PEM with PKCS#1 or PKCS#8, and OpenSSH's format, each plain or encrypted.

use super::cost::{check_openssh, check_pkcs8};
use super::pem::{self, Armoured};
use super::public::PublicKey;
use crate::error::{Error, Kind, Result};
use aes::cipher::{BlockDecryptMut, KeyIvInit, block_padding::Pkcs7};
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::KeyPair as _;
use md5::{Digest, Md5};
use num_bigint::BigUint;
use secrecy::{ExposeSecret, SecretString};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zeroize::Zeroizing;

/// A key that was read.
pub struct Loaded {
    /// The private key.
    pub pair: KeyPair,
    /// The public key.
    pub public: PublicKey,
    /// A warning about the file.
    pub warning: Option<String>,
}

/// Reads a private key. Calls `passphrase` once, and only if the key is encrypted.
pub fn load(path: &Path, passphrase: &mut dyn FnMut() -> Result<SecretString>) -> Result<Loaded> {
    let shown = path.display().to_string();
    let bad = |why: &str| Error::new(Kind::Auth, format!("cannot use the key {shown}: {why}"));
    let text = Zeroizing::new(pem::read(path).map_err(|e| bad("it cannot be read").source(e))?);
    if PublicKey::parse(&text).is_some() {
        return Err(
            bad("it is the public key").hint("set `identity` to the file of the private key, without `.pub`")
        );
    }
    let armoured = pem::first(&text)
        .ok_or_else(|| bad("it is not a private key").hint("expected PEM or OpenSSH's format"))?;
    let pair = match &*armoured.label {
        "RSA PRIVATE KEY" if armoured.header("DEK-Info").is_some() => {
            pkcs1(&decrypted(&armoured, &passphrase()?).ok_or_else(|| wrong(&shown))?)
                .ok_or_else(|| wrong(&shown))?
        }
        "RSA PRIVATE KEY" => {
            pkcs1(&armoured.bytes).ok_or_else(|| bad("it is damaged, or has fewer than 2048 bits"))?
        }
        "PRIVATE KEY" => pkcs8(&armoured.bytes).ok_or_else(|| not_rsa(&shown))?,
        "ENCRYPTED PRIVATE KEY" => {
            let sealed = ::pkcs8::EncryptedPrivateKeyInfo::try_from(&**armoured.bytes)
                .map_err(|_| bad("it is damaged, or encrypted in an unknown way"))?;
            check_pkcs8(&sealed).map_err(|why| costly(&shown, &why))?;
            let open = sealed.decrypt(passphrase()?.expose_secret()).map_err(|_| wrong(&shown))?;
            pkcs8(open.as_bytes()).ok_or_else(|| not_rsa(&shown))?
        }
        "OPENSSH PRIVATE KEY" => openssh(&text, &shown, passphrase)?,
        "EC PRIVATE KEY" | "DSA PRIVATE KEY" => return Err(not_rsa(&shown)),
        other => return Err(bad(&format!("it is a {other}"))),
    };
    let public = public_of(&pair);
    let open = std::fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o077 != 0);
    let warning =
        open.then(|| format!("the private key {shown} is readable by others: run `chmod 600 {shown}`"));
    Ok(Loaded { pair, public, warning })
}

fn wrong(shown: &str) -> Error {
    Error::new(Kind::Auth, format!("the passphrase of {shown} is wrong, or the key is damaged"))
}

fn costly(shown: &str, why: &str) -> Error {
    Error::new(Kind::Auth, format!("cannot use the key {shown}: {why}"))
        .hint("encrypt it again at the usual cost with `ssh-keygen -p -f KEY`")
}

fn not_rsa(shown: &str) -> Error {
    Error::new(Kind::Auth, format!("the key {shown} is not an RSA key of at least 2048 bits"))
        .hint("CloudAPI accepts only RSA keys; create one with `ssh-keygen -t rsa -b 4096`")
}

fn pkcs1(der: &[u8]) -> Option<KeyPair> {
    KeyPair::from_der(der).ok()
}

fn pkcs8(der: &[u8]) -> Option<KeyPair> {
    KeyPair::from_pkcs8(der).ok()
}

fn public_of(pair: &KeyPair) -> PublicKey {
    let key = pair.public_key();
    let (modulus, exponent) = (key.modulus(), key.exponent());
    PublicKey::of_numbers(
        modulus.big_endian_without_leading_zero(),
        exponent.big_endian_without_leading_zero(),
    )
}

/// Reads OpenSSH's format, and converts its numbers to PKCS#1.
fn openssh(text: &str, shown: &str, passphrase: &mut dyn FnMut() -> Result<SecretString>) -> Result<KeyPair> {
    let damaged = |e| Error::new(Kind::Auth, format!("cannot use the key {shown}: it is damaged")).source(e);
    let mut key = ssh_key::PrivateKey::from_openssh(text).map_err(damaged)?;
    if key.is_encrypted() {
        check_openssh(key.kdf()).map_err(|why| costly(shown, &why))?;
        key = key.decrypt(passphrase()?.expose_secret()).map_err(|_| wrong(shown))?;
    }
    let ssh_key::private::KeypairData::Rsa(rsa) = key.key_data() else { return Err(not_rsa(shown)) };
    let number = |mpint: &ssh_key::Mpint| mpint.as_positive_bytes().map(BigUint::from_bytes_be);
    let numbers = || {
        let (public, secret) = (&rsa.public, &rsa.private);
        let exponent = number(&secret.d)?;
        let primes = [number(&secret.p)?, number(&secret.q)?];
        let one = BigUint::from(1_u8);
        if primes.iter().any(|prime| *prime <= one) {
            return None;
        }
        let [first, second] = primes;
        let remainders = [&exponent % (&first - &one), &exponent % (&second - &one)];
        let [by_first, by_second] = remainders;
        let (modulus, inverse) = (number(&public.n)?, number(&secret.iqmp)?);
        let version = BigUint::default();
        Some([version, modulus, number(&public.e)?, exponent, first, second, by_first, by_second, inverse])
    };
    numbers().and_then(|numbers| pkcs1(&sequence(&numbers))).ok_or_else(|| not_rsa(shown))
}

/// Encodes numbers as in PKCS#1 (RFC 8017, A.1.2): a SEQUENCE of INTEGERs in DER.
fn sequence(numbers: &[BigUint]) -> Zeroizing<Vec<u8>> {
    let mut inside = Zeroizing::new(Vec::new());
    for number in numbers {
        let mut bytes = Zeroizing::new(number.to_bytes_be());
        if bytes.first().is_none_or(|byte| byte & 0x80 != 0) {
            bytes.insert(0, 0);
        }
        inside.push(2);
        length(&mut inside, bytes.len());
        inside.extend_from_slice(&bytes);
    }
    let mut out = Zeroizing::new(vec![0x30]);
    length(&mut out, inside.len());
    out.extend_from_slice(&inside);
    out
}

fn length(out: &mut Vec<u8>, len: usize) {
    let bytes: Vec<u8> = len.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    if len < 0x80 {
        out.push(u8::try_from(len).unwrap_or(0));
    } else {
        out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(0));
        out.extend(bytes);
    }
}

/// Decrypts the legacy encryption of PEM as OpenSSL does. The key is derived from the passphrase by MD5, with
/// the first eight bytes of the initialization vector as salt. Returns `None` if the passphrase is wrong or
/// the cipher is unknown.
fn decrypted(armoured: &Armoured, passphrase: &SecretString) -> Option<Zeroizing<Vec<u8>>> {
    let (cipher, vector) = armoured.header("DEK-Info")?.split_once(',')?;
    let vector: Vec<u8> = (0..vector.len())
        .step_by(2)
        .map(|at| vector.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect::<Option<_>>()?;
    let len = match cipher {
        "AES-128-CBC" => 16,
        "AES-192-CBC" | "DES-EDE3-CBC" => 24,
        "AES-256-CBC" => 32,
        _ => return None,
    };
    let mut key = Zeroizing::new(Vec::new());
    let mut last: Vec<u8> = Vec::new();
    while key.len() < len {
        let mut md5 = Md5::new();
        md5.update(&last);
        md5.update(passphrase.expose_secret().as_bytes());
        md5.update(vector.get(..8)?);
        last = md5.finalize().to_vec();
        key.extend_from_slice(&last);
    }
    let (key, sealed) = (&key[..len], &armoured.bytes);
    let open = match cipher {
        "AES-128-CBC" => open::<cbc::Decryptor<aes::Aes128>>(key, &vector, sealed),
        "AES-192-CBC" => open::<cbc::Decryptor<aes::Aes192>>(key, &vector, sealed),
        "AES-256-CBC" => open::<cbc::Decryptor<aes::Aes256>>(key, &vector, sealed),
        _ => open::<cbc::Decryptor<des::TdesEde3>>(key, &vector, sealed),
    };
    open.map(Zeroizing::new)
}

fn open<C: BlockDecryptMut + KeyIvInit>(key: &[u8], vector: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    C::new_from_slices(key, vector).ok()?.decrypt_padded_vec_mut::<Pkcs7>(sealed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSPHRASE: &str = "correct horse";

    fn keys() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/keys")
    }

    #[test]
    fn a_key_is_the_same_in_every_form() {
        let expected = PublicKey::read(&keys().join("test-rsa.pub")).unwrap();
        for (file, encrypted) in [
            ("test-rsa.pem", false),
            ("pkcs1.pem", false),
            ("pkcs1-aes128.pem", true),
            ("pkcs1-des3.pem", true),
            ("pkcs8-pbkdf2.pem", true),
            ("pkcs8-scrypt.pem", true),
            ("openssh", false),
            ("openssh-encrypted", true),
        ] {
            let mut asked = 0;
            let loaded = load(&keys().join(file), &mut || {
                asked += 1;
                Ok(PASSPHRASE.into())
            });
            let loaded = loaded.unwrap_or_else(|e| panic!("{file}: {e}"));
            assert_eq!(asked, i32::from(encrypted), "{file}");
            assert_eq!(loaded.public.blob, expected.blob, "{file}");
            if encrypted {
                let error = load(&keys().join(file), &mut || Ok("wrong".into())).err().unwrap();
                assert!(
                    error.kind() == Kind::Auth && error.to_string().contains("passphrase"),
                    "{file}: {error}"
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_used_is_told_why() {
        for (file, says) in [
            ("test-rsa.pub", "public key"),
            ("ed25519", "not an RSA key"),
            ("README.md", "not a private key"),
            ("absent", "cannot be read"),
        ] {
            let error = load(&keys().join(file), &mut || panic!("nothing is encrypted")).err().unwrap();
            assert_eq!(error.kind(), Kind::Auth, "{file}");
            assert!(error.to_string().contains(says) && error.to_string().contains(file), "{file}: {error}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_told_of() {
        use std::os::unix::fs::PermissionsExt;
        let copy = tempfile::NamedTempFile::new().unwrap();
        std::fs::copy(keys().join("test-rsa.pem"), copy.path()).unwrap();
        let warning = |mode| {
            std::fs::set_permissions(copy.path(), PermissionsExt::from_mode(mode)).unwrap();
            load(copy.path(), &mut || panic!("nothing is encrypted")).unwrap().warning
        };
        assert!(warning(0o600).is_none());
        assert!(warning(0o644).is_some_and(|text| text.contains("chmod 600")));
    }
}
