//! Cloud Analytics: what can be measured, instrumentations, their values and heatmaps (Joyent CloudAPI 6.5, "Analytics"
//! and "Cloud Analytics").

mod heatmap;
mod predicate;
mod samples;
mod schema;

pub(super) use heatmap::{details, image};

use super::Site;
use super::call::Call;
use super::failure::Failure;
use super::input::Input;
use super::reply::{Answer, Reply};
use crate::emulator::clock::{SECOND, now};
use samples::{Tally, by, decomposed, points};
use schema::{Arity, Field, Metric};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The longest stretch of time that one value is asked for, in seconds.
const LONGEST: u64 = 3600;

/// A metric that is being collected, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Instrumentation {
    /// A number.
    pub(super) id: String,
    module: String,
    stat: String,
    predicate: Value,
    /// Names of fields: at most one discrete and one numeric.
    decomposition: Vec<String>,
    /// Seconds.
    granularity: u64,
    /// Seconds.
    retention_time: u64,
    /// Seconds.
    idle_max: u64,
    persist_data: bool,
    /// Microseconds since the epoch.
    created: u64,
}

impl Instrumentation {
    /// What a call asks for.
    fn read(input: &Input) -> Result<Self, Failure> {
        let (module, stat) = (input.required("module")?, input.required("stat")?);
        let metric = Metric::find(&module, &stat)
            .ok_or_else(|| Failure::argument(format!("there is no metric {module} {stat}")))?;
        let seconds = |name: &str, default| match input.number(name)? {
            Some(0) => Err(Failure::argument(format!("{name} cannot be 0"))),
            number => Ok(number.unwrap_or(default)),
        };
        Ok(Instrumentation {
            id: String::new(),
            predicate: predicate(input.value("predicate"), metric)?,
            decomposition: decomposition(input.value("decomposition"), metric)?,
            granularity: seconds("granularity", 1)?,
            retention_time: seconds("retention-time", 600)?,
            idle_max: seconds("idle-max", 3600)?,
            persist_data: input.flag("persist-data")?,
            created: 0,
            module,
            stat,
        })
    }

    fn metric(&self) -> Result<&'static Metric, Failure> {
        Metric::find(&self.module, &self.stat)
            .ok_or_else(|| Failure::missing("The metric", &format!("{} {}", self.module, self.stat)))
    }

    /// The discrete and the numeric field that it is decomposed by.
    fn fields(&self) -> Result<(Option<&'static Field>, Option<&'static Field>), Failure> {
        let metric = self.metric()?;
        let by = |arity| by(metric, &self.decomposition, arity);
        Ok((by(Arity::Discrete), by(Arity::Numeric)))
    }

    /// As the API shows it.
    fn show(&self, login: &str) -> Result<Value, Failure> {
        let (discrete, numeric) = self.fields()?;
        let arity = match (discrete, numeric) {
            (_, Some(_)) => "numeric-decomposition",
            (Some(_), None) => "discrete-decomposition",
            (None, None) => "scalar",
        };
        let uri = |path: &str, name: &str| json!({"uri": format!("/{login}/analytics/instrumentations/{}/value/{path}", self.id), "name": name});
        let mut uris = vec![uri("raw", "value_raw")];
        if numeric.is_some() {
            uris.push(uri("heatmap/image", "value_heatmap_image"));
            uris.push(uri("heatmap/details", "value_heatmap_details"));
        }
        Ok(json!({
            "module": self.module,
            "stat": self.stat,
            "predicate": self.predicate,
            "decomposition": self.decomposition,
            "value-dimension": self.decomposition.len() + 1,
            "value-arity": arity,
            "enabled": true,
            "retention-time": self.retention_time,
            "idle-max": self.idle_max,
            "transformations": {},
            "nsources": 1,
            "granularity": self.granularity,
            "persist-data": self.persist_data,
            "crtime": self.created / 1000,
            "value-scope": self.metric()?.interval,
            "id": self.id,
            "uris": uris,
        }))
    }
}

/// A stretch of time that a value is asked for, in seconds.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u64,
    length: u64,
}

impl Span {
    /// What a call asks for; else the last so many seconds.
    fn read(input: &Input, length: u64) -> Result<Self, Failure> {
        let length = input.number("duration")?.unwrap_or(length);
        if !(1..=LONGEST).contains(&length) {
            return Err(Failure::argument(format!("duration is 1 to {LONGEST} seconds")));
        }
        let now = now() / SECOND;
        let start = input.number("start_time")?.unwrap_or(now.saturating_sub(length)).min(now);
        Ok(Span { start, length })
    }

    fn seconds(self) -> impl Iterator<Item = u64> {
        self.start..self.start + self.length
    }

    /// Adds to an answer what time it is of.
    fn describe(self, answer: &mut Value) {
        answer["start_time"] = json!(self.start);
        answer["duration"] = json!(self.length);
        answer["nsources"] = json!(1);
        answer["minreporting"] = json!(1);
        answer["requested_start_time"] = json!(self.start);
        answer["requested_duration"] = json!(self.length);
        answer["requested_end_time"] = json!(self.start + self.length);
    }
}

/// `GET analytics`
#[expect(clippy::unnecessary_wraps, reason = "it is a row's handler")]
pub(super) fn describe(_site: &Site, _call: &Call) -> Answer {
    Ok(Reply::json(&schema::describe()))
}

/// `GET analytics/instrumentations`
pub(super) fn list(site: &Site, _call: &Call) -> Answer {
    let account = site.accounts.read()?;
    let shown: Result<Value, Failure> =
        account.instrumentations.iter().map(|one| one.show(&site.login)).collect();
    Ok(Reply::json(&shown?))
}

/// `GET analytics/instrumentations/ID`
pub(super) fn get(site: &Site, call: &Call) -> Answer {
    Ok(Reply::json(&site.accounts.read()?.instrumentation(call.argument(0))?.show(&site.login)?))
}

/// `POST analytics/instrumentations`: a new one, or a copy of an old one.
pub(super) fn create(site: &Site, call: &Call) -> Answer {
    site.accounts.change(|account| {
        let mut new = match call.input.text("clone") {
            Some(id) => account.instrumentation(&id)?.clone(),
            None => Instrumentation::read(&call.input)?,
        };
        account.instrumented += 1;
        (new.id, new.created) = (account.instrumented.to_string(), now());
        let scheme = if site.secure { "https" } else { "http" };
        let location =
            format!("{scheme}://{}/{}/analytics/instrumentations/{}", call.host(), site.login, new.id);
        let reply = Reply::created(location, &new.show(&site.login)?);
        account.instrumentations.push(new);
        Ok(reply)
    })
}

/// `DELETE analytics/instrumentations/ID`
pub(super) fn delete(site: &Site, call: &Call) -> Answer {
    let id = call.argument(0);
    site.accounts.change(|account| {
        account.instrumentation(id)?;
        account.instrumentations.retain(|one| one.id != id);
        Ok(Reply::gone())
    })
}

/// `GET analytics/instrumentations/ID/value/raw`
pub(super) fn value(site: &Site, call: &Call) -> Answer {
    let account = site.accounts.read()?;
    let one = account.instrumentation(call.argument(0))?;
    let span = Span::read(&call.input, one.granularity.min(LONGEST))?;
    let (metric, (discrete, numeric)) = (one.metric()?, one.fields()?);
    let mut tally = Tally::default();
    for point in span.seconds().flat_map(|second| points(metric, &one.predicate, second)) {
        let (name, amount) = decomposed(point, discrete, numeric);
        tally.add(point, name, amount);
    }
    let value = tally.value(discrete.is_some(), numeric.is_some());
    let mut answer = json!({"value": value, "transformations": {}});
    span.describe(&mut answer);
    Ok(Reply::json(&answer))
}

/// A predicate, as JSON or as a string of JSON.
fn predicate(value: Option<&Value>, metric: &Metric) -> Result<Value, Failure> {
    let wrong = |error| Failure::argument(format!("the predicate is not JSON: {error}"));
    let predicate = match value {
        None | Some(Value::Null) => json!({}),
        Some(Value::String(text)) if text.trim().is_empty() => json!({}),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(wrong)?,
        Some(other) => other.clone(),
    };
    predicate::check(&predicate, metric).map_err(Failure::argument)?;
    Ok(predicate)
}

/// The names of fields: a list, a list of lists, either as a string of JSON, or names with commas between.
fn decomposition(value: Option<&Value>, metric: &Metric) -> Result<Vec<String>, Failure> {
    let names = names(value);
    let mut seen = Vec::new();
    for name in &names {
        let field = metric.field(name);
        let field = field.ok_or_else(|| Failure::argument(format!("the metric has no field {name}")))?;
        if seen.contains(&field.arity()) {
            return Err(Failure::argument("a decomposition has at most one discrete and one numeric field"));
        }
        seen.push(field.arity());
    }
    Ok(names)
}

/// A list of words, in whichever of those forms it came.
fn names(value: Option<&Value>) -> Vec<String> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(words)) => words.iter().flat_map(|word| names(Some(word))).collect(),
        Some(Value::String(text)) if text.trim_start().starts_with('[') => {
            serde_json::from_str(text).map_or_else(|_| vec![text.clone()], |list: Value| names(Some(&list)))
        }
        Some(Value::String(text)) => {
            text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        }
        Some(other) => vec![other.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::joyent::failure::Code;

    #[test]
    fn a_decomposition_comes_in_every_form() {
        let metric = Metric::find("fs", "logical_ops").unwrap();
        for value in [
            json!(["execname", "latency"]),
            json!([["execname"], ["latency"]]),
            json!("[\"execname\", \"latency\"]"),
            json!("execname,latency"),
        ] {
            assert_eq!(decomposition(Some(&value), metric).unwrap(), ["execname", "latency"], "{value}");
        }
        assert!(decomposition(None, metric).unwrap().is_empty());
        for value in ["raddr", "execname,optype", "[broken"] {
            let refused = decomposition(Some(&json!(value)), metric).unwrap_err();
            assert_eq!(refused.code, Code::InvalidArgument, "{value}");
        }
    }
}
