//! Joyent CloudAPI 6.5: machines, their snapshots, metadata and tags; keys; the datacenter's offers;
//! analytics.
//!
//! The state is [`account`], of which [`machine`] is the larger part. [`authorization`] and [`version`] admit
//! a request; [`call`] routes it to a handler, which works on the state and returns a [`reply`] or a
//! [`failure`].
//!
//! There are no drives here. Every answer closes its connection, as in the manual's samples.

mod account;
mod analytics;
mod authorization;
mod call;
mod datacenter;
mod failure;
mod input;
mod keys;
mod labels;
mod machine;
mod machines;
mod offers;
mod public_key;
mod reply;
mod signature;
mod snapshots;
#[cfg(test)]
mod tests;
mod version;

pub use public_key::fingerprint;
pub use signature::is_of;

use super::auth::Credentials;
use super::front::{Front, plain};
use super::{Config, Service};
use account::Accounts;
use axum::http::Uri;
use axum::http::request::Parts;
use axum::response::Response;
use call::{Call, Row, delete, get, post};
use failure::{Code, Failure};
use reply::respond;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// The state that all calls share.
#[derive(Debug)]
struct Site {
    login: String,
    accounts: Accounts,
    /// Whether clients connect over TLS, which the emulator's own URLs have to reflect.
    secure: bool,
    /// The most machines that may exist.
    room: Option<usize>,
}

impl Site {
    /// Returns the URL at which the client reached the datacenter.
    fn url(&self, call: &Call) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, call.host())
    }
}

/// The paths and their calls (Joyent CloudAPI 6.5, the headings of these methods and paths).
const PATHS: &[(&str, &[Row])] = &[
    ("/{login}/keys", &[get(keys::list), post(keys::create)]),
    ("/{login}/keys/{key}", &[get(keys::get), delete(keys::delete)]),
    ("/{login}/datacenters", &[get(datacenter::list)]),
    ("/{login}/datacenters/{name}", &[get(datacenter::get)]),
    ("/{login}/datasets", &[get(datacenter::datasets)]),
    ("/{login}/datasets/{id}", &[get(datacenter::dataset)]),
    ("/{login}/packages", &[get(datacenter::packages)]),
    ("/{login}/packages/{package}", &[get(datacenter::package)]),
    ("/{login}/machines", &[get(machines::list), post(machines::create)]),
    ("/{login}/machines/{id}", &[get(machines::get), post(machines::act), delete(machines::delete)]),
    ("/{login}/machines/{id}/snapshots", &[get(snapshots::list), post(snapshots::create)]),
    (
        "/{login}/machines/{id}/snapshots/{name}",
        &[get(snapshots::get), post(snapshots::start), delete(snapshots::delete)],
    ),
    (
        "/{login}/machines/{id}/metadata",
        &[get(labels::metadata), post(labels::update_metadata), delete(labels::delete_all_metadata)],
    ),
    ("/{login}/machines/{id}/metadata/{key}", &[delete(labels::delete_metadata)]),
    (
        "/{login}/machines/{id}/tags",
        &[get(labels::tags), post(labels::add_tags), delete(labels::delete_tags)],
    ),
    ("/{login}/machines/{id}/tags/{tag}", &[get(labels::tag).negotiates(), delete(labels::delete_tag)]),
    ("/{login}/analytics", &[get(analytics::describe)]),
    ("/{login}/analytics/instrumentations", &[get(analytics::list), post(analytics::create)]),
    ("/{login}/analytics/instrumentations/{id}", &[get(analytics::get), delete(analytics::delete)]),
    ("/{login}/analytics/instrumentations/{id}/value/raw", &[get(analytics::value)]),
    ("/{login}/analytics/instrumentations/{id}/value/heatmap/image", &[get(analytics::image)]),
    ("/{login}/analytics/instrumentations/{id}/value/heatmap/details", &[get(analytics::details)]),
    // As in the manual's sample, without `value`.
    ("/{login}/analytics/instrumentations/{id}/heatmap/image", &[get(analytics::image)]),
];

/// Opens the service over a data directory. `balance=` is its capacity: one machine for each whole unit.
pub(super) fn open(config: Config) -> io::Result<Service> {
    let accounts = account::open(&config.data, &config.keys)?;
    let credentials = Credentials::new(&config.user, &config.secret);
    let room = config.faults.balance.map(|hundredths| usize::try_from(hundredths / 100).unwrap_or(0));
    let site = Arc::new(Site { login: config.user, accounts, secure: config.tls.is_some(), room });
    Ok(Service {
        router: call::router(PATHS, Arc::clone(&site)),
        front: Box::new(CloudApi { site, credentials }),
        drives: None,
    })
}

/// How CloudAPI handles requests: Basic or Signature authentication, then the version.
struct CloudApi {
    site: Arc<Site>,
    credentials: Credentials,
}

impl Front for CloudApi {
    fn admit(&self, head: &Parts, _body: &[u8]) -> Result<(), Response> {
        let started = Instant::now();
        authorization::check(&self.site, &self.credentials, &head.headers)
            .and_then(|()| version::check(&head.headers))
            .map_err(|failure| respond(Err(failure), started))
    }

    fn route(&self, uri: &Uri) -> Uri {
        plain(uri, None)
    }

    fn busy(&self) -> Response {
        let message = "Too many requests; this is a fault made on purpose";
        respond(Err(Failure::new(Code::THROTTLED, message)), Instant::now())
    }

    fn unavailable(&self) -> Response {
        let message = "In a maintenance window; this is a fault made on purpose";
        respond(Err(Failure::new(Code::UNAVAILABLE, message)), Instant::now())
    }
}
