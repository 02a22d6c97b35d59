//! Converts Azure's error codes into errors.
//!
//! Source: Azure Storage REST reference, `Status and error codes`, `Common REST API error codes` and `Blob
//! Storage error codes`.

use super::sas::SasToken;
use super::xml;
use crate::error::{Error, Kind};
use crate::transport::check;
use crate::transport::client::{retry_after, text};
use reqwest::header::{self, HeaderMap};
use std::time::SystemTime;

/// The header with the error code; a reply to HEAD has nothing else.
const CODE: &str = "x-ms-error-code";

/// The longest part of a server's message that is shown.
const SHOWN: usize = 300;

const NEW_TOKEN: &str = "configure a new SAS token for the remote, then run the same command again to resume";

/// The contents of an error reply.
#[derive(Debug, Default)]
struct Said {
    code: String,
    message: String,
    detail: String,
}

impl Said {
    fn read(headers: &HeaderMap, body: &str) -> Self {
        let mut said = Said::default();
        // If the body cannot be parsed, the status and maybe the header remain.
        let _ = xml::walk(body, |path, text| {
            match path {
                "Error/Code" => text.clone_into(&mut said.code),
                "Error/Message" => text.clone_into(&mut said.message),
                "Error/AuthenticationErrorDetail" => text.clone_into(&mut said.detail),
                _ => {}
            }
            Ok(())
        });
        let header = text(headers, CODE);
        if !header.is_empty() {
            said.code = header;
        }
        said.code.retain(|c| c.is_ascii_alphanumeric());
        said.code.truncate(80);
        said
    }

    /// Returns the text to show. Of the details of a failed authentication only the time is shown, because
    /// others repeat the string to sign and the signature.
    fn shown(&self, status: u16, headers: &HeaderMap, sas: &SasToken) -> String {
        let mut shown = status.to_string();
        // The following lines have the id of the request and the time.
        let message = self.message.lines().next().unwrap_or_default().trim();
        for part in [&*self.code, message, self.time_frame().unwrap_or_default()] {
            if !part.is_empty() {
                shown.push(' ');
                shown.push_str(part);
            }
        }
        let mut shown: String = shown.chars().take(SHOWN).collect();
        let id: String =
            text(headers, "x-ms-request-id").chars().filter(char::is_ascii_graphic).take(60).collect();
        if !id.is_empty() {
            shown = format!("{shown} (request {id})");
        }
        sas.redact(&shown)
    }

    fn time_frame(&self) -> Option<&str> {
        let times = ["not valid in the specified time frame", "Signed expiry time"];
        times
            .iter()
            .any(|time| self.detail.contains(time))
            .then(|| self.detail.lines().next().unwrap_or_default())
    }
}

/// Converts an error reply.
pub(super) fn error(status: u16, headers: &HeaderMap, body: &str, sas: &SasToken) -> Error {
    // An HTML page does not come from Azure, whatever its status.
    if let Err(page) = check::no_page(status, headers) {
        return page;
    }
    if status < 400 {
        let error = check::status(status, &[], headers).err();
        let error = error.unwrap_or_else(|| Error::new(Kind::Protocol, "unexpected reply"));
        if (300..400).contains(&status) {
            let location = text(headers, header::LOCATION.as_str());
            let location: String = location.chars().take(200).flat_map(char::escape_default).collect();
            return error
                .hint(format!("the remote may have moved to {}: check its url", sas.redact(&location)));
        }
        return error;
    }
    let said = Said::read(headers, body);
    let (kind, message, hint) = meaning(status, &said, sas);
    let error =
        Error::new(kind, message).server(said.shown(status, headers, sas)).retry_after(retry_after(headers));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn meaning(status: u16, said: &Said, sas: &SasToken) -> (Kind, String, Option<String>) {
    let plain = |kind, message: &str| (kind, message.to_owned(), None);
    let hinted = |kind, message: &str, hint: &str| (kind, message.to_owned(), Some(hint.to_owned()));
    match &*said.code {
        "ServerBusy" | "TooManyRequests" | "SnapshotOperationRateExceeded" => {
            plain(Kind::SlowDown, "the storage account is busy")
        }
        "InternalError" | "OperationTimedOut" | "ConnectionFailure" => {
            plain(Kind::Unavailable, "the storage service failed")
        }
        "Md5Mismatch" | "Crc64Mismatch" => {
            plain(Kind::Connection, "the data was damaged on its way to the server")
        }
        "BlobAlreadyExists" => hinted(
            Kind::Exists,
            "a blob of that name exists already",
            "use another name, or name the blob in the command to write to it",
        ),
        "BlobNotFound" => plain(Kind::NotFound, "no such blob"),
        "ContainerNotFound" => hinted(
            Kind::NotFound,
            "no such container",
            "set the remote's url to that of a container: https://ACCOUNT.blob.core.windows.net/CONTAINER",
        ),
        "LeaseIdMissing" | "LeaseIdMismatchWithBlobOperation" | "LeaseAlreadyPresent" | "LeaseLost" => {
            hinted(
                Kind::Refused,
                "the blob is leased, so it is in use",
                "detach the disk from its virtual machine, or break the lease, then run the same command again",
            )
        }
        "InvalidBlobType" => hinted(
            Kind::Refused,
            "the blob is not a page blob",
            "a disk image must be a page blob; use another name to create one",
        ),
        "ConditionNotMet" => plain(Kind::Source, "the blob was changed by somebody else"),
        "AuthorizationPermissionMismatch"
        | "AuthorizationResourceTypeMismatch"
        | "AuthorizationServiceMismatch" => {
            let has = sas.permissions().map_or_else(String::new, |p| format!("; it has {:?}", sas.redact(p)));
            let hint =
                format!("a token needs the permissions read, write, create and list for the container{has}");
            (Kind::Auth, "the SAS token does not permit this".to_owned(), Some(hint))
        }
        "AuthorizationProtocolMismatch" => hinted(
            Kind::Auth,
            "the SAS token is valid for https only",
            "use a url with https:// for the remote",
        ),
        "AuthorizationSourceIPMismatch" => {
            hinted(Kind::Auth, "the SAS token is not valid for the address of this machine", NEW_TOKEN)
        }
        _ => by_status(status, said, sas),
    }
}

fn by_status(status: u16, said: &Said, sas: &SasToken) -> (Kind, String, Option<String>) {
    let plain = |kind, message: &str| (kind, message.to_owned(), None);
    let hinted = |kind, message: &str, hint: &str| (kind, message.to_owned(), Some(hint.to_owned()));
    match status {
        401 | 403 => {
            let now = SystemTime::now();
            if sas.has_expired(now) {
                hinted(Kind::Auth, "the SAS token has expired", NEW_TOKEN)
            } else if sas.is_early(now) {
                hinted(
                    Kind::Auth,
                    "the SAS token is not valid yet",
                    "check this machine's clock and the token's start time",
                )
            } else if said.time_frame().is_some() {
                // By the server's clock.
                hinted(Kind::Auth, "the SAS token is not valid at this time", NEW_TOKEN)
            } else {
                hinted(Kind::Auth, "the SAS token was refused", NEW_TOKEN)
            }
        }
        404 | 410 => plain(Kind::NotFound, "no such blob or container"),
        412 => plain(Kind::Source, "the blob was changed by somebody else"),
        416 => plain(Kind::Refused, "the range is outside the blob"),
        429 | 503 => plain(Kind::SlowDown, "the storage account is busy"),
        408 | 500 | 502 | 504 => plain(Kind::Unavailable, "the storage service failed"),
        _ => plain(Kind::Refused, "the request was refused"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderName, HeaderValue};

    fn sas(expiry: &str) -> SasToken {
        SasToken::parse(&format!("sv=2020-12-06&se={expiry}&sp=r&sig=c2VjcmV0%2Bsig%3D")).unwrap()
    }

    fn body(code: &str, more: &str) -> String {
        format!(
            "\u{feff}<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>It failed.\nRequestId:1</Message>{more}</Error>"
        )
    }

    fn told(status: u16, body: &str) -> Error {
        error(status, &HeaderMap::new(), body, &sas("2999-01-01"))
    }

    #[test]
    fn what_may_help_is_repeated() {
        for (status, code, kind) in [
            (503, "ServerBusy", Kind::SlowDown),
            (500, "InternalError", Kind::Unavailable),
            (500, "OperationTimedOut", Kind::Unavailable),
            (400, "Crc64Mismatch", Kind::Connection),
            (400, "Md5Mismatch", Kind::Connection),
            (502, "", Kind::Unavailable),
        ] {
            let error = told(status, &body(code, ""));
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.kind().is_retryable());
        }
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static("7"))]);
        let error = error(503, &headers, "", &sas("2999-01-01"));
        assert_eq!(error.retry_delay().unwrap().as_secs(), 7);
    }

    #[test]
    fn what_cannot_help_says_what_to_do() {
        for (status, code, kind, hint) in [
            (404, "BlobNotFound", Kind::NotFound, ""),
            (404, "ContainerNotFound", Kind::NotFound, "container"),
            (409, "BlobAlreadyExists", Kind::Exists, "another name"),
            (412, "LeaseIdMissing", Kind::Refused, "lease"),
            (412, "ConditionNotMet", Kind::Source, ""),
            (403, "AuthorizationPermissionMismatch", Kind::Auth, "it has \"r\""),
            (403, "AuthorizationFailure", Kind::Auth, "new SAS token"),
            (400, "InvalidHeaderValue", Kind::Refused, ""),
        ] {
            let error = told(status, &body(code, ""));
            assert_eq!((error.kind(), error.kind().is_retryable()), (kind, false), "{code}");
            assert!(error.hint_text().unwrap_or_default().contains(hint), "{code}: {:?}", error.hint_text());
            assert!(
                error.server_message().unwrap().starts_with(&format!("{status} {code} It failed.")),
                "{error}"
            );
        }
        // A reply to HEAD has the code in a header only.
        let name = HeaderName::from_static(CODE);
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static("ContainerNotFound"))]);
        assert!(error(404, &headers, "", &sas("2999-01-01")).to_string().contains("no such container"));
    }

    #[test]
    fn an_expired_token_is_told_by_the_token_and_by_the_server() {
        let frame = "<AuthenticationErrorDetail>Signature not valid in the specified time frame: Start [a] - Expiry [b] - \
                     Current [c]</AuthenticationErrorDetail>";
        let by_server = told(403, &body("AuthenticationFailed", frame));
        assert!(by_server.server_message().unwrap().contains("Expiry [b]"), "{by_server}");
        let by_token = error(403, &HeaderMap::new(), &body("AuthenticationFailed", ""), &sas("2020-01-01"));
        assert!(by_token.to_string().contains("has expired"), "{by_token}");
        for error in [by_server, by_token] {
            assert_eq!(error.kind().exit_code(), 4);
            assert!(error.hint_text().unwrap().contains("run the same command again"));
        }
    }

    #[test]
    fn a_signature_that_comes_back_is_not_shown() {
        let detail = "<AuthenticationErrorDetail>Signature did not match. String to sign used was r\n\nc2VjcmV0+sig=\
                      </AuthenticationErrorDetail>";
        let echo = body("AuthenticationFailed", detail)
            .replace("It failed.", "It failed for c2VjcmV0+sig= and c2VjcmV0%2Bsig%3D");
        let shown = format!("{:?}", told(403, &echo));
        assert!(!shown.contains("c2VjcmV0") && !shown.contains("String to sign"), "{shown}");
    }

    #[test]
    fn a_page_is_no_word_of_the_service() {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("text/html"))]);
        for status in [200, 403, 503] {
            let error = error(status, &headers, "<html>log in", &sas("2999-01-01"));
            assert_eq!(error.kind(), Kind::Protocol);
            assert!(error.hint_text().unwrap().contains("portal"), "{error}");
        }
    }
}
