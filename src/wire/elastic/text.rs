//! `text/plain`: one `KEY VALUE` per line, with blank lines between objects.
//!
//! Parsing is lenient. It accepts CRLF, a missing final newline, indented lines (as printed in the manuals),
//! a key without a value, and samples without their blank lines. In the last case a repeated key starts a new
//! object; if an object starts with a key that the previous one lacks, that line counts as part of the
//! previous object.
//!
//! Printing is strict. A newline in a value is written as the two characters `\n` and parsed back. The
//! backslash itself is not escaped, so a value with a literal backslash and n does not survive a round trip,
//! nor does one that ends with a carriage return; see [`carries`]. A key has no white space; see [`is_key`].
//! Otherwise, and with at least one key per object, printing and parsing returns the same objects.

use super::Properties;
use std::fmt::Write;

/// Parses the objects of a reply, in order. Never fails, because any text is a list of objects.
pub fn parse(text: &str) -> Vec<Properties> {
    let mut objects = Vec::new();
    let mut current = Properties::new();
    for line in text.strip_prefix('\u{feff}').unwrap_or(text).split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start_matches([' ', '\t']);
        if line.is_empty() {
            if !current.is_empty() {
                objects.push(std::mem::take(&mut current));
            }
            continue;
        }
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        if current.contains(key) {
            objects.push(std::mem::take(&mut current));
        }
        current.set(key, value.replace("\\n", "\n"));
    }
    if !current.is_empty() {
        objects.push(current);
    }
    objects
}

/// Like [`parse`], for bytes. Invalid UTF-8 is replaced.
pub fn parse_bytes(bytes: &[u8]) -> Vec<Properties> {
    parse(&String::from_utf8_lossy(bytes))
}

/// Parses the rows of a list: words separated by white space, which `columns` names in order. Surplus words
/// are ignored, missing ones are left out.
pub fn parse_list(text: &str, columns: &[&str]) -> Vec<Properties> {
    text.strip_prefix('\u{feff}')
        .unwrap_or(text)
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| columns.iter().copied().zip(line.split_whitespace()).collect())
        .collect()
}

/// Prints objects with a blank line between them, each line ended by a newline.
pub fn print(objects: &[Properties]) -> String {
    let mut out = String::new();
    for (i, object) in objects.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        for (key, value) in object.iter() {
            let value = value.replace('\n', "\\n");
            let _ = if value.is_empty() { writeln!(out, "{key}") } else { writeln!(out, "{key} {value}") };
        }
    }
    out
}

/// Returns whether a key can be written: it is not empty and has neither white space nor control characters.
pub fn is_key(key: &str) -> bool {
    !key.is_empty() && !key.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\u{feff}')
}

/// Returns whether a value survives a round trip: it has no literal backslash and n, and no carriage return
/// at its end.
pub fn carries(value: &str) -> bool {
    !value.contains("\\n") && !value.ends_with('\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn lost_blank_lines_are_told_by_the_repeated_key() {
        // Open Hosting API, "Data formats": the sample as printed.
        let objects = parse("name TestServer1\ncpu 2000\nmem 1024\nname TestServer2\ncpu 4000\nmem 2048");
        assert_eq!(objects.len(), 2);
        assert_eq!(objects[1].get("mem"), Some("2048"));
    }

    #[test]
    fn blank_lines_tell_objects_that_share_no_first_key() {
        let objects = parse("\n\n\nstatus active\nname a\n \r\n\t\nrx 0\nname b\n\n");
        assert_eq!(objects.len(), 2);
        assert_eq!(objects[1].iter().next(), Some(("rx", "0")));
        // Without the blank lines, too, the stray line counts as part of the previous object.
        let objects = parse("status active\nname a\nrx 0\nname b\n");
        assert_eq!(objects[0].get("rx"), Some("0"));
        assert_eq!(objects[1].len(), 1);
    }

    #[test]
    fn values_may_hold_spaces_newlines_or_nothing() {
        let objects = parse("title\r\ndescription 5 minutes of burst\r\nnotes a\\nb\r\n");
        assert_eq!(objects[0].get("title"), Some(""));
        assert_eq!(objects[0].get("description"), Some("5 minutes of burst"));
        assert_eq!(objects[0].get("notes"), Some("a\nb"));
        assert_eq!(print(&objects), "title\ndescription 5 minutes of burst\nnotes a\\nb\n");
    }

    #[test]
    fn an_empty_value_may_have_its_space_or_not() {
        assert_eq!(parse("title \nphone\n"), [Properties::new().with("title", "").with("phone", "")]);
    }

    #[test]
    fn indented_samples_and_byte_order_marks_are_read_through() {
        let server = Properties::new().with("name", "TestServer").with("cpu", "4000");
        assert_eq!(parse("\u{feff}     name TestServer\n     cpu 4000\n"), [server]);
    }

    #[test]
    fn other_backslashes_and_entities_stay() {
        let objects = parse(r"a C:\temp\\x&#39;");
        assert_eq!(objects[0].get("a"), Some(r"C:\temp\\x&#39;"));
    }

    #[test]
    fn what_the_form_cannot_write_is_known() {
        for key in ["", " ", "a b", "a\n", "a\r", "a\t", "\u{a0}", "\u{feff}a"] {
            assert!(!is_key(key), "{key:?}");
        }
        for value in ["\\n", "a\\nb", "\r", "a\r"] {
            assert!(!carries(value), "{value:?}");
            assert_ne!(parse(&print(&[Properties::new().with("a", value)]))[0].get("a"), Some(value));
        }
    }

    #[test]
    fn rows_are_named_by_their_columns() {
        let rows = parse_list("\r\na 1 2\r\n\r\nb  3 4 5\nc", &["server", "cpu", "mem"]);
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[1], Properties::new().with("server", "b").with("cpu", "3").with("mem", "4"));
        assert_eq!(rows[2], Properties::new().with("server", "c"));
    }

    fn key() -> impl Strategy<Value = String> {
        prop_oneof![
            "(ide|scsi):[0-7]:[0-7](:media)?",
            "[a-d]{1,2}",
            any::<String>().prop_filter("a key", |k| is_key(k))
        ]
    }

    fn value() -> impl Strategy<Value = String> {
        let tricky = "[ \t\r\n\\\\nab]{0,8}";
        prop_oneof![tricky, any::<String>()].prop_filter("a value", |v| carries(v))
    }

    fn object() -> impl Strategy<Value = Properties> {
        vec((key(), value()), 1..6).prop_map(|pairs| pairs.into_iter().collect())
    }

    proptest! {
        #[test]
        fn printing_and_parsing_is_the_identity(objects in vec(object(), 0..5)) {
            prop_assert_eq!(parse(&print(&objects)), objects.clone());
            let crlf = print(&objects).replace('\n', "\r\n");
            prop_assert_eq!(parse(&crlf), objects);
        }

        #[test]
        fn a_lost_last_newline_changes_nothing(objects in vec(object(), 1..5)) {
            let printed = print(&objects);
            prop_assert_eq!(parse(printed.trim_end_matches('\n')), objects);
        }

        #[test]
        fn listing_and_parsing_is_the_identity(
            words in vec((r"[^\s\u{feff}]{1,9}", r"[^\s]{1,9}"), 0..6)
        ) {
            let text: String = words.iter().map(|(a, b)| [a, " ", b, "\n"].concat()).collect();
            let rows: Vec<Properties> =
                words.into_iter().map(|(a, b)| Properties::new().with("type", a).with("resource", b)).collect();
            prop_assert_eq!(parse_list(&text, &["type", "resource"]), rows);
        }

        #[test]
        fn any_bytes_are_some_list_of_objects_with_keys(bytes in vec(any::<u8>(), 0..200)) {
            for object in parse_bytes(&bytes) {
                prop_assert!(!object.is_empty());
                prop_assert!(!object.contains(""));
            }
            let _ = parse_list(&String::from_utf8_lossy(&bytes), &["a", "b"]);
        }

        #[test]
        fn any_lines_parse_to_what_prints_and_parses_alike(text in "[ \ta-c:\r\n\\\\n]{0,60}") {
            let once = parse(&text);
            if once.iter().flat_map(Properties::iter).all(|(k, v)| is_key(k) && carries(v)) {
                prop_assert_eq!(parse(&print(&once)), once);
            }
        }
    }
}
