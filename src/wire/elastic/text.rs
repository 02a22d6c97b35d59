//! `text/plain`: one `KEY VALUE` a line; blank lines between objects.
//!
//! Read liberally: CRLF, a missing last newline, a key without a value, and samples whose blank lines are lost (a key
//! that repeats starts a new object). A newline inside a value is written as the two characters `\n`, and read so;
//! since the backslash itself is not escaped, a value that holds a literal backslash and n does not round trip.

use super::Properties;
use std::fmt::Write;

/// Every object of a reply, in order. Never fails: any text is some list of objects.
pub fn parse(text: &str) -> Vec<Properties> {
    let mut objects = Vec::new();
    let mut current = Properties::new();
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim().is_empty() {
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

/// The rows of a list: words separated by spaces, named by `columns` in order. Words beyond the columns are ignored,
/// columns without a word are left out.
pub fn parse_list(text: &str, columns: &[&str]) -> Vec<Properties> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| columns.iter().copied().zip(line.split_whitespace()).collect())
        .collect()
}

/// Objects as text, a blank line between two, each line ended by a newline.
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

/// Rows as text: the values of each row, separated by spaces.
pub fn print_list(rows: &[Properties]) -> String {
    let mut out = String::new();
    for row in rows {
        let words: Vec<&str> = row.iter().map(|(_, v)| v).collect();
        let _ = writeln!(out, "{}", words.join(" "));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_blank_lines_are_told_by_the_repeated_key() {
        // Open Hosting API, "Data formats": the sample as printed.
        let objects = parse("name TestServer1\ncpu 2000\nmem 1024\nname TestServer2\ncpu 4000\nmem 2048");
        assert_eq!(objects.len(), 2);
        assert_eq!(objects[1].get("mem"), Some("2048"));
    }

    #[test]
    fn values_may_hold_spaces_newlines_or_nothing() {
        let objects = parse("title\r\ndescription 5 minutes of burst\r\nnotes a\\nb\r\n");
        assert_eq!(objects[0].get("title"), Some(""));
        assert_eq!(objects[0].get("description"), Some("5 minutes of burst"));
        assert_eq!(objects[0].get("notes"), Some("a\nb"));
        assert_eq!(print(&objects), "title\ndescription 5 minutes of burst\nnotes a\\nb\n");
    }
}
