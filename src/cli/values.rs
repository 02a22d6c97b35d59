//! Objects as the providers of JSON send them: read liberally, shown in tables and lines.

use super::output::Output;
use crate::error::Result;
use crate::escape;
use crate::provider::id::ObjectId;
use serde_json::Value;

/// A field as text: a string as it is, a number or boolean in digits or words; nothing for null, for what is not there, and
/// for what has parts.
pub fn text(object: &Value, key: &str) -> String {
    match object.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(is)) => is.to_string(),
        _ => String::new(),
    }
}

/// A field as a whole number, whether it came as one or as text.
pub fn number(object: &Value, key: &str) -> Option<u64> {
    text(object, key).parse().ok()
}

/// A list of words, whether it came as one or as a single word.
pub fn words(object: &Value, key: &str) -> Vec<String> {
    match object.get(key) {
        Some(Value::Array(all)) => all.iter().map(in_line).collect(),
        Some(Value::Null) | None => Vec::new(),
        Some(one) => vec![in_line(one)],
    }
}

/// A value on one line: text as it is, everything else as JSON.
fn in_line(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The field that names an object, which must be there and an id. `what` is what it names.
pub fn id(what: &str, object: &Value, key: &str) -> Result<ObjectId> {
    ObjectId::from_server(what, object.get(key).and_then(Value::as_str).unwrap_or_default())
}

/// Shows one object: a line a key, or with `--json` the object itself. What has parts is shown by them, as `ips.0`.
pub fn show(event: &str, object: &Value, output: &Output) -> Result<()> {
    if output.is_json() {
        return output.value(event, object);
    }
    let mut lines = Vec::new();
    flatten("", &output.shown_value(object), &mut lines);
    let widest = lines.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
    lines.iter().try_for_each(|(key, value)| output.data(format!("{key:widest$} {value}").trim_end()))
}

/// Puts objects in the order of a field: by its number, where every value is one, else by its text. What lacks it comes
/// last.
pub fn sort(objects: &mut [Value], field: &str) {
    let decimal = |object: &Value| text(object, field).parse::<f64>().ok();
    let numbers = objects.iter().all(|object| text(object, field).is_empty() || decimal(object).is_some());
    objects.sort_by(|a, b| {
        let (left, right) = (text(a, field), text(b, field));
        let by_value = match (decimal(a), decimal(b)) {
            (Some(x), Some(y)) if numbers => x.total_cmp(&y),
            _ => left.cmp(&right),
        };
        left.is_empty().cmp(&right.is_empty()).then(by_value)
    });
}

/// A table of objects, a column for each field that has no parts.
pub fn print_table(objects: &[Value], output: &Output) -> Result<()> {
    let mut fields: Vec<&str> = Vec::new();
    for (field, value) in objects.iter().filter_map(Value::as_object).flatten() {
        if !fields.contains(&field.as_str()) && !value.is_object() && !value.is_array() {
            fields.push(field);
        }
    }
    let cell = |text: &str| escape::line(text).into_owned();
    let mut rows = vec![fields.iter().map(|field| cell(&field.to_uppercase())).collect::<Vec<_>>()];
    rows.extend(objects.iter().map(|object| {
        let object = output.shown_value(object);
        fields.iter().map(|field| cell(&text(&object, field))).collect()
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..fields.len()).map(width).collect();
    rows.iter().try_for_each(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        output.data(cells.collect::<Vec<_>>().join("  ").trim_end())
    })
}

fn flatten(prefix: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    let name = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(key, value)| flatten(&name(key), value, lines));
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            items.iter().enumerate().for_each(|(i, item)| flatten(&name(&i.to_string()), item, lines));
        }
        Value::Array(items) => {
            let words: Vec<String> = items.iter().map(in_line).collect();
            lines.push((escape::line(prefix).into_owned(), words.join(" ")));
        }
        Value::Object(_) => lines.push((escape::line(prefix).into_owned(), String::new())),
        other => lines.push((escape::line(prefix).into_owned(), in_line(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_has_many_forms() {
        let object = json!({ "a": "x", "b": 7, "c": true, "d": null, "e": [1, "y"], "f": "12" });
        assert_eq!(
            ["a", "b", "c", "d", "e", "z"].map(|key| text(&object, key)),
            ["x", "7", "true", "", "", ""]
        );
        assert_eq!(
            (number(&object, "b"), number(&object, "f"), number(&object, "a")),
            (Some(7), Some(12), None)
        );
        assert_eq!(
            (words(&object, "e"), words(&object, "a")),
            (vec!["1".into(), "y".into()], vec!["x".into()])
        );
        assert!(words(&object, "d").is_empty());
        assert!(id("x", &object, "b").is_err() && id("x", &object, "a").is_ok());
    }

    #[test]
    fn parts_are_shown_by_their_names() {
        let mut lines = Vec::new();
        flatten(
            "",
            &json!({ "ips": ["1.2.3.4", "::1"], "m": { "k": 1 }, "h": [{ "cpu": 2 }], "n": {} }),
            &mut lines,
        );
        let lines: Vec<(&str, &str)> = lines.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(lines, [("h.0.cpu", "2"), ("ips", "1.2.3.4 ::1"), ("m.k", "1"), ("n", "")]);
    }
}
