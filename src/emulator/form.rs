//! The parameters of a request, from its query and from its body: a form, a multipart form (RFC 7578) or
//! JSON.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

/// Parameters by name. The body takes precedence over the query.
#[derive(Debug, Default)]
pub(super) struct Parameters(Map<String, Value>);

/// Why a body cannot be read, as a sentence.
#[derive(Debug)]
pub(super) enum Malformed {
    /// The media type is none of the three.
    Type(String),
    Body(String),
}

impl Parameters {
    pub(super) fn of_query(query: Option<&str>) -> Self {
        let mut parameters = Parameters::default();
        parameters.take_form(query.unwrap_or_default().as_bytes());
        parameters
    }

    /// Reads a query and a body. The media type of an empty body does not matter.
    pub(super) fn read(query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Result<Self, Malformed> {
        let mut parameters = Self::of_query(query);
        if body.is_empty() {
            return Ok(parameters);
        }
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match &*essence {
            "application/json" => match serde_json::from_slice(body) {
                Ok(Value::Object(object)) => parameters.0.extend(object),
                Ok(_) => return Err(Malformed::Body("the body is JSON but not an object".to_owned())),
                Err(error) => return Err(Malformed::Body(format!("the body is not JSON: {error}"))),
            },
            "application/x-www-form-urlencoded" => parameters.take_form(body),
            "multipart/form-data" => {
                let parts = parameter(kind, "boundary").filter(|boundary| !boundary.is_empty());
                let parts = parts.and_then(|boundary| parts_of(body, &boundary));
                let parts = parts.ok_or_else(|| {
                    Malformed::Body("the parts of the body cannot be told apart".to_owned())
                })?;
                parameters.0.extend(parts.into_iter().map(|(name, value)| (name, Value::String(value))));
            }
            _ => {
                let message = format!("{essence:?} is not supported; application/json is");
                return Err(Malformed::Type(message));
            }
        }
        Ok(parameters)
    }

    /// Returns a parameter as text, whatever its JSON type. An empty one counts as not sent.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(plain).filter(|text| !text.is_empty())
    }

    /// Returns a parameter as it was sent.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    fn take_form(&mut self, form: &[u8]) {
        for (name, value) in url::form_urlencoded::parse(form) {
            self.0.insert(name.into_owned(), Value::String(value.into_owned()));
        }
    }
}

/// Returns a value as text.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Returns a parameter that follows a header's first word, with or without quotes.
fn parameter(header: &str, name: &str) -> Option<String> {
    header.split(';').skip(1).find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// Returns name and value of each field of a multipart form, or `None` if the body is malformed.
fn parts_of(body: &[u8], boundary: &str) -> Option<Vec<(String, String)>> {
    let body = String::from_utf8_lossy(body);
    let delimiter = format!("--{boundary}");
    // The preamble before the first delimiter is ignored.
    let mut pieces = body.split(&*delimiter).skip(1);
    let mut fields = Vec::new();
    for piece in &mut pieces {
        if piece.starts_with("--") {
            return Some(fields);
        }
        let (head, value) = piece.split_once("\r\n\r\n")?;
        let disposition = head.lines().find(|line| {
            line.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case("content-disposition"))
        })?;
        fields.push((parameter(disposition, "name")?, value.strip_suffix("\r\n")?.to_owned()));
    }
    None
}
