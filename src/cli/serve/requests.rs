//! What `serve` tells of requests while it runs: lines of the file of `--log`, and undocumented forms on stderr.

use crate::cli::output::Output;
use crate::emulator::{Dialect, Logged};
use crate::error::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Tells of requests.
pub(super) struct Requests {
    /// None once it could not be written.
    file: Mutex<Option<(PathBuf, File)>>,
    output: Output,
}

impl Requests {
    /// Opens the file, if there is to be one, to append to it.
    pub(super) fn open(path: Option<&Path>, output: &Output) -> Result<Self> {
        let open = |path: &Path| {
            let file = File::options().append(true).create(true).mode(0o600).open(path);
            let failed = |e| {
                Error::io(format!("cannot write --log {}", path.display()), e)
                    .hint("name a file in a directory that is there and can be written")
            };
            file.map(|file| (path.to_owned(), file)).map_err(failed)
        };
        Ok(Requests { file: Mutex::new(path.map(open).transpose()?), output: output.clone() })
    }

    /// Tells of a request that is over, and of the undocumented forms in it that are new.
    pub(super) fn note(&self, provider: Dialect, logged: &Logged, new: &[&str]) {
        for form in new {
            self.output.warn(&format!("{provider}: undocumented: {form}"));
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((path, open)) = &mut *file else { return };
        // One write a line, so that lines of several listeners do not mix.
        if let Err(error) = open.write_all(logged.line(provider.name()).as_bytes()) {
            self.output.warn(&format!(
                "cannot write {}, and no request is logged any more: {error}",
                path.display()
            ));
            *file = None;
        }
    }
}
