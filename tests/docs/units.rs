//! The systemd units of docs/nightly.md are valid, by systemd's own word.

use crate::pages::{Page, root};
use std::path::Path;
use std::process::Command;

/// The units of a page: what stands in the ini blocks behind their paths.
fn units(text: &str) -> Vec<(&str, String)> {
    let mut units = Vec::new();
    for part in text.split("`/etc/systemd/system/").skip(1) {
        let Some((name, rest)) = part.split_once('`') else { continue };
        let Some(body) = rest.trim_start_matches(':').trim_start().strip_prefix("```ini\n") else { continue };
        units.push((name, body.split("```").next().unwrap_or_default().to_owned()));
    }
    units
}

#[test]
fn the_units_are_valid() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "systemd-analyze is not installed (Debian: systemd)");
        eprintln!("skipped: systemd-analyze is not installed");
        return;
    }
    let page = Page::read(root().join("docs/nightly.md"));
    let units = units(&page.text);
    let names: Vec<_> = units.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["diskferry-backup.service", "diskferry-backup.timer", "diskferry-failed@.service"]);
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in &units {
        // systemd wants the program to be there.
        let text = text.replace("/usr/bin/diskferry", env!("CARGO_BIN_EXE_diskferry"));
        std::fs::write(dir.path().join(name.replace("@.", "@x.")), text).unwrap();
    }
    for (name, _) in &units {
        verify(dir.path(), &name.replace("@.", "@x."));
    }
}

/// An unknown key is no error for systemd, but it says so.
fn verify(dir: &Path, unit: &str) {
    let path = dir.join(unit);
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&path)
        .env("SYSTEMD_UNIT_PATH", format!("{}:", dir.display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && !said.contains(unit), "{unit}: {said}");
}
