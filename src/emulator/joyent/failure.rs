//! What a call answers that is not carried out: a code, the status that goes with it, and a sentence.

use axum::http::StatusCode;
use hyper::ext::ReasonPhrase;

/// Why a call failed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) message: String,
}

/// The codes (Joyent CloudAPI 6.5, "Error Responses"), and those that only its calls name.
///
/// Three statuses of the manual have no code in its table. They go out under the nearest one, so the status is part
/// of the variant's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    BadRequest,
    InternalError,
    /// 409, as everything that is wrong with a parameter ("HTTP Status Codes").
    InvalidArgument,
    InvalidCredentials,
    /// 449.
    InvalidVersion,
    MissingParameter,
    /// 420.
    RequestThrottled,
    RequestTooLarge,
    ResourceNotFound,
    /// 410: there was such a machine, as the server of that time says of one that was deleted.
    ResourceGone,
    /// The machine is not in a state for it ("`StopMachine`").
    InvalidState,
    /// 503 ("`CreateMachine`" and "HTTP Status Codes").
    InsufficientCapacity,
    /// A virtual machine needs keys before it is made, as the server of that time says it.
    KeyRequired,
    /// 405.
    MethodNotAllowed,
    /// 406.
    NotAcceptable,
    /// 415.
    UnsupportedMediaType,
    /// 503, of a fault.
    ServiceUnavailable,
}

impl Code {
    pub(super) fn name(self) -> &'static str {
        match self {
            Code::BadRequest | Code::MethodNotAllowed => "BadRequest",
            Code::InternalError => "InternalError",
            Code::InvalidArgument => "InvalidArgument",
            Code::InvalidCredentials => "InvalidCredentials",
            Code::NotAcceptable | Code::UnsupportedMediaType => "InvalidHeader",
            Code::InvalidVersion => "InvalidVersion",
            Code::MissingParameter => "MissingParameter",
            Code::RequestThrottled => "RequestThrottled",
            Code::RequestTooLarge => "RequestTooLarge",
            Code::ResourceNotFound | Code::ResourceGone => "ResourceNotFound",
            Code::InvalidState => "InvalidState",
            Code::InsufficientCapacity => "InsufficientCapacity",
            Code::KeyRequired => "KeyRequired",
            Code::ServiceUnavailable => "UnknownError",
        }
    }

    pub(super) fn status(self) -> StatusCode {
        let number = match self {
            Code::BadRequest => 400,
            Code::InvalidCredentials => 401,
            Code::ResourceNotFound => 404,
            Code::MethodNotAllowed => 405,
            Code::NotAcceptable => 406,
            Code::InvalidArgument | Code::MissingParameter | Code::InvalidState | Code::KeyRequired => 409,
            Code::ResourceGone => 410,
            Code::RequestTooLarge => 413,
            Code::UnsupportedMediaType => 415,
            Code::RequestThrottled => 420,
            Code::InvalidVersion => 449,
            Code::InternalError => 500,
            Code::InsufficientCapacity | Code::ServiceUnavailable => 503,
        };
        StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The words behind a status that HTTP does not know ("HTTP Status Codes").
    pub(super) fn reason(self) -> Option<ReasonPhrase> {
        match self {
            Code::RequestThrottled => Some(ReasonPhrase::from_static(b"Slow Down")),
            Code::InvalidVersion => Some(ReasonPhrase::from_static(b"Retry With")),
            _ => None,
        }
    }
}

impl Failure {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Failure { code, message: message.into() }
    }

    /// 409: a parameter has a value that it cannot have.
    pub(super) fn argument(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// 409: a parameter that has to be sent was not.
    pub(super) fn parameter(name: &str) -> Self {
        Self::new(Code::MissingParameter, format!("{name} is a required parameter"))
    }

    /// 404: what the path names is not there.
    pub(super) fn missing(what: &str, name: &str) -> Self {
        Self::new(Code::ResourceNotFound, format!("{what} {name} does not exist"))
    }

    /// 409: the machine is not in a state for it.
    pub(super) fn state(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidState, message)
    }
}

impl From<std::io::Error> for Failure {
    /// The emulator's own disk failed.
    fn from(error: std::io::Error) -> Self {
        Failure::new(Code::InternalError, error.to_string())
    }
}
