//! `casync`, where it is installed: the judge of what a store holds.

use std::path::Path;
use std::process::{Command, Output};

/// Whether it is installed; where it is not, the test is skipped.
#[allow(dead_code, reason = "not every test crate asks")]
pub fn is_here() -> bool {
    let here = Command::new("casync").arg("--version").output().is_ok_and(|output| output.status.success());
    if !here {
        crate::skipped::skipped("casync is not installed (tests/clients/debian does it)");
    }
    here
}

/// Runs it in `dir`, whatever comes of it.
#[allow(dead_code, reason = "not every test crate asks")]
pub fn attempt(dir: &Path, args: &[&str]) -> Output {
    Command::new("casync").current_dir(dir).args(args).output().expect("casync starts")
}

/// Runs it in `dir`, which has to succeed: what it printed, on both outputs.
#[allow(dead_code, reason = "not every test crate asks")]
pub fn casync(dir: &Path, args: &[&str]) -> String {
    let output = attempt(dir, args);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "casync {args:?}: {said}");
    said
}
