//! Every link to a file leads to one, and every anchor to a heading.

use crate::pages::{Page, pages, root};
use std::collections::BTreeSet;

/// The anchors of a page, as GitHub makes them of its headings.
fn anchors(page: &Page) -> BTreeSet<String> {
    let headings = page.prose().into_iter().filter_map(|(_, line)| line.strip_prefix('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// What the links of a line lead to.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

#[test]
fn links_lead_somewhere() {
    let more = ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"];
    let all = pages().into_iter().chain(more.map(|name| Page::read(root().join(name))));
    let mut checked = 0;
    for page in all {
        for (line, text) in page.prose() {
            for link in links(text).filter(|link| !link.contains("://")) {
                let at = format!("{}:{line}: {link}", page.name);
                let (file, to) = link.split_once('#').map_or((link, None), |(file, to)| (file, Some(to)));
                let path = if file.is_empty() { page.path.clone() } else { page.path.with_file_name(file) };
                assert!(path.exists(), "{at}: there is no such file");
                if let Some(to) = to {
                    let there = Page::read(path.canonicalize().unwrap());
                    assert!(anchors(&there).contains(to), "{at}: there is no such heading");
                }
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "only {checked} links were found");
}

#[test]
fn anchors_are_those_of_github() {
    assert_eq!(anchor("What `exit` status 0 means"), "what-exit-status-0-means");
    assert_eq!(links("[a](b.md#c), [d](https://e)").collect::<Vec<_>>(), ["b.md#c", "https://e"]);
}
