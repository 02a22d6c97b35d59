//! Arguments and keys that fit every row, for the tests of the tables and of the requests.

mod requests;
mod tables;

use super::*;
use crate::wire::elastic::Properties;
use bytes::Bytes;

const D: &str = "08c92dd5-70a0-4f51-83d2-835919d254df";

/// Returns an argument for each placeholder of a path.
fn path_arguments(call: &Call, optional: bool) -> Vec<String> {
    placeholders(call.path)
        .into_iter()
        .filter(|(_, required)| *required || optional)
        .map(|(name, _)| match argument_kind(name) {
            ValueKind::Uuid => D.into(),
            ValueKind::Size => "4M".into(),
            ValueKind::Address => "91.203.56.71".into(),
            ValueKind::OneOf(words) => words[0].into(),
            _ => "ip".into(),
        })
        .collect()
}

/// Returns a name and a value that fit a key.
fn example(key: &Key) -> (String, String) {
    if let Some(prefix) = key.name.strip_suffix(".*") {
        return (format!("{prefix}.x"), "abc".into());
    }
    let name = key.name.split(':').map(|piece| match piece.chars().next() {
        Some('*') => "x",
        Some(c) if c.is_ascii_uppercase() => "0",
        _ => piece,
    });
    let value = match key.kind {
        ValueKind::Size => "10G".into(),
        ValueKind::Integer | ValueKind::IntegerOr(_) => "2000".into(),
        ValueKind::Boolean => "true".into(),
        ValueKind::OneOf(words) | ValueKind::Usually(words) => words[0].into(),
        ValueKind::Uuid => D.into(),
        ValueKind::Uuids => format!("{D} {D}"),
        ValueKind::Address | ValueKind::AddressOrAuto => "91.203.56.71".into(),
        ValueKind::Date => "2010-03-20 13:20".into(),
        ValueKind::Decimal => "0.25".into(),
        ValueKind::JsonText => "{}".into(),
        ValueKind::Text | ValueKind::List | ValueKind::Key(_) | ValueKind::Password(_) => "abc".into(),
    };
    (name.collect::<Vec<_>>().join(":"), value)
}

/// Returns arguments that fit a call: with all keys, or with only the required ones.
fn arguments(call: &Call, all: bool) -> Arguments {
    let keys = call.input.keys().filter(|(_, required)| *required || all).map(|(key, _)| example(key));
    let mut keys: Properties = keys.collect();
    if matches!(call.input, Input::Changes(_)) && keys.is_empty() {
        keys = call.input.keys().take(1).map(|(key, _)| example(key)).collect();
    }
    let body = (call.input == Input::Binary).then(|| Bytes::from_static(b"bytes"));
    Arguments { path: path_arguments(call, all), keys, body, ..Arguments::default() }
}
