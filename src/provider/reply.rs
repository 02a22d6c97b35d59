//! The meaning of error replies, for all five providers.
//!
//! The kind of the error is determined by the first of these that applies:
//!
//! 1. The first word of `X-Elastic-Error`, if the word is known (Open Hosting API and Crosspeer API,
//!    "Errors"). Two of its types share the status 500, so it says more than the status.
//! 2. The provider's own use of the status: CloudSigma answers 400 for what is missing or in use (CloudSigma
//!    API 1.0, 7.4 to 7.6), Joyent 409 for bad parameters (Joyent CloudAPI 6.5, "HTTP Status Codes").
//! 3. The status.
//!
//! The server's message becomes part of the error, shortened and without characters that could control a
//! terminal.

use super::Provider;
use super::catalogue::secret::is_secret_key;
use crate::wire::elastic::text;
use crate::{Error, Kind};
use std::time::Duration;

/// The maximum number of characters of a server's message in an error.
const LONGEST: usize = 500;

/// A field that the server rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The key of the field.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
}

/// The parts of an error reply.
#[derive(Clone, Copy, Debug, Default)]
pub struct Told<'a> {
    /// The status code.
    pub status: u16,
    /// The `X-Elastic-Error` header.
    pub x_elastic_error: Option<&'a str>,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// The server's id for the request, if it sends one.
    pub request_id: Option<&'a str>,
    /// The body.
    pub body: &'a str,
}

/// Returns the error for an error reply. `path` is the path of the request: for CloudSigma, a 400 on an
/// `/info` path means that the object does not exist.
pub fn classify(provider: Provider, path: &str, told: Told<'_>) -> Error {
    let Told { status, x_elastic_error, retry_after, request_id, body } = told;
    let word = x_elastic_error.and_then(|header| header.split_whitespace().next());
    let word = word.map(|w| w.trim_end_matches([':', ',', ';']));
    let kind = word
        .and_then(kind_of_word)
        .or_else(|| kind_of_provider(provider, path, status, body))
        .unwrap_or_else(|| kind_of_status(status));
    let error = Error::new(kind, sentence(kind, status))
        .server(words(provider, status, word, body) + &request_id.map(named).unwrap_or_default())
        .retry_after(retry_after);
    match hint(provider, kind) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Returns the `errors:KEY MESSAGE` pairs that CloudSigma mixes into the object that it sends back
/// (CloudSigma API 1.0, 6.2 and 11.10), in order and without the leading `* ` of the messages.
pub fn field_errors(body: &str) -> Vec<FieldError> {
    let objects = text::parse(body);
    let pairs = objects.iter().flat_map(crate::wire::elastic::Properties::iter);
    pairs
        .filter_map(|(key, message)| {
            let key = key.strip_prefix("errors:")?;
            let message = message.trim_start();
            let message = message.strip_prefix("* ").unwrap_or(message);
            Some(FieldError { key: clean(key), message: clean(message) })
        })
        .collect()
}

fn kind_of_word(word: &str) -> Option<Kind> {
    Some(match word {
        "usage" | "method" => Kind::Refused,
        "auth" => Kind::Auth,
        "billing" => Kind::Billing,
        "missing" => Kind::NotFound,
        "busy" => Kind::Busy,
        "failed" | "system" => Kind::Unavailable,
        "full" => Kind::Full,
        _ => return None,
    })
}

fn kind_of_provider(provider: Provider, path: &str, status: u16, body: &str) -> Option<Kind> {
    match (provider, status) {
        (Provider::CloudSigma, 400) => {
            let body = body.to_ascii_lowercase();
            let path = path.split(['?', '#']).next().unwrap_or(path).trim_end_matches('/');
            if body.contains("currently in use") {
                Some(Kind::Busy)
            } else if body.contains("could not be found") || path.ends_with("/info") {
                Some(Kind::NotFound)
            } else {
                None
            }
        }
        (Provider::Joyent, 409) => Some(Kind::Refused),
        _ => None,
    }
}

fn kind_of_status(status: u16) -> Kind {
    match status {
        401 | 403 => Kind::Auth,
        402 => Kind::Billing,
        404 | 410 => Kind::NotFound,
        409 => Kind::Busy,
        420 | 429 => Kind::SlowDown,
        507 => Kind::Full,
        // 501 and 505 are about the request itself, so repeating it does not help.
        501 | 505 => Kind::Refused,
        408 | 500..=599 => Kind::Unavailable,
        400..=499 => Kind::Refused,
        _ => Kind::Protocol,
    }
}

fn sentence(kind: Kind, status: u16) -> String {
    match kind {
        Kind::Auth => "the credentials were refused".into(),
        Kind::Billing => "the account's balance does not cover this call".into(),
        Kind::NotFound => "there is no such object or call".into(),
        Kind::Busy => "the object is busy".into(),
        Kind::SlowDown => "the server asked to slow down".into(),
        Kind::Unavailable => "the server failed".into(),
        Kind::Full => "the provider has no room".into(),
        Kind::Refused => "the request was refused".into(),
        _ => format!("unexpected status {status}"),
    }
}

fn hint(provider: Provider, kind: Kind) -> Option<&'static str> {
    match (kind, provider) {
        // SpotCloud answers 401 for more than bad credentials (SpotCloud Buyer API 1.2, 2.3 and 3.6).
        (Kind::Auth, Provider::SpotCloud) => Some(
            "SpotCloud answers the same when the object is not yours, is in use, or the funds do not suffice",
        ),
        (Kind::Auth, _) => Some("check the remote's user and secret"),
        (Kind::Billing, _) => {
            Some("add to the account's balance or subscriptions, then run the command again")
        }
        _ => None,
    }
}

/// Formats a request's id as ` (request ID)`. The provider's support asks for it.
fn named(request_id: &str) -> String {
    format!(" (request {})", shorten(clean(request_id)))
}

/// Formats the server's message as `409 busy: text`. The text is omitted if the reply has none.
fn words(provider: Provider, status: u16, word: Option<&str>, body: &str) -> String {
    let fields = if provider == Provider::CloudSigma { field_errors(body) } else { Vec::new() };
    let (code, text) = match &fields[..] {
        [] => said(provider, body),
        [one] => (None, format!("{}: {}", one.key, one.message)),
        many => {
            let lines: Vec<String> = many.iter().map(|f| format!("\n  {}: {}", f.key, f.message)).collect();
            (None, lines.concat())
        }
    };
    let mut out = status.to_string();
    if let Some(word) = word.map(clean).or(code).filter(|w| !w.is_empty()) {
        out.push(' ');
        out.push_str(&word);
    }
    if !text.is_empty() {
        out.push_str(if text.starts_with('\n') { ":" } else { ": " });
        out.push_str(&text);
    }
    shorten(out)
}

/// Returns the error code, if the body has one, and the error text.
fn said(provider: Provider, body: &str) -> (Option<String>, String) {
    if provider == Provider::Joyent
        && let Ok(object) = serde_json::from_str::<serde_json::Value>(body)
        && let (Some(code), Some(message)) = (object["code"].as_str(), object["message"].as_str())
    {
        return (Some(clean(code)), clean(message));
    }
    // CloudSigma sends the object back with the error. Drop the lines with secrets.
    let without_secrets;
    let body = if provider == Provider::CloudSigma {
        let open = |line: &&str| !line.split_whitespace().next().is_some_and(is_secret_key);
        without_secrets = body.lines().filter(open).collect::<Vec<_>>().join("\n");
        &*without_secrets
    } else {
        body
    };
    // A proxy answers with an HTML page. Only its title is useful.
    if body.trim_start().starts_with('<')
        && let Some((_, rest)) = body.split_once("<title>")
        && let Some((title, _)) = rest.split_once('<')
    {
        return (None, clean(title));
    }
    (None, clean(body))
}

/// Returns the text on one line: runs of white space become one space, and control and direction characters
/// are removed. Stops once there is more text than can be shown.
fn clean(text: &str) -> String {
    let mut out = String::new();
    let mut space = false;
    for c in text.chars() {
        if out.len() > 4 * LONGEST {
            break;
        }
        if c.is_whitespace() {
            space = !out.is_empty();
        } else if !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            if std::mem::take(&mut space) {
                out.push(' ');
            }
            out.push(c);
        }
    }
    out
}

fn shorten(text: String) -> String {
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Provider::{CloudSigma, Joyent, OpenHosting, SpotCloud};

    fn error(provider: Provider, path: &str, status: u16, header: Option<&str>, body: &str) -> Error {
        classify(provider, path, Told { status, x_elastic_error: header, body, ..Told::default() })
    }

    fn kind(provider: Provider, path: &str, status: u16, header: Option<&str>, body: &str) -> Kind {
        error(provider, path, status, header, body).kind()
    }

    #[test]
    fn the_header_goes_before_the_status() {
        for (word, expected) in [
            ("usage", Kind::Refused),
            ("auth", Kind::Auth),
            ("billing", Kind::Billing),
            ("missing", Kind::NotFound),
            ("method", Kind::Refused),
            ("busy", Kind::Busy),
            ("failed", Kind::Unavailable),
            ("system", Kind::Unavailable),
            ("full", Kind::Full),
        ] {
            assert_eq!(kind(OpenHosting, "/drives/list", 418, Some(word), ""), expected, "{word}");
        }
        assert_eq!(kind(OpenHosting, "/", 500, Some("usage: no such key"), ""), Kind::Refused);
        assert_eq!(kind(OpenHosting, "/", 500, Some("full no room"), ""), Kind::Full);
        assert_eq!(kind(OpenHosting, "/", 404, Some("whatever"), ""), Kind::NotFound);
        assert_eq!(kind(OpenHosting, "/", 404, Some(""), ""), Kind::NotFound);
    }

    #[test]
    fn every_status_is_told_apart_from_those_that_may_be_repeated() {
        for status in [408, 409, 420, 429, 500, 502, 503, 504] {
            assert!(kind(OpenHosting, "/x", status, None, "").is_retryable(), "{status}");
        }
        for status in [200, 302, 400, 401, 402, 403, 404, 405, 410, 413, 449, 501, 505, 507] {
            assert!(!kind(OpenHosting, "/x", status, None, "").is_retryable(), "{status}");
        }
        assert_eq!(kind(OpenHosting, "/x", 403, None, "").exit_code(), 4);
        assert_eq!(kind(OpenHosting, "/x", 410, None, "").exit_code(), 5);
        assert_eq!(kind(OpenHosting, "/x", 402, None, ""), Kind::Billing);
        assert_eq!(kind(OpenHosting, "/x", 507, None, ""), Kind::Full);
    }

    #[test]
    fn cloudsigma_says_400_for_what_is_missing_or_in_use() {
        assert_eq!(kind(CloudSigma, "/drives/x/info", 400, None, "no"), Kind::NotFound);
        assert_eq!(kind(CloudSigma, "/drives/x/info/?a=b", 400, None, "no"), Kind::NotFound);
        assert_eq!(kind(CloudSigma, "/drives/x/clone", 400, None, "x could not be Found"), Kind::NotFound);
        assert_eq!(kind(CloudSigma, "/drives/x/destroy", 400, None, "is currently in use"), Kind::Busy);
        assert_eq!(kind(CloudSigma, "/drives/create", 400, None, "no"), Kind::Refused);
        assert_eq!(kind(OpenHosting, "/drives/x/info", 400, None, "could not be found"), Kind::Refused);
    }

    #[test]
    fn joyent_says_409_for_bad_parameters() {
        let body = r#"{"code": "InvalidArgument", "message": "name\u001b[31m is invalid"}"#;
        let error = super::tests::error(Joyent, "/my/machines", 409, None, body);
        assert_eq!(error.kind(), Kind::Refused);
        assert_eq!(error.server_message(), Some("409 InvalidArgument: name[31m is invalid"));
        let told = Told { status: 449, request_id: Some("4bcf467e"), body, ..Told::default() };
        let error = classify(Joyent, "/my/machines", told);
        assert!(!error.kind().is_retryable());
        assert_eq!(
            error.server_message(),
            Some("449 InvalidArgument: name[31m is invalid (request 4bcf467e)")
        );
        assert!(kind(Joyent, "/x", 420, None, "").is_retryable());
    }

    #[test]
    fn the_servers_words_are_short_and_harmless() {
        let said = |header, body: &str| {
            error(OpenHosting, "/x", 409, header, body).server_message().unwrap_or_default().to_owned()
        };
        assert_eq!(said(Some("busy"), "Drive is\r\n busy\u{7}\n"), "409 busy: Drive is busy");
        assert_eq!(said(None, "\u{1b}]0;x\u{7}\u{202e}"), "409: ]0;x");
        assert_eq!(said(None, ""), "409");
        assert_eq!(said(None, "<html><head><title>502 Bad Gateway</title>"), "409: 502 Bad Gateway");
        assert_eq!(said(None, "<html"), "409: <html");
        let long = said(Some(&"w".repeat(300)), &"é".repeat(1_000_000));
        assert_eq!(long.chars().count(), LONGEST);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn field_errors_are_listed() {
        // CloudSigma API 1.0, 11.10 and 6.2: the samples as printed.
        let body = "cpu 1000\nerrors:cpu The minimum CPU subscription is 2000 core MHz\nmem 1000\n\
                    errors:mem * The minimum memory subscription is 1024 MB\ndisk 100\n";
        let fields = field_errors(body);
        assert_eq!(fields.len(), 2);
        assert_eq!(
            (&*fields[1].key, &*fields[1].message),
            ("mem", "The minimum memory subscription is 1024 MB")
        );
        let path = "/subscriptions/resources/create";
        assert_eq!(
            error(CloudSigma, path, 400, None, body).server_message(),
            Some(
                "400:\n  cpu: The minimum CPU subscription is 2000 core MHz\n  \
                 mem: The minimum memory subscription is 1024 MB"
            )
        );
        let one = error(CloudSigma, "/profile/set", 400, None, "errors:first_name * This field is required.");
        assert_eq!(one.server_message(), Some("400: first_name: This field is required."));
        let echo = error(CloudSigma, "/x", 400, None, "name a\nsecret_key K\nvnc:password P\nno\n");
        assert_eq!(echo.server_message(), Some("400: name a no"));
        let page = error(CloudSigma, "/x", 400, None, "<title>no\nvnc:password P\n</title>");
        assert_eq!(page.server_message(), Some("400: no"));
    }

    #[test]
    fn the_wait_and_the_hint_are_handed_on() {
        let wait = Some(Duration::from_secs(3));
        assert_eq!(
            classify(SpotCloud, "/x", Told { status: 503, retry_after: wait, ..Told::default() })
                .retry_delay(),
            wait
        );
        assert!(error(SpotCloud, "/x", 401, None, "").hint_text().is_some_and(|h| h.contains("not yours")));
        assert!(error(OpenHosting, "/x", 401, None, "").hint_text().is_some_and(|h| h.contains("user")));
    }
}
