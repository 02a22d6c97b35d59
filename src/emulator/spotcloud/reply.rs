//! Replies of SpotCloud: JSON or XML by the ending of the path, and refusals in text (SpotCloud Buyer API 1.2, 2.2.4).

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Response, StatusCode};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use serde_json::Value;
use std::io;

/// Why a call failed. The manual has these codes alone, and describes no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(status: u16, text: impl Into<String>) -> Self {
        Refusal { status, text: text.into() }
    }

    pub(super) fn missing(what: &str) -> Self {
        Self::new(404, format!("There is no such {what}"))
    }

    pub(super) fn response(&self) -> Response<Body> {
        let mut response = respond(self.status, "text/plain; charset=utf-8", format!("{}\n", self.text));
        let headers = response.headers_mut();
        if self.status == 401 {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("OAuth realm=\"SpotCloud\""));
        } else if self.status == 503 {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Refusal::new(500, error.to_string())
    }
}

/// The format of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Xml,
}

impl Format {
    /// A path's last word without its ending, and the format that it asks for.
    pub(super) fn split(word: &str) -> Option<(&str, Format)> {
        let json = word.strip_suffix(".json").map(|name| (name, Format::Json));
        json.or_else(|| word.strip_suffix(".xml").map(|name| (name, Format::Xml)))
    }

    /// An object, or a list of objects.
    pub(super) fn respond(self, status: u16, value: &Value) -> Response<Body> {
        match self {
            Format::Json => respond(status, "application/json", value.to_string()),
            Format::Xml => match xml(value) {
                Ok(text) => respond(status, "application/xml", text),
                Err(error) => Refusal::from(error).response(),
            },
        }
    }
}

pub(super) fn respond(status: u16, kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn xml(value: &Value) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 1);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)))?;
    match value {
        Value::Array(all) => {
            writer.write_event(Event::Start(BytesStart::new("list")))?;
            all.iter().try_for_each(|one| element(&mut writer, "object", one))?;
            writer.write_event(Event::End(BytesEnd::new("list")))?;
        }
        one => element(&mut writer, "object", one)?,
    }
    Ok(writer.into_inner())
}

/// An element. A list has one for each of its items, as the manual prints it for hardware (4.2.6).
fn element(writer: &mut Writer<Vec<u8>>, name: &str, value: &Value) -> io::Result<()> {
    let text = match value {
        Value::Array(all) => return all.iter().try_for_each(|one| element(writer, name, one)),
        Value::Object(fields) => {
            writer.write_event(Event::Start(BytesStart::new(name)))?;
            fields.iter().try_for_each(|(name, value)| element(writer, name, value))?;
            return writer.write_event(Event::End(BytesEnd::new(name)));
        }
        Value::Null => return writer.write_event(Event::Empty(BytesStart::new(name))),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    writer.write_event(Event::Start(BytesStart::new(name)))?;
    writer.write_event(Event::Text(BytesText::new(&text)))?;
    writer.write_event(Event::End(BytesEnd::new(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn xml_has_the_forms_of_the_manual() {
        let text = |value: &Value| String::from_utf8(xml(value).unwrap()).unwrap().replace(['\n', ' '], "");
        assert_eq!(
            text(&json!([{ "key": "a&b", "deadline": null, "cpu": 2 }])),
            "<?xmlversion=\"1.0\"encoding=\"utf-8\"?><list><object><cpu>2</cpu><deadline/><key>a&amp;b</key></object></list>"
        );
        assert_eq!(
            text(&json!({ "hardware": [{ "cpu": 1 }, { "cpu": 2 }] })),
            "<?xmlversion=\"1.0\"encoding=\"utf-8\"?><object><hardware><cpu>1</cpu></hardware><hardware><cpu>2</cpu>\
             </hardware></object>"
        );
    }
}
