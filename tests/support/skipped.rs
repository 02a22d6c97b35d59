//! Reports what is not tested because the machine lacks something, so that no test passes silently.

use std::io::Write;

/// Reports that this test, or a part of it, is skipped, and why. With `CI` set, this is a failure.
///
/// `$DISKFERRY_SKIPPED` names a file that collects what was skipped, one line each.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a thread of a test").to_owned();
    assert!(std::env::var_os("CI").is_none(), "{test}: {why}; with CI set nothing may be skipped");
    eprintln!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os("DISKFERRY_SKIPPED") {
        let file = std::fs::File::options().create(true).append(true).open(path);
        let line = format!("{test}: {why}\n");
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("$DISKFERRY_SKIPPED can be written");
    }
}
