//! A call on its way out, and its reply.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;

/// A call with a small body, ready to be sent.
#[derive(Clone)]
pub struct Sending<'a> {
    /// The method.
    pub method: Method,
    /// The path below the remote's URL, with its query.
    pub path: &'a str,
    /// The body's media type; an empty body is sent without one.
    pub content_type: &'static str,
    /// What to `Accept`.
    pub accept: Option<&'static str>,
    /// The body.
    pub body: Bytes,
    /// Status codes of this call that are no error though they look like one.
    pub answers: &'a [u16],
    /// Whether the reply may be a page for a browser.
    pub page: bool,
}

impl<'a> Sending<'a> {
    /// A GET.
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

    /// The same, accepting this media type.
    #[must_use]
    pub fn accept(self, accept: &'static str) -> Self {
        Self { accept: Some(accept), ..self }
    }

    /// A POST of this text.
    pub fn post(path: &'a str, body: Bytes) -> Self {
        Self { method: Method::POST, body, ..Self::get(path) }
    }
}

/// Without the body, which may hold a password.
impl std::fmt::Debug for Sending<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sending")
            .field("method", &self.method)
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The media type of what has no other.
pub(crate) const TEXT: &str = "text/plain";

/// A reply, its body read.
#[derive(Debug, Default)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The media type, without parameters.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}
