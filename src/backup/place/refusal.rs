//! Classifies the errors of object stores. The error keeps only what cannot contain a secret: the status, and
//! the server's code and message.

use crate::error::{Error, Kind};
use object_store::client::{HttpError, HttpErrorKind};

/// The longest part of a server's message that is repeated, in bytes.
const MOST_WORDS: usize = 200;

/// Returns the error of an operation in a store.
pub(super) fn of(store: &str, what: &str, error: &object_store::Error) -> Error {
    let text = chain(error);
    let status = status(&text);
    let kind = match error {
        object_store::Error::NotFound { .. } => Kind::NotFound,
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            Kind::Auth
        }
        object_store::Error::InvalidPath { .. } | object_store::Error::UnknownConfigurationKey { .. } => {
            Kind::Usage
        }
        object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. } => Kind::Busy,
        object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. } => {
            Kind::Refused
        }
        _ => match (status, http_error(error)) {
            (Some(status), _) => of_status(status),
            (None, Some(HttpErrorKind::Timeout)) => Kind::Timeout,
            (None, Some(_)) => Kind::Connection,
            // Nothing was sent: the request could not be built.
            (None, None) => Kind::Usage,
        },
    };
    let mut message = format!("{what} in {store} failed");
    if let Some(status) = status {
        message = format!("{message} with status {status}");
    }
    let mut new = Error::new(kind, message);
    if let Some(words) = words(&text) {
        new = new.server(words);
    }
    match kind {
        Kind::Auth => new.hint("check the credentials in the environment: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for s3://, \
             AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY for az://, GOOGLE_SERVICE_ACCOUNT for gs://"),
        Kind::Connection | Kind::Timeout => match innermost(error) {
            Some(cause) => new.source(cause),
            None => new,
        },
        Kind::Usage => new.source(crate::escape::line(&bounded(&text)).into_owned()),
        _ => new,
    }
}

/// Returns whether the server says that it does not implement conditional writes.
pub(super) fn is_not_implemented(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotImplemented { .. }) || status(&chain(error)) == Some(501)
}

/// Returns the error and its causes as one text.
fn chain(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Returns the status of a reply. The crate reports it in the message only.
fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

fn of_status(status: u16) -> Kind {
    match status {
        401 | 403 => Kind::Auth,
        402 => Kind::Billing,
        404 | 410 => Kind::NotFound,
        409 => Kind::Busy,
        429 => Kind::SlowDown,
        507 => Kind::Full,
        408 | 500 | 502 | 503 | 504 => Kind::Unavailable,
        _ => Kind::Refused,
    }
}

/// Returns the kind of the connection error, if that is the cause.
fn http_error(error: &object_store::Error) -> Option<HttpErrorKind> {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return Some(http.kind());
        }
        cause = error.source();
    }
    None
}

/// Returns the innermost cause: the system's message about the connection. It contains no address.
fn innermost(error: &object_store::Error) -> Option<String> {
    let mut last = None;
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        last = Some(error.to_string());
        cause = error.source();
    }
    last.map(|text| crate::escape::line(&bounded(&text)).into_owned())
}

/// Returns the code and the message of a reply, in XML or JSON.
fn words(text: &str) -> Option<String> {
    let between = |start: &str, end: &str| {
        let (_, rest) = text.split_once(start)?;
        let (inside, _) = rest.split_once(end)?;
        Some(inside.trim().to_owned())
    };
    let code = between("<Code>", "</Code>").or_else(|| between("\"status\": \"", "\""));
    let message = between("<Message>", "</Message>").or_else(|| between("\"message\": \"", "\""));
    let said = match (code, message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return None,
    };
    Some(crate::escape::line(&bounded(&said)).into_owned())
}

fn bounded(text: &str) -> String {
    text.chars().take(MOST_WORDS).collect()
}
