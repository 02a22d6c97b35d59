//! The printed form of the catalogue: a table, or one object per call for `--json`.

use super::{Call, Input, argument_kind, placeholders};
use serde::Serialize;

/// A row of the catalogue, for `calls --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The provider's name.
    pub provider: &'static str,
    /// The call's name, such as `drives.create`.
    pub call: &'static str,
    /// The documented method.
    pub method: &'static str,
    /// The method that is sent.
    pub sends: &'static str,
    /// The path, with placeholders in braces and optional parts in brackets.
    pub path: &'static str,
    /// The keys separated by commas, optional ones in brackets; `binary`; or `-` for no input.
    pub input: String,
    /// The shape of the reply; alternatives are separated by ` | `.
    pub output: String,
    /// The columns, if the reply is a list.
    pub columns: &'static [&'static str],
    /// The input keys in detail.
    pub keys: Vec<KeyRow>,
    /// The status codes that mean success.
    pub success: &'static [u16],
    /// Whether the call may be sent again after a failure.
    pub repeatable: bool,
    /// The place in the manual that describes the call.
    pub documentation: String,
    /// Whether the call is missing from the provider's manual.
    pub undocumented: bool,
    /// The call of which this is another form.
    pub alias_of: Option<&'static str>,
    /// A note; empty if there is none.
    pub note: &'static str,
}

/// An input key, for `calls --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyRow {
    /// The key's name, or a pattern for many names.
    pub key: &'static str,
    /// Whether the call is refused without it.
    pub required: bool,
    /// A description of the values that the key accepts.
    pub value: String,
    /// A note; empty if there is none.
    pub note: &'static str,
}

impl Call {
    /// Returns the call as data for `calls --json`.
    pub fn row(&self) -> Row {
        Row {
            provider: self.provider.name(),
            call: self.id,
            method: self.method.as_str(),
            sends: self.sends.as_str(),
            path: self.path,
            input: self.input_text(true),
            output: self.output.to_string(),
            columns: self.output.columns().unwrap_or_default(),
            keys: self
                .input
                .keys()
                .map(|(key, required)| KeyRow {
                    key: key.name,
                    required,
                    value: key.kind.describe(),
                    note: key.note,
                })
                .collect(),
            success: self.success,
            repeatable: self.repeat.is_allowed(),
            documentation: self.citation(),
            undocumented: self.undocumented,
            alias_of: self.alias_of,
            note: self.note,
        }
    }

    /// Formats the input as `name,size,[tags]`, or as `name,size,[…]` if `optional` is false.
    fn input_text(&self, optional: bool) -> String {
        match self.input {
            Input::None => "-".into(),
            Input::Binary => "binary".into(),
            _ => {
                let mut names: Vec<String> = Vec::new();
                let mut more = false;
                for (key, required) in self.input.keys() {
                    match required {
                        true => names.push(key.form()),
                        false if optional => names.push(format!("[{}]", key.form())),
                        false => more = true,
                    }
                }
                if more {
                    names.push("[…]".into());
                }
                names.join(",")
            }
        }
    }
}

/// Returns the rows of a table: the headings, then one row per call. The provider's column is omitted if all
/// calls are of one provider.
pub fn table<'a>(calls: impl IntoIterator<Item = &'a Call>) -> Vec<Vec<String>> {
    let calls: Vec<&Call> = calls.into_iter().collect();
    let several = calls.windows(2).any(|pair| pair[0].provider != pair[1].provider);
    let first = usize::from(!several);
    let headings = ["PROVIDER", "CALL", "METHOD", "PATH", "INPUT", "OUTPUT"].map(String::from);
    let rows = calls.into_iter().map(|call| {
        [
            call.provider.name().into(),
            call.id.into(),
            call.method.as_str().into(),
            call.path.into(),
            call.input_text(false),
            call.output.to_string(),
        ]
    });
    std::iter::once(headings).chain(rows).map(|row| row[first..].to_vec()).collect()
}

/// Describes one call in full: its path, arguments, keys, reply and note, one per line.
pub fn describe(call: &Call) -> Vec<String> {
    let mut lines = vec![format!("{} {} ({})", call.sends, call.path, call.citation())];
    if call.sends != call.method {
        lines.push(format!("printed as {}, sent as {}", call.method, call.sends));
    }
    for (name, required) in placeholders(call.path) {
        let kind = argument_kind(name).describe();
        lines.push(if required { format!("  {name}: {kind}") } else { format!("  [{name}]: {kind}") });
    }
    for (key, required) in call.input.keys() {
        let required = if required { ", required" } else { "" };
        let note = if key.note.is_empty() { String::new() } else { format!("; {}", key.note) };
        lines.push(format!("  {}=VALUE: {}{required}{note}", key.form(), key.kind.describe()));
    }
    if call.input == Input::Binary {
        lines.push("  -f FILE: the bytes to write".into());
    }
    lines.push(format!("  answers {}", call.output));
    if let Some(poll) = &call.poll {
        lines.push(format!("  goes on after the reply; --wait waits until {}", poll.describe()));
    }
    if !call.note.is_empty() {
        lines.push(format!("  {}", call.note));
    }
    lines
}
