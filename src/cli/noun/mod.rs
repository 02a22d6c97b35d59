//! The typed commands: `drive list`, `machine stop` and so on.
//!
//! A noun is data, and each of its rows is a command over one call of the catalogue. Everything else
//! (options, request, output, questions and waiting) is implemented once for all of them.
//!
//! Standard output gets a table, or the id of what was created and nothing else. What was done is reported on
//! standard error. With `--json`, objects are printed with the provider's own keys.

mod command;
mod given;
mod item;
mod list;
mod name;
mod pages;
mod run;

pub use command::NounCommand;
pub use item::Item;
pub(super) use list::print_list;
pub(super) use name::{is_uuid, only_one, resolve};
pub(super) use run::{Run, described, from_matches, tell};

use super::{analytics, drive, joyent, market, server};
use crate::error::Result;
use clap::Command;
use futures_util::future::LocalBoxFuture;

/// All nouns, in the order of the help.
static NOUNS: [&Noun; 13] = [
    &drive::DRIVE,
    &server::SERVER,
    &market::APPLIANCE,
    &market::INSTANCE,
    &market::HARDWARE,
    &joyent::MACHINE,
    &joyent::SNAPSHOT,
    &joyent::TAG,
    &joyent::METADATA,
    &joyent::KEY,
    &joyent::PACKAGE,
    &joyent::DATASET,
    &analytics::ANALYTICS,
];

/// A kind of object at the providers, such as a drive.
pub struct Noun {
    /// The name of the command, and the `event` of its objects with `--json`.
    pub name: &'static str,
    /// The singular, for messages.
    pub one: &'static str,
    /// The plural, for messages.
    pub many: &'static str,
    pub about: &'static str,
    /// The form of an object on the command line, such as `REMOTE:DRIVE`.
    pub form: &'static str,
    /// The help for that argument.
    pub help: &'static str,
    /// The key of the object's id in replies.
    pub id: &'static str,
    /// The key of the object's state, if it has one.
    pub state: Option<&'static str>,
    /// The call that lists the objects with their names, if an object can also be given by its name.
    pub by_name: Option<&'static str>,
    /// The noun of which this one is a part. Its objects are written `REMOTE:OWNER NAME`.
    pub owner: Option<&'static Noun>,
    /// Returns the network address of an object, for nouns that have one.
    pub address: Option<fn(&Item) -> String>,
    pub acts: &'static [Act],
}

/// A command about a noun: one call of the catalogue.
pub struct Act {
    pub name: &'static str,
    pub alias: Option<&'static str>,
    pub about: &'static str,
    pub call: &'static str,
    pub on: On,
    /// The arguments that follow `REMOTE:OBJECT`.
    pub words: &'static [Word],
    /// The options that set keys of the call.
    pub options: &'static [Opt],
    /// Whether the command accepts `KEY=VALUE`, with the help for it.
    pub pairs: Pairs,
    pub does: Does,
    /// A check to run before the call is made.
    pub before: Option<Step>,
    /// The hint if the provider has no such call.
    pub instead: &'static str,
    /// Text at the end of the help.
    pub after: &'static str,
}

/// The first argument on the command line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// `REMOTE:`, or nothing for the default remote.
    Account,
    /// `REMOTE:`
    Remote,
    /// `REMOTE:OBJECT`
    Object,
}

/// An argument of the command line.
pub struct Word {
    pub name: &'static str,
    pub help: &'static str,
    pub required: bool,
    /// The key of the call whose value it is; `None` if it is an argument of the path.
    pub key: Option<&'static str>,
}

/// An option of the command line that sets a key of the call.
pub struct Opt {
    pub long: &'static str,
    pub value: &'static str,
    pub help: &'static str,
    pub key: &'static str,
    pub kind: OptKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OptKind {
    /// The option's value is the value of the key.
    Value,
    /// The option takes no value and sets the key to `true`.
    Flag,
    /// The option takes `NAME=VALUE`, and the key is a prefix of the names.
    Pairs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pairs {
    None,
    Optional(&'static str),
    Required(&'static str),
}

/// What a command does with its call and the reply.
pub enum Does {
    /// Prints the objects as a table.
    List(List),
    /// Prints the names and values of one object as a table.
    Table([&'static str; 2]),
    /// Prints the number of objects, from a header of the reply.
    Count(&'static str),
    /// Prints all that the provider tells about an object. With `--json`, this is its `event`; by default,
    /// that of the noun.
    Show(Option<&'static str>),
    /// Prints the id of the created object.
    Make,
    /// Reports what was changed.
    Change(&'static str),
    /// Reports what was done to the object, or what has begun.
    Perform(&'static str),
    /// Like `Perform`, for what cannot be undone. The second text says what is lost. Asks the user first if
    /// there is a terminal.
    Destroy(&'static str, &'static str),
    /// Runs code of its own, with arguments of its own.
    Own(fn(Command) -> Command, Step),
}

pub struct List {
    pub columns: &'static [Column],
    /// The fields by which the list can be sorted; the first is the default.
    pub sort: &'static [&'static str],
    /// Whether the provider sends the list page by page.
    pub paged: bool,
}

/// A step of a command that needs code of its own.
pub type Step = for<'r> fn(&'r Run) -> LocalBoxFuture<'r, Result<()>>;

/// A column of a list: its heading and its contents.
pub type Column = (&'static str, Cell);

/// The contents of a column.
pub enum Cell {
    /// The text of a key.
    Text(&'static str),
    /// The number of a key.
    Number(&'static str),
    /// The size in bytes of a key, shown as `1.5 GiB`.
    Bytes(&'static str),
    /// The size in MB of a key, shown as `1.5 GiB`.
    Megabytes(&'static str),
    /// The time of a key, shown as `3 days ago`.
    Age(&'static str),
    /// The id, which is never truncated.
    Id(&'static str),
    /// The result of a function.
    Own(fn(&Item) -> String),
}

impl Noun {
    /// Creates a noun with the default settings. `many` is its plural.
    pub const fn new(
        name: &'static str,
        many: &'static str,
        about: &'static str,
        acts: &'static [Act],
    ) -> Self {
        Noun {
            name,
            one: name,
            many,
            about,
            form: "",
            help: "",
            id: "",
            state: None,
            by_name: None,
            owner: None,
            address: None,
            acts,
        }
    }

    /// Returns the noun with the form of its objects on the command line and the key of their id in replies.
    pub const fn known(self, form: &'static str, help: &'static str, id: &'static str) -> Self {
        Noun { form, help, id, ..self }
    }

    /// Returns the noun as a part of another one, with the key of its id in replies.
    pub const fn part_of(self, owner: &'static Noun, id: &'static str) -> Self {
        Noun { owner: Some(owner), id, ..self }
    }
}

impl Act {
    const fn new(name: &'static str, call: &'static str, about: &'static str, does: Does) -> Self {
        Act {
            name,
            alias: None,
            about,
            call,
            on: On::Object,
            words: &[],
            options: &[],
            pairs: Pairs::None,
            does,
            before: None,
            instead: "",
            after: "",
        }
    }

    /// Creates a command that lists the objects of an account.
    pub const fn list(call: &'static str, about: &'static str, columns: &'static [Column]) -> Self {
        let list = Self::new("list", call, about, Does::List(List { columns, sort: &[], paged: false }));
        Act { alias: Some("ls"), on: On::Account, ..list }
    }

    /// Creates a command that shows an object.
    pub const fn info(call: &'static str, about: &'static str) -> Self {
        Self::new("info", call, about, Does::Show(None))
    }

    /// Creates a command that creates an object.
    pub const fn make(name: &'static str, call: &'static str, about: &'static str) -> Self {
        Act { on: On::Remote, ..Self::new(name, call, about, Does::Make) }
    }

    /// Creates a command that changes an object. `done` is the past participle for messages, such as
    /// `renamed`.
    pub const fn change(
        name: &'static str,
        call: &'static str,
        done: &'static str,
        about: &'static str,
    ) -> Self {
        Self::new(name, call, about, Does::Change(done))
    }

    /// Creates a command that does something to an object. `done` says what was done or has begun, such as
    /// `starting`.
    pub const fn perform(
        name: &'static str,
        call: &'static str,
        done: &'static str,
        about: &'static str,
    ) -> Self {
        Self::new(name, call, about, Does::Perform(done))
    }

    /// Creates a command that cannot be undone. `lost` is the sentence that says what is lost.
    pub const fn destroy(
        name: &'static str,
        call: &'static str,
        done: &'static str,
        about: &'static str,
        lost: &'static str,
    ) -> Self {
        Act { alias: Some("rm"), ..Self::new(name, call, about, Does::Destroy(done, lost)) }
    }

    /// Creates a command with code and arguments of its own.
    pub const fn own(
        name: &'static str,
        call: &'static str,
        about: &'static str,
        arguments: fn(Command) -> Command,
        run: Step,
    ) -> Self {
        Self::new(name, call, about, Does::Own(arguments, run))
    }

    pub const fn named(self, name: &'static str, alias: Option<&'static str>) -> Self {
        Act { name, alias, ..self }
    }
}

/// Defines functions that return the row with another value of a field.
macro_rules! with {
    ($($field:ident: $type:ty),* $(,)?) => {
        impl Act {
            $(pub const fn $field(self, $field: $type) -> Self {
                Act { $field, ..self }
            })*
        }
    };
}

with! {
    does: Does, on: On, words: &'static [Word], options: &'static [Opt], pairs: Pairs, instead: &'static str,
    after: &'static str, before: Option<Step>,
}

/// Creates an argument of the call's path.
pub const fn word(name: &'static str, help: &'static str) -> Word {
    Word { name, help, required: true, key: None }
}

/// Creates an argument that is the value of a key.
pub const fn value(name: &'static str, key: &'static str, help: &'static str) -> Word {
    Word { name, help, required: true, key: Some(key) }
}

/// Creates an option for the key of the same name.
pub const fn option(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { long: name, value, help, key: name, kind: OptKind::Value }
}

/// Creates an option for a key of another name.
pub const fn option_for(
    key: &'static str,
    long: &'static str,
    value: &'static str,
    help: &'static str,
) -> Opt {
    Opt { long, value, help, key, kind: OptKind::Value }
}

/// Creates an option that takes `KEY=VALUE`, for keys that begin with `prefix`.
pub const fn pairs(long: &'static str, prefix: &'static str, help: &'static str) -> Opt {
    Opt { long, value: "KEY=VALUE", help, key: prefix, kind: OptKind::Pairs }
}
