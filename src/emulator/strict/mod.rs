//! Finds the forms of a request that no manual documents, to check that a client uses only documented ones.
//!
//! The emulator accepts what real clients send. This module reports what of it is undocumented: a call that
//! the provider's manual does not have, a method that it does not print for a path, a path that is spelled
//! differently, and headers that name a format that it does not have. It judges a request by its head and
//! answers nothing.

use crate::emulator::Dialect;
use axum::http::header::{
    ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, TRANSFER_ENCODING,
};
use axum::http::request::Parts;
use std::sync::OnceLock;

/// The documented calls; the file describes its format.
const CALLS: &str = include_str!("calls.txt");

/// A documented call.
struct Row {
    provider: &'static str,
    method: &'static str,
    path: Vec<&'static str>,
}

fn rows() -> &'static [Row] {
    static ROWS: OnceLock<Vec<Row>> = OnceLock::new();
    ROWS.get_or_init(|| {
        let row = |line: &'static str| {
            let mut words = line.split_whitespace();
            let (provider, method, path) = (words.next()?, words.next()?, words.next()?);
            Some(Row { provider, method, path: path.split('/').skip(1).collect() })
        };
        CALLS.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect()
    })
}

impl Row {
    fn is_at(&self, provider: Dialect, path: &[&str]) -> bool {
        self.provider == provider.name()
            && self.path.len() == path.len()
            && self.path.iter().zip(path).all(|(wanted, word)| is_word(wanted, word))
    }

    /// Returns the number of fixed words in the path. The matching row with the most of them wins.
    fn fixed(&self) -> usize {
        self.path.iter().filter(|word| !word.starts_with('*')).count()
    }
}

/// Returns whether a word of a path matches a row's word.
fn is_word(wanted: &str, word: &str) -> bool {
    match wanted.strip_suffix(".FORMAT") {
        Some(name) => word.rsplit_once('.').is_some_and(|(front, format)| {
            matches!(format, "json" | "xml") && (name == "*" || name == front)
        }),
        None => wanted == "*" || wanted == word,
    }
}

/// Returns the undocumented forms of a request, each as a sentence without the request's own ids.
pub(super) fn undocumented(provider: Dialect, head: &Parts) -> Vec<String> {
    let mut forms = Vec::new();
    let raw = head.uri.path();
    let mut words: Vec<&str> = raw.split('/').filter(|word| !word.is_empty()).collect();
    // Crosspeer's stem ends in /api/ (Crosspeer API, "Connecting").
    if words.first() == Some(&"api") && is_elastic(provider) {
        words.remove(0);
        if provider != Dialect::Crosspeer {
            forms.push("the path begins with /api".to_owned());
        }
    }
    if raw.contains("//") || raw.len() > 1 && raw.ends_with('/') {
        forms.push("the path has a doubled slash, or one at its end".to_owned());
    }
    if head.uri.query().is_some() && is_elastic(provider) {
        forms.push("the path has a query".to_owned());
    }
    let at: Vec<&Row> = rows().iter().filter(|row| row.is_at(provider, &words)).collect();
    let most = at.iter().map(|row| row.fixed()).max();
    let meant: Vec<&Row> = at.into_iter().filter(|row| Some(row.fixed()) == most).collect();
    let method = head.method.as_str();
    let call = match meant.first() {
        None if is_blob(provider, &words) => return forms,
        None => {
            forms.push(format!("the manual has no {method} {}", general(&words)));
            format!("{method} {}", general(&words))
        }
        Some(row) => format!("{method} /{}", row.path.join("/")),
    };
    if !meant.is_empty() && !meant.iter().any(|row| row.method == method) {
        let methods: Vec<&str> = meant.iter().map(|row| row.method).collect();
        forms.push(format!("{call}: the manual has {}", methods.join(", ")));
    }
    forms.extend(headers(provider, head, &words).into_iter().map(|form| format!("{call}: {form}")));
    forms
}

fn is_elastic(provider: Dialect) -> bool {
    matches!(provider, Dialect::OpenHosting | Dialect::Crosspeer | Dialect::CloudSigma)
}

/// Returns whether a path is the target of SpotCloud's redirects, which is the emulator's own address.
fn is_blob(provider: Dialect, words: &[&str]) -> bool {
    provider == Dialect::SpotCloud && matches!(words, [first, _] if *first == super::spotcloud::BLOBS)
}

/// Returns a path with `*` for each word that looks like an id, a number or an address.
fn general(words: &[&str]) -> String {
    let made_up = |word: &str| word.bytes().any(|b| b.is_ascii_digit()) && !matches!(word, "v1");
    words.iter().map(|word| if made_up(word) { "/*".to_owned() } else { format!("/{word}") }).collect()
}

/// Returns the undocumented uses of headers that name formats.
fn headers(provider: Dialect, head: &Parts, words: &[&str]) -> Vec<String> {
    let header =
        |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let mut forms = Vec::new();
    let has_body =
        header(CONTENT_LENGTH).is_some_and(|length| length != "0") || header(TRANSFER_ENCODING).is_some();
    let writes = is_elastic(provider) && matches!(words, ["drives", _, "write", ..]);
    let documented: &[&str] = match provider {
        _ if writes => &["application/octet-stream"],
        // Both manuals, "Data formats".
        Dialect::OpenHosting | Dialect::Crosspeer => &["text/plain", "application/json"],
        // CloudSigma API 1.0: "The API is in text/plain mode."
        Dialect::CloudSigma => &["text/plain"],
        // Joyent CloudAPI 6.5, "Content-Type".
        Dialect::Joyent => &["application/json", "application/x-www-form-urlencoded", "multipart/form-data"],
        // SpotCloud Buyer API 1.2, the Python example.
        Dialect::SpotCloud => &["application/x-www-form-urlencoded", "multipart/form-data"],
    };
    if has_body {
        match header(CONTENT_TYPE).map(media) {
            None => forms.push("a body without Content-Type".to_owned()),
            Some(kind) if documented.iter().any(|one| one.eq_ignore_ascii_case(kind)) => {}
            Some(kind) => {
                forms.push(format!("Content-Type {kind}; the manual has {}", documented.join(", ")));
            }
        }
    }
    match header(CONTENT_ENCODING) {
        None => {}
        Some(coding) if writes && coding.eq_ignore_ascii_case("gzip") => {}
        Some(coding) => forms.push(format!("Content-Encoding {coding}")),
    }
    if header(TRANSFER_ENCODING).is_some() {
        forms.push("Transfer-Encoding".to_owned());
    }
    let answers: &[&str] = match provider {
        Dialect::OpenHosting | Dialect::Crosspeer => &["text/plain", "application/json"],
        Dialect::Joyent => &["application/json", "text/plain", "image/png"],
        // The others choose the format by the path, or have only one.
        _ => &[],
    };
    let accepted = header(ACCEPT).into_iter().flat_map(|value| value.split(',')).map(media);
    let known = |kind: &str| {
        matches!(kind, "*/*" | "application/octet-stream")
            || answers.iter().any(|one| one.eq_ignore_ascii_case(kind))
    };
    if !answers.is_empty() {
        forms.extend(accepted.filter(|kind| !known(kind)).map(|kind| format!("Accept {kind}")));
    }
    forms
}

/// Returns a media type without its parameters.
fn media(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn forms(provider: Dialect, line: &str, headers: &[(&str, &str)]) -> Vec<String> {
        let (method, uri) = line.split_once(' ').unwrap();
        let request =
            headers.iter().fold(Request::builder().method(method).uri(uri), |request, (name, value)| {
                request.header(*name, *value)
            });
        undocumented(provider, &request.body(()).unwrap().into_parts().0)
    }

    const TEXT: &[(&str, &str)] = &[("Content-Length", "9"), ("Content-Type", "text/plain; charset=utf-8")];

    #[test]
    fn documented_requests_are_not_named() {
        let bytes = [("Content-Length", "9"), ("Content-Type", "application/octet-stream")];
        for (provider, line, headers) in [
            (Dialect::OpenHosting, "GET /drives/list", &[("Accept", "*/*")][..]),
            (Dialect::OpenHosting, "POST /drives/create", TEXT),
            (Dialect::OpenHosting, "POST /drives/u/write/4M", &bytes),
            (Dialect::Crosspeer, "POST /api/drives/u/destroy", &[("Content-Length", "0")]),
            (Dialect::CloudSigma, "GET /servers/u/destroy", &[]),
            (Dialect::CloudSigma, "GET /drives/standard/cd/list", &[]),
            (Dialect::SpotCloud, "GET /api/v1/buyer/instances/list.json?state=running", &[]),
            (Dialect::SpotCloud, "DELETE /api/v1/buyer/instance/i-1", &[]),
            (Dialect::SpotCloud, "GET /blobs/ticket", &[]),
            (Dialect::Joyent, "POST /my/machines/u?action=stop", &[("Accept", "application/json")]),
        ] {
            assert_eq!(forms(provider, line, headers), [""; 0], "{line}");
        }
    }

    #[test]
    fn undocumented_forms_are_named_without_ids() {
        let curl = [("Content-Length", "9"), ("Content-Type", "application/x-www-form-urlencoded")];
        for (provider, line, headers, expected) in [
            (
                Dialect::OpenHosting,
                "POST /drives/u/destroy",
                &[][..],
                "the manual has no POST /drives/u/destroy",
            ),
            (Dialect::OpenHosting, "POST /drives/12-ab/set", TEXT, "the manual has no POST /drives/*/set"),
            (Dialect::OpenHosting, "GET /api/drives/list", &[], "the path begins with /api"),
            (
                Dialect::OpenHosting,
                "GET /drives/list/",
                &[],
                "the path has a doubled slash, or one at its end",
            ),
            (Dialect::OpenHosting, "GET /drives/list?all=1", &[], "the path has a query"),
            (Dialect::OpenHosting, "POST /drives/list", &[], "POST /drives/list: the manual has GET"),
            (
                Dialect::Crosspeer,
                "POST /drives/create",
                &curl,
                "POST /drives/create: Content-Type application/x-www-form-urlencoded; the manual has text/plain, \
                 application/json",
            ),
            (
                Dialect::Crosspeer,
                "POST /drives/create",
                &[("Content-Length", "9")],
                "POST /drives/create: a body without Content-Type",
            ),
            (Dialect::Crosspeer, "GET /drives/u/read", &[], "the manual has no GET /drives/u/read"),
            (
                Dialect::Crosspeer,
                "GET /drives/list",
                &[("Accept", "application/xml, */*")],
                "GET /drives/list: Accept application/xml",
            ),
            (Dialect::CloudSigma, "POST /servers/u/stop", &[], "POST /servers/*/stop: the manual has GET"),
            (
                Dialect::SpotCloud,
                "GET /api/v1/buyer/instances/list",
                &[],
                "the manual has no GET /api/v1/buyer/instances/list",
            ),
            (
                Dialect::SpotCloud,
                "POST /api/v1/buyer/hardware/list.json",
                &[],
                "POST /api/v1/buyer/hardware/list.FORMAT: the manual has GET",
            ),
            (Dialect::Joyent, "PUT /my/keys/a", &[], "PUT /*/keys/*: the manual has GET, DELETE"),
        ] {
            assert_eq!(forms(provider, line, headers), [expected], "{line}");
        }
    }

    #[test]
    fn every_line_of_the_file_is_a_call() {
        let lines = CALLS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        assert_eq!(lines.clone().count(), rows().len());
        assert!(lines.count() > 180);
        for provider in ["openhosting", "crosspeer", "cloudsigma", "spotcloud", "joyent"] {
            assert!(rows().iter().any(|row| row.provider == provider && row.method == "GET"), "{provider}");
        }
    }
}
