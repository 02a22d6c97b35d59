//! The calls of the control address.

use super::Steered;
use crate::emulator::duration::parse_duration;
use crate::emulator::{Dialect, FASTEST, Faults, Fleet, RuleInfo, RuleLimits};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;
use url::form_urlencoded;

/// The body of an answer.
pub(super) enum Reply {
    Json(Value),
    /// Text with one object a line.
    Lines(String),
}

/// Why a request is refused.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) error: String,
    pub(super) hint: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal { status, error: error.into(), hint: hint.into() }
    }

    fn bad(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, hint)
    }
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

/// Carries out a request.
pub(super) fn carry_out(steered: &Steered, head: &Parts, body: &[u8]) -> Result<Reply, Refusal> {
    let fleet = &*steered.fleet;
    let words: Vec<&str> = head.uri.path().split('/').filter(|word| !word.is_empty()).collect();
    let value = match (&head.method, &*words) {
        (&Method::GET, []) => state(fleet),
        (&Method::GET, ["faults"]) => rules(fleet),
        (&Method::POST, ["faults"]) => add_rule(fleet, read(body, RULE)?)?,
        (&Method::PUT, ["faults"]) => {
            // Parse first: an invalid rule must leave the existing ones in place.
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

/// The hint for a request that does not exist.
const CALLS: &str = "expected GET /, GET|POST|PUT|DELETE /faults, DELETE /faults/PROVIDER/ID, GET|POST /clock, PUT /seed, \
                     GET|DELETE /log, GET /undocumented or POST /reset";

// Valid bodies, as hints for an invalid one.
const RULE: &str = r#"{"faults":"busy=0.1","provider":"openhosting","path":"/drives/*/write/**","times":3}"#;
const CLOCK: &str = r#"{"advance":"2h"} or {"scale":60}"#;
const SEED: &str = r#"{"seed":7}"#;
const RESET: &str = r#"{"data":true}"#;

/// Parses a body. `example` is a valid one, for the error.
fn read<T: for<'a> Deserialize<'a>>(body: &[u8], example: &str) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::bad(format!("cannot read the body: {error}"), format!("expected {example}"))
    })
}

/// Returns an emulated provider by its name.
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
    let rule = |(provider, rule): (Dialect, RuleInfo)| {
        let mut object = json!({ "provider": provider.name() });
        if let (Some(object), Ok(Value::Object(rule))) = (object.as_object_mut(), serde_json::to_value(rule))
        {
            object.extend(rule);
        }
        object
    };
    fleet.rules().into_iter().map(rule).collect()
}

/// Validates a rule, and returns it with its provider.
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

/// Replaces the rules of the rule's provider, or all rules if it has none.
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

/// The most that the clock can be advanced at a time: ten years.
const FARTHEST: Duration = Duration::from_hours(10 * 8766);

fn set_clock(fleet: &Fleet, change: &ClockChange) -> Result<Value, Refusal> {
    let wrong = |error: String| Refusal::bad(error, format!("expected {CLOCK}"));
    let advance = |text: &str| match parse_duration(text) {
        Ok(by) if by > FARTHEST => Err(wrong(format!("advance {text:?}: expected at most ten years"))),
        Ok(by) => Ok(by),
        Err(error) => Err(wrong(format!("advance {text:?}: {error}"))),
    };
    let by = change.advance.as_deref().map(advance).transpose()?;
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

/// Returns the request log, one object a line.
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
    let mut lines = String::new();
    for (provider, logged) in fleet.log(provider) {
        if logged.number > since {
            lines += &logged.line(provider.name());
        }
    }
    Ok(lines)
}
