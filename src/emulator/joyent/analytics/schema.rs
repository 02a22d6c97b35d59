//! What can be measured: metrics, their fields and types (Joyent CloudAPI 6.5, "`DescribeAnalytics`").

use serde_json::{Map, Value, json};

/// Whether values of a field are names or measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arity {
    Discrete,
    Numeric,
}

/// What data points can be filtered and decomposed by.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    label: &'static str,
    pub(super) kind: &'static str,
    /// The values of a discrete field, as they are made up here.
    pub(super) values: &'static [&'static str],
}

impl Field {
    pub(super) fn arity(&self) -> Arity {
        if self.kind == "string" { Arity::Discrete } else { Arity::Numeric }
    }
}

const fn discrete(name: &'static str, label: &'static str, values: &'static [&'static str]) -> Field {
    Field { name, label, kind: "string", values }
}

const fn numeric(name: &'static str, label: &'static str, kind: &'static str) -> Field {
    Field { name, label, kind, values: &[] }
}

const FIELDS: [Field; 9] = [
    discrete("hostname", "server hostname", &["headnode", "node1", "node2"]),
    discrete("zonename", "zone name", &["global", "0b97c186-05a5-4113-b05f-3e597e3cf038"]),
    discrete("pid", "process identifier", &["1", "812", "4711", "9001"]),
    discrete("execname", "application name", &["ls", "cat", "node", "mysqld", "sshd"]),
    discrete("optype", "type of operation", &["read", "write", "open", "close"]),
    discrete("syscall", "system call", &["read", "write", "ioctl", "poll", "open"]),
    discrete("raddr", "remote IP address", &["8.12.47.107", "10.88.88.50", "192.0.2.7"]),
    numeric("latency", "latency", "time"),
    numeric("runtime", "time on CPU", "time"),
];

/// A quantity that can be instrumented.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) module: &'static str,
    pub(super) stat: &'static str,
    label: &'static str,
    /// `interval` or `point`.
    pub(super) interval: &'static str,
    fields: &'static [&'static str],
    /// Bytes rather than operations.
    pub(super) is_size: bool,
}

const METRICS: [Metric; 6] = [
    Metric {
        module: "cpu",
        stat: "thread_executions",
        label: "thread executions",
        interval: "interval",
        fields: &["hostname", "zonename", "runtime"],
        is_size: false,
    },
    Metric {
        module: "memory",
        stat: "rss",
        label: "resident set size",
        interval: "point",
        fields: &["hostname", "zonename"],
        is_size: true,
    },
    Metric {
        module: "fs",
        stat: "logical_ops",
        label: "logical filesystem operations",
        interval: "interval",
        fields: &["hostname", "zonename", "pid", "execname", "optype", "latency"],
        is_size: false,
    },
    Metric {
        module: "nic",
        stat: "vnic_bytes",
        label: "bytes",
        interval: "interval",
        fields: &["hostname", "zonename"],
        is_size: true,
    },
    Metric {
        module: "syscall",
        stat: "syscalls",
        label: "syscalls",
        interval: "interval",
        fields: &["hostname", "zonename", "pid", "execname", "syscall", "latency"],
        is_size: false,
    },
    Metric {
        module: "tcp",
        stat: "connections",
        label: "TCP connections",
        interval: "interval",
        fields: &["hostname", "zonename", "raddr"],
        is_size: false,
    },
];

impl Metric {
    pub(super) fn find(module: &str, stat: &str) -> Option<&'static Metric> {
        METRICS.iter().find(|metric| metric.module == module && metric.stat == stat)
    }

    /// A field of this metric.
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        FIELDS.iter().find(|field| field.name == name && self.fields.contains(&name))
    }

    fn show(&self) -> Value {
        let mut shown = json!({
            "module": self.module,
            "stat": self.stat,
            "label": self.label,
            "interval": self.interval,
            "fields": self.fields,
        });
        let (key, unit) = if self.is_size { ("type", "size") } else { ("unit", "operations") };
        shown[key] = json!(unit);
        shown
    }
}

/// The whole of it, as the API shows it.
pub(super) fn describe() -> Value {
    let fields: Map<String, Value> = FIELDS
        .iter()
        .map(|field| (field.name.to_owned(), json!({"label": field.label, "type": field.kind})))
        .collect();
    json!({
        "modules": {
            "cpu": {"label": "CPU"},
            "memory": {"label": "Memory"},
            "fs": {"label": "Filesystem"},
            "nic": {"label": "Network interfaces"},
            "syscall": {"label": "System calls"},
            "tcp": {"label": "TCP"},
        },
        "fields": fields,
        "types": {
            "string": {"arity": "discrete", "unit": ""},
            "size": {"arity": "numeric", "unit": "bytes", "abbr": "B", "base": 2},
            "time": {"arity": "numeric", "unit": "seconds", "abbr": "s", "base": 10, "power": -9},
        },
        "metrics": METRICS.iter().map(Metric::show).collect::<Value>(),
        "transformations": {
            "geolocate": {"label": "geolocate IP addresses", "fields": ["raddr"]},
            "reversedns": {"label": "reverse dns IP addresses lookup", "fields": ["raddr"]},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_described_hangs_together() {
        let all = describe();
        for metric in &METRICS {
            assert!(all["modules"].get(metric.module).is_some(), "{metric:?}");
            for field in metric.fields {
                let kind = all["fields"][field]["type"].as_str().unwrap();
                let arity = all["types"][kind]["arity"].as_str().unwrap();
                let numeric = metric.field(field).unwrap().arity() == Arity::Numeric;
                assert_eq!(arity == "numeric", numeric, "{field}");
            }
        }
        assert!(METRICS[0].field("optype").is_none());
    }
}
