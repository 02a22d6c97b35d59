//! The figures of the summary, raw and formatted.

use super::html::text;
use crate::units::{bytes, count, time};
use serde_json::Value;
use std::fmt::Write as _;
use std::time::Duration;

/// The keys in the order of the page; others follow.
const ORDER: [&str; 24] = [
    "drive",
    "action",
    "members_total",
    "members_done",
    "members_failed",
    "size",
    "chunk_size",
    "chunks_total",
    "chunks_sent",
    "chunks_zero",
    "chunks_unchanged",
    "chunks_resumed",
    "chunks_verified",
    "bytes_wire",
    "retries",
    "elapsed_s",
    "limited_by",
    "digest",
    "digest_kind",
    "offsets_differ",
    "name",
    "file",
    "snapshot",
    "server",
];

/// The most items of a list that are shown.
const MOST_OF_A_LIST: usize = 50;

/// Returns the table of all figures. Each row also has its key and value as attributes, as in `--json`.
pub(super) fn table(summary: &Value) -> String {
    let Value::Object(all) = summary else { return String::new() };
    let known = ORDER.iter().filter_map(|key| all.get_key_value(*key));
    let others = all.iter().filter(|(key, _)| !ORDER.contains(&key.as_str()));
    let mut rows = String::new();
    for (key, value) in known.chain(others) {
        // These are shown elsewhere on the page.
        if matches!(key.as_str(), "event" | "set" | "failed") || value.is_null() {
            continue;
        }
        let (plain, shown) = (plain(value), human(key, value));
        let _ = write!(rows, "<tr><th scope=\"row\"><code>{}</code></th>", text(key));
        let data = format!("data-key=\"{}\" data-value=\"{}\"", text(key), text(&plain));
        let _ = if value.is_number() {
            write!(rows, "<td class=\"n\" {data}>{}</td><td>{}</td></tr>", text(&plain), text(&shown))
        } else {
            write!(rows, "<td colspan=\"2\" {data}>{}</td></tr>", text(&plain))
        };
    }
    format!("<div class=\"wide\"><table class=\"figures\"><tbody>{rows}</tbody></table></div>")
}

/// Returns the value as in `--json`; text without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(all) => {
            let some: Vec<String> = all.iter().take(MOST_OF_A_LIST).map(plain).collect();
            let more = all.len().saturating_sub(MOST_OF_A_LIST);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{more}", some.join(", "))
        }
        other => other.to_string(),
    }
}

/// Returns the value formatted for people, if that differs.
fn human(key: &str, value: &Value) -> String {
    if let Some(seconds) = value.as_f64().filter(|_| key.ends_with("_s")) {
        return Duration::try_from_secs_f64(seconds).map(time).unwrap_or_default();
    }
    match value.as_u64() {
        Some(n) if key.contains("size") || key.contains("bytes") => bytes(n),
        Some(n) if n >= 1000 => count(n),
        _ => String::new(),
    }
}
