//! The messages of docs/troubleshooting.md are those of the program.

use crate::pages::{Page, root};
use std::path::Path;

/// The text of all sources, with string literals that are broken over lines put together.
fn sources(dir: &Path, into: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut parts = text.split("\\\n");
            *into += parts.next().unwrap_or_default();
            parts.for_each(|part| *into += part.trim_start());
        }
    }
}

#[test]
fn the_messages_of_the_troubleshooting_page_exist() {
    let mut source = String::new();
    sources(&root().join("src"), &mut source);
    let page = Page::read(root().join("docs/troubleshooting.md"));
    let headings: Vec<_> = page.prose().into_iter().filter(|(_, line)| line.starts_with("### ")).collect();
    assert!(headings.len() >= 20, "only {} messages were found", headings.len());
    let mut missing = Vec::new();
    for (line, heading) in headings {
        for message in heading.split('`').skip(1).step_by(2) {
            // `…` stands for what differs from case to case.
            for part in message.split('…').map(str::trim).filter(|part| !part.is_empty()) {
                if !source.contains(part) {
                    missing.push(format!("docs/troubleshooting.md:{line}: no message says `{part}`"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
