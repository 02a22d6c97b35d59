//! Private keys in files: a file is a key, or gives an error that says so and shows nothing of it.

use super::input::{file, wait};
use diskferry::Kind;
use diskferry::auth::signature::key::load;
use diskferry::auth::signature::public::PublicKey;
use diskferry::auth::signature::{Key, Signer};

/// The whole input is a file. The keys under testdata are encrypted with this passphrase.
pub fn run(data: &[u8]) {
    let path = file("key", data);
    let mut asked = 0;
    let loaded = load(&path, &mut || {
        asked += 1;
        Ok("correct horse".into())
    });
    assert!(asked <= 1, "the passphrase was asked for {asked} times");
    let text = String::from_utf8_lossy(data);
    match loaded {
        Ok(loaded) => {
            assert!(loaded.public.blob.starts_with(b"\0\0\0\x07ssh-rsa"));
            let signer = Signer::new("demo", "foo", Key::Held(loaded.pair)).expect("a name like any other");
            wait(signer.authorization("a date")).expect("a key that was read can sign");
        }
        Err(error) => {
            assert_eq!(error.kind(), Kind::Auth);
            let said = format!("{error} {:?} {error:?}", error.hint_text());
            assert!(said.len() < 2000, "{} characters", said.len());
            hides(&said, &text);
        }
    }
    // The same file read as a public key.
    match PublicKey::read(&path) {
        Ok(key) => assert!(key.is(&key.sha256())),
        Err(error) => hides(&format!("{error} {:?}", error.hint_text()), &text),
    }
}

/// No line of a key occurs in a message about it.
fn hides(said: &str, text: &str) {
    let is_coded = |line: &&str| {
        line.len() >= 24 && line.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
    };
    for line in text.lines().map(str::trim).filter(is_coded) {
        assert!(!said.contains(line), "{said:?}");
    }
}
