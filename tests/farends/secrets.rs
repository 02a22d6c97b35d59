//! Looking for what nobody may see.

use crate::world::{Ended, World};
use std::path::Path;

/// Fails if any of `secrets` is in what a run has printed, or in a file below the world's home that is not of `allowed` and no
/// image.
pub fn are_nowhere(secrets: &[&str], ended: &[&Ended], world: &World, allowed: &[&str]) {
    for secret in secrets {
        for ended in ended {
            assert!(!ended.stdout.contains(secret), "{secret} in {}", ended.stdout);
            assert!(!ended.stderr.contains(secret), "{secret} in {}", ended.stderr);
        }
        let mut files = 0;
        search(&world.path(""), secret.as_bytes(), allowed, &mut files);
        assert!(files > 0, "there was nothing to look at");
    }
}

fn search(dir: &Path, bytes: &[u8], allowed: &[&str], files: &mut usize) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, bytes, allowed, files);
        } else if !allowed.iter().any(|name| path.ends_with(name))
            && path.extension().is_none_or(|extension| extension != "img")
        {
            *files += 1;
            assert!(!path.to_string_lossy().as_bytes().windows(bytes.len()).any(|window| window == bytes));
            let text = std::fs::read(&path).unwrap();
            assert!(!text.windows(bytes.len()).any(|window| window == bytes), "{}", path.display());
        }
    }
}
