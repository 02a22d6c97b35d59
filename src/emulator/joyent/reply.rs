//! Answers of calls, and the headers that all of them have (Joyent CloudAPI 6.5, "CloudAPI HTTP Responses").

use super::failure::{Code, Failure};
use super::version::SERVED;
use crate::emulator::auth::base64;
use axum::body::Body;
use axum::http::header::{
    CONNECTION, CONTENT_TYPE, DATE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, SERVER, WWW_AUTHENTICATE,
};
use axum::http::{Response, StatusCode};
use md5::{Digest, Md5};
use serde::Serialize;
use serde_json::json;
use std::time::{Instant, SystemTime};

/// The outcome of a call.
pub(super) type Answer = Result<Reply, Failure>;

/// The result of a call that was carried out.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    kind: &'static str,
    /// Empty if there is no content.
    body: String,
    headers: Vec<(HeaderName, String)>,
}

impl Reply {
    /// 200 with JSON.
    pub(super) fn json(value: &(impl Serialize + ?Sized)) -> Answer {
        let body = serde_json::to_string(value);
        let body = body.map_err(|error| Failure::new(Code::INTERNAL, error.to_string()))?;
        Ok(Self::new(StatusCode::OK, "application/json", body))
    }

    /// 200 with text.
    pub(super) fn text(body: &str) -> Self {
        Self::new(StatusCode::OK, "text/plain", body.to_owned())
    }

    /// 201 with the object that was created.
    pub(super) fn created(value: &impl Serialize) -> Answer {
        Ok(Reply { status: StatusCode::CREATED, ..Self::json(value)? })
    }

    /// 202: the action has begun.
    pub(super) fn accepted() -> Self {
        Self::new(StatusCode::ACCEPTED, "", String::new())
    }

    /// 204: the object is gone.
    pub(super) fn gone() -> Self {
        Self::new(StatusCode::NO_CONTENT, "", String::new())
    }

    /// 302, with an object in the form of an error ("`GetDatacenter`").
    pub(super) fn moved(location: String, message: &str) -> Answer {
        let value = json!({"code": "ResourceMoved", "message": message});
        Ok(Reply { status: StatusCode::FOUND, ..Self::json(&value)? }.at(location))
    }

    /// Adds a `Location`.
    pub(super) fn at(self, location: String) -> Self {
        self.with(LOCATION, location)
    }

    pub(super) fn with(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    fn new(status: StatusCode, kind: &'static str, body: String) -> Self {
        Reply { status, kind, body, headers: Vec::new() }
    }
}

/// Renders the response to a request that arrived at `started`.
pub(super) fn respond(answer: Answer, started: Instant) -> axum::response::Response {
    answer.map_or_else(|failure| fail(&failure, started), |reply| dress(reply, started))
}

fn fail(failure: &Failure, started: Instant) -> axum::response::Response {
    let value = json!({"code": failure.code.name(), "message": failure.message});
    let mut response =
        dress(Reply::new(failure.code.status(), "application/json", value.to_string()), started);
    if failure.code == Code::INVALID_CREDENTIALS {
        let scheme = HeaderValue::from_static("Basic realm=\"CloudAPI\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    } else if failure.code == Code::UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    } else if let Some(reason) = failure.code.reason() {
        response.extensions_mut().insert(reason);
    }
    response
}

fn dress(reply: Reply, started: Instant) -> axum::response::Response {
    let id = uuid::Uuid::new_v4().to_string().to_ascii_uppercase();
    let named = |name: &'static str, value: &str| (HeaderName::from_static(name), value.to_owned());
    let mut headers = reply.headers;
    // "If there is content".
    if !reply.body.is_empty() {
        headers.push((CONTENT_TYPE, reply.kind.to_owned()));
        headers.push(named("content-md5", &base64(&Md5::digest(reply.body.as_bytes()))));
    }
    headers.extend([
        // The manual has both spellings.
        named("x-requestid", &id),
        named("x-request-id", &id),
        named("x-api-version", SERVED),
        named("x-response-time", &started.elapsed().as_millis().to_string()),
        named("access-control-allow-origin", "*"),
        (DATE, httpdate::fmt_http_date(SystemTime::now())),
        (SERVER, "SmartDataCenter".to_owned()),
        (CONNECTION, "close".to_owned()),
    ]);
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = reply.status;
    for (name, value) in headers {
        // A value that cannot be in a header is left out, and the client sees that it is missing.
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
