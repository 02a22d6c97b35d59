//! Requests, built from a row of the catalogue and the user's arguments.

use super::key::Key;
use super::warning::Warning;
use super::{Call, Input, Method, Output, Repeat, Shape, ValueKind, nearest, path, secret};
use crate::provider::Provider;
use crate::wire::elastic::{Properties, json, parse_size, text};
use crate::wire::percent::encode;
use crate::{Error, Result};
use bytes::Bytes;
use serde_json::Value;
use std::fmt;

/// The user's arguments for a call.
#[derive(Clone, Default)]
pub struct Arguments {
    /// The arguments of the path, in the order of its placeholders.
    pub path: Vec<String>,
    pub keys: Properties,
    /// The body: the bytes of a binary call, or properties as text or JSON, to which `keys` are added.
    pub body: Option<Bytes>,
    /// Whether to request JSON, if the provider supports it.
    pub json: bool,
    /// The format of the reply, if the provider lets it be chosen.
    pub format: Option<Format>,
    /// Whether to send the method that the manual documents, even if real servers are known to expect
    /// another.
    pub as_printed: bool,
}

/// A format in which a reply can be requested (SpotCloud Buyer API 1.2, 2.1.1: `list.{json|xml}`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Json,
    Xml,
}

impl Format {
    /// Returns the format's name, which is also the extension of the path.
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Xml => "xml",
        }
    }
}

impl std::str::FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Format::Json, Format::Xml]
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| Error::usage(format!("expected `json` or `xml`, got `{name}`")))
    }
}

impl Arguments {
    /// Parses the words of a command line. A word with `=` in it is a key with its value; any other is an
    /// argument of the path.
    pub fn from_words<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut new = Self::default();
        for word in words {
            let word = word.as_ref();
            match word.split_once('=') {
                None => new.path.push(word.to_owned()),
                Some((key, _)) if new.keys.contains(key) => {
                    return Err(Error::usage(format!("the key `{key}` is given twice")));
                }
                Some((key, value)) => new.keys.set(key, value),
            }
        }
        Ok(new)
    }
}

/// Omits the values, which may be passwords.
impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arguments")
            .field("path", &self.path)
            .field("keys", &self.keys.iter().map(|(key, _)| key).collect::<Vec<_>>())
            .field("body", &self.body.as_ref().map(Bytes::len))
            .field("json", &self.json)
            .field("format", &self.format)
            .field("as_printed", &self.as_printed)
            .finish()
    }
}

/// A request as plain data: what to send, and how to read the reply.
#[derive(Clone)]
pub struct Request {
    pub call: &'static Call,
    pub method: Method,
    /// The path below the provider's URL, percent-encoded, beginning with a slash.
    pub path: String,
    /// The body. It is empty for a call that changes something and takes no input, which is sent with
    /// `Content-Length: 0`.
    pub body: Option<Bytes>,
    /// The body's `Content-Type`.
    pub content_type: Option<&'static str>,
    /// The value of the `Accept` header.
    pub accept: &'static str,
    /// Whether the request may be sent again after a failure.
    pub repeat: Repeat,
    /// The shape of the reply.
    pub output: Output,
    /// The number of bytes that a read of a drive requests, if it names one. A shorter reply is incomplete.
    pub expects: Option<u64>,
    /// Oddities of the request that do not prevent it from being sent.
    pub warnings: Vec<Warning>,
}

impl Request {
    /// Returns whether a reply's status means that the call was carried out.
    ///
    /// Accepts the manual's own codes, and for everything but reads of a drive also the similar codes that
    /// real servers send instead (CloudSigma API 1.0, 8.11: 200 in the table, 204 in the example).
    pub fn succeeded(&self, status: u16) -> bool {
        self.call.success.contains(&status)
            || (!self.output.is_binary() && matches!(status, 200 | 201 | 202 | 204))
    }
}

/// Omits the body, which may contain a password.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("call", &self.call.id)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("body", &self.body.as_ref().map(Bytes::len))
            .field("content_type", &self.content_type)
            .field("accept", &self.accept)
            .field("repeat", &self.repeat)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// Encodes properties as a URL's query or as a form's body.
fn urlencoded(object: &Properties) -> String {
    let pairs: Vec<String> =
        object.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

/// Returns whether the provider supports `application/json` (CloudSigma API 1.0, 4: text only).
pub(super) fn has_json(provider: Provider) -> bool {
    !matches!(provider, Provider::CloudSigma)
}

impl Call {
    /// Returns the request for these arguments.
    ///
    /// # Errors
    /// A usage error that names what is wrong with the arguments.
    pub fn request(&'static self, given: &Arguments) -> Result<Request> {
        let format = given.format.unwrap_or_default();
        if given.format.is_some() && !self.path.contains("{FORMAT}") {
            return Err(Error::usage(format!("the reply of {} has one format only", self.id)));
        }
        let mut path = path::fill(self.id, self.path, &given.path, format.name())?;
        let mut warnings = Vec::new();
        let (body, content_type) = match self.input {
            Input::None => (self.no_input(given)?, None),
            Input::Query(_) => {
                let query = urlencoded(&self.properties_input(given, &mut warnings)?);
                if !query.is_empty() {
                    path.push(if path.contains('?') { '&' } else { '?' });
                    path.push_str(&query);
                }
                (self.empty_body(given), None)
            }
            Input::Form(_) => {
                let form = urlencoded(&self.properties_input(given, &mut warnings)?);
                (Some(form.into()), Some("application/x-www-form-urlencoded"))
            }
            Input::Json(_) => {
                let object = self.json_input(given, &mut warnings)?;
                (Some(object.to_string().into()), Some("application/json"))
            }
            Input::Binary => (Some(self.binary_input(given)?), Some("application/octet-stream")),
            Input::Properties(_) | Input::Changes(_) => {
                let object = self.properties_input(given, &mut warnings)?;
                let (body, content_type) = self.encode(&object, &mut warnings);
                (Some(body), Some(content_type))
            }
        };
        let accept = match () {
            () if self.output.is_binary() => "*/*",
            () if self.path.contains("{FORMAT}") && format == Format::Xml => "application/xml",
            () if self.output.has(Shape::Text) => "text/plain",
            () if matches!(self.provider, Provider::SpotCloud | Provider::Joyent) => "application/json",
            () if given.json && has_json(self.provider) => "application/json",
            () => "text/plain",
        };
        Ok(Request {
            call: self,
            method: if given.as_printed { self.method } else { self.sends },
            path,
            body,
            content_type,
            accept,
            repeat: self.repeat,
            output: self.output,
            expects: self.expected_bytes(given),
            warnings,
        })
    }

    /// Checks keys that will be part of a later request and replaces them by what will be sent. Missing keys
    /// are not an error.
    pub fn check_keys(&self, keys: &mut [(String, String)]) -> Result<Vec<Warning>> {
        let mut warnings = Vec::new();
        for (key, value) in keys {
            (*key, *value) = self.check(key, value, &mut warnings)?;
        }
        Ok(warnings)
    }

    fn expected_bytes(&self, given: &Arguments) -> Option<u64> {
        if !self.output.is_binary() {
            return None;
        }
        let size = path::placeholders(self.path).iter().position(|(name, _)| *name == "SIZE")?;
        parse_size(given.path.get(size)?)
    }

    fn no_input(&self, given: &Arguments) -> Result<Option<Bytes>> {
        if let Some((key, _)) = given.keys.iter().next() {
            return Err(Error::usage(format!("{} takes no keys, got `{key}`", self.id)));
        }
        if given.body.as_ref().is_some_and(|body| !body.is_empty()) {
            return Err(Error::usage(format!("{} takes no input", self.id)));
        }
        Ok(self.empty_body(given))
    }

    /// Returns an empty body for the methods that need one, POST and PUT.
    fn empty_body(&self, given: &Arguments) -> Option<Bytes> {
        let method = if given.as_printed { self.method } else { self.sends };
        matches!(method, Method::Post | Method::Put).then(Bytes::new)
    }

    fn binary_input(&self, given: &Arguments) -> Result<Bytes> {
        if let Some((key, _)) = given.keys.iter().next() {
            return Err(Error::usage(format!("{} takes bytes and no keys, got `{key}`", self.id)));
        }
        given.body.clone().ok_or_else(|| {
            Error::usage(format!("{} needs bytes to send", self.id))
                .hint("give them with `-f FILE`, or `-f -` for standard input")
        })
    }

    /// Returns the checked JSON object: the body's, which may be nested, with the keys added. The keys take
    /// precedence.
    fn json_input(&self, given: &Arguments, warnings: &mut Vec<Warning>) -> Result<Value> {
        let mut nested = serde_json::Map::new();
        let mut flat = given.clone();
        if let Some(body) = flat.body.take().filter(|body| !body.trim_ascii().is_empty()) {
            let object: serde_json::Map<String, Value> = serde_json::from_slice(&body).map_err(|e| {
                Error::usage(format!("the input of {} is not a JSON object", self.id)).source(e)
            })?;
            for (key, value) in object {
                match value {
                    _ if flat.keys.contains(&key) => {}
                    Value::String(text) => flat.keys.set(&key, text),
                    other => {
                        nested.insert(key, other);
                    }
                }
            }
        }
        for (name, value) in self.checked(&flat.keys, &nested, warnings)?.iter() {
            let kind = self.input.keys().find(|(key, _)| key.matches(name)).map(|(key, _)| key.kind);
            let value = match kind {
                Some(ValueKind::Integer | ValueKind::Decimal | ValueKind::Boolean) => {
                    serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))
                }
                _ => Value::from(value),
            };
            nested.insert(name.to_owned(), value);
        }
        Ok(Value::Object(nested))
    }

    /// Returns the checked properties: the body's, with the keys added. The keys take precedence.
    fn properties_input(&self, given: &Arguments, warnings: &mut Vec<Warning>) -> Result<Properties> {
        let mut all = match &given.body {
            Some(body) => self.one_object(body)?,
            None => Properties::new(),
        };
        for (key, value) in given.keys.iter() {
            all.set(key, value);
        }
        let object = self.checked(&all, &serde_json::Map::new(), warnings)?;
        if matches!(self.input, Input::Changes(_)) && object.is_empty() {
            return Err(
                Error::usage(format!("{} needs at least one KEY=VALUE", self.id)).hint(self.known_keys())
            );
        }
        Ok(object)
    }

    /// Checks all keys and values and returns them as they are sent.
    ///
    /// Every required key must be present here or in `nested`, whose values are not checked: they are objects
    /// or arrays that only the server can judge.
    fn checked(
        &self,
        all: &Properties,
        nested: &serde_json::Map<String, Value>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Properties> {
        let mut object = Properties::new();
        for (name, value) in all.iter() {
            let (name, value) = self.check(name, value, warnings)?;
            if object.contains(&name) {
                return Err(Error::usage(format!("the key `{name}` is given twice, under two names")));
            }
            object.set(name, value);
        }
        for (key, required) in self.input.keys() {
            let there = object.iter().any(|(name, value)| key.matches(name) && !value.is_empty());
            if required && !there && !nested.keys().any(|name| key.matches(name)) {
                return Err(self.missing(key));
            }
        }
        Ok(object)
    }

    fn one_object(&self, body: &[u8]) -> Result<Properties> {
        let objects = if body.trim_ascii_start().starts_with(b"{") {
            json::parse(body)
                .map_err(|e| Error::usage(format!("the input of {} is not JSON: {e}", self.id)))?
        } else {
            text::parse_bytes(body)
        };
        if objects.len() > 1 {
            return Err(Error::usage(format!("{} takes one object, and the input has several", self.id)));
        }
        Ok(objects.into_iter().next().unwrap_or_default())
    }

    /// Checks a key and its value and returns them as they are sent.
    fn check(&self, name: &str, value: &str, warnings: &mut Vec<Warning>) -> Result<(String, String)> {
        if !text::is_key(name) {
            return Err(Error::usage(format!("`{name}` cannot be a key: it is empty or has white space")));
        }
        let known = |wanted: &str| self.input.keys().find(|(key, _)| key.matches(wanted)).map(|(key, _)| key);
        let alias = || self.input.keys().find(|(key, _)| key.alias == Some(name)).map(|(key, _)| key);
        let (name, key) = match (known(name), alias()) {
            (Some(key), _) => (name, Some(key)),
            (None, Some(key)) => {
                warnings.push(Warning::Renamed { key: name.into(), sent: key.name.into() });
                (key.name, Some(key))
            }
            (None, None) => {
                let nearest = self.nearest_key(name);
                warnings.push(Warning::UnknownKey { key: name.into(), nearest });
                (name, None)
            }
        };
        if value == secret::GIVE_AGAIN {
            return Err(Error::usage(format!(
                "the value of `{name}` is a secret, which the command that was shown does not have"
            ))
            .hint(format!("give it again as `{name}=VALUE`")));
        }
        let value = match key {
            // An empty value removes a key, whatever its kind.
            Some(_) if value.is_empty() => String::new(),
            Some(key) => key.kind.check(name, value, warnings)?,
            None => value.to_owned(),
        };
        Ok((name.to_owned(), value))
    }

    fn nearest_key(&self, name: &str) -> Option<String> {
        let forms: Vec<(&Key, String)> =
            self.input.keys().map(|(key, _)| (key, key.form_like(name))).collect();
        let near = nearest::nearest(name, forms.iter().map(|(key, form)| ((*key, form), form.as_str())));
        // If only a number is out of bounds, suggest the name with its bounds.
        near.map(|(key, form)| if key.matches(form) { form.clone() } else { key.name.to_owned() })
    }

    fn missing(&self, key: &Key) -> Error {
        Error::usage(format!("{} needs the key `{}`", self.id, key.form())).hint(format!(
            "give it as `{}=VALUE`, where VALUE is {}",
            key.form(),
            key.kind.describe()
        ))
    }

    fn known_keys(&self) -> String {
        let keys: Vec<String> = self.input.keys().map(|(key, _)| key.form()).collect();
        format!("its keys are {}", keys.join(", "))
    }

    /// Encodes an object as text, or as JSON if the text format cannot represent a value and the provider
    /// supports JSON.
    fn encode(&self, object: &Properties, warnings: &mut Vec<Warning>) -> (Bytes, &'static str) {
        let lost = object.iter().find(|(_, value)| !text::carries(value)).map(|(key, _)| key);
        match lost {
            Some(_) if has_json(self.provider) => (json::print(object).into(), "application/json"),
            lost => {
                warnings.extend(lost.map(|key| Warning::NotKept { key: key.into() }));
                (text::print(std::slice::from_ref(object)).into(), "text/plain")
            }
        }
    }
}
