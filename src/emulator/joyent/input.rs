//! What a call is given: the parameters of the query and of the body together, the body's winning (Joyent CloudAPI 6.5,
//! "Content-Type"). A body is JSON, a form, or a form in parts.

use super::failure::{Code, Failure};
use crate::emulator::form::{boundary, parts};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

/// The parameters by their names.
#[derive(Debug, Default)]
pub(super) struct Input(Map<String, Value>);

impl Input {
    /// Reads a query and a body. Where there is no body its type does not matter.
    pub(super) fn read(query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Result<Self, Failure> {
        let mut input = Input::default();
        input.take_form(query.unwrap_or_default().as_bytes());
        if body.is_empty() {
            return Ok(input);
        }
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match &*essence {
            "application/json" => input.take_json(body)?,
            "application/x-www-form-urlencoded" => input.take_form(body),
            "multipart/form-data" => {
                let malformed = || bad("the parts of the body cannot be told apart");
                let boundary = boundary(kind).ok_or_else(malformed)?;
                for (name, value) in parts(body, &boundary).ok_or_else(malformed)? {
                    input.0.insert(name, Value::String(value));
                }
            }
            _ => {
                let message = format!("{essence:?} is not supported; application/json is");
                return Err(Failure::new(Code::UnsupportedMediaType, message));
            }
        }
        Ok(input)
    }

    /// A parameter as text, whatever JSON has it as. One that is empty was not sent.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(plain).filter(|text| !text.is_empty())
    }

    /// A parameter that has to be sent.
    pub(super) fn required(&self, name: &str) -> Result<String, Failure> {
        self.text(name).ok_or_else(|| Failure::parameter(name))
    }

    /// A whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let wrong = |text: &str| Failure::argument(format!("{name} is no whole number: {text:?}"));
        self.text(name).map(|text| text.parse().map_err(|_| wrong(&text))).transpose()
    }

    /// A truth value; false where it was not sent.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.text(name).as_deref() {
            Some("true" | "1") => Ok(true),
            None | Some("false" | "0") => Ok(false),
            Some(other) => Err(Failure::argument(format!("{name} is neither true nor false: {other:?}"))),
        }
    }

    /// A parameter as it came.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All parameters.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// The parameters whose names begin with a prefix, under the rest of their names.
    pub(super) fn under(&self, prefix: &str) -> impl Iterator<Item = (&str, &Value)> {
        self.all().filter_map(move |(name, value)| {
            name.strip_prefix(prefix).filter(|name| !name.is_empty()).map(|name| (name, value))
        })
    }

    fn take_form(&mut self, form: &[u8]) {
        for (name, value) in url::form_urlencoded::parse(form) {
            self.0.insert(name.into_owned(), Value::String(value.into_owned()));
        }
    }

    fn take_json(&mut self, body: &[u8]) -> Result<(), Failure> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => self.0.extend(object),
            Ok(_) => return Err(bad("the body is JSON but no object")),
            Err(error) => return Err(bad(&format!("the body is not JSON: {error}"))),
        }
        Ok(())
    }
}

/// A value as text.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn bad(message: &str) -> Failure {
    Failure::new(Code::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str, kind: &str, body: &str) -> Result<Input, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        Input::read(Some(query), &headers, body.as_bytes())
    }

    #[test]
    fn every_encoding_gives_the_same_and_wins_over_the_query() {
        let parts = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none two\r\n\
                     --B\r\ncontent-disposition: form-data; name=b\r\nContent-Type: text/plain\r\n\r\n2\r\n--B--\r\n";
        for (kind, body) in [
            ("application/json", "{\"a\": \"one two\", \"b\": 2}"),
            ("application/json; charset=UTF-8", "{\"a\": \"one two\", \"b\": \"2\"}"),
            ("application/x-www-form-urlencoded", "a=one+two&b=%32"),
            ("multipart/form-data; boundary=B", parts),
            ("multipart/form-data; charset=utf-8; Boundary=\"B\"", parts),
        ] {
            let input = read("b=3&c=4&d=", kind, body).unwrap();
            assert_eq!(input.text("a").as_deref(), Some("one two"), "{kind}");
            assert_eq!(input.number("b").unwrap(), Some(2), "{kind}");
            assert_eq!(input.text("c").as_deref(), Some("4"));
            assert_eq!(input.text("d"), None);
        }
        assert_eq!(read("b=3", "text/plain", "").unwrap().number("b").unwrap(), Some(3));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (kind, body, code) in [
            ("text/plain", "a=1", Code::UnsupportedMediaType),
            ("application/json", "[1]", Code::BadRequest),
            ("application/json", "{", Code::BadRequest),
            ("multipart/form-data", "--B--", Code::BadRequest),
            ("multipart/form-data; boundary=B", "--B\r\nno head", Code::BadRequest),
            ("multipart/form-data; boundary=B", "nothing", Code::BadRequest),
        ] {
            assert_eq!(read("", kind, body).unwrap_err().code, code, "{kind} {body}");
        }
    }

    #[test]
    fn values_have_their_types() {
        let input = read("n=-1&t=true&f=0&w=maybe&tag.a=b&tag.=c", "text/plain", "").unwrap();
        assert_eq!(input.number("n").unwrap_err().code, Code::InvalidArgument);
        assert!(input.flag("t").unwrap() && !input.flag("f").unwrap() && !input.flag("absent").unwrap());
        assert_eq!(input.flag("w").unwrap_err().code, Code::InvalidArgument);
        assert_eq!(input.required("absent").unwrap_err().code, Code::MissingParameter);
        assert_eq!(input.under("tag.").collect::<Vec<_>>(), [("a", &Value::from("b"))]);
    }
}
