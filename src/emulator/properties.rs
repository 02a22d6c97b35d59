//! The objects of the elastic providers, as text and as JSON.
//!
//! It is written from the manuals (Open Hosting API, "Data formats") and shared with no other module, so that
//! a misreading by the client shows. Text is one `KEY VALUE` a line, with a newline in a value written as
//! `\n`. JSON has numbers where the manuals print numbers.

use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt::Write;

/// The keys and values of one object, in the order in which they came. Each key occurs at most once.
///
/// A lookup is linear: the emulator accepts objects of at most a thousand keys.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Properties(Vec<(String, String)>);

impl Properties {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// Sets a key, keeping its position if it exists.
    pub(super) fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let (key, value) = (key.into(), value.into());
        match self.0.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }

    #[must_use]
    pub(super) fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    /// Sets a key, or removes it if the value is empty.
    pub(super) fn set_or_remove(&mut self, key: &str, value: &str) {
        if value.is_empty() {
            self.0.retain(|(k, _)| k != key);
        } else {
            self.set(key, value);
        }
    }

    pub(super) fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Parses the text of one object. Lines may be indented, as the manuals print them, and end in CRLF.
    pub(super) fn from_text(text: &str) -> Result<Self, &'static str> {
        let mut new = Self::new();
        let mut ended = false;
        for line in text.lines().map(|line| line.trim_start_matches([' ', '\t'])) {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            if line.is_empty() {
                ended = !new.0.is_empty();
            } else if ended || new.contains(key) {
                return Err("expected one object: a key stands twice or a line is blank");
            } else {
                new.0.push((key.to_owned(), value.replace("\\n", "\n")));
            }
        }
        Ok(new)
    }

    /// Parses one JSON object. Numbers and lists are accepted in place of strings, and strings in place of
    /// either.
    pub(super) fn from_json(text: &str) -> Result<Self, String> {
        fn plain(value: Value) -> String {
            match value {
                Value::Null => String::new(),
                Value::String(text) => text,
                Value::Array(items) => items.into_iter().map(plain).collect::<Vec<_>>().join(" "),
                other => other.to_string(),
            }
        }
        let object: serde_json::Map<String, Value> =
            serde_json::from_str(text).map_err(|error| format!("the body is not a JSON object: {error}"))?;
        Ok(object.into_iter().map(|(key, value)| (key, plain(value))).collect())
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        pairs.into_iter().fold(Self::new(), |new, (key, value)| new.with(key, value))
    }
}

/// Formats objects as text, with a blank line between two.
pub(super) fn to_text(objects: &[Properties]) -> String {
    let mut out = String::new();
    for (n, object) in objects.iter().enumerate() {
        out.push_str(if n > 0 { "\n" } else { "" });
        for (key, value) in object.iter() {
            let value = value.replace('\n', "\\n");
            // Writing to a string does not fail.
            let _ = writeln!(out, "{}", format!("{key} {value}").trim_end_matches(' '));
        }
    }
    out
}

/// Formats the values of each row on a line of its own.
pub(super) fn to_rows(rows: &[Properties]) -> String {
    let line = |row: &Properties| row.iter().map(|(_, value)| value).collect::<Vec<_>>().join(" ") + "\n";
    rows.iter().map(line).collect()
}

/// Formats one object, or an array of them, as JSON.
pub(super) fn to_json(objects: &[Properties], one: bool) -> String {
    let objects: Vec<Json<'_>> = objects.iter().map(Json).collect();
    let text = match &*objects {
        [object] if one => serde_json::to_string(object),
        all => serde_json::to_string(all),
    };
    // Strings and numbers under string keys always serialize.
    text.unwrap_or_default()
}

/// An object that serializes with its keys in order.
struct Json<'a>(&'a Properties);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        for (key, value) in self.0.iter() {
            match value.parse::<u64>() {
                Ok(number) if is_number(key) && number.to_string() == value => {
                    map.serialize_entry(key, &number)?;
                }
                _ => map.serialize_entry(key, value)?,
            }
        }
        map.end()
    }
}

/// Returns whether the values of a key are JSON numbers (drive and server info of both manuals).
fn is_number(key: &str) -> bool {
    let counts = [":bytes", ":requests", ":packets", ":cores", ":sockets"];
    !key.starts_with("user:")
        && (["size", "cpu", "mem", "smp", "started", "rx", "tx"].contains(&key)
            || counts.iter().any(|suffix| key.ends_with(suffix)))
}

/// Parses a size or an offset: decimal digits and at most one of k, M, G and T in either case, which are
/// powers of 1024. No manual gives the base; recorded drives of `1G` have 1073741824 bytes.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    // The number parser accepts a sign; a size has none.
    let number: u64 = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?;
    number.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_and_printed_as_the_manuals_have_it() {
        // Open Hosting API, "Data formats", indented as Crosspeer's manual prints it.
        let server =
            Properties::from_text("     name TestServer\r\n     cpu 4000\r\n\n     mem 2048").unwrap_err();
        assert!(server.contains("one object"));
        let server =
            Properties::from_text("\n  name Test Server\r\n\tcpu 4000\r\n  title\n  a b\\nc\n\n").unwrap();
        assert_eq!(
            server.iter().collect::<Vec<_>>(),
            [("name", "Test Server"), ("cpu", "4000"), ("title", ""), ("a", "b\nc")]
        );
        assert_eq!(
            to_text(&[server.clone(), server]),
            "name Test Server\ncpu 4000\ntitle\na b\\nc\n\n\
                                                        name Test Server\ncpu 4000\ntitle\na b\\nc\n"
        );
        assert!(Properties::from_text("name a\nname b").is_err());
        let rows = [Properties::new().with("type", "ip").with("resource", "192.168.0.1")];
        assert_eq!(to_rows(&rows), "ip 192.168.0.1\n");
    }

    #[test]
    fn json_has_numbers_for_numbers_and_reads_either() {
        let text = r#"{"cpu": "4000", "mem": 2048, "tags": ["a", "b"], "none": null}"#;
        let read = Properties::from_json(text).unwrap();
        assert_eq!(to_text(&[read]), "cpu 4000\nmem 2048\nnone\ntags a b\n");
        let server = Properties::new()
            .with("name", "7")
            .with("cpu", "4000")
            .with("mem", "007")
            .with("user:io:bytes", "1");
        assert_eq!(to_json(&[server], true), r#"{"name":"7","cpu":4000,"mem":"007","user:io:bytes":"1"}"#);
        let ips = [Properties::new().with("type", "ip").with("resource", "192.168.0.1")];
        assert_eq!(to_json(&ips, false), r#"[{"type":"ip","resource":"192.168.0.1"}]"#);
        assert_eq!(to_json(&[], false), "[]");
        for bad in ["", "[]", "{", "1", "[1]"] {
            assert!(Properties::from_json(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_binary_and_strict() {
        for (text, size) in [("0", 0), ("4M", 4 << 20), ("10g", 10 << 30), ("1T", 1 << 40), ("2k", 2048)] {
            assert_eq!(parse_size(text), Some(size));
        }
        for bad in
            ["", "k", "-1", "+1", "1.5G", "1KB", "4 M", "99999999999999999999", "16777216T", "1é", "éG"]
        {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }
}
