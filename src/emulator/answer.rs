//! The outcome of a call, a [`Reply`] or a [`Refusal`], and how each is encoded.
//!
//! The elastic family answers in text or JSON as `Accept` asks; its errors are text in both cases (Open
//! Hosting API, "Data formats" and "Errors"). CloudSigma always answers in text and has no `X-Elastic-*`
//! headers.

use super::Shared;
use super::faults::GotWrong;
use super::media::prefers_json;
use super::properties::{Properties, to_json, to_rows, to_text};
use crate::emulator::Dialect;
use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

/// The outcome of a call.
pub(super) type Answer = Result<Reply, Refusal>;

const ERROR: HeaderName = HeaderName::from_static("x-elastic-error");
const OUTPUT: HeaderName = HeaderName::from_static("x-elastic-output");

/// The result of a call that succeeded.
pub(super) enum Reply {
    /// 204 without a body.
    Done,
    /// One object.
    Object(Properties),
    /// Rows with the same columns, which are named by the keys.
    Rows(Vec<Properties>),
    /// Several objects.
    Objects(Vec<Properties>),
    /// The bytes of a drive.
    Data(Body),
    /// A reply whose bytes a fault made wrong.
    Wrong(Box<Reply>),
}

/// Why a call failed: one of the manual's error types and a sentence.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    kind: RefusalKind,
    message: String,
    /// The object that was sent, with its errors: the body of CloudSigma's 400.
    pairs: Option<Properties>,
}

/// An error in one key of an object that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) key: String,
    pub(super) message: String,
}

impl Wrong {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Wrong { key: key.into(), message: message.into() }
    }

    /// A required key is missing.
    pub(super) fn required(key: &str) -> Self {
        Self::new(key, "This field is required.")
    }
}

/// The error types (Open Hosting API, "Errors"), and 503, which only faults produce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefusalKind {
    Usage,
    Auth,
    Billing,
    Missing,
    Method,
    Busy,
    System,
    Full,
    Unavailable,
    /// A read or write that `refuse=` fails. The client sees `failed`; the emulator counts it separately.
    Refused,
}

impl RefusalKind {
    fn status(self, provider: Dialect) -> StatusCode {
        // CloudSigma's table of errors has neither 402 nor 507 (CloudSigma API 1.0, "Errors").
        let narrow = provider == Dialect::CloudSigma;
        match self {
            RefusalKind::Billing if !narrow => StatusCode::PAYMENT_REQUIRED,
            RefusalKind::Full if !narrow => StatusCode::INSUFFICIENT_STORAGE,
            RefusalKind::Usage | RefusalKind::Billing | RefusalKind::Full => StatusCode::BAD_REQUEST,
            RefusalKind::Auth => StatusCode::UNAUTHORIZED,
            RefusalKind::Missing => StatusCode::NOT_FOUND,
            RefusalKind::Method => StatusCode::METHOD_NOT_ALLOWED,
            RefusalKind::Busy => StatusCode::CONFLICT,
            RefusalKind::System | RefusalKind::Refused => StatusCode::INTERNAL_SERVER_ERROR,
            RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn name(self) -> &'static str {
        match self {
            RefusalKind::Usage => "usage",
            RefusalKind::Auth => "auth",
            RefusalKind::Billing => "billing",
            RefusalKind::Missing => "missing",
            RefusalKind::Method => "method",
            RefusalKind::Busy => "busy",
            RefusalKind::Refused => "failed",
            RefusalKind::System | RefusalKind::Unavailable => "system",
            RefusalKind::Full => "full",
        }
    }
}

impl Refusal {
    pub(super) fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Refusal { kind, message: message.into(), pairs: None }
    }

    /// 400: the object that was sent has invalid keys.
    ///
    /// The family answers with a sentence. CloudSigma answers with the object, each invalid key followed by a
    /// line `errors:KEY * MESSAGE` (CloudSigma API 1.0, "Profile change").
    pub(super) fn wrong(sent: &Properties, wrong: &[Wrong]) -> Self {
        let sentences: Vec<String> = wrong.iter().map(|w| format!("{}: {}", w.key, w.message)).collect();
        let keys = sent.iter().map(|(key, _)| key);
        let absent = wrong.iter().map(|w| &*w.key).filter(|key| !sent.contains(key));
        let mut pairs = Properties::new();
        for key in keys.chain(absent) {
            pairs.set(key, sent.get(key).unwrap_or_default());
            for w in wrong.iter().filter(|w| w.key == key) {
                pairs.set(format!("errors:{key}"), format!("* {}", w.message));
            }
        }
        Self::with_pairs(pairs, sentences.join("; "))
    }

    /// 400: the drive in the path cannot be used.
    pub(super) fn wrong_drive(sent: &Properties, message: &str) -> Self {
        Self::with_pairs(sent.clone().with("errors:drive", format!("* {message}")), message)
    }

    /// 400 with the pairs of a `CloudSigma` error.
    pub(super) fn with_pairs(pairs: Properties, message: impl Into<String>) -> Self {
        Refusal { pairs: Some(pairs), ..Self::usage(message) }
    }

    /// 400: the request is invalid.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Usage, message)
    }

    /// 404: the object does not exist.
    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Missing, message)
    }

    /// 409: the object is in use.
    pub(super) fn busy(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Busy, message)
    }

    /// 507: there is no space left.
    pub(super) fn full(message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Full, message)
    }

    /// Returns the sentence.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Returns the refusal as a response.
    pub(super) fn response(&self, provider: Dialect) -> Response {
        let status = self.kind.status(provider);
        let body = match &self.pairs {
            Some(pairs) if provider == Dialect::CloudSigma => to_text(std::slice::from_ref(pairs)),
            // CloudSigma's 400 is always "Error key/value pairs".
            None if provider == Dialect::CloudSigma && status == StatusCode::BAD_REQUEST => {
                format!("errors:{} * {}\n", self.kind.name(), self.message)
            }
            _ => format!("{}\n", self.message),
        };
        let mut response = respond(status, "text/plain", body);
        let headers = response.headers_mut();
        if provider != Dialect::CloudSigma {
            headers.insert(ERROR, HeaderValue::from_static(self.kind.name()));
        }
        match self.kind {
            RefusalKind::Auth => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"API\""));
            }
            RefusalKind::Unavailable => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            RefusalKind::Refused => {
                response.extensions_mut().insert(Refused);
            }
            _ => {}
        }
        response
    }
}

impl From<std::io::Error> for Refusal {
    /// Converts a failure of the emulator's own disk. A full disk becomes the error type `full`.
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let full = matches!(error.kind(), FileTooLarge | QuotaExceeded | StorageFull);
        let kind = if full { RefusalKind::Full } else { RefusalKind::System };
        Refusal::new(kind, error.to_string())
    }
}

/// Marks a response as a refusal by `refuse=`.
#[derive(Clone, Copy)]
pub(super) struct Refused;

/// Renders the outcome of a call as a response.
pub(super) fn render(answer: Answer, shared: &Shared, headers: &HeaderMap) -> Response {
    let provider = shared.provider;
    let (shape, objects) = match answer {
        Err(refusal) => return refusal.response(provider),
        Ok(Reply::Done) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            return response;
        }
        Ok(Reply::Wrong(reply)) => {
            let mut response = render(Ok(*reply), shared, headers);
            response.extensions_mut().insert(GotWrong);
            return response;
        }
        Ok(Reply::Data(body)) => return respond(StatusCode::OK, "application/octet-stream", body),
        Ok(Reply::Object(object)) => ("properties", vec![object]),
        Ok(Reply::Rows(rows)) => ("list", rows),
        Ok(Reply::Objects(objects)) => ("properties list", objects),
    };
    if provider != Dialect::CloudSigma && prefers_json(headers) {
        return respond(StatusCode::OK, "application/json", to_json(&objects, shape == "properties"));
    }
    let body = if shape == "list" { to_rows(&objects) } else { to_text(&objects) };
    let mut response = respond(StatusCode::OK, "text/plain", body);
    if provider != Dialect::CloudSigma {
        response.headers_mut().insert(OUTPUT, HeaderValue::from_static(shape));
    }
    response
}

fn respond(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Returns whether a media type, or one in a list of them, is JSON.
pub(super) fn is_json(value: &str) -> bool {
    value.split(',').any(|range| {
        range.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    })
}
