//! The accounts behind one listener. Each has its own state; a request's credentials choose its account.

use super::front::Front;
use axum::Router;
use axum::http::Uri;
use axum::http::request::Parts;
use axum::response::Response;

/// An account and the router that answers for it.
pub(super) struct Tenant {
    pub(super) user: String,
    pub(super) front: Box<dyn Front>,
    pub(super) router: Router,
}

/// All accounts of a listener. The first is the one that the configuration itself describes.
pub(super) struct Tenants {
    first: Tenant,
    others: Vec<Tenant>,
}

impl Tenants {
    pub(super) fn new(first: Tenant, others: Vec<Tenant>) -> Self {
        Tenants { first, others }
    }

    fn all(&self) -> impl Iterator<Item = &Tenant> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// See [`Front::signs_body`].
    pub(super) fn sign_body(&self, head: &Parts) -> bool {
        self.first.front.signs_body(head)
    }

    /// See [`Front::route`].
    pub(super) fn route(&self, uri: &Uri) -> Uri {
        self.first.front.route(uri)
    }

    /// Returns the account that a request is for. If none admits it, returns the first one's answer.
    #[expect(clippy::result_large_err, reason = "a response is what the caller sends at once")]
    pub(super) fn admit(&self, head: &Parts, body: &[u8]) -> Result<&Tenant, Response> {
        let mut refusal = None;
        let knows = self.all().filter(|tenant| tenant.front.knows(head));
        for tenant in knows {
            match tenant.front.admit(head, body) {
                Ok(()) => return Ok(tenant),
                Err(response) => refusal = refusal.or(Some(response)),
            }
        }
        match refusal {
            Some(refusal) => Err(refusal),
            // An address that is itself a credential, but that no account issued.
            None => self.first.front.admit(head, body).map(|()| &self.first),
        }
    }
}
