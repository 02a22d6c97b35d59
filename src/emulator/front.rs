//! What each provider does its own way around every exchange: who may make requests, how paths are read, and how it says
//! that it cannot now.

use super::answer::{Refusal, RefusalKind};
use super::auth::Credentials;
use crate::emulator::Dialect;
use axum::http::Uri;
use axum::http::request::Parts;
use axum::response::Response;

/// A provider's way with requests before and around its calls.
pub(super) trait Front: Send + Sync {
    /// Whether the request's body takes part in its signature, and has to be read before it is admitted.
    fn signs_body(&self, _head: &Parts) -> bool {
        false
    }

    /// Whether a request without credentials, at an address that is good by itself, may be for this account. Of all
    /// others [`Front::admit`] decides.
    fn knows(&self, _head: &Parts) -> bool {
        true
    }

    /// Lets a request in, or answers it. `body` is empty unless [`Front::signs_body`] asked for it.
    #[expect(clippy::result_large_err, reason = "a response is what the caller sends at once")]
    fn admit(&self, head: &Parts, body: &[u8]) -> Result<(), Response>;

    /// The path as the provider's rows have it.
    fn route(&self, uri: &Uri) -> Uri;

    /// The reply of a fault: busy, nothing was done.
    fn busy(&self) -> Response;

    /// The reply of a fault: out of service, try again in a second.
    fn unavailable(&self) -> Response;
}

/// The providers of drives: Basic authentication and errors by `X-Elastic-Error` or in text.
pub(super) struct Elastic {
    pub(super) provider: Dialect,
    pub(super) credentials: Credentials,
}

impl Front for Elastic {
    fn admit(&self, head: &Parts, _body: &[u8]) -> Result<(), Response> {
        if self.credentials.allow(&head.headers) {
            return Ok(());
        }
        let refusal = Refusal::new(RefusalKind::Auth, "Authentication is missing or incorrect");
        Err(refusal.response(self.provider))
    }

    fn route(&self, uri: &Uri) -> Uri {
        plain(uri, Some("api"))
    }

    fn busy(&self) -> Response {
        Refusal::busy("The drive or server is busy; this is a fault made on purpose").response(self.provider)
    }

    fn unavailable(&self) -> Response {
        Refusal::new(RefusalKind::Unavailable, "Out of service; this is a fault made on purpose")
            .response(self.provider)
    }
}

/// Returns the path as the rows have it; the query stays. A base URL may end in a slash or in a stem (Crosspeer's ends in
/// `/api`), and a careless client joins it so that a slash is doubled or left at the end.
pub(super) fn plain(uri: &Uri, stem: Option<&str>) -> Uri {
    let words = uri.path().split('/').filter(|word| !word.is_empty()).skip_while(|word| Some(*word) == stem);
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let path = format!("/{}{query}", words.collect::<Vec<_>>().join("/"));
    path.parse().unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_under_any_stem() {
        for path in ["/drives/list", "/api/drives/list", "//drives/list/", "/api//api/drives/list?x=1"] {
            assert_eq!(plain(&path.parse().unwrap(), Some("api")).path(), "/drives/list", "{path}");
        }
        assert_eq!(plain(&"/".parse().unwrap(), None).path(), "/");
    }
}
