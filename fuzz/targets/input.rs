//! Splits an input, and writes parts of it to files for code that reads files.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use tokio::runtime::{Builder, Runtime};

/// An input that is read from its front. Past its end every number is 0 and every text is empty.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Creates an input that is read from its first byte.
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// Reads the next byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or_default()
    }

    /// Reads the next two bytes as a big-endian number.
    pub fn number(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    /// Reads the next `count` bytes, or what is left.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Reads up to the next line feed, which is dropped.
    pub fn line(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == b'\n').unwrap_or(self.0.len());
        let line = String::from_utf8_lossy(self.bytes(end)).into_owned();
        self.bytes(1);
        line
    }

    /// Returns everything that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Returns whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Returns whether a text has control characters, other than line feeds, that could steer a terminal.
pub fn has_control(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\n')
}

thread_local! {
    static FOLDER: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
}

/// Returns a path in a folder of this thread, in memory if the machine has a place for that.
pub fn scratch(name: &str) -> PathBuf {
    FOLDER.with_borrow_mut(|folder| {
        let memory = Path::new("/dev/shm");
        let new = || {
            let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
            made.expect("a folder for files")
        };
        folder.get_or_insert_with(new).path().join(name)
    })
}

/// Writes a file in this thread's folder, and returns its path.
pub fn file(name: &str, contents: &[u8]) -> PathBuf {
    let path = scratch(name);
    std::fs::write(&path, contents).expect("a file to write");
    path
}

/// Runs a future to its end on this thread.
pub fn wait<F: Future>(future: F) -> F::Output {
    RUNTIME.with(|runtime| runtime.block_on(future))
}
