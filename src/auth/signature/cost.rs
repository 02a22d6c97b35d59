//! How much work it may be to open a key with its passphrase.
//!
//! The file itself says how many rounds it takes and how much memory. A damaged one can ask for years, or for more memory
//! than there is, which ends the process.

use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;

/// The most rounds of bcrypt, of some 10 ms each. `ssh-keygen` takes 16 or 24 unless told otherwise.
const ROUNDS: u32 = 1024;

/// The most iterations of PBKDF2, about a microsecond each. OpenSSL takes 2048 unless told otherwise.
const ITERATIONS: u32 = 10_000_000;

/// The most memory of scrypt, in bytes. OpenSSL takes 16 MiB unless told otherwise.
const MEMORY: u64 = 64 << 20;

/// How often scrypt may go through its memory.
const PASSES: u16 = 16;

/// Checks what a PKCS#8 file asks for. The error says what is too much, as the end of a sentence.
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

/// Checks what a file of OpenSSH's own form asks for.
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
    Err(format!("its passphrase takes {asked} {what}, more than the limit of {most}"))
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
            assert!(error.what_next().is_some_and(|hint| hint.contains("ssh-keygen -p")), "{file}");
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
