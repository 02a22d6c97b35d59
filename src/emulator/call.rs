//! A call as its handler sees it, and the routes to the handlers.

use super::Shared;
use super::answer::{Answer, Refusal, RefusalKind, is_json, render};
use super::faults::WrongBytes;
use super::properties::{Properties, parse_size};
use crate::emulator::Dialect;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{RawPathParams, Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName};
use axum::routing::{MethodRouter, get, post};
use std::sync::Arc;

/// The largest size of an object's properties, in bytes. Real objects take a few hundred.
const PROPERTIES: usize = 1 << 20;

/// The most properties that an object may have. A server with every device has about sixty. The cost grows
/// with the number of keys, whatever their size.
const KEYS: usize = 1000;

/// A request that matched a route.
pub(super) struct Call {
    arguments: Vec<String>,
    headers: HeaderMap,
    /// The request's body, for handlers that take bytes.
    pub(super) body: Body,
    reads_json: bool,
    /// The bytes that a fault makes wrong, if any.
    pub(super) wrong: Option<WrongBytes>,
}

/// How the bytes of a write are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Gzip,
}

impl Call {
    /// Returns the n-th argument in the path, or an empty string if the path has fewer.
    pub(super) fn argument(&self, n: usize) -> &str {
        self.arguments.get(n).map_or("", |argument| argument)
    }

    /// Returns the n-th argument as a number of bytes, or `None` if the path has fewer arguments.
    pub(super) fn size(&self, n: usize) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.arguments.get(n) else { return Ok(None) };
        parse_size(text).map(Some).ok_or_else(|| Refusal::usage(format!("{text:?} is not a number of bytes")))
    }

    /// Reads the object in the body: JSON if `Content-Type` says so, else text. An empty body is an object
    /// without properties.
    pub(super) async fn properties(self) -> Result<Properties, Refusal> {
        let json = self.reads_json
            && self.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is_json);
        let body = to_bytes(self.body, PROPERTIES).await;
        let body = body.map_err(|error| Refusal::usage(format!("the body cannot be read: {error}")))?;
        let body = std::str::from_utf8(&body).map_err(|_| Refusal::usage("the body is not UTF-8"))?;
        // Count the keys before parsing: lines of text, or strings that a colon follows in JSON.
        let keys = if json {
            body.split(':').filter(|before| before.trim_end().ends_with('"')).count()
        } else {
            body.lines().count()
        };
        if keys > KEYS {
            return Err(Refusal::usage(format!("the object has more than {KEYS} keys")));
        }
        if json && !body.trim().is_empty() {
            return Properties::from_json(body).map_err(Refusal::usage);
        }
        Properties::from_text(body).map_err(Refusal::usage)
    }

    /// Returns how the body is encoded. Neither a chunked transfer nor another encoding is accepted (Open
    /// Hosting API, "Write Binary Data to a Drive").
    pub(super) fn encoding(&self) -> Result<Encoding, Refusal> {
        if self.headers.contains_key(TRANSFER_ENCODING) {
            return Err(Refusal::usage("Transfer-Encoding is not supported: send a Content-Length"));
        }
        match self.header(&CONTENT_ENCODING).map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "identity") => Ok(Encoding::Plain),
            Some("gzip" | "x-gzip") => Ok(Encoding::Gzip),
            Some(other) => Err(Refusal::usage(format!("Content-Encoding {other} is not supported, gzip is"))),
        }
    }

    /// Returns the length of the body according to `Content-Length`.
    pub(super) fn content_length(&self) -> u64 {
        self.header(&CONTENT_LENGTH).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
    }
}

/// The methods by which a call is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The call reads: GET, or an empty POST, as the vendors' own scripts send.
    Read,
    /// The call changes something: POST. A GET is answered with 405.
    Act,
    /// Either method, as CloudSigma's manual prints both.
    Either,
}

/// The calls of one provider. Each row has a path, the methods that reach it and a handler.
pub(super) struct Calls(Router<Arc<Shared>>);

impl Calls {
    pub(super) fn new() -> Self {
        Calls(Router::new())
    }

    /// Adds a row.
    #[must_use]
    pub(super) fn row<H, F>(self, reach: Reach, path: &str, handler: H) -> Self
    where
        H: Fn(Arc<Shared>, Call) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        Calls(self.0.route(path, method_router(reach, handler)))
    }

    /// Returns the router. A path that matches no row is answered with 404, a wrong method with 405.
    pub(super) fn into_router(self, shared: Arc<Shared>) -> Router {
        let refuse = |kind, message: &'static str| {
            move |State(shared): State<Arc<Shared>>| async move {
                Refusal::new(kind, message).response(shared.provider)
            }
        };
        self.0
            .fallback(refuse(RefusalKind::Missing, "There is no such command"))
            .method_not_allowed_fallback(refuse(RefusalKind::Method, "This command expects POST"))
            .with_state(shared)
    }
}

fn method_router<H, F>(reach: Reach, handler: H) -> MethodRouter<Arc<Shared>>
where
    H: Fn(Arc<Shared>, Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let endpoint = |State(shared): State<Arc<Shared>>, path: RawPathParams, request: Request| async move {
        let (head, body) = request.into_parts();
        let arguments = path.iter().map(|(_, value)| value.to_owned()).collect();
        let reads_json = shared.provider != Dialect::CloudSigma;
        let wrong = head.extensions.get::<WrongBytes>().cloned();
        let call = Call { arguments, headers: head.headers.clone(), body, reads_json, wrong };
        render(handler(Arc::clone(&shared), call).await, &shared, &head.headers)
    };
    match reach {
        Reach::Act => post(endpoint),
        Reach::Read | Reach::Either => get(endpoint.clone()).post(endpoint),
    }
}
