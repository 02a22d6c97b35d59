//! `qemu-img`, if installed: it judges what an image holds.

use std::path::Path;
use std::process::{Command, Output};

/// Returns whether qemu-img is installed. If it is not, the test is skipped.
#[allow(dead_code, reason = "not every test crate asks")]
pub fn is_here() -> bool {
    let here = Command::new("qemu-img").arg("--version").output().is_ok_and(|output| output.status.success());
    if !here {
        crate::skipped::skipped("qemu-img is not installed (Debian: qemu-utils)");
    }
    here
}

/// Runs a tool in `dir`, and asserts that it succeeds.
#[allow(dead_code, reason = "not every test crate asks")]
pub fn run(program: &str, dir: &Path, args: &[&str]) -> Output {
    let output = Command::new(program).current_dir(dir).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{program}: {e}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {said}");
    output
}

/// Runs `qemu-img` in `dir`, with its arguments in one string.
#[allow(dead_code, reason = "not every test crate asks")]
pub fn qemu_img(dir: &Path, args: &str) {
    run("qemu-img", dir, &args.split_whitespace().collect::<Vec<_>>());
}

/// Returns the bytes of an image, as `qemu-img convert` writes them.
#[allow(dead_code, reason = "not every test crate asks")]
pub fn raw(dir: &Path, format: &str, image: &str) -> Vec<u8> {
    let out = format!("{image}.judged");
    qemu_img(dir, &format!("convert -f {format} -O raw {image} {out}"));
    let bytes = std::fs::read(dir.join(&out)).unwrap();
    std::fs::remove_file(dir.join(&out)).unwrap();
    bytes
}
