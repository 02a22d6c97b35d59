//! Options and commands that the text names exist.

use crate::pages::pages;
use std::collections::BTreeSet;
use std::process::Command;

/// Every long option and every command of the manual pages.
fn known() -> (BTreeSet<String>, BTreeSet<String>) {
    let dir = tempfile::tempdir().unwrap();
    let made = Command::new(env!("CARGO_BIN_EXE_diskferry"))
        .args(["--quiet", "man", "--dir"])
        .arg(dir.path())
        .env("HOME", dir.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let (mut options, mut commands) = (BTreeSet::new(), BTreeSet::new());
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.file_stem().and_then(|name| name.to_str()) else { continue };
        commands.extend(name.strip_prefix("diskferry-").map(|name| name.replace('-', " ")));
        // Without the marks of fonts and the backslashes of roff.
        let page = std::fs::read_to_string(&path).unwrap().replace("\\fR", " ").replace('\\', "");
        options.extend(page.split("--").skip(1).map(option_name));
    }
    (options, commands)
}

fn option_name(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
}

/// Options of other programs that the text names.
const OTHERS: [&str; 3] = ["array", "features", "shared"];

#[test]
fn options_and_commands_in_the_text_exist() {
    let (options, commands) = known();
    assert!(options.contains("chunk-size") && commands.contains("backups prune"), "{options:?} {commands:?}");
    let (mut checked, mut unknown) = (0, Vec::new());
    for page in pages() {
        for (line, code) in page.code_spans() {
            let at = format!("{}:{line}: `{code}`", page.name);
            if let Some(option) = code.strip_prefix("--").map(option_name) {
                checked += 1;
                if !options.contains(&option) && !OTHERS.contains(&&*option) {
                    unknown.push(format!("{at}: there is no such option"));
                }
            }
            if let Some(rest) = code.strip_prefix("diskferry ") {
                let first = rest.split_whitespace().find(|word| !word.starts_with('-')).unwrap_or_default();
                if !first.contains(char::is_uppercase) && !first.is_empty() && !commands.contains(first) {
                    unknown.push(format!("{at}: there is no such command"));
                }
            }
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    assert!(checked > 60, "only {checked} options were found");
}
