//! `casync`, if installed: it judges what a store holds.

use std::path::Path;
use std::process::{Command, Output};

/// Returns whether casync is installed. If it is not, the test is skipped.
#[allow(dead_code, reason = "not every test crate asks")]
pub fn is_here() -> bool {
    let here = Command::new("casync").arg("--version").output().is_ok_and(|output| output.status.success());
    if !here {
        crate::skipped::skipped("casync is not installed (tests/clients/debian does it)");
    }
    here
}

/// Runs casync in `dir`, and returns its output whether or not it succeeds.
#[allow(dead_code, reason = "not every test crate asks")]
pub fn attempt(dir: &Path, args: &[&str]) -> Output {
    Command::new("casync").current_dir(dir).args(args).output().expect("casync starts")
}

/// Runs casync in `dir`, asserts that it succeeds, and returns what it printed on both outputs.
#[allow(dead_code, reason = "not every test crate asks")]
pub fn casync(dir: &Path, args: &[&str]) -> String {
    let output = attempt(dir, args);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "casync {args:?}: {said}");
    said
}
