//! The typed parameters of a call (Joyent CloudAPI 6.5, "Content-Type").

use super::failure::{Code, Failure};
use crate::emulator::form::{Malformed, Parameters};
use axum::http::HeaderMap;
use serde_json::Value;

/// Parameters by name.
#[derive(Debug, Default)]
pub(super) struct Input(Parameters);

impl Input {
    pub(super) fn read(query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Result<Self, Failure> {
        Parameters::read(query, headers, body).map(Input).map_err(|malformed| match malformed {
            Malformed::Type(why) => Failure::new(Code::UNSUPPORTED_TYPE, why),
            Malformed::Body(why) => Failure::new(Code::BAD_REQUEST, why),
        })
    }

    /// Returns a parameter as text. An empty one counts as not sent.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.text(name)
    }

    /// Returns a required parameter.
    pub(super) fn required(&self, name: &str) -> Result<String, Failure> {
        self.text(name).ok_or_else(|| Failure::parameter(name))
    }

    /// Returns a whole number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let wrong = |text: &str| Failure::argument(format!("{name} is not a whole number: {text:?}"));
        self.text(name).map(|text| text.parse().map_err(|_| wrong(&text))).transpose()
    }

    /// Returns a boolean, which is false if it was not sent.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.text(name).as_deref() {
            Some("true" | "1") => Ok(true),
            None | Some("false" | "0") => Ok(false),
            Some(other) => Err(Failure::argument(format!("{name} is neither true nor false: {other:?}"))),
        }
    }

    /// Returns a list of words: a JSON list, a list of lists, either of them as a string, or words separated
    /// by commas.
    pub(super) fn words(&self, name: &str) -> Vec<String> {
        fn words(value: &Value) -> Vec<String> {
            match value {
                Value::Null => Vec::new(),
                Value::Array(all) => all.iter().flat_map(words).collect(),
                Value::String(text) => match serde_json::from_str(text) {
                    Ok(list @ Value::Array(_)) => words(&list),
                    _ => {
                        text.split(',').map(str::trim).filter(|w| !w.is_empty()).map(str::to_owned).collect()
                    }
                },
                other => vec![other.to_string()],
            }
        }
        self.value(name).map(words).unwrap_or_default()
    }

    /// Returns a parameter as it was sent.
    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.0.value(name)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter()
    }

    /// Returns the parameters with a prefix, under the rest of their names.
    pub(super) fn under(&self, prefix: &str) -> impl Iterator<Item = (&str, &Value)> {
        self.all().filter_map(move |(name, value)| {
            name.strip_prefix(prefix).filter(|name| !name.is_empty()).map(|name| (name, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header::CONTENT_TYPE;
    use serde_json::json;

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
            ("text/plain", "a=1", Code::UNSUPPORTED_TYPE),
            ("application/json", "[1]", Code::BAD_REQUEST),
            ("application/json", "{", Code::BAD_REQUEST),
            ("multipart/form-data", "--B--", Code::BAD_REQUEST),
            ("multipart/form-data; boundary=B", "--B\r\nno head", Code::BAD_REQUEST),
            ("multipart/form-data; boundary=B", "nothing", Code::BAD_REQUEST),
        ] {
            assert_eq!(read("", kind, body).unwrap_err().code, code, "{kind} {body}");
        }
    }

    #[test]
    fn values_have_their_types() {
        let input = read("n=-1&t=true&f=0&w=maybe&tag.a=b&tag.=c", "text/plain", "").unwrap();
        assert_eq!(input.number("n").unwrap_err().code, Code::INVALID_ARGUMENT);
        assert!(input.flag("t").unwrap() && !input.flag("f").unwrap() && !input.flag("absent").unwrap());
        assert_eq!(input.flag("w").unwrap_err().code, Code::INVALID_ARGUMENT);
        assert_eq!(input.required("absent").unwrap_err().code, Code::MISSING_PARAMETER);
        assert_eq!(input.under("tag.").collect::<Vec<_>>(), [("a", &Value::from("b"))]);
    }

    #[test]
    fn words_come_in_every_form() {
        for sent in [
            json!({"d": ["execname", "latency"]}),
            json!({"d": [["execname"], ["latency"]]}),
            json!({"d": "[\"execname\", \"latency\"]"}),
            json!({"d": "execname, latency"}),
        ] {
            let input = read("", "application/json", &sent.to_string()).unwrap();
            assert_eq!(input.words("d"), ["execname", "latency"], "{sent}");
        }
        assert!(read("", "application/json", "{\"d\": null}").unwrap().words("d").is_empty());
    }
}
