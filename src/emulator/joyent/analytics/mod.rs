//! Cloud Analytics: metrics, instrumentations, their values and heatmaps (Joyent CloudAPI 6.5, "Analytics"
//! and "Cloud Analytics").

mod heatmap;
mod metrics;
mod predicate;

pub(super) use heatmap::{details, image};

use super::Site;
use super::call::Call;
use super::failure::Failure;
use super::input::Input;
use super::reply::{Answer, Reply};
use crate::emulator::clock::{SECOND, now};
use crate::emulator::data;
use metrics::{Metric, Operation, SCHEMA, is_numeric};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The longest time span of one value, in seconds.
const LONGEST: u64 = 3600;

/// A metric that is being collected.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Instrumentation {
    /// Its number, as text.
    pub(super) id: String,
    module: String,
    stat: String,
    predicate: Value,
    /// The names of its fields: at most one discrete and one numeric.
    decomposition: Vec<String>,
    /// In seconds.
    granularity: u64,
    /// How long data is kept, in seconds.
    retention_time: u64,
    /// The longest time between two requests, in seconds.
    idle_max: u64,
    persist_data: bool,
    /// When it was created, in microseconds since the epoch.
    created: u64,
    /// The last time that it was requested, in microseconds since the epoch.
    accessed: u64,
    /// The transformations that were requested before, which are done by now.
    transformed: Vec<String>,
}

impl Instrumentation {
    /// Reads a new instrumentation from a call.
    fn read(input: &Input) -> Result<Self, Failure> {
        let (module, stat) = (input.required("module")?, input.required("stat")?);
        let metric = metric(&module, &stat)?;
        let seconds = |name: &str, default| match input.number(name)? {
            Some(0) => Err(Failure::argument(format!("{name} cannot be 0"))),
            number => Ok(number.unwrap_or(default)),
        };
        Ok(Instrumentation {
            id: String::new(),
            predicate: predicate(input.value("predicate"), metric)?,
            decomposition: decomposition(input, metric)?,
            granularity: seconds("granularity", 1)?,
            retention_time: seconds("retention-time", 600)?,
            idle_max: seconds("idle-max", 3600)?,
            persist_data: input.flag("persist-data")?,
            created: 0,
            accessed: 0,
            transformed: Vec::new(),
            module,
            stat,
        })
    }

    /// Returns whether nobody has requested it for so long that it is deleted ("`CreateInstrumentation`",
    /// `idle-max`).
    pub(super) fn is_idle(&self, now: u64) -> bool {
        self.accessed.saturating_add(self.idle_max.saturating_mul(SECOND)) < now
    }

    #[cfg(test)]
    pub(super) fn set_accessed(&mut self, at: u64) {
        self.accessed = at;
    }

    /// Returns the discrete and the numeric field of the decomposition.
    fn fields(&self) -> (Option<&str>, Option<&str>) {
        let by =
            |numeric| self.decomposition.iter().map(|name| &**name).find(|name| is_numeric(name) == numeric);
        (by(false), by(true))
    }

    /// Returns the operations that it measured in a second, each with its weight. Data older than the
    /// retention time is gone.
    fn operations(&self, second: u64) -> Result<Vec<(Operation, u64)>, Failure> {
        let metric = metric(&self.module, &self.stat)?;
        if second + self.retention_time < now() / SECOND {
            return Ok(Vec::new());
        }
        let meant = |one: &Operation| predicate::holds(&self.predicate, &|field: &str| one.get(field));
        Ok(metrics::operations(second).filter(meant).map(|one| (one, metric.weight(one))).collect())
    }

    /// Returns the instrumentation as the API shows it.
    fn show(&self, login: &str) -> Result<Value, Failure> {
        let (discrete, numeric) = self.fields();
        let arity = match (discrete, numeric) {
            (_, Some(_)) => "numeric-decomposition",
            (Some(_), None) => "discrete-decomposition",
            (None, None) => "scalar",
        };
        let of = format!("/{login}/analytics/instrumentations/{}/value", self.id);
        let mut uris = vec![json!({"uri": format!("{of}/raw"), "name": "value_raw"})];
        for part in ["image", "details"].into_iter().filter(|_| numeric.is_some()) {
            uris.push(
                json!({"uri": format!("{of}/heatmap/{part}"), "name": format!("value_heatmap_{part}")}),
            );
        }
        Ok(json!({
            "module": self.module, "stat": self.stat, "predicate": self.predicate, "decomposition": self.decomposition,
            "value-dimension": self.decomposition.len() + 1, "value-arity": arity, "enabled": true,
            "retention-time": self.retention_time, "idle-max": self.idle_max, "transformations": {}, "nsources": 1,
            "granularity": self.granularity, "persist-data": self.persist_data, "crtime": self.created / 1000,
            "value-scope": metric(&self.module, &self.stat)?.interval(), "id": self.id, "uris": uris,
        }))
    }
}

/// The time span of a value, in seconds.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: u64,
    length: u64,
}

impl Span {
    /// Reads the span that a call asks for; the default is the last `length` seconds.
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

    /// Adds the span to an answer.
    fn describe(self, answer: &mut Value) {
        for (key, value) in [
            ("start_time", self.start),
            ("duration", self.length),
            ("nsources", 1),
            ("minreporting", 1),
            ("requested_start_time", self.start),
            ("requested_duration", self.length),
            ("requested_end_time", self.start + self.length),
        ] {
            answer[key] = json!(value);
        }
    }
}

/// `GET analytics`
pub(super) fn describe(_: &Site, _: &Call) -> Answer {
    Reply::json(&*SCHEMA)
}

/// `GET analytics/instrumentations`
pub(super) fn list(site: &Site, _: &Call) -> Answer {
    let account = site.accounts.read()?;
    let shown = account.instrumentations.iter().map(|one| one.show(&site.login));
    Reply::json(&shown.collect::<Result<Vec<Value>, Failure>>()?)
}

/// `GET analytics/instrumentations/ID`
pub(super) fn get(site: &Site, call: &Call) -> Answer {
    let one = touch(site, call)?;
    Ok(Reply::json(&one.show(&site.login)?)?
        .at(format!("/{}/analytics/instrumentations/{}", call.login, one.id)))
}

/// `POST analytics/instrumentations`: creates an instrumentation, or copies one.
pub(super) fn create(site: &Site, call: &Call) -> Answer {
    site.accounts.change(|account, now| {
        let mut new = match call.input.text("clone") {
            Some(id) => account.instrumentation(&id)?.clone(),
            None => Instrumentation::read(&call.input)?,
        };
        account.instrumented += 1;
        new.id = account.instrumented.to_string();
        (new.created, new.accessed) = (now, now);
        let location = format!("{}/{}/analytics/instrumentations/{}", site.url(call), call.login, new.id);
        let reply = Reply::created(&new.show(&site.login)?)?.at(location);
        account.instrumentations.push(new);
        Ok(reply)
    })
}

/// `DELETE analytics/instrumentations/ID`
pub(super) fn delete(site: &Site, call: &Call) -> Answer {
    let id = call.argument(0);
    site.accounts.change(|account, _| {
        account.instrumentation(id)?;
        account.instrumentations.retain(|one| one.id != id);
        Ok(Reply::gone())
    })
}

/// Returns a requested instrumentation, and keeps it from becoming idle.
fn touch(site: &Site, call: &Call) -> Result<Instrumentation, Failure> {
    site.accounts.change(|account, now| {
        let one = account.instrumentation(call.argument(0))?;
        one.accessed = now;
        let before = one.clone();
        for name in call.input.words("transformations") {
            if SCHEMA["transformations"].get(&name).is_none() {
                return Err(Failure::argument(format!("there is no transformation {name}")));
            }
            if !one.transformed.contains(&name) {
                one.transformed.push(name);
            }
        }
        Ok(before)
    })
}

/// `GET analytics/instrumentations/ID/value/raw`
pub(super) fn value(site: &Site, call: &Call) -> Answer {
    let one = touch(site, call)?;
    let span = Span::read(&call.input, one.granularity.min(LONGEST))?;
    let (discrete, numeric) = one.fields();
    let mut tally: BTreeMap<&str, BTreeMap<(u64, u64), u64>> = BTreeMap::new();
    for second in span.seconds() {
        for (operation, weight) in one.operations(second)? {
            let name = discrete.and_then(|field| operation.get(field)).unwrap_or_default();
            let bucket = bucket(numeric.and_then(|field| operation.number(field)).unwrap_or(0));
            *tally.entry(name).or_default().entry(bucket).or_default() += weight;
        }
    }
    let leaf = |buckets: &BTreeMap<(u64, u64), u64>| match numeric {
        Some(_) => buckets.iter().map(|((low, high), count)| json!([[low, high], count])).collect(),
        None => json!(buckets.values().sum::<u64>()),
    };
    let value = match discrete {
        Some(_) => tally.iter().map(|(name, buckets)| ((*name).to_owned(), leaf(buckets))).collect(),
        None => leaf(tally.get("").unwrap_or(&BTreeMap::new())),
    };
    let names: Vec<&str> = tally.keys().copied().collect();
    let mut answer =
        json!({"value": value, "transformations": transformations(&one, call, discrete, &names)});
    span.describe(&mut answer);
    Reply::json(&answer)
}

/// Returns the requested transformations of a value's keys. They are performed asynchronously: the first
/// answer has none of them, later ones have all ("Transformations").
fn transformations(one: &Instrumentation, call: &Call, discrete: Option<&str>, names: &[&str]) -> Value {
    let known: Value = serde_json::from_str(data::ADDRESSES).unwrap_or_default();
    let of = |name: String| {
        let fields = &SCHEMA["transformations"][&name]["fields"];
        let applies = fields.as_array().is_some_and(|all| all.iter().any(|field| field.as_str() == discrete));
        let done = one.transformed.contains(&name) && applies;
        let keys = names
            .iter()
            .filter(|_| done)
            .filter_map(|key| Some(((*key).to_owned(), known[&name].get(key)?.clone())));
        let keys: Map<String, Value> = keys.collect();
        (name, Value::Object(keys))
    };
    call.input.words("transformations").into_iter().map(of).collect()
}

fn metric(module: &str, stat: &str) -> Result<Metric, Failure> {
    Metric::find(module, stat).ok_or_else(|| Failure::argument(format!("there is no metric {module} {stat}")))
}

/// Returns the bucket of a value: values that agree in their first two digits share one.
fn bucket(amount: u64) -> (u64, u64) {
    let mut step = 1;
    while amount / step >= 100 {
        step *= 10;
    }
    let low = amount / step * step;
    (low, low + step - 1)
}

/// Parses a predicate, as JSON or as a string of JSON.
fn predicate(value: Option<&Value>, metric: Metric) -> Result<Value, Failure> {
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

/// Reads the fields of a decomposition.
fn decomposition(input: &Input, metric: Metric) -> Result<Vec<String>, Failure> {
    let names = input.words("decomposition");
    for (n, name) in names.iter().enumerate() {
        if !metric.has(name) {
            return Err(Failure::argument(format!("the metric has no field {name}")));
        }
        if names[..n].iter().any(|before| is_numeric(before) == is_numeric(name)) {
            return Err(Failure::argument("a decomposition has at most one discrete and one numeric field"));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::bucket;

    #[test]
    fn buckets_are_those_of_the_manual() {
        for (amount, expected) in [
            (17_345, (17_000, 17_999)),
            (110_000, (110_000, 119_999)),
            (25_999_999, (25_000_000, 25_999_999)),
            (0, (0, 0)),
            (99, (99, 99)),
            (100, (100, 109)),
        ] {
            assert_eq!(bucket(amount), expected);
        }
    }
}
