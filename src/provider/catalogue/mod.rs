//! The call catalogue: every call of the providers' manuals as one row of data.
//!
//! A provider is a table of rows ([`calls`]), not a file of functions. From a row come the request ([`Call::request`]),
//! the checks of what is given, the reading of the reply ([`Output::parse`]), and what `calls` prints ([`Row`],
//! [`table`]). The rules:
//!
//! - A row says what the manual prints: method, path, input, output, success codes. Where the manual contradicts itself
//!   the row's note says how it is read. A call that no manual prints but servers answer is marked undocumented.
//! - What is sent is strict, in the documented form. CloudSigma prints GET for calls that change something and POST in
//!   the examples of the same calls (CloudSigma API 1.0, 8.4); such a row has both, and POST is what is sent.
//! - Whatever can be known to be wrong is refused before anything is sent, with the name of what is wrong. What is only
//!   unknown is a [`Warning`], since servers know keys that no manual prints.
//! - Nothing here reads or writes anything: a request is plain data.

mod key;
mod listing;
mod output;
mod path;
mod poll;
mod request;
pub mod secret;
mod warning;

pub use key::{Key, ValueKind};
pub use listing::{KeyRow, Row, describe, table};
pub use output::{Output, Shape, print_lines};
pub use path::{argument_kind, placeholders};
pub use poll::{Argument, Poll, Progress};
pub use request::{Arguments, Format, Request};
pub use warning::Warning;

use super::{Provider, cloudsigma, crosspeer, joyent, openhosting, spotcloud};
use crate::nearest;
use crate::{Error, Result};
use std::fmt;

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Changes.
    Post,
    /// Replaces.
    Put,
    /// Removes.
    Delete,
    /// Reads the headers.
    Head,
}

impl Method {
    /// The method's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Head => "HEAD",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the same request may be sent again after a failure that leaves open whether it was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repeat {
    /// It may: it reads, or sets what is the same the second time.
    Allowed,
    /// It may, and if an object that was there is missing on the second attempt, the first one did its work. For
    /// `destroy`: a UUID is never given out again, so that repeating it cannot reach another object.
    UntilGone,
    /// It may not: it would make, buy or begin something a second time, or reach something new of the same name.
    Never,
}

impl Repeat {
    /// Whether it may be sent again at all.
    pub fn is_allowed(self) -> bool {
        self != Repeat::Never
    }
}

/// What goes into a call beside its path. Keys come in groups that several calls share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing.
    None,
    /// The properties of an object.
    Properties(&'static [&'static [Key]]),
    /// Some properties of an object that is there: any of them, and at least one.
    Changes(&'static [&'static [Key]]),
    /// Parameters in the query of the URL.
    Query(&'static [Key]),
    /// Parameters in a body of `application/x-www-form-urlencoded`.
    Form(&'static [Key]),
    /// A JSON object; what is a number or true or false is sent as one, everything else as text.
    Json(&'static [Key]),
    /// Bytes.
    Binary,
}

impl Input {
    /// The keys, in the order of the manual, each with whether it is required here.
    pub fn keys(self) -> impl Iterator<Item = (&'static Key, bool)> {
        let (groups, own, whole): (&'static [&'static [Key]], &'static [Key], bool) = match self {
            Input::Properties(groups) => (groups, &[], true),
            Input::Changes(groups) => (groups, &[], false),
            Input::Query(keys) | Input::Form(keys) | Input::Json(keys) => (&[], keys, true),
            Input::None | Input::Binary => (&[], &[], false),
        };
        groups.iter().copied().flatten().chain(own).map(move |key| (key, whole && key.required))
    }
}

/// One call of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub provider: Provider,
    /// Its name in the catalogue: `drives.create`.
    pub id: &'static str,
    /// The documented method.
    pub method: Method,
    /// The method that is sent.
    pub sends: Method,
    /// The path, with placeholders in braces and optional pieces in brackets.
    pub path: &'static str,
    /// What goes in.
    pub input: Input,
    /// What comes out.
    pub output: Output,
    /// The documented status codes of success.
    pub success: &'static [u16],
    /// Whether it may be sent again.
    pub repeat: Repeat,
    /// Where the manual describes it: a heading or the number of a section.
    pub section: &'static str,
    /// The call of which this is another form.
    pub alias_of: Option<&'static str>,
    /// Whether no manual of the provider prints it.
    pub undocumented: bool,
    /// How to see that it is over, if its work goes on after the reply.
    pub poll: Option<Poll>,
    /// What else is worth knowing.
    pub note: &'static str,
}

impl Call {
    /// A call that reads. It answers properties, unless [`Call::returns`] says otherwise.
    pub const fn get(provider: Provider, id: &'static str, path: &'static str) -> Self {
        Call {
            provider,
            id,
            method: Method::Get,
            sends: Method::Get,
            path,
            input: Input::None,
            output: Output::PROPERTIES,
            success: &[200],
            repeat: Repeat::Allowed,
            section: "",
            alias_of: None,
            undocumented: false,
            poll: None,
            note: "",
        }
    }

    /// A call that changes something. It may be repeated only if [`Call::repeat`] says so.
    pub const fn post(provider: Provider, id: &'static str, path: &'static str) -> Self {
        Call {
            method: Method::Post,
            sends: Method::Post,
            repeat: Repeat::Never,
            ..Self::get(provider, id, path)
        }
    }

    /// The call, which changes something though the manual prints GET for it.
    #[must_use]
    pub const fn printed_as_get(self) -> Self {
        Call { method: Method::Get, ..self }
    }

    /// A call that replaces something. It may be repeated.
    pub const fn put(provider: Provider, id: &'static str, path: &'static str) -> Self {
        Call { method: Method::Put, sends: Method::Put, ..Self::get(provider, id, path) }
    }

    /// A call that removes something, and answers 204 and nothing. It may be repeated: what is gone stays gone, and what was
    /// there is gone after the first attempt. Where a name can be given again see [`Call::repeat`].
    pub const fn delete(provider: Provider, id: &'static str, path: &'static str) -> Self {
        Call {
            method: Method::Delete,
            sends: Method::Delete,
            repeat: Repeat::UntilGone,
            ..Self::get(provider, id, path).returns_nothing()
        }
    }

    /// A call that answers with headers alone.
    pub const fn head(provider: Provider, id: &'static str, path: &'static str) -> Self {
        Call { method: Method::Head, sends: Method::Head, ..Self::get(provider, id, path) }
    }

    /// The call with its input.
    #[must_use]
    pub const fn takes(self, input: Input) -> Self {
        Call { input, ..self }
    }

    /// The call with its output.
    #[must_use]
    pub const fn returns(self, output: Output) -> Self {
        Call { output, ..self }
    }

    /// The call, which answers 204 and nothing.
    #[must_use]
    pub const fn returns_nothing(self) -> Self {
        Call { output: Output::NONE, success: &[204], ..self }
    }

    /// The call with its status codes of success.
    #[must_use]
    pub const fn success(self, success: &'static [u16]) -> Self {
        Call { success, ..self }
    }

    /// The call with what is known about repeating it.
    #[must_use]
    pub const fn repeat(self, repeat: Repeat) -> Self {
        Call { repeat, ..self }
    }

    /// The call with the place of its description.
    #[must_use]
    pub const fn section(self, section: &'static str) -> Self {
        Call { section, ..self }
    }

    /// The call, which no manual of its provider prints.
    #[must_use]
    pub const fn undocumented(self) -> Self {
        Call { undocumented: true, ..self }
    }

    /// The call, whose work goes on after the reply.
    #[must_use]
    pub const fn polled(self, poll: Poll) -> Self {
        Call { poll: Some(poll), ..self }
    }

    /// The call with a note.
    #[must_use]
    pub const fn note(self, note: &'static str) -> Self {
        Call { note, ..self }
    }

    /// Another form of the call.
    #[must_use]
    pub const fn alias(self, id: &'static str, path: &'static str) -> Self {
        Call { id, path, alias_of: Some(self.id), ..self }
    }

    /// Returns the call of this name.
    ///
    /// # Errors
    /// A usage error with the nearest name, or with the providers that have such a call.
    pub fn find(provider: Provider, id: &str) -> Result<&'static Call> {
        let table = calls(provider);
        if let Some(call) = table.iter().find(|call| call.id == id) {
            return Ok(call);
        }
        let error = Error::usage(format!("{provider} has no call `{id}`"));
        if let Some(near) = nearest::nearest(id, table.iter().map(|call| (call.id, call.id))) {
            return Err(error.hint(format!("did you mean `{near}`?")));
        }
        let others: Vec<&str> = all().filter(|call| call.id == id).map(|call| call.provider.name()).collect();
        Err(if others.is_empty() {
            error.hint(format!("`diskferry calls {provider}` lists its calls"))
        } else {
            error.hint(format!("it is a call of {}", others.join(" and ")))
        })
    }

    /// Returns where the call is described: `Open Hosting API, "Create a Drive"`.
    pub fn citation(&self) -> String {
        let (manual, heading) = match self.provider {
            Provider::OpenHosting => ("Open Hosting API", true),
            Provider::Crosspeer => ("Crosspeer API", true),
            Provider::CloudSigma => ("CloudSigma API 1.0", false),
            Provider::SpotCloud => ("SpotCloud Buyer API 1.2", false),
            Provider::Joyent => ("Joyent CloudAPI 6.5", true),
        };
        match (self.undocumented, heading) {
            (true, _) => format!("not in the {manual}"),
            (false, true) => format!("{manual}, {:?}", self.section),
            (false, false) => format!("{manual}, {}", self.section),
        }
    }
}

/// Returns the calls of a provider, in the order of its manual, those that the manual does not print at the end of their
/// group.
pub fn calls(provider: Provider) -> &'static [Call] {
    match provider {
        Provider::OpenHosting => openhosting::CALLS,
        Provider::Crosspeer => crosspeer::CALLS,
        Provider::CloudSigma => cloudsigma::CALLS,
        Provider::SpotCloud => spotcloud::CALLS,
        Provider::Joyent => joyent::CALLS,
    }
}

/// Keys that only replies have, of which the manuals say more than that they are there.
pub(super) fn answered(provider: Provider) -> &'static [Key] {
    match provider {
        Provider::OpenHosting | Provider::Crosspeer => &[],
        Provider::CloudSigma => cloudsigma::ANSWERED,
        Provider::SpotCloud => spotcloud::ANSWERED,
        Provider::Joyent => joyent::ANSWERED,
    }
}

/// Returns the calls of all providers.
pub fn all() -> impl Iterator<Item = &'static Call> {
    Provider::ALL.into_iter().flat_map(calls)
}

#[cfg(test)]
mod tests;
