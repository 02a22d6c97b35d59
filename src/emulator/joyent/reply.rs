//! What a call answers, and the headers that every answer carries (Joyent CloudAPI 6.5, "CloudAPI HTTP Responses").

use super::failure::{Code, Failure};
use super::version::SERVED;
use crate::emulator::auth::base64;
use axum::body::Body;
use axum::http::header::{
    CONNECTION, CONTENT_TYPE, DATE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, SERVER, WWW_AUTHENTICATE,
};
use axum::http::{Response, StatusCode};
use md5::{Digest, Md5};
use serde_json::{Value, json};
use std::time::{Instant, SystemTime};

/// The outcome of a call.
pub(super) type Answer = Result<Reply, Failure>;

const MD5: HeaderName = HeaderName::from_static("content-md5");
const VERSION: HeaderName = HeaderName::from_static("x-api-version");
const RESPONSE_TIME: HeaderName = HeaderName::from_static("x-response-time");
const ORIGIN: HeaderName = HeaderName::from_static("access-control-allow-origin");
/// The manual writes it both ways.
const REQUEST_IDS: [HeaderName; 2] =
    [HeaderName::from_static("x-requestid"), HeaderName::from_static("x-request-id")];

/// What a call that was carried out gives back.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    kind: Option<&'static str>,
    body: String,
    headers: Vec<(HeaderName, String)>,
}

impl Reply {
    /// 200 with JSON.
    pub(super) fn json(value: &Value) -> Self {
        Self::text("application/json", value.to_string())
    }

    /// 200 with text of some kind.
    pub(super) fn text(kind: &'static str, body: String) -> Self {
        Reply { status: StatusCode::OK, kind: Some(kind), body, headers: Vec::new() }
    }

    /// 201 with what was made, and where it is.
    pub(super) fn created(location: String, value: &Value) -> Self {
        Reply { status: StatusCode::CREATED, ..Self::json(value) }.with(LOCATION, location)
    }

    /// 202: it has begun.
    pub(super) fn accepted() -> Self {
        Self::empty(StatusCode::ACCEPTED)
    }

    /// 204: it is gone.
    pub(super) fn gone() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    /// 302, with an object in the form of an error ("`GetDatacenter`").
    pub(super) fn moved(location: String, message: &str) -> Self {
        let value = json!({"code": "ResourceMoved", "message": message});
        Reply { status: StatusCode::FOUND, ..Self::json(&value) }.with(LOCATION, location)
    }

    /// With one more header.
    pub(super) fn with(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    fn empty(status: StatusCode) -> Self {
        Reply { status, kind: None, body: String::new(), headers: Vec::new() }
    }
}

/// The response, `started` being when the request came.
pub(super) fn respond(answer: Answer, started: Instant) -> axum::response::Response {
    match answer {
        Ok(reply) => dress(reply, started),
        Err(failure) => fail(&failure, started),
    }
}

fn fail(failure: &Failure, started: Instant) -> axum::response::Response {
    let value = json!({"code": failure.code.name(), "message": failure.message});
    let reply = Reply { status: failure.code.status(), ..Reply::json(&value) };
    let mut response = dress(reply, started);
    match failure.code {
        Code::InvalidCredentials => {
            let scheme = HeaderValue::from_static("Basic realm=\"CloudAPI\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        Code::ServiceUnavailable => {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        code => {
            if let Some(reason) = code.reason() {
                response.extensions_mut().insert(reason);
            }
        }
    }
    response
}

fn dress(reply: Reply, started: Instant) -> axum::response::Response {
    let id = uuid::Uuid::new_v4().to_string().to_ascii_uppercase();
    let digest = base64(&Md5::digest(reply.body.as_bytes()));
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    let mut set = |name, value: &str| {
        // What cannot stand in a header is left out: a client sees that it is missing.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    for (name, value) in reply.headers {
        set(name, &value);
    }
    if let Some(kind) = reply.kind {
        set(CONTENT_TYPE, kind);
    }
    for name in REQUEST_IDS {
        set(name, &id);
    }
    set(MD5, &digest);
    set(VERSION, SERVED);
    set(RESPONSE_TIME, &started.elapsed().as_millis().to_string());
    set(DATE, &httpdate::fmt_http_date(SystemTime::now()));
    set(SERVER, "SmartDataCenter");
    set(CONNECTION, "close");
    set(ORIGIN, "*");
    response
}
