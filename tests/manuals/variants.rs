//! What follows from an exchange without being printed: the same request in the other forms that the manual allows, and those
//! that it refuses for every call.

use super::golden::{Exchange, Golden};
use super::node::{self, Form, Node};

/// The exchange, by the method that the client sends where another is printed, and with JSON where text is not the only format.
pub fn of(golden: &Golden, exchange: &Exchange) -> Vec<Exchange> {
    let mut all = vec![exchange.clone()];
    if let Some(method) = &exchange.sends {
        let mut sent = exchange.clone();
        sent.name += " as sent";
        sent.request.first = format!("{method} {}", exchange.path());
        all.push(sent);
    }
    all.extend(as_json(golden, exchange));
    all
}

/// The exchange with JSON asked for: an object for properties, an array for a list, with the numbers as numbers.
fn as_json(golden: &Golden, exchange: &Exchange) -> Option<Exchange> {
    let form = exchange.form();
    let text = matches!(form, Form::Properties | Form::Rows) && !exchange.answer.body.is_empty();
    let header = golden.json_headers.first().filter(|_| text && !exchange.is_error())?;
    let mut json = exchange.clone();
    json.name += " in JSON";
    json.request.headers.retain(|(name, _)| *name != header.0);
    json.request.headers.push(header.clone());
    let one = exchange.answer.header("x-elastic-output") == Some("properties");
    json.answer.headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    json.shape = Some(Form::Json);
    let Node::Array(items) = node::read(form, &exchange.answer.body)? else { return None };
    let items: Vec<Node> = items.into_iter().map(|item| typed(golden, exchange, item)).collect();
    let body = if one { items.into_iter().next()? } else { Node::Array(items) };
    json.answer.body = body.to_string();
    Some(json)
}

/// An object of text, or a row, as an object of JSON.
fn typed(golden: &Golden, exchange: &Exchange, item: Node) -> Node {
    let fields = match item {
        Node::Array(words) => exchange.columns.iter().cloned().zip(words).collect(),
        Node::Object(fields) => fields,
        other => return other,
    };
    let typed = |(key, value): (String, Node)| match value {
        Node::Text(text) if golden.numbers.contains(key.trim_start_matches('?')) && is_number(&text) => {
            (key, Node::Bare(text))
        }
        value => (key, value),
    };
    Node::Object(fields.into_iter().map(typed).collect())
}

fn is_number(text: &str) -> bool {
    text.starts_with("{int ") || (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Requests that are refused whatever the call: what is other about each, and the answer.
pub fn refused<'g>(golden: &'g Golden, exchange: &Exchange) -> Vec<(&'static str, Exchange, &'g Exchange)> {
    let mut all = Vec::new();
    if exchange.is_error() {
        return all;
    }
    if let (Some(refusal), true) = (&golden.unknown_login, exchange.path().starts_with("/my/")) {
        let mut other = exchange.clone();
        other.request.first = other.request.first.replacen("/my/", "/nobody/", 1);
        all.push(("for another login", other, refusal));
    }
    if let (Some(refusal), "POST") = (&golden.sent_as_get, exchange.method()) {
        let mut other = exchange.clone();
        other.request.first = format!("GET {}", exchange.path());
        other.request.body.clear();
        all.push(("as GET", other, refusal));
    }
    all
}
