//! Replies of `SpotCloud`: JSON or XML by the path's extension, and refusals in text (SpotCloud Buyer API
//! 1.2, 2.2.4).

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Response, StatusCode};
use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};
use serde::ser::{Serialize, Serializer};
use std::io;

/// Why a call failed. The manual has only these codes, and describes no body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: u16,
    text: String,
}

impl Refusal {
    pub(super) fn new(status: u16, text: impl Into<String>) -> Self {
        Refusal { status, text: text.into() }
    }

    pub(super) fn missing(what: &str) -> Self {
        Self::new(404, format!("There is no such {what}"))
    }

    pub(super) fn not_yours(what: &str) -> Self {
        Self::new(401, format!("This {what} is not yours"))
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

/// The body of a reply: an object whose fields keep their order, or a list of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Null,
    Text(String),
    Number(u64),
    Object(Vec<(&'static str, Node)>),
    List(Vec<Node>),
}

impl<T: Into<String>> From<T> for Node {
    fn from(text: T) -> Self {
        Node::Text(text.into())
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Null => to.serialize_unit(),
            Node::Text(text) => to.serialize_str(text),
            Node::Number(number) => to.serialize_u64(*number),
            Node::Object(fields) => to.collect_map(fields.iter().map(|(name, value)| (name, value))),
            Node::List(all) => to.collect_seq(all),
        }
    }
}

/// The format of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Xml,
}

impl Format {
    /// Returns a path's last word without its extension, and the format of the extension.
    pub(super) fn split(word: &str) -> Option<(&str, Format)> {
        let json = word.strip_suffix(".json").map(|name| (name, Format::Json));
        json.or_else(|| word.strip_suffix(".xml").map(|name| (name, Format::Xml)))
    }

    pub(super) fn respond(self, status: u16, node: &Node) -> Result<Response<Body>, Refusal> {
        Ok(match self {
            Format::Json => {
                respond(status, "application/json", serde_json::to_string(node).map_err(io::Error::from)?)
            }
            Format::Xml => respond(status, "application/xml", xml(node)?),
        })
    }
}

pub(super) fn respond(status: u16, kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn xml(node: &Node) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 1);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("utf-8"), None)))?;
    if let Node::List(all) = node {
        writer.write_event(Event::Start(BytesStart::new("list")))?;
        all.iter().try_for_each(|one| element(&mut writer, "object", one))?;
        writer.write_event(Event::End(BytesEnd::new("list")))?;
    } else {
        element(&mut writer, "object", node)?;
    }
    Ok(writer.into_inner())
}

/// Writes an element. A list is one element for each of its items, as the manual prints it for hardware
/// (4.2.6).
fn element(writer: &mut Writer<Vec<u8>>, name: &str, node: &Node) -> io::Result<()> {
    let text = match node {
        Node::List(all) => return all.iter().try_for_each(|one| element(writer, name, one)),
        Node::Object(fields) => {
            writer.write_event(Event::Start(BytesStart::new(name)))?;
            fields.iter().try_for_each(|(name, value)| element(writer, name, value))?;
            return writer.write_event(Event::End(BytesEnd::new(name)));
        }
        Node::Null => return writer.write_event(Event::Empty(BytesStart::new(name))),
        Node::Text(text) => text,
        Node::Number(number) => &number.to_string(),
    };
    writer.write_event(Event::Start(BytesStart::new(name)))?;
    writer.write_event(Event::Text(BytesText::new(text)))?;
    writer.write_event(Event::End(BytesEnd::new(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_xml_have_the_forms_and_the_order_of_the_manual() {
        let object = |cpu| {
            Node::Object(vec![("key", "a&b".into()), ("deadline", Node::Null), ("cpu", Node::Number(cpu))])
        };
        let text = |node: &Node| String::from_utf8(xml(node).unwrap()).unwrap();
        assert_eq!(
            text(&Node::List(vec![object(2)])),
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<list>\n <object>\n  <key>a&amp;b</key>\n  <deadline/>\n  \
             <cpu>2</cpu>\n </object>\n</list>"
        );
        let provider =
            Node::Object(vec![("id", "p".into()), ("hardware", Node::List(vec![object(1), object(2)]))]);
        assert_eq!(text(&provider).matches("<hardware>").count(), 2);
        assert_eq!(
            serde_json::to_string(&provider).unwrap(),
            r#"{"id":"p","hardware":[{"key":"a&b","deadline":null,"cpu":1},{"key":"a&b","deadline":null,"cpu":2}]}"#
        );
    }
}
