//! The preloaded library that makes a process's disk fail: see preload.c.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Returns the library's path. It is built once per process by the C compiler that also links Rust programs.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/proof/preload.c");
        let new = dir.join(format!("proof-preload-{}.so", std::process::id()));
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&new).arg(source).output();
        let built = built.expect("a C compiler named cc is needed to build tests/proof/preload.c");
        assert!(
            built.status.success(),
            "cc cannot build preload.c: {}",
            String::from_utf8_lossy(&built.stderr)
        );
        let library = dir.join("proof-preload.so");
        std::fs::rename(new, &library).unwrap();
        library
    })
}

/// The kinds of files of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Journal,
    Part,
    /// Standard output.
    Out,
}

/// The calls that a rule counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Write,
    Sync,
    /// Links, renames and removals.
    Name,
    /// Bytes written.
    Bytes,
    /// The exit of the process; only for the class `Journal`.
    Exit,
}

/// What happens when the count is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Kill,
    Tear,
    Crash,
    Interrupt,
    Eio,
    Enospc,
}

/// A moment that the process's disk sees, and the action then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub class: Class,
    pub call: Call,
    pub nth: u64,
    pub action: Action,
}

impl Rule {
    pub fn new(class: Class, call: Call, nth: u64, action: Action) -> Self {
        Rule { class, call, nth, action }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self.class {
            Class::Journal => "journal",
            Class::Part => "part",
            Class::Out => "out",
        };
        let call = match self.call {
            Call::Write => "write",
            Call::Sync => "sync",
            Call::Name => "name",
            Call::Bytes => "bytes",
            Call::Exit => "exit",
        };
        let action = match self.action {
            Action::Kill => "kill",
            Action::Tear => "tear",
            Action::Crash => "crash",
            Action::Interrupt => "int",
            Action::Eio => "eio",
            Action::Enospc => "enospc",
        };
        write!(f, "{class}:{call}:{}:{action}", self.nth)
    }
}
