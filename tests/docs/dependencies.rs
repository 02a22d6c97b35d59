//! ARCHITECTURE.md says of every direct dependency why it is there.

use crate::pages::root;
use std::collections::BTreeSet;

/// The names in the first column of the table under a heading.
fn table(text: &str, heading: &str) -> BTreeSet<String> {
    let after =
        text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("there is no `{heading}`")).1;
    let section = after.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split(" | ").next())
        .flat_map(|cell| cell.split(", "))
        .map(|name| name.trim_matches(['`', ' ']).to_owned())
        .collect()
}

#[test]
fn each_dependency_has_its_reason() {
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let named = |section: &str| manifest[section].as_table().unwrap().keys().cloned();
    let used: BTreeSet<_> = named("dependencies").chain(named("dev-dependencies")).collect();
    let architecture = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let explained = table(&architecture, "## Dependencies");
    let unexplained: Vec<_> = used.difference(&explained).collect();
    assert!(unexplained.is_empty(), "ARCHITECTURE.md does not say why these are there: {unexplained:?}");
    let gone: Vec<_> = explained.difference(&used).collect();
    assert!(gone.is_empty(), "ARCHITECTURE.md explains what Cargo.toml does not have: {gone:?}");
}

#[test]
fn the_table_is_read() {
    let text = "x\n## Dependencies\n\n| crate | why |\n| --- | --- |\n| `a`, `b-c` | because |\n\n## Next\n| `d` | no |\n";
    assert_eq!(table(text, "## Dependencies"), BTreeSet::from(["a".to_owned(), "b-c".to_owned()]));
}
