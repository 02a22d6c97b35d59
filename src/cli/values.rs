//! JSON values as the providers send them: read leniently, shown in tables and lines.

use super::output::Output;
use super::table::Table;
use crate::error::Result;
use crate::units::counted;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::Value;

/// Returns a field as text: strings as they are, numbers and booleans as in JSON. The text is empty if the
/// field is null, missing or nested.
pub fn text(object: &Value, key: &str) -> String {
    match object.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(is)) => is.to_string(),
        _ => String::new(),
    }
}

/// Returns a list of words, which may be an array or a single string.
pub fn words(object: &Value, key: &str) -> Vec<String> {
    match object.get(key) {
        Some(Value::Array(all)) => all.iter().map(in_line).collect(),
        Some(Value::Null) | None => Vec::new(),
        Some(one) => vec![in_line(one)],
    }
}

/// Returns a value on one line: strings as they are, null as an empty text, everything else as JSON.
fn in_line(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Flattens a value into the paths of its parts, such as `ips`, `m.k` or `h.0.cpu`, and their values as one
/// line of text each.
pub fn flat(value: &Value) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    flatten("", value, &mut lines);
    lines
}

/// Returns the current time.
pub fn now() -> DateTime<Utc> {
    DateTime::from(std::time::SystemTime::now())
}

/// Returns how long ago a time was, or how far ahead it is, such as `3 days ago`. A text that is not a known
/// form of time is returned as it is.
pub fn age(text: &str, now: DateTime<Utc>) -> String {
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).or_else(|_| {
        // A time without a zone is in UTC.
        let text = text.replace('T', " ");
        NaiveDateTime::parse_from_str(text.split('.').next().unwrap_or_default(), "%Y-%m-%d %H:%M:%S")
            .map(|time| time.and_utc())
    });
    let Ok(time) = time else { return text.to_owned() };
    let seconds = (now - time).num_seconds();
    let (number, unit) = match seconds.unsigned_abs() {
        s @ 0..60 => (s, "second"),
        s @ 60..3600 => (s / 60, "minute"),
        s @ 3600..86_400 => (s / 3600, "hour"),
        s @ 86_400..31_536_000 => (s / 86_400, "day"),
        s => (s / 31_536_000, "year"),
    };
    let counted = counted(number, unit);
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("{counted} ago"),
        _ => format!("in {counted}"),
    }
}

/// Sorts objects by a field: numerically if all values are numbers, otherwise as text. Objects without the
/// field come last.
pub fn sort_by<T>(objects: &mut [T], field: impl Fn(&T) -> String) {
    let decimal = |text: &str| text.parse::<f64>().ok();
    let numbers = objects.iter().map(&field).all(|text| text.is_empty() || decimal(&text).is_some());
    objects.sort_by(|a, b| {
        let (left, right) = (field(a), field(b));
        let by_value = match (decimal(&left), decimal(&right)) {
            (Some(x), Some(y)) if numbers => x.total_cmp(&y),
            _ => left.cmp(&right),
        };
        left.is_empty().cmp(&right.is_empty()).then(by_value)
    });
}

/// Prints a table of objects, with a column for each field that is not nested.
pub fn print_table(objects: &[Value], output: &Output) -> Result<()> {
    let mut fields: Vec<&str> = Vec::new();
    for (field, value) in objects.iter().filter_map(Value::as_object).flatten() {
        if !fields.contains(&field.as_str()) && !value.is_object() && !value.is_array() {
            fields.push(field);
        }
    }
    let headings: Vec<String> = fields.iter().map(|field| field.to_uppercase()).collect();
    let mut table = Table::new(headings.iter().map(String::as_str));
    for object in objects {
        let object = output.shown_value(object);
        table.row(fields.iter().map(|field| text(&object, field)));
    }
    table.print("the list is empty", output)
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
            lines.push((prefix.to_owned(), words.join(" ")));
        }
        // An empty object at the top level has nothing to show.
        Value::Object(_) if prefix.is_empty() => {}
        Value::Object(_) => lines.push((prefix.to_owned(), String::new())),
        other => lines.push((prefix.to_owned(), in_line(other))),
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
            (words(&object, "e"), words(&object, "a")),
            (vec!["1".into(), "y".into()], vec!["x".into()])
        );
        assert!(words(&object, "d").is_empty());
    }

    #[test]
    fn a_time_is_told_by_its_age() {
        let now = DateTime::parse_from_rfc3339("2026-11-28T12:00:00Z").unwrap().to_utc();
        for (time, shown) in [
            ("2026-11-28T12:00:00Z", "now"),
            ("2026-11-28T11:59:59+00:00", "1 second ago"),
            ("2026-11-28T13:58:30+02:00", "1 minute ago"),
            ("2026-11-28 09:59:59", "2 hours ago"),
            ("2026-11-25T12:00:00.123Z", "2 days ago"),
            ("2011-07-11T17:09:22", "15 years ago"),
            ("2026-11-29T12:00:00Z", "in 1 day"),
            ("yesterday", "yesterday"),
            ("", ""),
            ("99999-99-99 00:00:00", "99999-99-99 00:00:00"),
        ] {
            assert_eq!(age(time, now), shown, "{time}");
        }
    }

    #[test]
    fn parts_are_shown_by_their_names() {
        let lines =
            flat(&json!({ "ips": ["1.2.3.4", "::1"], "m": { "k": 1 }, "h": [{ "cpu": 2 }], "n": {} }));
        let lines: Vec<(&str, &str)> = lines.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(lines, [("h.0.cpu", "2"), ("ips", "1.2.3.4 ::1"), ("m.k", "1"), ("n", "")]);
    }
}
