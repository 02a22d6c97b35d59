//! The failure of a call: a code, its status and a sentence.

use axum::http::StatusCode;
use hyper::ext::ReasonPhrase;

/// Why a call failed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) message: String,
}

/// A status and its code (Joyent CloudAPI 6.5, "HTTP Status Codes" and "Error Responses").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code(u16, &'static str);

impl Code {
    pub(super) const BAD_REQUEST: Code = Code(400, "BadRequest");
    pub(super) const INVALID_CREDENTIALS: Code = Code(401, "InvalidCredentials");
    pub(super) const NOT_AUTHORIZED: Code = Code(403, "NotAuthorized");
    pub(super) const NOT_FOUND: Code = Code(404, "ResourceNotFound");
    // The table has no code for 405, 406, 415 and 503; the nearest one is sent.
    pub(super) const METHOD_NOT_ALLOWED: Code = Code(405, "BadRequest");
    pub(super) const NOT_ACCEPTABLE: Code = Code(406, "InvalidHeader");
    pub(super) const INVALID_ARGUMENT: Code = Code(409, "InvalidArgument");
    pub(super) const MISSING_PARAMETER: Code = Code(409, "MissingParameter");
    /// The machine's state does not allow the action ("`StopMachine`").
    pub(super) const INVALID_STATE: Code = Code(409, "InvalidState");
    /// A virtual machine needs keys before it is created. This is how the server of that time said so.
    pub(super) const KEY_REQUIRED: Code = Code(409, "KeyRequired");
    /// The machine was deleted. This is how the server of that time said so.
    pub(super) const GONE: Code = Code(410, "ResourceNotFound");
    pub(super) const TOO_LARGE: Code = Code(413, "RequestTooLarge");
    pub(super) const UNSUPPORTED_TYPE: Code = Code(415, "InvalidHeader");
    pub(super) const THROTTLED: Code = Code(420, "RequestThrottled");
    pub(super) const INVALID_VERSION: Code = Code(449, "InvalidVersion");
    pub(super) const INTERNAL: Code = Code(500, "InternalError");
    /// "`CreateMachine`" and "HTTP Status Codes".
    pub(super) const NO_CAPACITY: Code = Code(503, "InsufficientCapacity");
    /// The 503 of a fault.
    pub(super) const UNAVAILABLE: Code = Code(503, "UnknownError");

    pub(super) fn name(self) -> &'static str {
        self.1
    }

    pub(super) fn status(self) -> StatusCode {
        StatusCode::from_u16(self.0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Returns the reason phrase of a status that HTTP does not define ("HTTP Status Codes").
    pub(super) fn reason(self) -> Option<ReasonPhrase> {
        match self.0 {
            420 => Some(ReasonPhrase::from_static(b"Slow Down")),
            449 => Some(ReasonPhrase::from_static(b"Retry With")),
            _ => None,
        }
    }
}

impl Failure {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Failure { code, message: message.into() }
    }

    /// 409: a parameter has an invalid value.
    pub(super) fn argument(message: impl Into<String>) -> Self {
        Self::new(Code::INVALID_ARGUMENT, message)
    }

    /// 409: a required parameter is missing.
    pub(super) fn parameter(name: &str) -> Self {
        Self::new(Code::MISSING_PARAMETER, format!("{name} is a required parameter"))
    }

    /// 404: the object in the path does not exist.
    pub(super) fn missing(what: &str, name: &str) -> Self {
        Self::new(Code::NOT_FOUND, format!("{what} {name} does not exist"))
    }

    /// 409: the machine's state does not allow the action.
    pub(super) fn state(message: impl Into<String>) -> Self {
        Self::new(Code::INVALID_STATE, message)
    }
}

impl From<std::io::Error> for Failure {
    /// Converts a failure of the emulator's own disk.
    fn from(error: std::io::Error) -> Self {
        Failure::new(Code::INTERNAL, error.to_string())
    }
}
