//! The path of one request through the emulator: log, latency, authentication, fault, call.
//!
//! The order matters. A request without credentials is answered with 401 before any fault is drawn. A fault
//! is drawn before the call and decides whether the call is carried out. If the fault spares the connection,
//! the request's body is read to its end first, so that the client sees the reply and may reuse the
//! connection. If it does not, the connection ends together with this exchange, and no later request can run
//! into it.

use super::answer::Refused;
use super::body::{Announced, Cut, Watch, Watched};
use super::faults::{
    CreateFault, Dealer, Drawing, Fault, FaultKind, GotWrong, OddReply, Prefix, When, WrongAnswer,
    WrongBytes, fingerprint,
};
use super::hook::{Activity, Hooks, Operation, Stage, Subject};
use super::line::{Endless, Line, Pace};
use super::log::Log;
use super::tenant::{Tenant, Tenants};
use super::{Dialect, spoiled, strict};
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{EXPECT, RETRY_AFTER};
use axum::http::request::Parts;
use axum::response::Response;
use http_body::Body as _;
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tower::ServiceExt;

/// The longest body that can be part of a signature, in bytes: a form of a few fields.
const LONGEST_SIGNED: usize = 1 << 20;

/// The longest request that a hook sees, in bytes: a chunk of the largest size, with room to spare.
const LONGEST_HOOKED: usize = 96 << 20;

/// What every exchange needs, shared by all connections.
pub(super) struct Exchanges {
    pub(super) provider: Dialect,
    /// The accounts that requests may be for.
    pub(super) tenants: Tenants,
    pub(super) dealer: Arc<Dealer>,
    /// Whether the log names undocumented forms.
    pub(super) strict: bool,
    /// The rate that new connections share, if there is one.
    pub(super) pace: Mutex<Option<Arc<Pace>>>,
    pub(super) log: Arc<Log>,
    pub(super) hooks: Arc<Hooks>,
    pub(super) activity: Arc<Activity>,
    pub(super) scheme: &'static str,
}

impl Exchanges {
    /// Returns the rate of a new connection, if there is one.
    pub(super) fn pace(&self) -> Option<Arc<Pace>> {
        let rate = self.dealer.rate();
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if pace.as_ref().map(|pace| pace.rate()) != rate {
            *pace = rate.map(|rate| Arc::new(Pace::new(rate)));
        }
        pace.clone()
    }

    /// Answers a request, or ends its connection, in which case this never returns.
    pub(super) async fn answer<B>(&self, line: Arc<Line>, request: Request<B>) -> Result<Response, Infallible>
    where
        B: http_body::Body<Data = axum::body::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let undocumented = if self.strict { strict::undocumented(self.provider, &head) } else { Vec::new() };
        let number = self.log.begin(head.method.as_str(), head.uri.path(), undocumented);
        let watch = Arc::new(Watch::default());
        let body = Watched::new(Body::new(body), Arc::clone(&watch));
        let route = self.tenants.route(&head.uri);
        let subject = Subject::of(&head, route.path());
        let latency = self.dealer.latency(head.method.as_str(), route.path());
        let exchange = Exchange { all: self, line, watch, number, subject, started };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
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
    number: u64,
    subject: Subject,
    started: Instant,
}

/// Marks the response to a request that was carried out, with its fault, for [`Stage::Answered`].
#[derive(Clone, Copy)]
struct Applied(Option<FaultKind>);

impl Exchange<'_> {
    /// Handles the request if an account admits it, or refuses it.
    async fn admitted(&self, head: Parts, mut body: Watched) -> Response {
        let tenants = &self.all.tenants;
        let mut signed = axum::body::Bytes::new();
        if tenants.sign_body(&head) {
            let Ok(whole) = to_bytes(Body::new(body), LONGEST_SIGNED).await else {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
                return response;
            };
            signed = whole;
            body = Watched::new(Body::from(signed.clone()), Arc::default());
        }
        match tenants.admit(&head, &signed) {
            Ok(tenant) => {
                self.all.log.note(self.number, |logged| logged.account = Some(tenant.user.clone()));
                self.deal(tenant, head, body).await
            }
            Err(refusal) => refusal,
        }
    }

    /// Draws a fault and handles the request accordingly.
    async fn deal(&self, tenant: &Tenant, head: Parts, mut body: Watched) -> Response {
        let (dealer, hooks) = (&self.all.dealer, &self.all.hooks);
        if hooks.is_set() {
            // Hooks see whole requests.
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
            return self.odd_create(create, tenant, head, body).await;
        }
        let Some(fault) = self.draw(&head, &mut body).await else {
            return self.carry_out(tenant, head, body, None).await;
        };
        let kind = fault.kind();
        match fault {
            Fault::Busy | Fault::Unavailable => {
                self.dealt(kind);
                if fault == Fault::Busy {
                    return tenant.front.busy();
                }
                let mut response = tenant.front.unavailable();
                if let Some(seconds) = dealer.retry_after() {
                    response.headers_mut().insert(RETRY_AFTER, seconds.into());
                }
                response
            }
            Fault::Reset(When::BeforeBody) => {
                self.dealt(kind);
                self.gone().await
            }
            Fault::Reset(When::WithinBody) => {
                self.dealt(kind);
                // A request without a body cannot be reset within it.
                if body.size_hint().exact() != Some(0) {
                    let body = body.reset_half_way(Arc::clone(&self.line));
                    self.carry_out(tenant, head, body, Some(kind)).await;
                }
                self.gone().await // The call did not read the body.
            }
            Fault::Reset(When::AfterApplied) | Fault::Short | Fault::Stall => {
                let response = self.carry_out(tenant, head, body, Some(kind)).await;
                // A refused offset is a failure already: one failure must not be counted as two.
                if response.extensions().get::<Refused>().is_some() {
                    return response;
                }
                self.dealt(kind);
                self.spoil(fault, response).await
            }
            Fault::Wrong(wrong) => self.answer_wrongly(wrong, tenant, head, body).await,
        }
    }

    /// Draws the fault that the request meets, if any. Reads ahead in the body as far as the draw needs.
    async fn draw(&self, head: &Parts, body: &mut Watched) -> Option<Fault> {
        let dealer = &self.all.dealer;
        if !dealer.draws() {
            return None;
        }
        let mut prefix = Prefix::of(&head.headers);
        // A client that waits for `100 Continue` must not get it before a fault can answer otherwise.
        if !head.headers.contains_key(EXPECT) {
            body.read_ahead(|bytes| prefix.take(bytes)).await;
        }
        let path = self.all.tenants.route(&head.uri);
        dealer.draw(Drawing {
            method: head.method.as_str(),
            path: path.path(),
            operation: self.subject.operation,
            fingerprint: fingerprint(head, &prefix.into_bytes()),
        })
    }

    /// Gives a wrong answer.
    async fn answer_wrongly(
        &self,
        wrong: WrongAnswer,
        tenant: &Tenant,
        mut head: Parts,
        body: Watched,
    ) -> Response {
        let WrongAnswer { kind, random, takes } = wrong;
        // These faults do not reach the call.
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
        if let Some(bytes) = wrong.bytes(self.subject.operation) {
            head.extensions.insert(bytes);
        }
        let response = self.carry_out(tenant, head, body, Some(kind)).await;
        if !response.status().is_success() {
            return response; // The call failed by itself.
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
                tokio::time::sleep(takes).await;
                response
            }
            FaultKind::Drip => {
                self.dealt(kind);
                spoiled::dripping(response, takes)
            }
            FaultKind::Headers | FaultKind::Interim => {
                self.dealt(kind);
                self.note(None);
                let headers = kind == FaultKind::Headers;
                self.line.fill(if headers { Endless::Headers } else { Endless::Interim });
                pending().await
            }
            _ => {
                // The call itself made the bytes wrong, if it could.
                if response.extensions().get::<GotWrong>().is_some() {
                    self.dealt(kind);
                }
                response
            }
        }
    }

    /// Carries out a create without answering as documented, or refuses it.
    async fn odd_create(&self, create: CreateFault, tenant: &Tenant, head: Parts, body: Watched) -> Response {
        let reply = match create {
            CreateFault::Refused => {
                self.dealt(FaultKind::Create);
                let text = "A drive cannot be made now; this is a fault made on purpose\n";
                return spoiled::reply(StatusCode::BAD_REQUEST, "text/plain", text);
            }
            CreateFault::Odd(reply) => reply,
        };
        let response = self.carry_out(tenant, head, body, Some(FaultKind::Create)).await;
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

    /// Carries out the call.
    async fn carry_out(
        &self,
        tenant: &Tenant,
        mut head: Parts,
        body: Watched,
        fault: Option<FaultKind>,
    ) -> Response {
        head.uri = tenant.front.route(&head.uri);
        let request = Request::from_parts(head, Body::new(body));
        let mut response =
            tenant.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
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

    /// Makes the hook run once the reply has been sent.
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

    /// Damages the reply to a call that was carried out.
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

    /// Resets the connection, which drops everything on it, including this future.
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
        // Runs however the exchange ended, including a reset within the body.
        let (seen, took) = (self.watch.seen(), self.started.elapsed());
        self.all.log.end(self.number, |logged| (logged.body_bytes, logged.took) = (seen, took));
    }
}
