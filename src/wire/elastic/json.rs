//! `application/json`, of Open Hosting and Crosspeer. Numbers may come as strings and lists as strings, and the other
//! way round; in [`Properties`] every value is text, lists joined by spaces.

use super::Properties;
use serde_json::{Map, Value};

/// The keys whose values are printed as numbers (drive and server info of both manuals; recorded replies agree).
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

/// Every object of a reply: one for an object, all for an array.
pub fn parse(bytes: &[u8]) -> Result<Vec<Properties>, String> {
    match serde_json::from_slice(bytes).map_err(|e| e.to_string())? {
        Value::Object(map) => Ok(vec![object(map)]),
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::Object(map) => Ok(object(map)),
                other => Err(format!("an object was expected, not {other}")),
            })
            .collect(),
        other => Err(format!("an object or an array was expected, not {other}")),
    }
}

fn object(map: Map<String, Value>) -> Properties {
    map.into_iter().map(|(k, v)| (k, plain(v))).collect()
}

fn plain(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(s) => s,
        Value::Array(items) => items.into_iter().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// One object as JSON.
pub fn value(object: &Properties) -> Value {
    let map: Map<String, Value> = object
        .iter()
        .map(|(k, v)| {
            let number = || v.parse::<u64>().ok().filter(|_| is_numeric(k));
            (k.to_owned(), number().map_or_else(|| Value::from(v), Value::from))
        })
        .collect();
    Value::Object(map)
}

/// A list of objects or rows as a JSON array.
pub fn values(objects: &[Properties]) -> Value {
    Value::Array(objects.iter().map(value).collect())
}

fn is_numeric(key: &str) -> bool {
    NUMERIC.contains(&key) || key.ends_with(":bytes") || key.ends_with(":requests")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_strings_and_lists_are_alike() {
        let objects = parse(br#"{"size": 10, "cpu": "500", "tags": ["a", "b"], "none": null}"#).unwrap();
        let o = &objects[0];
        assert_eq!((o.get("size"), o.get("cpu"), o.get("tags")), (Some("10"), Some("500"), Some("a b")));
        assert_eq!(value(o)["size"], 10);
        assert!(parse(b"[1]").is_err());
    }
}
