//! The lock of a data directory: one `serve` at a time has it.

use crate::error::{Error, Kind, Result};
use std::fs::{DirBuilder, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The file, in the directory. It holds the id of the process that has the lock, and stays when that ends.
const NAME: &str = "serve.lock";

/// Takes the lock of a directory, which is made if it is not there. It is held until the file is dropped, or the process
/// is gone.
pub(super) fn hold(data: &Path) -> Result<File> {
    let failed = |e| Error::io(format!("cannot use --data {}", data.display()), e);
    DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(failed)?;
    let path = data.join(NAME);
    let options = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = options.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(taken(data, &mut file)),
        Err(TryLockError::Error(e)) => return Err(failed(e)),
    }
    // Whoever is refused reads it; without it the message names no process.
    let noted = file.set_len(0).and_then(|()| file.rewind());
    noted.and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

fn taken(data: &Path, file: &mut File) -> Error {
    let mut text = String::new();
    let holder = file.take(32).read_to_string(&mut text).ok().and_then(|_| text.trim().parse::<u32>().ok());
    let shown = data.display();
    let error = |who: String| Error::new(Kind::Locked, format!("cannot use --data {shown}: {who} has it"));
    match holder {
        Some(pid) => error(format!("another `diskferry serve` (process {pid})"))
            .hint(format!("stop it with `kill {pid}`, or give another directory")),
        None => error("another `diskferry serve`".to_owned()).hint("give another directory"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_by_one_and_free_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("new/data");
        let first = hold(&data).unwrap();
        let error = hold(&data).unwrap_err();
        assert_eq!(error.kind(), Kind::Locked);
        let (text, pid) = (error.to_string(), std::process::id());
        assert!(
            text.contains(&format!("process {pid}")) && text.contains(&*data.to_string_lossy()),
            "{text}"
        );
        assert!(error.hint_text().unwrap().contains(&format!("kill {pid}")));
        drop(first);
        hold(&data).unwrap();
    }
}
