//! Limits the work of decrypting a key with its passphrase.
//!
//! The file itself specifies the number of rounds and the memory. A damaged file may require years, or more
//! memory than there is, which would end the process.

use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;

/// The most rounds of bcrypt, about 10 ms each. `ssh-keygen` uses 16 or 24 by default.
const ROUNDS: u32 = 1024;

/// The most iterations of PBKDF2, about a microsecond each. OpenSSL uses 2048 by default.
const ITERATIONS: u32 = 10_000_000;

/// The most memory of scrypt in bytes. OpenSSL uses 16 MiB by default.
const MEMORY: u64 = 64 << 20;

/// The most passes of scrypt over its memory.
const PASSES: u16 = 16;

/// Checks the parameters of a PKCS#8 file. The error is the end of a sentence.
pub(super) fn check_pkcs8(sealed: &EncryptedPrivateKeyInfo<'_>) -> Result<(), String> {
    let EncryptionScheme::Pbes2(scheme) = &sealed.encryption_algorithm else { return Ok(()) };
    match &scheme.kdf {
        Kdf::Pbkdf2(asked) => {
            check(u64::from(asked.iteration_count), u64::from(ITERATIONS), "iterations of PBKDF2")
        }
        Kdf::Scrypt(asked) => {
            let block = 128 * u64::from(asked.block_size);
            let memory = asked.cost_parameter.saturating_mul(block);
            check(memory, MEMORY, "bytes of memory for scrypt")?;
            check(u64::from(asked.parallelization), u64::from(PASSES), "passes of scrypt")
        }
        _ => Ok(()),
    }
}

/// Checks the parameters of a file in OpenSSH's format.
pub(super) fn check_openssh(asked: &ssh_key::Kdf) -> Result<(), String> {
    match asked {
        ssh_key::Kdf::Bcrypt { rounds, .. } => {
            check(u64::from(*rounds), u64::from(ROUNDS), "rounds of bcrypt")
        }
        _ => Ok(()),
    }
}

fn check(asked: u64, most: u64, what: &str) -> Result<(), String> {
    if asked <= most {
        return Ok(());
    }
    Err(format!("its passphrase needs {asked} {what}, more than the limit of {most}"))
}

#[cfg(test)]
mod tests {
    use super::super::key::load;
    use crate::error::Kind;
    use std::path::Path;

    #[test]
    fn a_key_that_asks_for_too_much_is_refused_before_the_passphrase() {
        for (file, says) in [
            ("bcrypt-of-four-billion-rounds", "4294967295 rounds of bcrypt, more than the limit of 1024"),
            ("pbkdf2-of-two-billion-iterations", "2147483647 iterations of PBKDF2"),
            ("scrypt-of-a-pebibyte", "1125899906842624 bytes of memory for scrypt"),
            ("scrypt-of-two-gibibytes", "2147483648 bytes of memory for scrypt"),
            ("scrypt-of-large-blocks", "bytes of memory for scrypt"),
        ] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/crashes/keys").join(file);
            let error = load(&path, &mut || panic!("{file} is refused before that")).err().unwrap();
            assert_eq!(error.kind(), Kind::Auth);
            assert!(error.to_string().contains(says), "{file}: {error}");
            assert!(error.hint_text().is_some_and(|hint| hint.contains("ssh-keygen -p")), "{file}");
        }
    }

    #[test]
    fn a_file_without_end_is_no_key() {
        for read in [
            load(Path::new("/dev/zero"), &mut || panic!("nothing is encrypted")).err(),
            super::super::public::PublicKey::read(Path::new("/dev/zero")).err(),
        ] {
            let error = read.unwrap();
            assert!(error.to_string().contains("64 KiB"), "{error}");
        }
    }
}
