//! A request that was admitted, and the routes to its handlers.

use super::Site;
use super::failure::{Code, Failure};
use super::input::Input;
use super::reply::{Answer, respond};
use crate::emulator::media::wanted;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_METHODS, ALLOW, HOST, HeaderValue};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::routing::any;
use std::sync::Arc;
use std::time::Instant;

/// The longest body in bytes. Real ones take a few hundred; a dataset's user script may take a few thousand.
const LONGEST: usize = 1 << 20;

/// The login of an existing account that belongs to somebody else: 403.
const FOREIGN: &str = "admin";

/// A request that matched a route.
#[derive(Debug)]
pub(super) struct Call {
    /// The login in the path: the account's, or `my`.
    pub(super) login: String,
    arguments: Vec<String>,
    headers: HeaderMap,
    pub(super) input: Input,
}

impl Call {
    /// Returns the n-th parameter in the path, not counting the login.
    pub(super) fn argument(&self, n: usize) -> &str {
        self.arguments.get(n).map_or("", |argument| argument)
    }

    /// Returns the host and port that the client connected to.
    pub(super) fn host(&self) -> &str {
        self.headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or("localhost")
    }

    /// Returns how much a media type is wanted.
    pub(super) fn wants(&self, kind: &str) -> Option<(f32, u8)> {
        wanted(&self.headers, kind)
    }
}

/// The handler of a call. It may wait for the disk, so it runs where it blocks no other request.
pub(super) type Handler = fn(&Site, &Call) -> Answer;

/// A method of a path, with its handler.
#[derive(Clone, Copy)]
pub(super) struct Row {
    method: &'static str,
    handler: Handler,
    /// Whether the handler interprets `Accept` itself.
    negotiates: bool,
}

pub(super) const fn get(handler: Handler) -> Row {
    Row { method: "GET", handler, negotiates: false }
}

pub(super) const fn post(handler: Handler) -> Row {
    Row { method: "POST", handler, negotiates: false }
}

pub(super) const fn delete(handler: Handler) -> Row {
    // The answer is empty, so `Accept` does not matter: the manual's samples accept text.
    Row { method: "DELETE", handler, negotiates: true }
}

impl Row {
    pub(super) const fn negotiates(self) -> Row {
        Row { negotiates: true, ..self }
    }
}

/// Returns the router over the paths and their rows.
pub(super) fn router(paths: &[(&str, &'static [Row])], site: Arc<Site>) -> Router {
    let mut router = Router::new();
    for (path, rows) in paths {
        let rows: &'static [Row] = rows;
        let endpoint = move |State(site): State<Arc<Site>>,
                             path: Result<RawPathParams, RawPathParamsRejection>,
                             request: Request| async move {
            let started = Instant::now();
            let answer = carry_out(site, rows, path, request).await;
            let refused_method = matches!(&answer, Err(f) if f.code == Code::METHOD_NOT_ALLOWED);
            let mut response = respond(answer, started);
            let methods: Vec<&str> = rows.iter().map(|row| row.method).collect();
            if let Ok(methods) = HeaderValue::from_str(&methods.join(", ")) {
                if refused_method {
                    response.headers_mut().insert(ALLOW, methods.clone());
                }
                response.headers_mut().insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
            }
            response
        };
        router = router.route(path, any(endpoint));
    }
    router.fallback(nowhere).with_state(site)
}

async fn nowhere(request: Request) -> Response {
    respond(Err(Failure::missing("The path", request.uri().path())), Instant::now())
}

async fn carry_out(
    site: Arc<Site>,
    rows: &[Row],
    path: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Answer {
    let path = path.map_err(|error| Failure::new(Code::BAD_REQUEST, error.body_text()))?;
    let mut arguments = path.iter().map(|(_, value)| value.to_owned());
    let login = arguments.next().unwrap_or_default();
    match &*login {
        "my" => {}
        own if own == site.login => {}
        FOREIGN => {
            let message = format!("the account {FOREIGN} is not yours");
            return Err(Failure::new(Code::NOT_AUTHORIZED, message));
        }
        _ => return Err(Failure::missing("The account", &login)),
    }
    let arguments = arguments.collect();
    let (head, body) = request.into_parts();
    // A HEAD is a GET whose body is left out when it is sent.
    let method = if head.method == Method::HEAD { "GET" } else { head.method.as_str() };
    let Some(row) = rows.iter().find(|row| row.method == method) else {
        return Err(Failure::new(Code::METHOD_NOT_ALLOWED, format!("{} is not for this path", head.method)));
    };
    if !row.negotiates && wanted(&head.headers, "application/json").is_none() {
        return Err(Failure::new(Code::NOT_ACCEPTABLE, "the answer would be application/json"));
    }
    let body = to_bytes(body, LONGEST)
        .await
        .map_err(|error| Failure::new(Code::TOO_LARGE, format!("the body cannot be read: {error}")))?;
    let input = Input::read(head.uri.query(), &head.headers, &body)?;
    let (handler, call) = (row.handler, Call { login, arguments, headers: head.headers, input });
    let done = tokio::task::spawn_blocking(move || handler(&site, &call)).await;
    done.unwrap_or_else(|error| Err(Failure::new(Code::INTERNAL, format!("the call broke off: {error}"))))
}
