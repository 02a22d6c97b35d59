//! One request's way through the emulator: log, latency, authentication, fault, call.
//!
//! The order is the rule. A request without credentials is answered 401 before any fault is drawn; a fault is drawn
//! before the call, which tells whether the call is carried out. Where a fault spares the connection the request's
//! body is read to its end first, so that the client sees the reply and may use the connection again; where it does
//! not, the connection goes down together with this exchange and no later request can meet it.

use super::answer::Refused;
use super::body::{Cut, Watch, Watched};
use super::faults::{Dealer, Fault, FaultKind, When};
use super::front::Front;
use super::line::Line;
use super::log::Log;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use http_body::Body as _;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

/// The longest body that takes part in a signature: a form of a few fields.
const LONGEST_SIGNED: usize = 1 << 20;

/// Everything that an exchange needs, the same for all connections.
pub(super) struct Exchanges {
    /// What the provider does its own way.
    pub(super) front: Box<dyn Front>,
    pub(super) router: Router,
    pub(super) dealer: Arc<Dealer>,
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
        let response = exchange.admitted(head, body).await;
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
    /// Goes through with the request if whoever makes it may.
    async fn admitted(&self, head: axum::http::request::Parts, body: Watched) -> Response {
        let front = &self.all.front;
        if !front.signs_body(&head) {
            return match front.admit(&head, &[]) {
                Ok(()) => self.deal(head, body).await,
                Err(refusal) => refusal,
            };
        }
        let Ok(signed) = to_bytes(Body::new(body), LONGEST_SIGNED).await else {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            return response;
        };
        match front.admit(&head, &signed) {
            Ok(()) => self.deal(head, Watched::new(Body::from(signed), Arc::clone(&self.watch))).await,
            Err(refusal) => refusal,
        }
    }

    /// Draws a fault and goes through with the request as it says.
    async fn deal(&self, head: axum::http::request::Parts, body: Watched) -> Response {
        let dealer = &self.all.dealer;
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
        let response = match fault {
            Fault::Busy => self.all.front.busy(),
            Fault::Unavailable => self.all.front.unavailable(),
            // Without a body there is nothing to be within.
            Fault::Reset(When::WithinBody) if body.size_hint().exact() != Some(0) => {
                self.carry_out(head, body.reset_half_way(Arc::clone(&self.line))).await;
                return self.gone().await; // The call did not want the body.
            }
            _ => return self.gone().await,
        };
        drop(body);
        response
    }

    /// Lets the call happen.
    async fn carry_out(&self, mut head: axum::http::request::Parts, body: Watched) -> Response {
        head.uri = self.all.front.route(&head.uri);
        let request = Request::from_parts(head, Body::new(body));
        let response = self.all.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        if response.extensions().get::<Refused>().is_some() {
            self.all.dealer.refuse();
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
        self.all.dealer.deal();
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
