//! Makes the calls of the catalogue. A request is repeated only as far as its catalogue row allows:
//!
//! - A call that may be repeated goes through the retry layer.
//! - A call that deletes something may find it gone the second time; then the first attempt has succeeded.
//! - Every other call is sent once. If its outcome is unknown, the error says so.

use super::client::{ApiRequest, Client, Reply, TEXT};
use super::retry::Retry;
use crate::error::{Error, Kind, Result};
use crate::provider::Provider;
use crate::provider::catalogue::{self, Repeat, Request};
use reqwest::Method;

/// The calls of one account.
#[derive(Clone)]
pub struct Calls {
    client: Client,
    retry: Retry,
}

impl Calls {
    /// Creates the calls of the account whose credentials `client` has.
    pub fn new(client: Client, retry: Retry) -> Self {
        Self { client, retry }
    }

    /// Returns the provider of the account.
    pub fn provider(&self) -> Provider {
        self.client.provider()
    }

    /// Makes a call.
    pub async fn send(&self, request: &Request) -> Result<Reply> {
        let what = request.call.id;
        if !request.repeat.is_allowed() {
            return self.attempt(request).await.map_err(|error| fate_unknown(error.context(what)));
        }
        let mut made = 0;
        let attempt = async || {
            made += 1;
            match self.attempt(request).await {
                Err(error)
                    if made > 1 && request.repeat == Repeat::UntilGone && error.kind() == Kind::NotFound =>
                {
                    Ok(Reply { status: 204, ..Reply::default() })
                }
                // Whoever uses the object goes on using it: no repeat would change that.
                Err(error) if is_in_use(&error) => Err(error.with_kind(Kind::Refused)),
                outcome => outcome,
            }
        };
        self.retry.run(what, None, attempt).await
    }

    /// Sends the request once.
    pub async fn attempt(&self, request: &Request) -> Result<Reply> {
        if let Some(len) = request.expects {
            let mut body = Vec::new();
            self.client.read(&request.path, len, &mut body).await?;
            return Ok(Reply { status: 200, body: body.into(), ..Reply::default() });
        }
        if request.output.is_binary() {
            let body = self.client.fetch(&request.path).await?;
            return Ok(Reply { status: 200, body, ..Reply::default() });
        }
        let method = match request.method {
            catalogue::Method::Get => Method::GET,
            catalogue::Method::Post => Method::POST,
            catalogue::Method::Put => Method::PUT,
            catalogue::Method::Delete => Method::DELETE,
            catalogue::Method::Head => Method::HEAD,
        };
        let sending = ApiRequest {
            method,
            path: &request.path,
            content_type: request.content_type.unwrap_or(TEXT),
            accept: Some(request.accept),
            body: request.body.clone().unwrap_or_default(),
            answers: request.call.success,
            page: request.output.has(catalogue::Shape::Page),
        };
        let reply = self.client.call(&sending).await?;
        if !request.succeeded(reply.status) {
            return Err(Error::new(Kind::Protocol, format!("unexpected status {}", reply.status)));
        }
        Ok(reply)
    }
}

/// Whether the server refused a call because something else uses the object, and not because it is busy for a moment.
fn is_in_use(error: &Error) -> bool {
    error.kind() == Kind::Busy
        && error.server_message().is_some_and(|said| said.to_ascii_lowercase().contains("in use"))
}

/// Notes that a call that is sent once may have been carried out when its connection failed.
fn fate_unknown(error: Error) -> Error {
    let open =
        matches!(error.kind(), Kind::Connection | Kind::Timeout | Kind::ShortReply | Kind::Unavailable);
    if open && error.hint_text().is_none() {
        return error.hint("the call may have been carried out; check before you run it again");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_fate_is_told() {
        let hint = |kind| fate_unknown(Error::new(kind, "x")).hint_text().map(str::to_owned);
        assert!(hint(Kind::Timeout).is_some_and(|h| h.contains("check before")));
        assert!(hint(Kind::Unavailable).is_some());
        assert!(hint(Kind::Refused).is_none(), "a refusal leaves nothing open");
        let unsent = Error::new(Kind::Connection, "cannot connect").hint("nothing was sent");
        assert_eq!(fate_unknown(unsent).hint_text(), Some("nothing was sent"));
    }
}
