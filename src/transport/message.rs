//! A call and its reply.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;

/// A call with a small body, ready to be sent.
#[derive(Clone)]
pub struct ApiRequest<'a> {
    /// The method.
    pub method: Method,
    /// The path below the remote's URL, with its query.
    pub path: &'a str,
    /// The body's media type; an empty body is sent without one.
    pub content_type: &'static str,
    /// The `Accept` header.
    pub accept: Option<&'static str>,
    /// The body.
    pub body: Bytes,
    /// Error status codes that count as replies of this call.
    pub answers: &'a [u16],
    /// Whether the reply may be an HTML page.
    pub page: bool,
}

impl<'a> ApiRequest<'a> {
    /// Creates a GET request.
    pub fn get(path: &'a str) -> Self {
        Self {
            method: Method::GET,
            path,
            content_type: TEXT,
            accept: None,
            body: Bytes::new(),
            answers: &[],
            page: false,
        }
    }

    /// Sets the `Accept` header.
    #[must_use]
    pub fn accept(self, accept: &'static str) -> Self {
        Self { accept: Some(accept), ..self }
    }

    /// Creates a POST request with a plain text body.
    pub fn post(path: &'a str, body: Bytes) -> Self {
        Self { method: Method::POST, body, ..Self::get(path) }
    }
}

/// Omits the body, which may hold a password.
impl std::fmt::Debug for ApiRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiRequest")
            .field("method", &self.method)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The default media type of a body.
pub(crate) const TEXT: &str = "text/plain";

/// A reply with its complete body.
#[derive(Debug, Default)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The media type without parameters.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}
