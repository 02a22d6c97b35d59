//! A request that was let in, and the rows that lead it to what carries it out.

use super::Site;
use super::failure::{Code, Failure};
use super::input::Input;
use super::reply::{Answer, respond};
use axum::Router;
use axum::body::to_bytes;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::header::{ACCEPT, ACCESS_CONTROL_ALLOW_METHODS, ALLOW, HOST, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use axum::routing::any;
use std::sync::Arc;
use std::time::Instant;

/// The longest body. Real ones take a few hundred bytes; a dataset's user script may take some kilobytes.
const LONGEST: usize = 1 << 20;

/// A request that matched a row.
#[derive(Debug)]
pub(super) struct Call {
    arguments: Vec<String>,
    headers: HeaderMap,
    pub(super) input: Input,
}

impl Call {
    /// The n-th word of the path that stands for something, the login not counted.
    pub(super) fn argument(&self, n: usize) -> &str {
        self.arguments.get(n).map_or("", |argument| argument)
    }

    /// The host and port that the client reached.
    pub(super) fn host(&self) -> &str {
        self.headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or("localhost")
    }

    /// How much a media type is wanted: its quality and how exactly it is named; none if it is not acceptable.
    pub(super) fn wants(&self, kind: &str) -> Option<(f32, u8)> {
        wants(&self.headers, kind)
    }
}

/// What carries a call out. It may wait for the disk: it is run where that holds nobody up.
pub(super) type Handler = fn(&Site, &Call) -> Answer;

/// A method of a path.
#[derive(Clone, Copy)]
pub(super) struct Row {
    method: &'static str,
    handler: Handler,
    /// It looks at `Accept` itself.
    negotiates: bool,
}

pub(super) const fn get(handler: Handler) -> Row {
    Row { method: "GET", handler, negotiates: false }
}

pub(super) const fn post(handler: Handler) -> Row {
    Row { method: "POST", handler, negotiates: false }
}

pub(super) const fn delete(handler: Handler) -> Row {
    // It answers nothing, so it does not matter what would be accepted: the manual's samples accept text.
    Row { method: "DELETE", handler, negotiates: true }
}

impl Row {
    pub(super) const fn negotiates(self) -> Row {
        Row { negotiates: true, ..self }
    }
}

/// The service: the paths, each with its rows.
pub(super) fn router(paths: &[(&str, &'static [Row])], site: Arc<Site>) -> Router {
    let mut router = Router::new();
    for (path, rows) in paths {
        let rows: &'static [Row] = rows;
        let endpoint = move |State(site): State<Arc<Site>>,
                             path: Result<RawPathParams, RawPathParamsRejection>,
                             request: Request| async move {
            let started = Instant::now();
            let answer = carry_out(site, rows, path, request).await;
            let refused_method = matches!(&answer, Err(f) if f.code == Code::MethodNotAllowed);
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
    let path = path.map_err(|error| Failure::new(Code::BadRequest, error.body_text()))?;
    let mut arguments = path.iter().map(|(_, value)| value.to_owned());
    let login = arguments.next().unwrap_or_default();
    if login != "my" && login != site.login {
        return Err(Failure::missing("The account", &login));
    }
    let arguments = arguments.collect();
    let (head, body) = request.into_parts();
    // A HEAD is a GET whose body is left out on the way.
    let method = if head.method == Method::HEAD { "GET" } else { head.method.as_str() };
    let Some(row) = rows.iter().find(|row| row.method == method) else {
        return Err(Failure::new(Code::MethodNotAllowed, format!("{} is not for this path", head.method)));
    };
    if !row.negotiates && wants(&head.headers, "application/json").is_none() {
        return Err(Failure::new(Code::NotAcceptable, "the answer would be application/json"));
    }
    let body = to_bytes(body, LONGEST)
        .await
        .map_err(|error| Failure::new(Code::RequestTooLarge, format!("the body cannot be read: {error}")))?;
    let input = Input::read(head.uri.query(), &head.headers, &body)?;
    let (handler, call) = (row.handler, Call { arguments, headers: head.headers, input });
    let done = tokio::task::spawn_blocking(move || handler(&site, &call)).await;
    done.unwrap_or_else(|error| {
        Err(Failure::new(Code::InternalError, format!("the call broke off: {error}")))
    })
}

/// How much `Accept` wants a media type, and how exactly it names it. Without the header anything does.
fn wants(headers: &HeaderMap, kind: &str) -> Option<(f32, u8)> {
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

/// The names of the headers of a list ("`ListMachines`").
pub(super) const COUNT: HeaderName = HeaderName::from_static("x-resource-count");
/// See [`COUNT`].
pub(super) const LIMIT: HeaderName = HeaderName::from_static("x-query-limit");
