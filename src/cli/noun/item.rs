//! An object as a provider sent it: properties in their original order, or JSON.

use super::Cell;
use crate::cli::account::values_of;
use crate::cli::output::{Output, bytes};
use crate::cli::values;
use crate::error::Result;
use crate::escape;
use crate::provider::catalogue::{Arguments, Call};
use crate::provider::id::ObjectId;
use crate::transport::client::Reply;
use crate::wire::elastic::{Properties, parse_size};
use serde_json::Value;

/// Prints keys and values in aligned columns.
fn show_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone, output: &Output) -> Result<()> {
    let widest = pairs.clone().map(|(key, _)| escape::line(key).chars().count()).max().unwrap_or(0);
    pairs.into_iter().try_for_each(|(key, value)| {
        let key = escape::line(key);
        let readable = match (&*key, value.parse()) {
            ("size", Ok(size)) if size >= 1024 => format!(" ({})", bytes(size)),
            _ => String::new(),
        };
        output.data(format!("{key:widest$} {value}{readable}").trim_end())
    })
}

/// An object as a provider sent it.
#[derive(Clone, Debug)]
pub enum Item {
    Flat(Properties),
    Json(Value),
}

impl Item {
    /// Returns the objects of a reply.
    pub fn of_reply(call: &Call, reply: &Reply) -> Result<Vec<Self>> {
        if call.output.is_json() {
            let values = values_of(call, reply)?;
            return Ok(values.into_iter().map(Item::Json).collect());
        }
        let objects = call.output.parse(Some(&reply.content_type), &reply.body)?;
        Ok(objects.into_iter().map(Item::Flat).collect())
    }

    /// Returns the value of a key as text. It is empty if the key is missing or its value is nested.
    pub fn text(&self, key: &str) -> String {
        match self {
            Item::Flat(object) => object.get(key).unwrap_or_default().to_owned(),
            Item::Json(value) => values::text(value, key),
        }
    }

    /// Returns the values of a key that holds a list.
    pub fn words(&self, key: &str) -> Vec<String> {
        match self {
            Item::Flat(object) => {
                object.get(key).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
            }
            Item::Json(value) => values::words(value, key),
        }
    }

    /// Returns the keys and their values as text.
    pub fn pairs(&self) -> Vec<(String, String)> {
        match self {
            Item::Flat(object) => {
                object.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
            }
            Item::Json(value) => values::flat(value),
        }
    }

    /// Returns the object's id, which is the value of `key`. `what` names the kind of object in errors.
    ///
    /// # Errors
    /// A protocol error if the key is missing or its value is not a valid id.
    pub fn id(&self, what: &str, key: &str) -> Result<ObjectId> {
        ObjectId::from_server(what, &self.text(key))
    }

    /// Returns the id of a newly created object, like [`Item::id`]. An id that the caller chose is taken from
    /// the request.
    pub fn made(&self, what: &str, key: &str, given: &Arguments) -> Result<String> {
        match given.keys.get(key).filter(|chosen| !chosen.is_empty()) {
            Some(chosen) => Ok(chosen.to_owned()),
            None => self.id(what, key).map(String::from).map_err(|error| {
                let error = error.context(format_args!("the {what} was made"));
                error.hint("list what is there before you run the command again: it would make a second one")
            }),
        }
    }

    /// Prints the object as a line of JSON.
    pub fn print(&self, event: &str, output: &Output) -> Result<()> {
        match self {
            Item::Flat(object) => output.object(event, object),
            Item::Json(value) => output.value(event, value),
        }
    }

    /// Prints all keys of the object: one per line, or as a line of JSON.
    pub fn show(&self, event: &str, output: &Output) -> Result<()> {
        if output.is_json() {
            return self.print(event, output);
        }
        // An object may have a hundred thousand keys, so avoid copying them.
        match self {
            Item::Flat(object) => show_pairs(output.shown(object).iter(), output),
            Item::Json(value) => {
                let pairs = values::flat(&output.shown_value(value));
                show_pairs(pairs.iter().map(|(key, value)| (&**key, &**value)), output)
            }
        }
    }

    /// Returns the object as it may be shown, with its secrets hidden unless they were asked for.
    pub fn shown(&self, output: &Output) -> Self {
        match self {
            Item::Flat(object) => Item::Flat(output.shown(object).into_owned()),
            Item::Json(value) => Item::Json(output.shown_value(value).into_owned()),
        }
    }

    /// Returns the text of a column for this object.
    pub fn cell(&self, cell: &Cell) -> String {
        let sized = |key: &str, shift: u32| {
            let text = self.text(key);
            let size = parse_size(&text).and_then(|size| size.checked_mul(1 << shift));
            size.map_or(text, bytes)
        };
        match cell {
            Cell::Text(key) | Cell::Number(key) | Cell::Id(key) => self.text(key),
            Cell::Bytes(key) => sized(key, 0),
            Cell::Megabytes(key) => sized(key, 20),
            Cell::Age(key) => values::age(&self.text(key), values::now()),
            Cell::Own(cell) => cell(self),
        }
    }
}
