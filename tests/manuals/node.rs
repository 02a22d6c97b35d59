//! Bodies as values: text, JSON, XML and forms read into one tree that keeps the order of the keys, and compared with what
//! the manual prints. It shares nothing with the program: what both sides share, both can get wrong together.

use super::template::{self, Names};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

type Fields = Vec<(String, Node)>;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Object(Fields),
    Array(Vec<Node>),
    Text(String),
    /// A number, `true`, `false` or `null` as JSON has them.
    Bare(String),
}

/// As JSON.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
        match self {
            Node::Object(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|(key, node)| format!("{}: {node}", text(key))).collect();
                write!(f, "{{{}}}", fields.join(", "))
            }
            Node::Array(items) => {
                let items: Vec<String> = items.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", items.join(", "))
            }
            Node::Text(own) => f.write_str(&text(own)),
            Node::Bare(own) => f.write_str(own),
        }
    }
}

/// The forms that bodies have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Objects of lines KEY VALUE, blank lines between them.
    Properties,
    /// Lines of words.
    Rows,
    Json,
    Xml,
    /// `a=b&c=d`.
    Urlencoded,
    /// A text of its own, or bytes.
    Plain,
}

/// Reads a body; `None` if it does not have the form.
pub fn read(form: Form, body: &str) -> Option<Node> {
    Some(match form {
        Form::Properties => Node::Array(properties(body)),
        Form::Rows => Node::Array(
            body.lines()
                .map(|line| Node::Array(template::words(line).into_iter().map(Node::Text).collect()))
                .collect(),
        ),
        Form::Json => serde_json::from_str::<Node>(&quoted(body)).ok()?,
        Form::Xml => xml(body)?,
        Form::Urlencoded => {
            let pairs = body.split('&').filter(|pair| !pair.is_empty());
            let pairs = pairs.map(|pair| pair.split_once('='));
            let pairs: Option<Vec<_>> = pairs.collect();
            Node::Object(pairs?.into_iter().map(|(k, v)| (decoded(k), Node::Text(decoded(v)))).collect())
        }
        Form::Plain => Node::Text(body.to_owned()),
    })
}

fn properties(body: &str) -> Vec<Node> {
    let mut objects = vec![Vec::new()];
    for line in body.lines() {
        if line.is_empty() {
            objects.push(Vec::new());
        } else if let Some(object) = objects.last_mut() {
            let (key, value) = template::first_word(line);
            object.push((key.to_owned(), Node::Text(value.to_owned())));
        }
    }
    objects.into_iter().filter(|object| !object.is_empty()).map(Node::Object).collect()
}

/// What a placeholder of the file that stands for a number becomes, so that the text around it is JSON.
const NUMBER: &str = "\u{1}";

/// The text with quotes around the placeholders that stand outside of strings.
fn quoted(text: &str) -> String {
    let (mut out, mut inside, mut escaped, mut open) = (String::new(), false, false, false);
    for (at, letter) in text.char_indices() {
        if inside {
            inside = letter != '"' || escaped;
            escaped = letter == '\\' && !escaped;
        } else if letter == '"' {
            inside = true;
        } else if letter == '{' && text[at + 1..].starts_with(|c: char| c.is_ascii_lowercase()) {
            out.push_str("\"\\u0001");
            open = true;
        } else if letter == '}' && open {
            out.push_str("}\"");
            open = false;
            continue;
        }
        out.push(letter);
    }
    out
}

pub fn decoded(word: &str) -> String {
    let bytes = word.replace('+', " ").into_bytes();
    let mut out = Vec::new();
    let mut rest = &*bytes;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let encoded = digits.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| *first == b'%');
        out.push(encoded.unwrap_or(*first));
        rest = if encoded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An element without elements in it is a text; those with elements in them are an array of objects, as `hardware` is in the JSON
/// of the same call (SpotCloud Buyer API 1.2, 4.2.5 and 4.2.6); `list` is an array.
fn xml(body: &str) -> Option<Node> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(body);
    let mut open: Vec<(String, String, Fields)> = Vec::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) => {
                let name = String::from_utf8(tag.name().as_ref().to_vec()).ok()?;
                open.push((name, String::new(), Vec::new()));
            }
            Event::Empty(tag) => {
                let name = String::from_utf8(tag.name().as_ref().to_vec()).ok()?;
                open.last_mut()?.2.push((name, Node::Text(String::new())));
            }
            Event::Text(text) => {
                if let Some((_, own, _)) = open.last_mut() {
                    own.push_str(&text.decode().ok()?);
                }
            }
            Event::GeneralRef(name) => {
                let name = name.decode().ok()?.into_owned();
                open.last_mut()?.1.push_str(quick_xml::escape::resolve_predefined_entity(&name)?);
            }
            Event::End(_) => {
                let (name, text, inner) = open.pop()?;
                let node = match (&*name, inner.is_empty()) {
                    ("list", _) => Node::Array(inner.into_iter().map(|(_, node)| node).collect()),
                    (_, true) => Node::Text(text),
                    _ => Node::Object(gathered(inner)),
                };
                match open.last_mut() {
                    Some((_, _, inner)) => inner.push((name, node)),
                    None => return Some(node),
                }
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// The fields with all objects of a name in one array.
fn gathered(fields: Fields) -> Fields {
    let mut out = Fields::new();
    for (name, node) in fields {
        let last = out.iter_mut().find(|(other, _)| *other == name).map(|(_, node)| node);
        match (last, node) {
            (Some(Node::Array(all)), node) => all.push(node),
            (_, node @ Node::Object(_)) => out.push((name, Node::Array(vec![node]))),
            (_, node) => out.push((name, node)),
        }
    }
    out
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = from.next_entry()? {
                    entries.push(entry);
                }
                Ok(Node::Object(entries))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = from.next_element()? {
                    items.push(item);
                }
                Ok(Node::Array(items))
            }
            fn visit_str<E>(self, text: &str) -> Result<Node, E> {
                Ok(match text.strip_prefix(NUMBER) {
                    Some(placeholder) => Node::Bare(placeholder.to_owned()),
                    None => Node::Text(text.to_owned()),
                })
            }
            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Bare(value.to_string()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Bare(value.to_string()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Bare(value.to_string()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
                Ok(Node::Bare(value.to_string()))
            }
            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(null())
            }
        }
        from.deserialize_any(Values)
    }
}

/// How values are compared.
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// The keys of an object stand in the order of the manual.
    pub ordered: bool,
    /// An array may have any number of values, each as one of those that are printed.
    pub any_number: bool,
    /// Only what is printed is looked at: there may be more keys, and more values in an array.
    pub open: bool,
    /// A number may be a text and the other way round; null and an empty text are a key that is not there.
    pub loose: bool,
}

/// What differs between the manual's value, with placeholders and with `?` before the keys that need not be there and `*` before one that
/// stands for any number of keys, and a value.
pub fn differences(wanted: &Node, got: &Node, rules: Rules, names: &mut Names) -> Vec<String> {
    let mut found = Vec::new();
    compare("", wanted, got, rules, names, &mut found);
    found
}

fn compare(at: &str, wanted: &Node, got: &Node, rules: Rules, names: &mut Names, found: &mut Vec<String>) {
    let (wanted_node, got_node) = (wanted, got);
    match (wanted, got) {
        (Node::Text(wanted) | Node::Bare(wanted), Node::Text(got) | Node::Bare(got))
            if rules.loose || std::mem::discriminant(wanted_node) == std::mem::discriminant(got_node) =>
        {
            if !template::matches(wanted, got, names) {
                // Of many values the one that was met says little, and another may be met the next time.
                let got = if at.contains("[]") { String::new() } else { shown(got) + ", " };
                found.push(format!("{at}: {got}not {wanted}"));
            }
        }
        (Node::Array(wanted), Node::Array(got)) if rules.any_number && !wanted.is_empty() => {
            if got.is_empty() {
                found.push(format!("{at}[]: empty"));
            }
            for got in got {
                let mut best: Option<(Vec<String>, Names)> = None;
                for wanted in wanted {
                    let (mut names, mut found) = (names.clone(), Vec::new());
                    compare(&format!("{at}[]"), wanted, got, rules, &mut names, &mut found);
                    if best.as_ref().is_none_or(|(fewest, _)| found.len() < fewest.len()) {
                        best = Some((found, names));
                    }
                }
                let (differences, with) = best.expect("something is printed");
                if differences.is_empty() {
                    *names = with;
                }
                found.extend(differences.into_iter().filter(|d| !found.contains(d)).collect::<Vec<_>>());
            }
        }
        (Node::Array(wanted), Node::Array(got)) => {
            if wanted.len() > got.len() || (wanted.len() < got.len() && !rules.open) {
                found.push(format!("{at}[]: {} of them, not {}", got.len(), wanted.len()));
            }
            for (number, (wanted, got)) in wanted.iter().zip(got).enumerate() {
                compare(&format!("{at}[{number}]"), wanted, got, rules, names, found);
            }
        }
        (Node::Object(wanted), Node::Object(got)) => objects(at, wanted, got, rules, names, found),
        (wanted, got) => found.push(format!("{at}: {}, not {}", kind(got), kind(wanted))),
    }
}

fn objects(
    at: &str,
    wanted: &[(String, Node)],
    got: &[(String, Node)],
    rules: Rules,
    names: &mut Names,
    found: &mut Vec<String>,
) {
    let there =
        |node: &Node| !rules.loose || !matches!(node, Node::Text(text) if text.is_empty()) && *node != null();
    let mut left: Vec<(usize, &(String, Node))> =
        got.iter().enumerate().filter(|(_, (_, node))| there(node)).collect();
    let mut order = Vec::new();
    for (key, value) in wanted {
        if let Some(key) = key.strip_prefix('*') {
            let (fitting, others): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|(_, (name, _))| template::matches(key, name, &mut names.clone()));
            left = others;
            if fitting.is_empty() {
                found.push(format!("{at} {key}: missing"));
            }
            for (_, (_, got)) in fitting {
                compare(&format!("{at} []"), value, got, rules, &mut names.clone(), found);
            }
            continue;
        }
        let (key, marked) = key.strip_prefix('?').map_or((&**key, false), |key| (key, true));
        let anything = |node: &Node| matches!(node, Node::Text(text) if text.starts_with("{any "));
        let optional = marked || (rules.loose && anything(value));
        match left.iter().position(|(_, (name, _))| template::matches(key, name, names)) {
            Some(at_left) => {
                let (place, (name, got)) = left.remove(at_left);
                order.push(place);
                compare(&format!("{at} {name}"), value, got, rules, names, found);
            }
            None if optional => {}
            None => found.push(format!("{at} {key}: missing")),
        }
    }
    if rules.open {
        return;
    }
    found.extend(left.iter().map(|(_, (name, _))| format!("{at} {name}: not in the manual")));
    if rules.ordered && !order.is_sorted() {
        found.push(format!("{at}: the keys are in another order"));
    }
}

fn null() -> Node {
    Node::Bare("null".to_owned())
}

fn kind(node: &Node) -> &'static str {
    match node {
        Node::Object(_) => "an object",
        Node::Array(_) => "an array",
        Node::Text(_) => "a text",
        Node::Bare(_) => "a number, true, false or null",
    }
}

/// A value as it is named in a difference, which is to be the same in every run.
fn shown(got: &str) -> String {
    let mut names = Names::default();
    for (kind, name) in [("uuid", "a UUID"), ("ip", "an address"), ("time", "a time"), ("url", "a URL")] {
        if template::matches(&format!("{{{kind} x}}"), got, &mut names) {
            return name.to_owned();
        }
    }
    format!("{got:?}")
}

#[test]
fn differences_are_named() {
    let read = |text| read(Form::Json, text).unwrap();
    let found = |wanted, got, rules| differences(&read(wanted), &read(got), rules, &mut Names::default());
    let rules = Rules::default();
    assert_eq!(found("{\"a\": {int 5}, \"?b\": 1}", "{\"a\": 7}", rules), [""; 0]);
    assert_eq!(
        found("{\"a\": {int 5}}", "{\"a\": \"7\"}", rules),
        [" a: a text, not a number, true, false or null"]
    );
    assert_eq!(found("{\"a\": \"x\"}", "{\"b\": 1}", rules), [" a: missing", " b: not in the manual"]);
    assert_eq!(found("[{\"a\": 1}]", "[]", rules), ["[]: 0 of them, not 1"]);
    let many = Rules { any_number: true, ..rules };
    assert_eq!(found("[{\"a\": 1}]", "[]", many), ["[]: empty"]);
    assert_eq!(found("[1, 2]", "[2, 1, 2, 3]", many), ["[]: not 1"]);
    let ordered = Rules { ordered: true, ..rules };
    assert_eq!(found("{\"a\": 1, \"b\": 2}", "{\"b\": 2, \"a\": 1}", rules), [""; 0]);
    assert_eq!(
        found("{\"a\": 1, \"b\": 2}", "{\"b\": 2, \"a\": 1}", ordered),
        [": the keys are in another order"]
    );
}
