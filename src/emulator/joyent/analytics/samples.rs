//! The data that instrumentations gather: made up, but the same whenever it is asked for, so that a raw value and a
//! heatmap of the same second agree.

use super::predicate::{Datum, holds};
use super::schema::{Arity, Field, Metric};
use crate::emulator::faults::mix;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One operation on one of the datacenter's servers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    seed: u64,
    /// What it counts: one operation, or so many bytes.
    pub(super) weight: u64,
}

impl Point {
    /// The value of one of its fields.
    pub(super) fn datum(&self, field: &Field) -> Datum {
        let drawn = field.name.bytes().fold(self.seed, |all, byte| mix(all ^ u64::from(byte)));
        if let Some(name) =
            field.values.get(usize::try_from(drawn % 64).unwrap_or(0) % field.values.len().max(1))
        {
            return Datum::Name(name);
        }
        // Mostly some ten microseconds, now and then ten times that.
        let slow = if drawn.is_multiple_of(16) { 10 } else { 1 };
        Datum::Amount((8_000 + (drawn >> 8) % 32_000) * slow)
    }
}

/// What happened in one second, as far as a predicate lets it through.
pub(super) fn points(metric: &'static Metric, predicate: &Value, second: u64) -> impl Iterator<Item = Point> {
    let name = metric.module.bytes().chain(metric.stat.bytes());
    let seed = name.fold(mix(second), |all, byte| mix(all ^ u64::from(byte)));
    (0..8 + seed % 32).filter_map(move |n| {
        let seed = mix(seed ^ n);
        let point = Point { seed, weight: if metric.is_size { 64 + seed % 1436 } else { 1 } };
        let datum = |name: &str| metric.field(name).map(|field| point.datum(field));
        holds(predicate, &datum).then_some(point)
    })
}

/// Points added up, by what they are decomposed by.
#[derive(Debug, Default)]
pub(super) struct Tally {
    total: u64,
    names: BTreeMap<&'static str, u64>,
    /// By bucket: its first and its last value.
    buckets: BTreeMap<(u64, u64), u64>,
    both: BTreeMap<&'static str, BTreeMap<(u64, u64), u64>>,
}

impl Tally {
    /// Adds a point, with the values of the fields it is decomposed by.
    pub(super) fn add(&mut self, point: Point, name: Option<&'static str>, amount: Option<u64>) {
        self.total += point.weight;
        if let Some(name) = name {
            *self.names.entry(name).or_default() += point.weight;
        }
        if let Some(bucket) = amount.map(bucket) {
            *self.buckets.entry(bucket).or_default() += point.weight;
            if let Some(name) = name {
                *self.both.entry(name).or_default().entry(bucket).or_default() += point.weight;
            }
        }
    }

    /// The raw value ("Values and visualizations").
    pub(super) fn value(&self, discrete: bool, numeric: bool) -> Value {
        let distribution = |buckets: &BTreeMap<(u64, u64), u64>| -> Value {
            buckets.iter().map(|((low, high), count)| json!([[low, high], count])).collect()
        };
        match (discrete, numeric) {
            (false, false) => json!(self.total),
            (true, false) => json!(self.names),
            (false, true) => distribution(&self.buckets),
            (true, true) => {
                let named =
                    self.both.iter().map(|(name, buckets)| ((*name).to_owned(), distribution(buckets)));
                Value::Object(named.collect())
            }
        }
    }
}

/// The bucket of a value: those that agree in their first two digits.
fn bucket(amount: u64) -> (u64, u64) {
    let mut step = 1;
    while amount / step >= 100 {
        step *= 10;
    }
    let low = amount / step * step;
    (low, low + step - 1)
}

/// The one field of some arity among those of a decomposition.
pub(super) fn by(metric: &'static Metric, decomposition: &[String], arity: Arity) -> Option<&'static Field> {
    decomposition.iter().filter_map(|name| metric.field(name)).find(|field| field.arity() == arity)
}

/// The values of a point that a decomposition asks for.
pub(super) fn decomposed(
    point: Point,
    discrete: Option<&Field>,
    numeric: Option<&Field>,
) -> (Option<&'static str>, Option<u64>) {
    let name = discrete.and_then(|field| match point.datum(field) {
        Datum::Name(name) => Some(name),
        Datum::Amount(_) => None,
    });
    let amount = numeric.and_then(|field| match point.datum(field) {
        Datum::Amount(amount) => Some(amount),
        Datum::Name(_) => None,
    });
    (name, amount)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn decompositions_add_up_to_the_whole() {
        let metric = Metric::find("fs", "logical_ops").unwrap();
        let (discrete, numeric) = (metric.field("execname"), metric.field("latency"));
        let mut tally = Tally::default();
        for point in points(metric, &json!({}), 1_308_863_061) {
            let (name, amount) = decomposed(point, discrete, numeric);
            tally.add(point, name, amount);
        }
        assert!(tally.total >= 8);
        assert_eq!(tally.names.values().sum::<u64>(), tally.total);
        assert_eq!(tally.buckets.values().sum::<u64>(), tally.total);
        assert_eq!(tally.both.values().flat_map(BTreeMap::values).sum::<u64>(), tally.total);
        // The same every time, and another one in another second.
        let count = |predicate: &Value, second| points(metric, predicate, second).count() as u64;
        assert_eq!(count(&json!({}), 1_308_863_061), tally.total);
        let only = json!({"eq": ["execname", "ls"]});
        assert_eq!(count(&only, 1_308_863_061), tally.names.get("ls").copied().unwrap_or(0));
    }
}
