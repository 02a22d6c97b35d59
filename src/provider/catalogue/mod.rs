//! The call catalogue: every call of the providers' manuals as one row of data.
//!
//! A provider is a table of rows ([`calls`]), not a file of functions. A row determines the request
//! ([`Call::request`]), the checks of the arguments, the parsing of the reply ([`Output::parse`]), and what
//! `calls` prints ([`Row`], [`table`]). The rules:
//!
//! - A row holds what the manual documents: method, path, input, output and success codes. If the manual
//!   contradicts itself, the row's note says which reading is used. A call that servers answer but no manual
//!   documents is marked undocumented.
//! - Requests are strict and follow the documented form. CloudSigma documents GET for calls that change
//!   something and uses POST in the examples of the same calls (CloudSigma API 1.0, 8.4). Such a row has both
//!   methods, and POST is sent.
//! - Input that is known to be wrong is refused before anything is sent, with an error that names it. Input
//!   that is only unknown causes a [`Warning`], since servers accept keys that no manual documents.
//! - Nothing here does I/O: a request is plain data.

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
    /// Reads an object or a list.
    Get,
    /// Creates or changes something.
    Post,
    /// Replaces an object.
    Put,
    /// Removes an object.
    Delete,
    /// Reads only the headers.
    Head,
}

impl Method {
    /// Returns the method's name on the wire.
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

/// Whether a request may be sent again after a failure that leaves its outcome unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repeat {
    /// It may: the call reads, or has the same effect the second time.
    Allowed,
    /// It may, and if an object that existed is missing on a later attempt, an earlier attempt succeeded.
    /// Used for `destroy`: a UUID is never reused, so repeating the call cannot hit another object.
    UntilGone,
    /// It may not: the call would create, buy or start something a second time, or hit a new object of the
    /// same name.
    Never,
}

impl Repeat {
    /// Returns whether the request may be sent again at all.
    pub fn is_allowed(self) -> bool {
        self != Repeat::Never
    }
}

/// The input of a call besides its path. Keys come in groups that several calls share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// No input.
    None,
    /// The properties of an object.
    Properties(&'static [&'static [Key]]),
    /// Some properties of an existing object; at least one is required.
    Changes(&'static [&'static [Key]]),
    /// Parameters in the URL's query.
    Query(&'static [Key]),
    /// Parameters in a body of type `application/x-www-form-urlencoded`.
    Form(&'static [Key]),
    /// A JSON object. Numbers and booleans are sent as such, everything else as strings.
    Json(&'static [Key]),
    /// Raw bytes, such as the contents of a drive.
    Binary,
}

impl Input {
    /// Returns the keys in the order of the manual, each with whether it is required here.
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
    /// The call's name in the catalogue, such as `drives.create`.
    pub id: &'static str,
    /// The documented method.
    pub method: Method,
    /// The method that is sent.
    pub sends: Method,
    /// The path, with placeholders in braces and optional parts in brackets.
    pub path: &'static str,
    /// The input.
    pub input: Input,
    /// The possible shapes of the reply.
    pub output: Output,
    /// The documented status codes that mean success.
    pub success: &'static [u16],
    /// Whether the call may be sent again after a failure.
    pub repeat: Repeat,
    /// The place in the manual: a heading or the number of a section.
    pub section: &'static str,
    /// The call of which this is another form.
    pub alias_of: Option<&'static str>,
    /// Whether the call is missing from the provider's manual.
    pub undocumented: bool,
    /// How to find out when the work is done, if it continues after the reply.
    pub poll: Option<Poll>,
    /// A note for help and listings.
    pub note: &'static str,
}

impl Call {
    /// Creates a call that reads. It returns properties unless [`Call::returns`] says otherwise.
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

    /// Creates a call that changes something. It is not repeatable unless [`Call::repeat`] says so.
    pub const fn post(provider: Provider, id: &'static str, path: &'static str) -> Self {
        Call {
            method: Method::Post,
            sends: Method::Post,
            repeat: Repeat::Never,
            ..Self::get(provider, id, path)
        }
    }

    /// Returns the call, for which the manual documents GET although it changes something.
    #[must_use]
    pub const fn printed_as_get(self) -> Self {
        Call { method: Method::Get, ..self }
    }

    /// Creates a call that replaces something. It is repeatable.
    pub const fn put(provider: Provider, id: &'static str, path: &'static str) -> Self {
        Call { method: Method::Put, sends: Method::Put, ..Self::get(provider, id, path) }
    }

    /// Creates a call that removes something and answers 204 without a body.
    ///
    /// It is repeatable: an object that existed is gone after the first attempt. For names that can be
    /// reused, see [`Call::repeat`].
    pub const fn delete(provider: Provider, id: &'static str, path: &'static str) -> Self {
        Call {
            method: Method::Delete,
            sends: Method::Delete,
            repeat: Repeat::UntilGone,
            ..Self::get(provider, id, path).returns_nothing()
        }
    }

    /// Creates a call that is answered with headers only.
    pub const fn head(provider: Provider, id: &'static str, path: &'static str) -> Self {
        Call { method: Method::Head, sends: Method::Head, ..Self::get(provider, id, path) }
    }

    /// Returns the call with this input.
    #[must_use]
    pub const fn takes(self, input: Input) -> Self {
        Call { input, ..self }
    }

    /// Returns the call with this output.
    #[must_use]
    pub const fn returns(self, output: Output) -> Self {
        Call { output, ..self }
    }

    /// Returns the call, answered with 204 and no body.
    #[must_use]
    pub const fn returns_nothing(self) -> Self {
        Call { output: Output::NONE, success: &[204], ..self }
    }

    /// Returns the call with these status codes of success.
    #[must_use]
    pub const fn success(self, success: &'static [u16]) -> Self {
        Call { success, ..self }
    }

    /// Returns the call with this rule for repeating it.
    #[must_use]
    pub const fn repeat(self, repeat: Repeat) -> Self {
        Call { repeat, ..self }
    }

    /// Returns the call with the place in the manual that describes it.
    #[must_use]
    pub const fn section(self, section: &'static str) -> Self {
        Call { section, ..self }
    }

    /// Returns the call, marked as missing from its provider's manual.
    #[must_use]
    pub const fn undocumented(self) -> Self {
        Call { undocumented: true, ..self }
    }

    /// Returns the call, whose work continues after the reply and is followed by `poll`.
    #[must_use]
    pub const fn polled(self, poll: Poll) -> Self {
        Call { poll: Some(poll), ..self }
    }

    /// Returns the call with a note.
    #[must_use]
    pub const fn note(self, note: &'static str) -> Self {
        Call { note, ..self }
    }

    /// Returns another form of the call, with a name and a path of its own.
    #[must_use]
    pub const fn alias(self, id: &'static str, path: &'static str) -> Self {
        Call { id, path, alias_of: Some(self.id), ..self }
    }

    /// Returns the call with this name.
    ///
    /// # Errors
    /// A usage error that names the nearest call, or the providers that have a call of this name.
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

    /// Returns the place in the manual that describes the call, such as `Open Hosting API, "Create a Drive"`.
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

/// Returns the calls of a provider in the order of its manual. Undocumented calls are at the end of their
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

/// Returns the keys that occur only in replies and about which the manual says more than their names.
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
