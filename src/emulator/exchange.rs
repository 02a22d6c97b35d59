//! One request's way through the emulator: log, latency, authentication, fault, call.
//!
//! The order is the rule. A request without credentials is answered 401 before any fault is drawn; a fault is drawn
//! before the call, which tells whether the call is carried out. Where a fault spares the connection the request's
//! body is read to its end first, so that the client sees the reply and may use the connection again; where it does
//! not, the connection goes down together with this exchange and no later request can meet it.

use super::answer::Refused;
use super::body::{Announced, Cut, Watch, Watched};
use super::faults::{CreateFault, Dealer, Fault, FaultKind, GotWrong, OddReply, When, WrongBytes};
use super::front::Front;
use super::hook::{Activity, Hooks, Operation, Stage, Subject};
use super::line::{Endless, Line};
use super::log::Log;
use super::spoiled;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use http_body::Body as _;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

/// The longest body that takes part in a signature: a form of a few fields.
const LONGEST_SIGNED: usize = 1 << 20;

/// The longest request that a hook is told of: a chunk of the largest size, with room to spare.
const LONGEST_HOOKED: usize = 96 << 20;

/// Everything that an exchange needs, the same for all connections.
pub(super) struct Exchanges {
    /// What the provider does its own way.
    pub(super) front: Box<dyn Front>,
    pub(super) router: Router,
    pub(super) dealer: Arc<Dealer>,
    pub(super) latency: Duration,
    pub(super) log: Arc<Log>,
    pub(super) hooks: Arc<Hooks>,
    pub(super) activity: Arc<Activity>,
    pub(super) scheme: &'static str,
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
        let subject = Subject::of(&head, self.front.route(&head.uri).path());
        let exchange = Exchange { all: self, line, watch, number, subject };
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        let response = exchange.admitted(head, body).await;
        exchange.watch.drain().await;
        exchange.note(Some(response.status().as_u16()));
        Ok(exchange.announced(response))
    }
}

struct Exchange<'a> {
    all: &'a Exchanges,
    line: Arc<Line>,
    watch: Arc<Watch>,
    number: usize,
    subject: Subject,
}

/// Marks the response to a request that was carried out, with its fault, for [`Stage::Answered`].
#[derive(Clone, Copy)]
struct Applied(Option<FaultKind>);

impl Exchange<'_> {
    /// Goes through with the request if whoever makes it may.
    async fn admitted(&self, head: Parts, body: Watched) -> Response {
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
    async fn deal(&self, head: Parts, mut body: Watched) -> Response {
        let (dealer, hooks) = (&self.all.dealer, &self.all.hooks);
        if hooks.is_set() {
            // The hook is told of whole requests.
            let Ok(whole) = to_bytes(Body::new(body), LONGEST_HOOKED).await else {
                return self.gone().await;
            };
            body = Watched::new(Body::from(whole), Arc::default());
            if !hooks.passes(Stage::Received, &self.subject, None, None).await {
                return self.gone().await;
            }
        }
        let operation = self.subject.operation;
        let create = if operation == Operation::Create { dealer.create() } else { None };
        if let Some(create) = create {
            return self.odd_create(create, head, body).await;
        }
        let Some(fault) = dealer.draw(operation) else { return self.carry_out(head, body, None).await };
        let kind = fault.kind();
        match fault {
            Fault::Busy | Fault::Unavailable => {
                self.dealt(kind);
                if fault == Fault::Busy { self.all.front.busy() } else { self.all.front.unavailable() }
            }
            Fault::Reset(When::BeforeBody) => {
                self.dealt(kind);
                self.gone().await
            }
            Fault::Reset(When::WithinBody) => {
                self.dealt(kind);
                // Without a body there is nothing to be within.
                if body.size_hint().exact() != Some(0) {
                    let body = body.reset_half_way(Arc::clone(&self.line));
                    self.carry_out(head, body, Some(kind)).await;
                }
                self.gone().await // The call did not want the body.
            }
            Fault::Reset(When::AfterApplied) | Fault::Short | Fault::Stall => {
                let response = self.carry_out(head, body, Some(kind)).await;
                // A refused offset fails by itself: one failure must not be counted as two.
                if response.extensions().get::<Refused>().is_some() {
                    return response;
                }
                self.dealt(kind);
                self.spoil(fault, response).await
            }
            Fault::Wrong(kind, random) => self.answer_wrongly(fault, kind, random, head, body).await,
        }
    }

    /// Gives one of the wrong answers.
    async fn answer_wrongly(
        &self,
        fault: Fault,
        kind: FaultKind,
        random: u64,
        mut head: Parts,
        body: Watched,
    ) -> Response {
        // These do not get as far as the call.
        let instead = match kind {
            FaultKind::Page => Some(spoiled::page(random)),
            FaultKind::RedirectWrite => Some(spoiled::redirect(&head, self.all.scheme)),
            FaultKind::Bomb => Some(spoiled::bomb()),
            _ => None,
        };
        if let Some(response) = instead {
            self.dealt(kind);
            return response;
        }
        if let Some(wrong) = fault.wrong_bytes(self.subject.operation) {
            head.extensions.insert(wrong);
        }
        let response = self.carry_out(head, body, Some(kind)).await;
        if !response.status().is_success() {
            return response; // It failed by itself.
        }
        match kind {
            FaultKind::Bend if self.subject.operation != Operation::Write => {
                let (response, bent) = spoiled::bent(response, &WrongBytes { kind, random });
                if bent {
                    self.dealt(kind);
                }
                response
            }
            FaultKind::Long => {
                self.dealt(kind);
                spoiled::lengthened(response, random)
            }
            FaultKind::Late => {
                self.dealt(kind);
                tokio::time::sleep(self.all.dealer.late_for()).await;
                response
            }
            FaultKind::Drip => {
                self.dealt(kind);
                spoiled::dripping(response, self.all.dealer.drip_every())
            }
            FaultKind::Headers | FaultKind::Interim => {
                self.dealt(kind);
                self.note(None);
                let headers = kind == FaultKind::Headers;
                self.line.fill(if headers { Endless::Headers } else { Endless::Interim });
                pending().await
            }
            _ => {
                // The call itself got it wrong, if there was a way to.
                if response.extensions().get::<GotWrong>().is_some() {
                    self.dealt(kind);
                }
                response
            }
        }
    }

    /// Carries a create out and does not answer as documented, or refuses it.
    async fn odd_create(&self, create: CreateFault, head: Parts, body: Watched) -> Response {
        let reply = match create {
            CreateFault::Refused => {
                self.dealt(FaultKind::Create);
                let text = "A drive cannot be made now; this is a fault made on purpose\n";
                return spoiled::reply(StatusCode::BAD_REQUEST, "text/plain", text);
            }
            CreateFault::Odd(reply) => reply,
        };
        let response = self.carry_out(head, body, Some(FaultKind::Create)).await;
        if !response.status().is_success() {
            return response;
        }
        self.dealt(FaultKind::Create);
        match reply {
            OddReply::Page => spoiled::page(0),
            OddReply::Nameless => spoiled::nameless(),
            OddReply::Failed => {
                spoiled::reply(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "Internal error\n")
            }
            OddReply::Lost => {
                self.watch.drain().await;
                self.gone().await
            }
        }
    }

    /// Lets the call happen.
    async fn carry_out(&self, mut head: Parts, body: Watched, fault: Option<FaultKind>) -> Response {
        head.uri = self.all.front.route(&head.uri);
        let request = Request::from_parts(head, Body::new(body));
        let mut response =
            self.all.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        if response.extensions().get::<Refused>().is_some() {
            self.all.dealer.refuse();
            self.all.log.note(self.number, |logged| logged.fault = Some(FaultKind::Refuse));
        }
        if self.all.hooks.is_set() && response.status().is_success() {
            let status = Some(response.status().as_u16());
            if !self.all.hooks.passes(Stage::Applied, &self.subject, status, fault).await {
                return self.gone().await;
            }
            response.extensions_mut().insert(Applied(fault));
        }
        response
    }

    /// Has the hook told when the reply has gone out.
    fn announced(self, response: Response) -> Response {
        let Some(&Applied(fault)) = response.extensions().get::<Applied>() else { return response };
        let (hooks, line, subject) =
            (Arc::clone(&self.all.hooks), Arc::clone(&self.line), self.subject.clone());
        let status = Some(response.status().as_u16());
        let tell = Box::new(move || {
            hooks.call(Stage::Answered, &subject, status, fault);
        });
        if response.body().is_end_stream() {
            line.after_flush(tell);
            return response;
        }
        let (head, body) = response.into_parts();
        Response::from_parts(head, Body::new(Announced::new(body, line, tell)))
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

    fn dealt(&self, kind: FaultKind) {
        self.all.dealer.deal(kind);
        self.all.log.note(self.number, |logged| logged.fault = Some(kind));
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
