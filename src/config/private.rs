//! A directory that only its owner can access.

use std::fs::{DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// The depth of our directories: `local/drives/UUID.raw`.
const DEPTH: u8 = 2;

/// Creates a directory that only its owner can access. The permissions of an existing one and its contents
/// are restricted, because older versions did not.
pub fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    close(path, &std::fs::metadata(path)?)?;
    close_contents(path, DEPTH)
}

fn close_contents(dir: &Path, depth: u8) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        // Another process may have removed it. The target of a link is not changed.
        let meta = match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            meta => meta?,
        };
        if !meta.is_dir() && !meta.is_file() {
            continue;
        }
        match close(&path, &meta) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            closed => closed?,
        }
        if meta.is_dir() && depth > 1 {
            close_contents(&path, depth - 1)?;
        }
    }
    Ok(())
}

fn close(path: &Path, meta: &std::fs::Metadata) -> io::Result<()> {
    match meta.mode() & 0o777 & !0o700 {
        0 => Ok(()),
        _ => std::fs::set_permissions(path, Permissions::from_mode(meta.mode() & 0o700)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_closed_with_all_that_is_in_it() -> io::Result<()> {
        let world = tempfile::tempdir()?;
        let outside = world.path().join("outside");
        std::fs::write(&outside, "x")?;
        let open = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode));
        open(&outside, 0o644)?;
        let dir = world.path().join("a/b");
        private_directory(&dir)?;
        std::fs::create_dir(dir.join("drives"))?;
        std::fs::write(dir.join("drives/x.raw"), "x")?;
        std::os::unix::fs::symlink(&outside, dir.join("link"))?;
        open(&dir.join("drives/x.raw"), 0o664)?;
        open(&dir.join("drives"), 0o755)?;
        open(&dir, 0o755)?;
        private_directory(&dir)?;
        let mode = |path: &Path| std::fs::metadata(path).map(|meta| meta.mode() & 0o777);
        assert_eq!(mode(&dir)?, 0o700);
        assert_eq!(mode(&dir.join("drives"))?, 0o700);
        assert_eq!(mode(&dir.join("drives/x.raw"))?, 0o600);
        assert_eq!(mode(&outside)?, 0o644, "what a link leads to stays as it is");
        Ok(())
    }
}
