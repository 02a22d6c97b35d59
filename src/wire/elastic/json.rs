//! `application/json` of Open Hosting and Crosspeer.
//!
//! Parsing is lenient: numbers and lists may be strings and vice versa, because recorded replies mix them. In
//! [`Properties`] every value is text, and lists are joined by spaces. Printing is strict: numbers as
//! numbers, lists as strings with spaces. The order of keys is kept, and printing and parsing an object
//! returns the same object.

use super::Properties;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};
use std::fmt;

/// The keys whose values are printed as numbers (drive and server info in both manuals; recorded replies
/// agree).
const NUMERIC: &[&str] = &[
    "size",
    "cpu",
    "mem",
    "smp",
    "started",
    "rx",
    "tx",
    "rx:bytes",
    "tx:bytes",
    "rx:packets",
    "tx:packets",
    "smp:cores",
    "smp:sockets",
];

/// Parses the objects of a reply: a single object or an array.
pub fn parse(bytes: &[u8]) -> Result<Vec<Properties>, String> {
    read(bytes)?.into_iter().map(|row| row.map_err(|other| not_an_object(&other))).collect()
}

/// Parses the rows of a list. A row that is a bare value becomes the first column.
pub fn parse_list(bytes: &[u8], columns: &[&str]) -> Result<Vec<Properties>, String> {
    read(bytes)?
        .into_iter()
        .map(|row| {
            row.or_else(|value| match columns.first() {
                Some(column) if !value.is_array() => Ok(Properties::new().with(*column, plain(value))),
                _ => Err(not_an_object(&value)),
            })
        })
        .collect()
}

/// Returns an object as a JSON value, whose keys `serde_json` sorts.
pub fn value(object: &Properties) -> Value {
    let map: Map<String, Value> = object.iter().map(|(k, v)| (k.to_owned(), typed(k, v))).collect();
    Value::Object(map)
}

/// Prints an object as JSON on one line, with its keys in order.
pub fn print(object: &Properties) -> String {
    // Serializing strings and numbers cannot fail.
    serde_json::to_string(&Ordered(object)).unwrap_or_default()
}

/// Prints a list of objects or rows as a JSON array on one line, with the keys in order.
pub fn print_array(objects: &[Properties]) -> String {
    let objects: Vec<String> = objects.iter().map(print).collect();
    format!("[{}]", objects.join(","))
}

fn read(bytes: &[u8]) -> Result<Vec<Result<Properties, Value>>, String> {
    Ok(match serde_json::from_slice(bytes).map_err(|e| e.to_string())? {
        Reply::One(Object(object)) => vec![Ok(object)],
        Reply::Many(rows) => rows
            .into_iter()
            .map(|row| match row {
                Row::Object(Object(object)) => Ok(object),
                Row::Other(value) => Err(value),
            })
            .collect(),
    })
}

fn not_an_object(other: &Value) -> String {
    format!("expected an object, got {other}")
}

fn plain(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s,
        Value::Array(items) => items.into_iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Returns the value as a number if the key is numeric and the value prints unchanged.
fn typed(key: &str, value: &str) -> Value {
    let numeric = NUMERIC.contains(&key) || key.ends_with(":bytes") || key.ends_with(":requests");
    match value.parse::<u64>() {
        Ok(number) if numeric && number.to_string() == value => Value::from(number),
        _ => Value::from(value),
    }
}

struct Ordered<'a>(&'a Properties);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0.iter() {
            map.serialize_entry(key, &typed(key, value))?;
        }
        map.end()
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected an object or an array")]
enum Reply {
    One(Object),
    Many(Vec<Row>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Row {
    Object(Object),
    Other(Value),
}

/// An object with its keys in order. If a key is repeated, the last value counts.
struct Object(Properties);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut new = Properties::new();
                while let Some((key, value)) = map.next_entry::<String, Value>()? {
                    new.set(key, plain(value));
                }
                Ok(Object(new))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn numbers_strings_and_lists_are_alike() {
        let objects = parse(br#"{"size": 10, "cpu": "500", "tags": ["a", "b"], "none": null}"#).unwrap();
        let o = &objects[0];
        assert_eq!((o.get("size"), o.get("cpu"), o.get("tags")), (Some("10"), Some("500"), Some("a b")));
        assert_eq!(value(o)["size"], 10);
        assert!(parse(b"[1]").is_err());
    }

    #[test]
    fn keys_keep_their_order() {
        let printed = r#"{"name":"a","size":10,"drive":"d"}"#;
        let objects = parse(printed.as_bytes()).unwrap();
        assert_eq!(print(&objects[0]), printed);
        assert_eq!(print_array(&objects), format!("[{printed}]"));
        assert_eq!(parse(br#"{"a": 1, "b": 2, "a": 3}"#).unwrap()[0].get("a"), Some("3"));
    }

    #[test]
    fn only_what_is_a_number_in_writing_becomes_one() {
        for text in ["+5", "007", "", "-1", "1.5", "99999999999999999999", " 1"] {
            assert_eq!(print(&Properties::new().with("size", text)), format!(r#"{{"size":"{text}"}}"#));
        }
        let counters = Properties::new().with("ide:0:0:read:bytes", "7").with("user:count", "7");
        assert_eq!(print(&counters), r#"{"ide:0:0:read:bytes":7,"user:count":"7"}"#);
    }

    #[test]
    fn a_row_may_be_a_bare_value() {
        let rows = parse_list(br#"["a", {"drive": "b", "x": true}, 3]"#, &["drive"]).unwrap();
        assert_eq!(rows[0], Properties::new().with("drive", "a"));
        assert_eq!(rows[1], Properties::new().with("drive", "b").with("x", "true"));
        assert_eq!(rows[2], Properties::new().with("drive", "3"));
        assert!(parse_list(b"[[1]]", &["drive"]).is_err());
        assert!(parse_list(b"[1]", &[]).is_err());
    }

    #[test]
    fn what_is_no_object_is_an_error_that_says_so() {
        assert!(parse(b"3").unwrap_err().contains("expected an object or an array"));
        assert!(parse(b"[1]").unwrap_err().contains("got 1"));
        // Open Hosting API, "Data formats": the printed sample lacks a comma and the end.
        assert!(parse(br#"[{"name":"TestServer1"} {"name":"TestServer2"}"#).unwrap_err().contains("line 1"));
    }

    fn object() -> impl Strategy<Value = Properties> {
        let key = prop_oneof!["(size|cpu|mem|rx:bytes|[a-c])", any::<String>()];
        let value = prop_oneof!["[0-9+]{0,22}", any::<String>()];
        vec((key, value), 0..6).prop_map(|pairs| pairs.into_iter().collect())
    }

    proptest! {
        #[test]
        fn printing_and_parsing_is_the_identity(objects in vec(object(), 0..5)) {
            for object in &objects {
                prop_assert_eq!(parse(print(object).as_bytes()).unwrap(), std::slice::from_ref(object));
            }
            prop_assert_eq!(parse(print_array(&objects).as_bytes()).unwrap(), objects);
        }

        #[test]
        fn a_value_and_its_text_say_the_same(object in object()) {
            prop_assert_eq!(serde_json::from_str::<Value>(&print(&object)).unwrap(), value(&object));
        }

        #[test]
        fn any_bytes_parse_or_are_refused(bytes in vec(any::<u8>(), 0..200), text in r#"[\[\]{}:,"a1\\ ]{0,40}"#) {
            let _ = parse(&bytes);
            let _ = parse_list(text.as_bytes(), &["a"]);
        }
    }
}
