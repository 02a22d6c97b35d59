//! Requests to CloudAPI, and checks that apply to all of its answers.

use super::{LOGIN, PASSWORD};
use crate::emulator::auth::base64;
pub(super) use crate::emulator::tests::client::{Client, Ending, Reply, Request, exchange};
use md5::{Digest, Md5};

/// Creates a request as a careful client sends it: with password and version, and accepting JSON.
pub(super) fn request(method: &str, path: &str) -> Request {
    let credentials = base64(format!("{LOGIN}:{PASSWORD}").as_bytes());
    Request::bare(method, path)
        .instead("Host", "api.example.com")
        .header("Authorization", &format!("Basic {credentials}"))
        .header("X-Api-Version", "~6.5")
        .header("Accept", "application/json")
}

impl Reply {
    /// Returns the code of an error.
    pub(super) fn code(&self) -> String {
        let json = self.json();
        assert!(json["message"].as_str().is_some_and(|message| !message.is_empty()), "{json}");
        json["code"].as_str().unwrap().to_owned()
    }

    /// Checks the headers that every answer has (Joyent CloudAPI 6.5, "CloudAPI HTTP Responses").
    pub(super) fn check(&self, with_body: bool) {
        for name in ["date", "server", "x-response-time", "access-control-allow-origin"] {
            assert!(self.header(name).is_some(), "no {name}: {self:?}");
        }
        assert_eq!(self.header("x-api-version"), Some("6.5.0"));
        assert_eq!(self.header("connection"), Some("close"));
        let id = self.header("x-requestid").unwrap();
        assert!(crate::emulator::drives::is_uuid(id), "{id}");
        assert_eq!(self.header("x-request-id"), Some(id));
        let digest = base64(&Md5::digest(&self.body));
        let expected = (!self.body.is_empty()).then_some(&*digest);
        // "If there is content": not with 202 and 204. The answer to a HEAD has the headers of the GET's.
        assert!(!with_body || self.header("content-md5") == expected, "{self:?}");
        assert!(!with_body || self.header("content-type").is_some() == expected.is_some(), "{self:?}");
    }
}
