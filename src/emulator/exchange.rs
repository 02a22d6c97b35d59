//! One request's way through the emulator: log, latency, authentication, fault, call.
//!
//! The order is the rule. A request without credentials is answered 401 before any fault is drawn; a fault is drawn
//! before the call, which tells whether the call is carried out. Where a fault spares the connection the request's
//! body is read to its end first, so that the client sees the reply and may use the connection again; where it does
//! not, the connection goes down together with this exchange and no later request can meet it.

use super::Shared;
use super::answer::{Refusal, RefusalKind, Refused};
use super::auth::Credentials;
use super::body::{Cut, Watch, Watched};
use super::faults::{Fault, FaultKind, When};
use super::line::Line;
use super::log::Log;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Uri;
use axum::response::Response;
use http_body::Body as _;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

/// Everything that an exchange needs, the same for all connections.
pub(super) struct Exchanges {
    pub(super) shared: Arc<Shared>,
    pub(super) router: Router,
    pub(super) credentials: Credentials,
    pub(super) latency: Duration,
    pub(super) log: Arc<Log>,
}

impl Exchanges {
    /// Answers a request, or brings its connection down; then this never returns.
    pub(super) async fn answer<B>(&self, line: Arc<Line>, request: Request<B>) -> Result<Response, Infallible>
    where
        B: http_body::Body<Data = axum::body::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let number = self.log.begin(request.method().as_str(), request.uri().path());
        let watch = Arc::new(Watch::default());
        let (head, body) = request.into_parts();
        let body = Watched::new(Body::new(body), Arc::clone(&watch));
        let exchange = Exchange { all: self, line, watch, number };
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        let response = if self.credentials.allow(&head.headers) {
            exchange.deal(head, body).await
        } else {
            drop(body);
            Refusal::new(RefusalKind::Auth, "Authentication is missing or incorrect")
                .response(self.shared.provider)
        };
        exchange.watch.drain().await;
        exchange.note(Some(response.status().as_u16()));
        Ok(response)
    }
}

struct Exchange<'a> {
    all: &'a Exchanges,
    line: Arc<Line>,
    watch: Arc<Watch>,
    number: usize,
}

impl Exchange<'_> {
    /// Draws a fault and goes through with the request as it says.
    async fn deal(&self, head: axum::http::request::Parts, body: Watched) -> Response {
        let dealer = &self.all.shared.dealer;
        let Some(fault) = dealer.draw() else { return self.carry_out(head, body).await };
        if matches!(fault, Fault::Reset(When::AfterApplied) | Fault::Short | Fault::Stall) {
            let response = self.carry_out(head, body).await;
            // A refused offset fails by itself: one failure must not be counted as two.
            if response.extensions().get::<Refused>().is_some() {
                return response;
            }
            self.dealt(fault);
            return self.spoil(fault, response).await;
        }
        self.dealt(fault);
        let refusal = match fault {
            Fault::Busy => Refusal::busy("The drive or server is busy; this is a fault made on purpose"),
            Fault::Unavailable => {
                Refusal::new(RefusalKind::Unavailable, "Out of service; this is a fault made on purpose")
            }
            // Without a body there is nothing to be within.
            Fault::Reset(When::WithinBody) if body.size_hint().exact() != Some(0) => {
                self.carry_out(head, body.reset_half_way(Arc::clone(&self.line))).await;
                return self.gone().await; // The call did not want the body.
            }
            _ => return self.gone().await,
        };
        drop(body);
        refusal.response(self.all.shared.provider)
    }

    /// Lets the call happen.
    async fn carry_out(&self, mut head: axum::http::request::Parts, body: Watched) -> Response {
        head.uri = plain(&head.uri);
        let request = Request::from_parts(head, Body::new(body));
        let response = self.all.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        if response.extensions().get::<Refused>().is_some() {
            self.all.shared.dealer.refuse();
            self.all.log.note(self.number, |logged| logged.fault = Some(FaultKind::Refuse));
        }
        response
    }

    /// The call was carried out; the reply does not get through whole.
    async fn spoil(&self, fault: Fault, response: Response) -> Response {
        self.watch.drain().await;
        let (head, body) = response.into_parts();
        if fault == Fault::Reset(When::AfterApplied) {
            return self.gone().await;
        }
        let bodyless = body.size_hint().exact() == Some(0);
        match (fault, bodyless) {
            (Fault::Stall, true) => {
                self.note(None);
                pending().await
            }
            (Fault::Stall, false) => Response::from_parts(head, Body::new(Cut::stall(body))),
            (_, true) => {
                self.note(None);
                self.line.close();
                pending().await
            }
            (_, false) => Response::from_parts(head, Body::new(Cut::close(body, Arc::clone(&self.line)))),
        }
    }

    /// Resets the connection, and everything on it, this future too.
    async fn gone(&self) -> Response {
        self.note(None);
        self.line.reset();
        pending().await
    }

    fn dealt(&self, fault: Fault) {
        self.all.shared.dealer.deal();
        self.all.log.note(self.number, |logged| logged.fault = Some(fault.kind()));
    }

    fn note(&self, status: Option<u16>) {
        let seen = self.watch.seen();
        self.all.log.note(self.number, |logged| (logged.body_bytes, logged.status) = (seen, status));
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        // However it ended, a reset within the body too.
        let seen = self.watch.seen();
        self.all.log.note(self.number, |logged| logged.body_bytes = seen);
    }
}

/// The path as the rows have it. A base URL may end in a slash or in `/api` (Crosspeer's does), and a careless client
/// joins it so that a slash is doubled or left at the end.
fn plain(uri: &Uri) -> Uri {
    let mut words: Vec<&str> = uri.path().split('/').filter(|word| !word.is_empty()).collect();
    while words.first() == Some(&"api") {
        words.remove(0);
    }
    let path = format!("/{}", words.join("/"));
    path.parse().unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_under_any_stem() {
        for path in ["/drives/list", "/api/drives/list", "//drives/list/", "/api//api/drives/list?x=1"] {
            assert_eq!(plain(&path.parse().unwrap()).path(), "/drives/list", "{path}");
        }
        assert_eq!(plain(&"/".parse().unwrap()).path(), "/");
    }
}
