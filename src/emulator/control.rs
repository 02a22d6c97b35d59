//! Steering a [`Fleet`] over HTTP, with small JSON, on an address of its own.
//!
//! The address is loopback, and a request that a web page makes is refused: whoever reaches this can delete what the
//! emulators keep.

use super::fleet::Fleet;
use super::{FASTEST, Faults, RuleLimits};
use crate::config::value::parse_duration;
use crate::emulator::Dialect;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue, ORIGIN};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use url::form_urlencoded;

/// The longest body: a rule of a few fields.
const LONGEST: usize = 64 << 10;

/// How long to wait after a connection could not be accepted, as when the process is out of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// The listener. It stops when dropped.
#[derive(Debug)]
pub struct Control {
    address: SocketAddr,
    /// Dropped to stop; the thread is then joined.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the listener steers.
struct Steered {
    fleet: Arc<Fleet>,
    /// Whether the data outlives the process, and is removed only if that is said.
    keeps: bool,
}

impl Control {
    /// Listens on a thread of its own. `keeps` says that the data of the emulators outlives the process: then a reset
    /// has to say that it may be removed.
    ///
    /// # Errors
    /// The address is not loopback, or cannot be listened on.
    pub fn start(address: SocketAddr, fleet: Arc<Fleet>, keeps: bool) -> io::Result<Control> {
        if !address.ip().is_loopback() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{address} can be reached by other machines; expected a loopback address"),
            ));
        }
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _context = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let steered = Arc::new(Steered { fleet, keeps });
        let (stop, mut stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("control".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = &mut stopped => {}
                    () = accept(listener, steered) => {}
                }
            });
        })?;
        Ok(Control { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Its URL, with a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread of the control address panicked");
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, steered: Arc<Steered>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let steered = Arc::clone(&steered);
        tokio::spawn(async move {
            let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
                let steered = Arc::clone(&steered);
                async move { Ok::<_, Infallible>(answer(steered, request.map(Body::new)).await) }
            });
            // An error here is the client's going away or not speaking HTTP.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// What an answer holds.
enum Reply {
    Json(Value),
    /// One object a line.
    Lines(String),
}

/// Why a request is not carried out.
struct Refusal {
    status: StatusCode,
    error: String,
    hint: String,
}

impl Refusal {
    fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal { status, error: error.into(), hint: hint.into() }
    }

    fn bad(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, hint)
    }
}

async fn answer(steered: Arc<Steered>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let outcome = match (from_a_page(&head), to_bytes(body, LONGEST).await) {
        (true, _) => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "a web page may not steer the emulator",
            "use a client that sends no Origin, and the address as it was printed",
        )),
        (false, Err(_)) => Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is larger than the 64 KiB limit",
            "send one JSON object",
        )),
        (false, Ok(body)) => {
            // A reset waits for emulators to stop.
            let done = tokio::task::spawn_blocking(move || carry_out(&steered, &head, &body)).await;
            done.unwrap_or_else(|error| {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Err(Refusal::new(status, format!("the request broke off: {error}"), "start `serve` again"))
            })
        }
    };
    let (status, kind, body) = match outcome {
        Ok(Reply::Json(value)) => (StatusCode::OK, "application/json", format!("{value}\n")),
        Ok(Reply::Lines(lines)) => (StatusCode::OK, "application/x-ndjson", lines),
        Err(Refusal { status, error, hint }) => {
            (status, "application/json", format!("{}\n", json!({ "error": error, "hint": hint })))
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST, PUT, DELETE"));
    }
    response
}

/// Whether a browser sends this for a page: then it says from where, or names the page's host, which leads here by DNS.
fn from_a_page(head: &Parts) -> bool {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']);
    let own = name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    head.headers.contains_key(ORIGIN) || !own
}

/// A rule of faults.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRule {
    faults: String,
    provider: Option<String>,
    method: Option<String>,
    path: Option<String>,
    times: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ClockChange {
    advance: Option<String>,
    scale: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed {
    seed: u64,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Reset {
    data: bool,
}

fn carry_out(steered: &Steered, head: &Parts, body: &[u8]) -> Result<Reply, Refusal> {
    let fleet = &*steered.fleet;
    let words: Vec<&str> = head.uri.path().split('/').filter(|word| !word.is_empty()).collect();
    let value = match (&head.method, &*words) {
        (&Method::GET, []) => state(fleet),
        (&Method::GET, ["faults"]) => rules(fleet),
        (&Method::POST, ["faults"]) => add_rule(fleet, read(body, RULE)?)?,
        (&Method::PUT, ["faults"]) => {
            // Read first: a rule that cannot be leaves those that are.
            let rule = read(body, RULE)?;
            replace_rules(fleet, rule)?
        }
        (&Method::DELETE, ["faults"]) => {
            fleet.clear_rules(None);
            rules(fleet)
        }
        (&Method::DELETE, ["faults", provider, id]) => {
            let provider = known(fleet, provider)?;
            if !id.parse().is_ok_and(|id| fleet.remove_rule(provider, id)) {
                return Err(Refusal::new(
                    StatusCode::NOT_FOUND,
                    format!("{provider} has no rule {id}"),
                    "`GET /faults` lists the rules",
                ));
            }
            rules(fleet)
        }
        (&Method::GET, ["clock"]) => clock(fleet),
        (&Method::POST, ["clock"]) => set_clock(fleet, &read(body, CLOCK)?)?,
        (&Method::PUT, ["seed"]) => {
            let Seed { seed } = read(body, SEED)?;
            fleet.set_seed(seed);
            json!({ "seed": seed })
        }
        (&Method::GET, ["log"]) => return log(fleet, head.uri.query().unwrap_or_default()).map(Reply::Lines),
        (&Method::DELETE, ["log"]) => {
            fleet.clear_log();
            json!({})
        }
        (&Method::GET, ["undocumented"]) => {
            let form =
                |(provider, form, count)| json!({ "provider": provider, "form": form, "count": count });
            fleet.undocumented().into_iter().map(form).collect()
        }
        (&Method::POST, ["reset"]) => {
            let Reset { data } = if body.is_empty() { Reset::default() } else { read(body, RESET)? };
            if steered.keeps && !data {
                return Err(Refusal::new(
                    StatusCode::CONFLICT,
                    "a reset removes every drive and server under --data",
                    format!("send {RESET} to remove them"),
                ));
            }
            fleet.reset().map_err(|error| {
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Refusal::new(status, format!("cannot reset: {error}"), "start `serve` again")
            })?;
            state(fleet)
        }
        (_, [] | ["faults" | "clock" | "seed" | "log" | "undocumented" | "reset"] | ["faults", _, _]) => {
            return Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{} is not for {}", head.method, head.uri.path()),
                CALLS,
            ));
        }
        _ => {
            let error = format!("there is nothing at {}", head.uri.path());
            return Err(Refusal::new(StatusCode::NOT_FOUND, error, CALLS));
        }
    };
    Ok(Reply::Json(value))
}

/// What can be asked, for who asked for something else.
const CALLS: &str = "expected GET /, GET|POST|PUT|DELETE /faults, DELETE /faults/PROVIDER/ID, GET|POST /clock, PUT /seed, \
                     GET|DELETE /log, GET /undocumented or POST /reset";

// Bodies that are right, for who sent another.
const RULE: &str = r#"{"faults":"busy=0.1","provider":"openhosting","path":"/drives/*/write/**","times":3}"#;
const CLOCK: &str = r#"{"advance":"2h"} or {"scale":60}"#;
const SEED: &str = r#"{"seed":7}"#;
const RESET: &str = r#"{"data":true}"#;

/// Reads a body. `example` is one that would be right.
fn read<T: for<'a> Deserialize<'a>>(body: &[u8], example: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::bad(format!("cannot read the body: {error}"), format!("expected {example}"))
    })
}

/// A provider that is emulated.
fn known(fleet: &Fleet, name: &str) -> Result<Dialect, Refusal> {
    let provider = Dialect::named(name).filter(|provider| fleet.has(*provider));
    provider.ok_or_else(|| {
        let names: Vec<&str> = fleet.members().iter().map(|member| member.provider().name()).collect();
        Refusal::bad(format!("{name:?} is not emulated here"), format!("expected {}", names.join(", ")))
    })
}

fn state(fleet: &Fleet) -> Value {
    let (time, scale) = fleet.time();
    let providers: Vec<Value> = fleet
        .members()
        .iter()
        .map(|member| {
            let (dealt, refused, silent) = member.counts();
            json!({
                "provider": member.provider().name(),
                "url": member.url(),
                "faults_dealt": dealt,
                "refused": refused,
                "silent": silent,
            })
        })
        .collect();
    json!({ "providers": providers, "time": time, "time_scale": scale, "undocumented": fleet.undocumented().len() })
}

fn rules(fleet: &Fleet) -> Value {
    let rule = |(provider, rule): (Dialect, super::RuleInfo)| {
        let mut object = json!({ "provider": provider.name() });
        if let (Some(object), Ok(Value::Object(rule))) = (object.as_object_mut(), serde_json::to_value(rule))
        {
            object.extend(rule);
        }
        object
    };
    fleet.rules().into_iter().map(rule).collect()
}

/// A rule that can be, with the provider that it is for.
fn checked(fleet: &Fleet, rule: NewRule) -> Result<(Option<Dialect>, Faults, RuleLimits), Refusal> {
    let NewRule { faults, provider, method, path, times } = rule;
    let provider = provider.map(|name| known(fleet, &name)).transpose()?;
    let faults = Faults::parse(&faults)
        .map_err(|error| Refusal::bad(error, "`diskferry serve --help` lists the faults"))?;
    Ok((provider, faults, RuleLimits { method, path, times }))
}

fn add_rule(fleet: &Fleet, rule: NewRule) -> Result<Value, Refusal> {
    let (provider, faults, limits) = checked(fleet, rule)?;
    let added = fleet.add_rule(provider, &faults, &limits);
    let added = added.map_err(|error| Refusal::bad(error, format!("expected {RULE}")))?;
    Ok(added.into_iter().map(|(provider, id)| json!({ "provider": provider.name(), "id": id })).collect())
}

/// The rule takes the place of those of its provider.
fn replace_rules(fleet: &Fleet, rule: NewRule) -> Result<Value, Refusal> {
    let provider = rule.provider.as_deref().map(|name| known(fleet, name)).transpose()?;
    let before = fleet.rules();
    let added = add_rule(fleet, rule)?;
    for (owner, rule) in before {
        if provider.is_none_or(|provider| provider == owner) {
            fleet.remove_rule(owner, rule.id);
        }
    }
    Ok(added)
}

fn clock(fleet: &Fleet) -> Value {
    let (time, scale) = fleet.time();
    json!({ "time": time, "scale": scale })
}

fn set_clock(fleet: &Fleet, change: &ClockChange) -> Result<Value, Refusal> {
    let wrong = |error: String| Refusal::bad(error, format!("expected {CLOCK}"));
    let by = change.advance.as_deref().map(parse_duration).transpose();
    let by = by.map_err(|error| wrong(error.to_string()))?;
    if by.is_none() && change.scale.is_none() {
        return Err(wrong("the body says neither `advance` nor `scale`".to_owned()));
    }
    if let Some(scale) = change.scale {
        if !(0.0..=FASTEST).contains(&scale) {
            return Err(wrong(format!("scale {scale}: expected a number from 0 to {FASTEST}")));
        }
        fleet.set_time_scale(scale);
    }
    if let Some(by) = by {
        fleet.advance(by);
    }
    Ok(clock(fleet))
}

/// The request log, one object a line.
fn log(fleet: &Fleet, query: &str) -> Result<String, Refusal> {
    let (mut provider, mut since) = (None, 0);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "provider" => provider = Some(known(fleet, &value)?),
            "since" => {
                since = value.parse().map_err(|_| {
                    Refusal::bad(
                        format!("since {value:?}: expected a number"),
                        "send the last `number` you have",
                    )
                })?;
            }
            _ => return Err(Refusal::bad(format!("no parameter {name:?}"), "expected provider or since")),
        }
    }
    if since > 0 && provider.is_none() {
        return Err(Refusal::bad(
            "requests are numbered by provider, and `since` needs one",
            "send `/log?provider=openhosting&since=10`",
        ));
    }
    let lines = fleet.log(provider).into_iter().filter(|(_, logged)| logged.number > since);
    Ok(lines.map(|(provider, logged)| logged.json(provider.name()).to_string() + "\n").collect())
}
