//! The media types that an `Accept` header asks for (RFC 9110, section 12.5.1).

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// Returns how much a media type is wanted: its quality, then how specific the range is that names it.
/// Returns `None` if it is not acceptable. Without the header every type is.
pub(super) fn wanted(headers: &HeaderMap, kind: &str) -> Option<(f32, u8)> {
    let accepted: Vec<&str> =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    if accepted.is_empty() {
        return Some((1.0, 0));
    }
    let family = kind.split('/').next().unwrap_or_default();
    let range = |range: &str| {
        let mut words = range.split(';').map(str::trim);
        let name = words.next()?.to_ascii_lowercase();
        let exact = match &*name {
            name if name == kind => 2,
            "*/*" => 0,
            name => (name.strip_suffix("/*") == Some(family)).then_some(1)?,
        };
        let quality = words.find_map(|word| word.strip_prefix("q="));
        Some((exact, quality.and_then(|q| q.parse().ok()).unwrap_or(1.0_f32)))
    };
    let best = accepted.iter().flat_map(|value| value.split(',')).filter_map(range);
    let (exact, quality) = best.max_by_key(|(exact, _)| *exact)?;
    (quality > 0.0).then_some((quality, exact))
}

/// Returns whether JSON is wanted rather than text, which is the default.
pub(super) fn prefers_json(headers: &HeaderMap) -> bool {
    wanted(headers, "application/json") > wanted(headers, "text/plain")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_answered_only_where_it_is_wanted_more() {
        for (accept, json) in [
            ("application/json", true),
            ("application/json, */*", true),
            ("application/json, text/plain;q=0.5", true),
            ("application/*", true),
            ("*/*", false),
            ("text/plain", false),
            ("application/json;q=0", false),
            ("application/json; q=0, */*", false),
            ("application/json;q=0.2, text/plain", false),
        ] {
            let mut headers = HeaderMap::new();
            assert!(!prefers_json(&headers), "without the header");
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(prefers_json(&headers), json, "{accept}");
        }
    }
}
