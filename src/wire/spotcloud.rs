//! The XML of SpotCloud (SpotCloud Buyer API 1.2), which represents the same objects as its JSON.
//!
//! A reply is an `<object>` or a `<list>` of them. A child element is a value, as text. An empty element is
//! null. A repeated element, or one that contains objects, is a list. The manual prints one flat `<hardware>`
//! for what is a list in JSON (4.2.6), so `hardware` is always a list.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use serde_json::{Map, Value};

/// The element that is always a list.
const LISTED: &str = "hardware";

/// The deepest nesting that is accepted.
const DEEPEST: usize = 32;

/// An open element.
struct Open {
    name: String,
    text: String,
    /// Its child elements, in order.
    parts: Vec<(String, Value)>,
}

/// Parses a reply. Returns the reason if it is malformed.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<Open> = Vec::new();
    loop {
        match reader.read_event().map_err(|e| e.to_string())? {
            Event::Start(start) => {
                if open.len() == DEEPEST {
                    return Err("it is nested too deeply".to_owned());
                }
                let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                open.push(Open { name, text: String::new(), parts: Vec::new() });
            }
            Event::Text(piece) => {
                if let Some(inner) = open.last_mut() {
                    inner.text.push_str(&piece.decode().map_err(|e| e.to_string())?);
                }
            }
            Event::CData(piece) => {
                if let Some(inner) = open.last_mut() {
                    inner.text.push_str(&piece.decode().map_err(|e| e.to_string())?);
                }
            }
            Event::GeneralRef(entity) => {
                let Some(inner) = open.last_mut() else { continue };
                if let Some(c) = entity.resolve_char_ref().map_err(|e| e.to_string())? {
                    inner.text.push(c);
                } else {
                    let name = entity.decode().map_err(|e| e.to_string())?;
                    let known = resolve_predefined_entity(&name);
                    inner.text.push_str(known.ok_or_else(|| format!("the entity &{name}; is unknown"))?);
                }
            }
            Event::End(_) => {
                // The reader checks that the names match.
                let Some(done) = open.pop() else { return Err("an end tag has no start tag".to_owned()) };
                let (name, value) = (done.name.clone(), value(done));
                match open.last_mut() {
                    Some(outer) => outer.parts.push((name, value)),
                    None => return Ok(value),
                }
            }
            Event::Eof => return Err("it ends early".to_owned()),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

fn value(element: Open) -> Value {
    let Open { name, text, parts } = element;
    if name == "list" {
        return Value::Array(parts.into_iter().map(|(_, value)| value).collect());
    }
    if parts.is_empty() {
        let text = text.trim();
        return match text {
            "" if name == "object" => Value::Object(Map::new()),
            "" => Value::Null,
            text => Value::from(text),
        };
    }
    // `<hardware><object>…</object></hardware>` is a list, too.
    if name != "object" && parts.iter().all(|(inner, _)| inner == "object") {
        return Value::Array(parts.into_iter().map(|(_, value)| value).collect());
    }
    let mut object = Map::new();
    for (name, value) in parts {
        match object.get_mut(&name) {
            Some(Value::Array(all)) => all.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None if name == LISTED && !value.is_array() => {
                let all = if value.is_null() { Vec::new() } else { vec![value] };
                object.insert(name, Value::Array(all));
            }
            None => {
                object.insert(name, value);
            }
        }
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn xml_reads_as_the_json_would() {
        let list = "<?xml version=\"1.0\"?>\n<list>\n <object><key>a</key><name>A &amp; B &#233;</name><ip/></object>\n \
                    <object><key>b</key><deadline></deadline></object>\n</list>";
        assert_eq!(
            parse(list).unwrap(),
            json!([{ "key": "a", "name": "A & B é", "ip": null }, { "key": "b", "deadline": null }])
        );
        assert_eq!(parse("<list/>").unwrap(), json!([]));
        assert_eq!(parse("<object></object>").unwrap(), json!({}));
        assert_eq!(parse("<object><name><![CDATA[<x>]]></name></object>").unwrap(), json!({ "name": "<x>" }));
    }

    #[test]
    fn hardware_is_a_list_in_every_form() {
        let one = json!({ "key": "p", "hardware": [{ "cpu": "1" }] });
        assert_eq!(parse("<object><key>p</key><hardware><cpu>1</cpu></hardware></object>").unwrap(), one);
        let nested = "<object><key>p</key><hardware><object><cpu>1</cpu></object></hardware></object>";
        assert_eq!(parse(nested).unwrap(), one);
        let two = "<object><hardware><cpu>1</cpu></hardware><hardware><cpu>2</cpu></hardware></object>";
        assert_eq!(parse(two).unwrap(), json!({ "hardware": [{ "cpu": "1" }, { "cpu": "2" }] }));
        assert_eq!(parse("<object><hardware/></object>").unwrap(), json!({ "hardware": [] }));
    }

    #[test]
    fn what_is_no_xml_is_refused() {
        for bad in ["", "x", "<list>", "<list></object>", "<a>&nosuch;</a>", "{}", &"<a>".repeat(100)] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[<>a-z/&;#! ]{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn any_value_comes_through(value in "[^\\p{C}\\s]{1,20}") {
            let xml = format!("<object><name>{}</name></object>", quick_xml::escape::escape(&*value));
            prop_assert_eq!(parse(&xml).unwrap(), json!({ "name": value }));
        }
    }
}
