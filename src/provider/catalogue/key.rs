//! Input keys: their names, which may be patterns, and the values that they accept.
//!
//! A name is written as in the manuals, with a few variable pieces between the colons. `*` is any word, a
//! capital letter or a capitalised word is a number, and `B[0-1]` is a number within bounds. So
//! `ide:B[0-1]:U[0-1]:media` stands for `ide:0:0:media` and three more, and `user:*` and `tag.*` for every
//! key that the user makes up.

use super::warning::Warning;
use crate::config::value::parse_size;
use crate::{Error, Result};
use std::net::IpAddr;

/// The kind of value that a key accepts, which also determines how the value is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Any text.
    Text,
    /// A size with an optional unit, such as `10G`; sent as a number of bytes.
    Size,
    /// Decimal digits.
    Integer,
    /// Decimal digits, or this word.
    IntegerOr(&'static str),
    /// `true` or `false`.
    Boolean,
    /// One of these words; anything else is refused before it is sent.
    OneOf(&'static [&'static str]),
    /// One of these words according to the manual; anything else is sent with a warning.
    Usually(&'static [&'static str]),
    /// A UUID.
    Uuid,
    /// UUIDs separated by spaces.
    Uuids,
    /// Words separated by spaces.
    List,
    /// An IP address.
    Address,
    /// An IP address, or `auto`.
    AddressOrAuto,
    /// A date with a time, such as `2010-03-20 13:20`, without a time zone.
    Date,
    /// A number with an optional fraction.
    Decimal,
    /// A key that the server assigned to an object, as listed by this diskferry command.
    Key(&'static str),
    /// Text that is valid JSON.
    JsonText,
    /// A password of at most this many characters; never shown again. A longer one is sent with a warning.
    Password(usize),
}

impl ValueKind {
    /// Describes the kind in a few words, for help.
    pub fn describe(self) -> String {
        match self {
            ValueKind::Text => "text".into(),
            ValueKind::Size => "a size such as 10G".into(),
            ValueKind::Integer => "a number".into(),
            ValueKind::IntegerOr(word) => format!("a number or {word}"),
            ValueKind::Boolean => "true or false".into(),
            ValueKind::OneOf(words) | ValueKind::Usually(words) => words.join(" or "),
            ValueKind::Uuid => "a UUID".into(),
            ValueKind::Uuids => "UUIDs with spaces between".into(),
            ValueKind::List => "words with spaces between".into(),
            ValueKind::Address => "an IP address".into(),
            ValueKind::AddressOrAuto => "an IP address or auto".into(),
            ValueKind::Date => "a date such as \"2010-03-20 13:20\"".into(),
            ValueKind::Decimal => "a number such as 0.25".into(),
            ValueKind::Key(lists) => format!("a key, as `diskferry {lists}` lists them"),
            ValueKind::JsonText => "JSON".into(),
            ValueKind::Password(longest) => format!("a password of at most {longest} characters"),
        }
    }

    /// Checks a value and returns it as it is sent. `what` names the value in errors.
    pub(super) fn check(self, what: &str, value: &str, warnings: &mut Vec<Warning>) -> Result<String> {
        let fits = match self {
            ValueKind::Size => {
                return parse_size(value).map(|bytes| bytes.to_string()).map_err(|error| {
                    let refused = self.refuse(what, value);
                    match error.hint_text() {
                        Some(hint) => refused.hint(hint),
                        None => refused,
                    }
                });
            }
            ValueKind::Key(lists) if value == "KEY" => {
                return Err(Error::usage(format!("{what}: `KEY` stands for a key in the documentation"))
                    .hint(format!("`diskferry {lists}` lists the keys")));
            }
            ValueKind::Text | ValueKind::List | ValueKind::Key(_) => true,
            ValueKind::Integer => is_number(value),
            ValueKind::IntegerOr(word) => value == word || is_number(value),
            ValueKind::Boolean => matches!(value, "true" | "false"),
            ValueKind::OneOf(words) => words.contains(&value),
            ValueKind::Usually(words) => {
                if !words.contains(&value) {
                    warnings.push(Warning::UnusualValue {
                        key: what.into(),
                        value: value.into(),
                        known: words,
                    });
                }
                true
            }
            ValueKind::Uuid => is_uuid(value),
            ValueKind::Uuids => value.split_whitespace().all(is_uuid),
            ValueKind::Address => value.parse::<IpAddr>().is_ok(),
            ValueKind::AddressOrAuto => value == "auto" || value.parse::<IpAddr>().is_ok(),
            ValueKind::Date => is_date(value),
            ValueKind::Decimal => is_decimal(value),
            ValueKind::JsonText => serde_json::from_str::<serde_json::Value>(value).is_ok(),
            ValueKind::Password(longest) => {
                if value.chars().count() > longest {
                    warnings.push(Warning::LongPassword { key: what.into(), longest });
                }
                true
            }
        };
        if fits { Ok(value.to_owned()) } else { Err(self.refuse(what, value)) }
    }

    fn refuse(self, what: &str, value: &str) -> Error {
        Error::usage(format!("expected {} for `{what}`, got `{value}`", self.describe()))
    }
}

/// One input key of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key's name, or a pattern for many names (see the module).
    pub name: &'static str,
    /// Whether the call is refused without it. For a pattern, at least one matching key must be given.
    pub required: bool,
    /// The kind of value that the key accepts.
    pub kind: ValueKind,
    /// Another name that is accepted on input; the key is sent under its own name.
    pub alias: Option<&'static str>,
    /// Whether the value is a secret, which is never printed or stored: see [`secret`](super::secret).
    pub secret: bool,
    /// A note for help.
    pub note: &'static str,
}

impl Key {
    /// Creates a required key.
    pub const fn required(name: &'static str, kind: ValueKind) -> Self {
        Key { name, required: true, kind, alias: None, secret: false, note: "" }
    }

    /// Creates an optional key.
    pub const fn optional(name: &'static str, kind: ValueKind) -> Self {
        Key { required: false, ..Self::required(name, kind) }
    }

    /// Returns the key with another name that is accepted on input.
    #[must_use]
    pub const fn alias(self, alias: &'static str) -> Self {
        Key { alias: Some(alias), ..self }
    }

    /// Returns the key, marked as a secret.
    #[must_use]
    pub const fn secret(self) -> Self {
        Key { secret: true, ..self }
    }

    /// Returns the key with a note.
    #[must_use]
    pub const fn note(self, note: &'static str) -> Self {
        Key { note, ..self }
    }

    /// Returns the name without the bounds of its numbers, as in `ide:B:U:media`.
    pub fn form(&self) -> String {
        self.name
            .split(':')
            .map(|piece| piece.split('[').next().unwrap_or(piece))
            .collect::<Vec<_>>()
            .join(":")
    }

    /// Returns whether `name` is this key's name or matches its pattern.
    pub fn matches(&self, name: &str) -> bool {
        if let Some(prefix) = self.name.strip_suffix(".*") {
            // `tag.*`: the dot is literal, and anything may follow it.
            return name.strip_prefix(prefix).is_some_and(|rest| rest.len() > 1 && rest.starts_with('.'));
        }
        let mut pieces = name.split(':');
        for wanted in self.name.split(':') {
            if wanted == "*" {
                // `*` matches the rest, including colons: only the first word of a key that the user makes up
                // is fixed.
                return pieces.next().is_some_and(|piece| !piece.is_empty());
            }
            match pieces.next() {
                Some(piece) if piece_matches(wanted, piece) => {}
                _ => return false,
            }
        }
        pieces.next().is_none()
    }

    /// Returns the name with its variable pieces taken from `name`. If `name` is misspelled, this is how it
    /// should read.
    pub(super) fn form_like(&self, name: &str) -> String {
        let mut given = name.split(':');
        let mut out: Vec<&str> = Vec::new();
        for wanted in self.name.split(':') {
            let piece = given.next();
            if wanted == "*" {
                out.push(piece.filter(|p| !p.is_empty()).unwrap_or(wanted));
                out.extend(given);
                return out.join(":");
            }
            match piece {
                Some(piece) if is_variable(wanted) && is_number(piece) => out.push(piece),
                _ => out.push(wanted),
            }
        }
        out.join(":")
    }
}

/// Returns whether a piece of a name stands for a number, as in `B[0-1]` and `NUMBER`: it begins with a
/// capital letter.
fn is_variable(piece: &str) -> bool {
    piece.starts_with(|c: char| c.is_ascii_uppercase())
}

fn piece_matches(wanted: &str, piece: &str) -> bool {
    if !is_variable(wanted) {
        return wanted == piece;
    }
    let bounds = wanted.split_once('[').and_then(|(_, rest)| rest.strip_suffix(']'));
    match bounds.and_then(|b| b.split_once('-')) {
        // The bounds are single digits in all manuals.
        Some((low, high)) => piece.len() == 1 && is_number(piece) && (low..=high).contains(&piece),
        None => is_number(piece),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    is_number(whole) && is_number(fraction)
}

/// Returns whether the text is five groups of hexadecimal digits, as all manuals write UUIDs.
fn is_uuid(text: &str) -> bool {
    let mut groups = text.split('-');
    [8, 4, 4, 4, 12]
        .into_iter()
        .all(|n| groups.next().is_some_and(|g| g.len() == n && g.bytes().all(|b| b.is_ascii_hexdigit())))
        && groups.next().is_none()
}

/// Returns whether the text is a date such as `2010-03-20 13:20`, with optional seconds and fractions of
/// them.
fn is_date(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let Some(rest) = shape.strip_prefix("0000-00-00 00:00") else { return false };
    let seconds = rest.strip_prefix(":00");
    rest.is_empty() || seconds == Some("") || seconds.and_then(|s| s.strip_prefix('.')).is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_stands_for_many_names() {
        let media = Key::optional("ide:B[0-1]:U[0-1]:media", ValueKind::Text);
        assert!(media.matches("ide:0:1:media"));
        for no in
            ["ide:0:1", "ide:0:2:media", "ide:2:0:media", "ide:00:0:media", "ide:0:1:media:x", "ide::0:media"]
        {
            assert!(!media.matches(no), "{no}");
        }
        assert_eq!(media.form(), "ide:B:U:media");
        let user = Key::optional("user:*", ValueKind::Text);
        assert!(user.matches("user:a") && user.matches("user:a:b"));
        assert!(!user.matches("user") && !user.matches("user:") && !user.matches("users:a"));
        let server = Key::required("server:NUMBER", ValueKind::Uuid);
        assert!(server.matches("server:0") && server.matches("server:17"));
        assert!(!server.matches("server:") && !server.matches("server:x") && !server.matches("server:1:2"));
    }

    #[test]
    fn values_are_checked_and_sizes_made_plain() {
        let check = |kind: ValueKind, value: &str| kind.check("k", value, &mut Vec::new());
        assert_eq!(check(ValueKind::Size, "10G").unwrap(), "10737418240");
        assert_eq!(check(ValueKind::IntegerOr("auto"), "auto").unwrap(), "auto");
        let uuid = "08c92dd5-70a0-4f51-83d2-835919d254df";
        assert!(check(ValueKind::Uuids, &format!("{uuid} {uuid}")).is_ok());
        assert!(check(ValueKind::AddressOrAuto, "auto").is_ok());
        assert!(check(ValueKind::Address, "91.203.56.71").is_ok());
        for good in ["2010-03-20 13:20", "2010-03-20 13:20:01", "2010-02-23 17:18:32.401708"] {
            assert!(check(ValueKind::Date, good).is_ok(), "{good}");
        }
        for (kind, bad) in [
            (ValueKind::Size, "10Q"),
            (ValueKind::Integer, "1.5"),
            (ValueKind::Integer, ""),
            (ValueKind::IntegerOr("auto"), "car"),
            (ValueKind::Boolean, "yes"),
            (ValueKind::OneOf(&["exclusive", "shared"]), "inclusive"),
            (ValueKind::Uuid, "08c92dd5-70a0-4f51-83d2-835919d254d"),
            (ValueKind::Uuid, "08c92dd5-70a0-4f51-83d2-835919d254df-"),
            (ValueKind::Uuid, "08c92dd5-70a0-4f51-83d2-835919d254dg"),
            (ValueKind::Uuids, "08c92dd5-70a0-4f51-83d2-835919d254df x"),
            (ValueKind::Address, "auto"),
            (ValueKind::AddressOrAuto, "91.203.56"),
            (ValueKind::Date, "2010-03-20T13:20"),
            (ValueKind::Date, "2010-03-20 13:20:"),
            (ValueKind::Date, "2010-03-20 13:20:01."),
        ] {
            let error = check(kind, bad).unwrap_err();
            assert_eq!(error.kind().exit_code(), 2);
            assert!(
                error.to_string().starts_with("expected ") && error.to_string().contains("for `k`"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_only_unusual_is_sent_with_a_warning() {
        let mut warnings = Vec::new();
        let model = ValueKind::Usually(&["e1000", "virtio"]);
        assert_eq!(model.check("nic:0:model", "ne2k", &mut warnings).unwrap(), "ne2k");
        assert_eq!(
            ValueKind::Password(8).check("vnc:password", "123456789", &mut warnings).unwrap(),
            "123456789"
        );
        assert_eq!(warnings.len(), 2);
        assert!(warnings.iter().all(|w| !w.to_string().contains("123456789")));
        let _ = model.check("nic:0:model", "virtio", &mut warnings);
        let _ = ValueKind::Password(8).check("vnc:password", "12345678", &mut warnings);
        assert_eq!(warnings.len(), 2);
    }
}
