//! The shape of a reply, and how it is parsed and printed.
//!
//! Parsing is lenient. The format is taken from `Content-Type`, or from the first character if the header is
//! wrong or missing. An empty reply holds no object, whatever the shape.

use crate::wire::elastic::{Properties, json, text};
use crate::wire::spotcloud;
use crate::{Error, Kind, Result};
use serde_json::Value;
use std::fmt;

/// A shape that a reply may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// No body.
    None,
    /// The properties of one object.
    Properties,
    /// The properties of several objects.
    PropertiesList,
    /// Rows with these columns.
    List(&'static [&'static str]),
    /// One JSON object, or an XML object if that was requested. Its values may be nested.
    Object,
    /// An array of such objects.
    Array,
    /// A single value as plain text.
    Text,
    /// URL-encoded pairs, as in a form.
    Form,
    /// Only these headers.
    Headers(&'static [&'static str]),
    /// An HTML page for a browser.
    Page,
    /// Raw bytes, such as the contents of a drive.
    Binary,
}

impl Shape {
    /// Returns the shape's name in the catalogue.
    pub fn name(self) -> &'static str {
        match self {
            Shape::None => "none",
            Shape::Properties => "properties",
            Shape::PropertiesList => "properties-list",
            Shape::List(_) => "list",
            Shape::Object => "object",
            Shape::Array => "array",
            Shape::Text => "text",
            Shape::Form => "form",
            Shape::Headers(_) => "headers",
            Shape::Page => "page",
            Shape::Binary => "binary",
        }
    }
}

/// The shapes that a call's reply may have: usually one, several if the manual documents several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output(pub &'static [Shape]);

impl Output {
    /// No body.
    pub const NONE: Self = Output(&[Shape::None]);
    /// The properties of one object.
    pub const PROPERTIES: Self = Output(&[Shape::Properties]);
    /// The properties of several objects.
    pub const PROPERTIES_LIST: Self = Output(&[Shape::PropertiesList]);
    /// One JSON object.
    pub const OBJECT: Self = Output(&[Shape::Object]);
    /// An array of JSON objects.
    pub const ARRAY: Self = Output(&[Shape::Array]);
    /// Raw bytes, such as the contents of a drive.
    pub const BINARY: Self = Output(&[Shape::Binary]);

    /// Returns whether the reply may have this shape.
    pub fn has(self, shape: Shape) -> bool {
        self.0.contains(&shape)
    }

    /// Returns whether the reply is read by [`Output::values`] rather than as flat properties.
    pub fn is_json(self) -> bool {
        self.0.iter().any(|shape| {
            matches!(
                shape,
                Shape::Object | Shape::Array | Shape::Text | Shape::Form | Shape::Headers(_) | Shape::Page
            )
        })
    }

    /// Returns the names of the headers, if the reply consists only of headers.
    pub fn headers(self) -> Option<&'static [&'static str]> {
        self.0.iter().find_map(|shape| match shape {
            Shape::Headers(names) => Some(*names),
            _ => None,
        })
    }

    /// Parses a reply into objects whose values are as the server sent them. `headers` looks up a header by
    /// name.
    pub fn values<'h>(
        self,
        content_type: Option<&str>,
        body: &[u8],
        headers: impl Fn(&str) -> Option<&'h str>,
    ) -> Result<Vec<Value>> {
        if let Some(names) = self.headers() {
            let told =
                names.iter().filter_map(|name| Some(((*name).to_owned(), Value::from(headers(name)?))));
            return Ok(vec![Value::Object(told.collect())]);
        }
        let text = String::from_utf8_lossy(body);
        if self.has(Shape::Text) || self.has(Shape::Page) {
            return Ok(vec![Value::from(text.strip_suffix('\n').unwrap_or(&text))]);
        }
        if self.has(Shape::Form) {
            let pairs = text.trim().split('&').filter_map(|pair| pair.split_once('='));
            return Ok(vec![Value::Object(pairs.map(|(k, v)| (k.to_owned(), Value::from(v))).collect())]);
        }
        if !self.has(Shape::Object) && !self.has(Shape::Array) {
            return Ok(self.parse(content_type, body)?.iter().map(json::value).collect());
        }
        if body.trim_ascii().is_empty() {
            return Ok(Vec::new());
        }
        let value = if body.trim_ascii_start().starts_with(b"<") {
            spotcloud::parse(&text).map_err(|e| unreadable("XML", &e))?
        } else {
            serde_json::from_slice(body).map_err(|e| unreadable("JSON", &e))?
        };
        Ok(match value {
            Value::Array(all) if self.has(Shape::Array) => all,
            one => vec![one],
        })
    }

    /// Returns whether the reply is raw bytes, which are passed on and never parsed.
    pub fn is_binary(self) -> bool {
        self.0.contains(&Shape::Binary)
    }

    /// Returns the columns, if the reply is a list.
    pub fn columns(self) -> Option<&'static [&'static str]> {
        self.0.iter().find_map(|shape| match shape {
            Shape::List(columns) => Some(*columns),
            _ => None,
        })
    }

    /// Parses the objects or rows of a reply.
    ///
    /// # Errors
    /// A protocol error if the reply begins as JSON but is not valid, or if it is raw bytes.
    pub fn parse(self, content_type: Option<&str>, body: &[u8]) -> Result<Vec<Properties>> {
        if self.is_binary() {
            return Err(Error::new(Kind::Protocol, "the reply is bytes, not properties"));
        }
        if body.trim_ascii().is_empty() {
            return Ok(Vec::new());
        }
        let text = String::from_utf8_lossy(body);
        if is_json(content_type, body) {
            let objects = match self.columns() {
                Some(columns) => json::parse_list(body, columns),
                None => json::parse(body),
            };
            return objects
                .map_err(|e| Error::new(Kind::Protocol, format!("the reply is not valid JSON: {e}")));
        }
        Ok(match self.columns() {
            Some(columns) => text::parse_list(&text, columns),
            None => text::parse(&text),
        })
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|shape| shape.name()).collect();
        f.write_str(&names.join(" | "))
    }
}

fn unreadable(what: &str, why: &dyn fmt::Display) -> Error {
    Error::new(Kind::Protocol, format!("the reply is not valid {what}: {why}"))
}

/// Returns whether a reply is JSON: it must begin as JSON and must not be declared as plain text.
///
/// The declared type alone is not reliable. CloudSigma sends text whatever type it declares, and a proxy may
/// drop the header.
fn is_json(content_type: Option<&str>, body: &[u8]) -> bool {
    let plain = content_type.is_some_and(|t| t.trim_start().to_ascii_lowercase().starts_with("text/plain"));
    !plain && matches!(body.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Formats objects or rows for `--json`: one object per line, with its keys in the order of the reply.
pub fn print_lines(objects: &[Properties]) -> String {
    objects.iter().map(|object| json::print(object) + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIST: Output = Output(&[Shape::List(&["type", "resource"])]);

    #[test]
    fn a_reply_is_read_by_its_shape_and_format() {
        let rows = LIST.parse(Some("text/plain"), b"ip 192.168.0.1\nvlan x").unwrap();
        assert_eq!(
            print_lines(&rows),
            "{\"type\":\"ip\",\"resource\":\"192.168.0.1\"}\n{\"type\":\"vlan\",\"resource\":\"x\"}\n"
        );
        let json = br#"[{"type":"ip", "resource":"192.168.0.1"}, {"type":"vlan", "resource":"x"}]"#;
        assert_eq!(LIST.parse(Some("application/json; charset=utf-8"), json).unwrap(), rows);
        assert_eq!(LIST.parse(None, json).unwrap(), rows);
        let one = Output::PROPERTIES.parse(Some("application/json"), br#"{"size": 10}"#).unwrap();
        assert_eq!(print_lines(&one), "{\"size\":10}\n");
    }

    #[test]
    fn the_type_of_the_reply_may_be_wrong() {
        let one = Output::PROPERTIES.parse(Some("application/json"), b"name a\nsize 1").unwrap();
        assert_eq!(one[0].get("size"), Some("1"));
        let text = Output::PROPERTIES.parse(Some("Text/Plain"), b"{odd 1").unwrap();
        assert_eq!(text[0].get("{odd"), Some("1"));
        let error = Output::PROPERTIES.parse(Some("application/json"), b"{\"a\"").unwrap_err();
        assert_eq!(error.kind(), Kind::Protocol);
    }

    #[test]
    fn an_empty_reply_is_no_object() {
        let either = Output(&[Shape::Properties, Shape::None]);
        for body in [&b""[..], b"\n", b" \r\n"] {
            assert!(either.parse(None, body).unwrap().is_empty());
            assert!(LIST.parse(Some("application/json"), body).unwrap().is_empty());
        }
        assert!(Output::BINARY.parse(None, b"").is_err());
        assert_eq!(either.to_string(), "properties | none");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..100), json: bool) {
            let content_type = json.then_some("application/json");
            for output in [LIST, Output::PROPERTIES, Output::PROPERTIES_LIST, Output::NONE] {
                let _ = output.parse(content_type, &body);
            }
        }
    }
}
