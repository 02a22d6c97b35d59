//! The metrics, from `data/metrics.json` (Joyent CloudAPI 6.5, "`DescribeAnalytics`"), and the operations
//! that are measured, from `data/operations.tsv`. Each second has some of the operations, the same at every
//! request, so that a raw value and a heatmap of the same second agree.

use crate::emulator::data;
use crate::emulator::faults::mix;
use serde_json::Value;
use std::sync::LazyLock;

/// The metrics as the API shows them.
pub(super) static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(data::METRICS).unwrap_or_else(|error| panic!("the metrics: {error}"))
});

/// One operation on one of the datacenter's servers, with named fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation(&'static [&'static str; FIELDS]);

const FIELDS: usize = 12;

static OPERATIONS: LazyLock<Vec<[&'static str; FIELDS]>> = LazyLock::new(|| data::operations().collect());

impl Operation {
    pub(super) fn get(self, field: &str) -> Option<&'static str> {
        let at = OPERATIONS.first()?.iter().position(|name| *name == field)?;
        Some(self.0[at])
    }

    pub(super) fn number(self, field: &str) -> Option<u64> {
        self.get(field)?.parse().ok()
    }
}

/// Returns the operations of one second.
pub(super) fn operations(second: u64) -> impl Iterator<Item = Operation> {
    let happened = move |n: u64| !mix(second ^ mix(n)).is_multiple_of(3);
    (0_u64..).zip(OPERATIONS.iter().skip(1)).filter(move |(n, _)| happened(*n)).map(|(_, row)| Operation(row))
}

/// A quantity that can be instrumented.
#[derive(Clone, Copy, Debug)]
pub(super) struct Metric(&'static Value);

impl Metric {
    pub(super) fn find(module: &str, stat: &str) -> Option<Metric> {
        let metrics = SCHEMA["metrics"].as_array()?;
        metrics.iter().find(|metric| metric["module"] == module && metric["stat"] == stat).map(Metric)
    }

    /// Returns `interval` or `point`.
    pub(super) fn interval(self) -> &'static Value {
        &self.0["interval"]
    }

    /// Returns whether the metric has a field.
    pub(super) fn has(self, field: &str) -> bool {
        self.0["fields"].as_array().is_some_and(|fields| fields.iter().any(|name| name == field))
    }

    /// Returns what an operation adds: one, or a number of bytes.
    pub(super) fn weight(self, operation: Operation) -> u64 {
        if self.0["type"] == "size" { operation.number("bytes").unwrap_or(0) } else { 1 }
    }
}

/// Returns whether the values of a field are numeric.
pub(super) fn is_numeric(field: &str) -> bool {
    let kind = SCHEMA["fields"][field]["type"].as_str().unwrap_or_default();
    SCHEMA["types"][kind]["arity"] == "numeric"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_described_is_measured() {
        for metric in SCHEMA["metrics"].as_array().unwrap() {
            assert!(SCHEMA["modules"].get(metric["module"].as_str().unwrap()).is_some(), "{metric}");
            for field in metric["fields"].as_array().unwrap().iter().map(|field| field.as_str().unwrap()) {
                let kind = SCHEMA["fields"][field]["type"].as_str().unwrap();
                assert!(SCHEMA["types"].get(kind).is_some(), "{field}");
                let all = || operations(1_308_863_061).map(|one| (one.get(field), one.number(field)));
                assert!(
                    all().all(|(text, number)| text.is_some() && (number.is_some() || !is_numeric(field)))
                );
            }
        }
        assert!(Metric::find("fs", "logical_ops").unwrap().has("fstype"), "Joyent CloudAPI 6.5, Appendix B");
        assert!(!Metric::find("cpu", "thread_executions").unwrap().has("optype"));
        assert_ne!(operations(1).count(), operations(2).count());
    }
}
