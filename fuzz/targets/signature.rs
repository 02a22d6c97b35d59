//! The HTTP Signature of `CloudAPI`: the header that the client creates, the emulator's reading of any
//! header, and public keys as both read them.

use super::input::{Input, file, wait};
use diskferry::auth::signature::key::load;
use diskferry::auth::signature::public::PublicKey;
use diskferry::auth::signature::{Key, Signer};
use diskferry::emulator::{signature_is_of, ssh_fingerprint};
use secrecy::ExposeSecret;

const PRIVATE: &str = include_str!("../../testdata/keys/test-rsa.pem");
const PUBLIC: &str = include_str!("../../testdata/keys/test-rsa.pub");

const GOLDEN: &str = include_str!("../../testdata/keys/golden.txt");
const GOLDEN_DATE: &str = "Tue, 10 May 2011 05:15:30 GMT";

/// The input is a byte, then a header and a date that nobody signed, or an account and a key's name, or a
/// public key.
pub fn run(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    match input.byte() % 4 {
        0 => {
            let (account, name, date) = (input.line(), input.line(), input.line());
            made(&account, &name, &date);
        }
        1 => public(&String::from_utf8_lossy(input.rest())),
        _ => {
            let (header, date) = (input.line(), input.line());
            // One signature with this key is public: the one for the manual's date.
            let is_golden = date == GOLDEN_DATE && header.contains(GOLDEN.trim());
            assert!(is_golden || signature_is_of(&header, PUBLIC, &date) != Ok(true), "nobody has the key");
            let key = input.line();
            let _ = signature_is_of(&header, &key, &date);
        }
    }
}

/// What is signed with the key is accepted, only under this date, and names the key of this account.
fn made(account: &str, name: &str, date: &str) {
    let path = file("test-rsa.pem", PRIVATE.as_bytes());
    let pair = load(&path, &mut || unreachable!("the key is not encrypted")).expect("the test key").pair;
    let Ok(signer) = Signer::new(account, name, Key::Held(pair)) else { return };
    let value = wait(signer.authorization(date)).expect("a signature");
    let value = value.expose_secret();
    assert!(!value.chars().any(char::is_control), "{value:?}");
    let behind = value.strip_prefix("Signature ").expect("the scheme");
    assert_eq!(signature_is_of(behind, PUBLIC, date), Ok(true), "{value}");
    assert_eq!(signature_is_of(behind, PUBLIC, &format!("{date} ")), Ok(false), "{value}");
}

/// A key that both sides accept has one fingerprint, and is restored from its line.
fn public(text: &str) {
    let Some(key) = PublicKey::parse(text) else { return };
    assert!(key.is(&key.md5()) && key.is(&key.sha256()));
    if let Ok(fingerprint) = ssh_fingerprint(text.trim()) {
        assert_eq!(fingerprint, key.md5());
    }
    let line = format!("ssh-rsa {} {}", text.split_whitespace().nth(1).unwrap_or_default(), key.comment);
    assert_eq!(PublicKey::parse(&line).as_ref(), Some(&key));
}
