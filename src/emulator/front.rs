//! What each provider does in its own way around every exchange: authentication, paths, and replies when it
//! is unavailable.

use super::answer::{Refusal, RefusalKind};
use super::auth::Credentials;
use crate::emulator::Dialect;
use axum::http::Uri;
use axum::http::request::Parts;
use axum::response::Response;

/// How a provider handles requests before and around its calls.
pub(super) trait Front: Send + Sync {
    /// Returns whether the body is part of the signature, so that it has to be read before the request is
    /// admitted.
    fn signs_body(&self, _head: &Parts) -> bool {
        false
    }

    /// Returns whether a request without credentials, to an address that is itself the credential, may be for
    /// this account. [`Front::admit`] decides on all others.
    fn knows(&self, _head: &Parts) -> bool {
        true
    }

    /// Admits a request, or returns the answer to it. `body` is empty unless [`Front::signs_body`] asked for
    /// it.
    #[expect(clippy::result_large_err, reason = "a response is what the caller sends at once")]
    fn admit(&self, head: &Parts, body: &[u8]) -> Result<(), Response>;

    /// Returns the path in the form of the provider's routes.
    fn route(&self, uri: &Uri) -> Uri;

    /// Returns the reply of a fault: busy, nothing was done.
    fn busy(&self) -> Response;

    /// Returns the reply of a fault: unavailable, try again in a second.
    fn unavailable(&self) -> Response;
}

/// The providers of drives: Basic authentication, and errors in `X-Elastic-Error` or in text.
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

/// Returns the path in the form of the routes, with the query unchanged. A base URL may end in a slash or in
/// a stem (Crosspeer's ends in `/api`), and a careless client may double a slash or leave one at the end.
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
