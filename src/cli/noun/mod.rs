//! The typed commands: `drive list`, `machine stop` and so on. A noun is data, a row here is a command over one call of the
//! catalogue, and everything else (the options, the request, what is printed, asked and waited for) is done once for all of
//! them.
//!
//! stdout has a table, or the id of what was made and nothing else; what was done is said on stderr. With `--json` an object is
//! printed with the provider's own keys.

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

/// A kind of object that providers have.
pub struct Noun {
    /// The command, and the `event` of its objects with `--json`.
    pub name: &'static str,
    /// What messages call one of them.
    pub one: &'static str,
    /// What messages call several.
    pub many: &'static str,
    pub about: &'static str,
    /// How one is written on the command line, as `REMOTE:DRIVE`.
    pub form: &'static str,
    /// The help of that argument.
    pub help: &'static str,
    /// The key of its id in replies.
    pub id: &'static str,
    /// The key of its state, if it has one.
    pub state: Option<&'static str>,
    /// The call that lists the objects with their names, if one may be named by its name too.
    pub by_name: Option<&'static str>,
    /// The noun that it is a part of: it is written `REMOTE:OWNER NAME`.
    pub owner: Option<&'static Noun>,
    /// Its addresses, if it has some.
    pub address: Option<fn(&Item) -> String>,
    pub acts: &'static [Act],
}

/// A command about a noun, over one call.
pub struct Act {
    pub name: &'static str,
    pub alias: Option<&'static str>,
    pub about: &'static str,
    pub call: &'static str,
    pub on: On,
    /// The arguments that follow `REMOTE:OBJECT`.
    pub words: &'static [Word],
    /// The options that are keys of the call.
    pub options: &'static [Opt],
    /// Whether keys are taken as `KEY=VALUE`, and what they are for.
    pub pairs: Pairs,
    pub does: Does,
    /// What is looked at before the call is made.
    pub before: Option<Step>,
    /// What helps where the provider has no such call.
    pub instead: &'static str,
    /// What the help ends with.
    pub after: &'static str,
}

/// What stands first on the command line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// `REMOTE:`, or the default one.
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
    /// The key of the call that it is the value of; `None` for an argument of the path.
    pub key: Option<&'static str>,
}

/// An option of the command line that is a key of the call.
pub struct Opt {
    pub long: &'static str,
    pub value: &'static str,
    pub help: &'static str,
    pub key: &'static str,
    pub kind: OptKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum OptKind {
    /// The option's value is the key's.
    Value,
    /// The option has no value; the key's is `true`.
    Flag,
    /// The option's values are `NAME=VALUE`, and the key is a prefix of the names.
    Pairs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pairs {
    None,
    Optional(&'static str),
    Required(&'static str),
}

/// What is done with the reply.
pub enum Does {
    /// Prints the objects as a table.
    List(List),
    /// Prints the names and values of one object as a table.
    Table([&'static str; 2]),
    /// Prints how many there are, by a header of the reply.
    Count(&'static str),
    /// Prints everything that is known of an object. With `--json` it is this `event`, or that of the noun.
    Show(Option<&'static str>),
    /// Prints the id of what was made.
    Make,
    /// Says what was changed.
    Change(&'static str),
    /// Says what was done to the object.
    Perform(&'static str),
    /// The same for what cannot be undone, with what is lost by it. On a terminal the user is asked first.
    Destroy(&'static str, &'static str),
    /// Something of its own, with arguments of its own.
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

/// A column of a list: its heading, and what it shows.
pub type Column = (&'static str, Cell);

/// What a column shows of an object.
pub enum Cell {
    /// The text of a key.
    Text(&'static str),
    /// The number of a key.
    Number(&'static str),
    /// The bytes of a key, as `1.5 GiB`.
    Bytes(&'static str),
    /// The same of a key in MB.
    Megabytes(&'static str),
    /// The time of a key, as `3 days ago`.
    Age(&'static str),
    /// The id, which is never cut.
    Id(&'static str),
    /// Something of its own.
    Own(fn(&Item) -> String),
}

impl Noun {
    /// A noun without anything special; several of it are called `many`.
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

    /// The noun, whose objects are written in this form and known by this key of replies.
    pub const fn known(self, form: &'static str, help: &'static str, id: &'static str) -> Self {
        Noun { form, help, id, ..self }
    }

    /// The noun, as a part of another one, and known by this key of replies.
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

    /// Lists the objects of an account.
    pub const fn list(call: &'static str, about: &'static str, columns: &'static [Column]) -> Self {
        let list = Self::new("list", call, about, Does::List(List { columns, sort: &[], paged: false }));
        Act { alias: Some("ls"), on: On::Account, ..list }
    }

    /// Shows an object.
    pub const fn info(call: &'static str, about: &'static str) -> Self {
        Self::new("info", call, about, Does::Show(None))
    }

    /// Makes an object.
    pub const fn make(name: &'static str, call: &'static str, about: &'static str) -> Self {
        Act { on: On::Remote, ..Self::new(name, call, about, Does::Make) }
    }

    /// Changes an object; `done` says that it did, as in `renamed`.
    pub const fn change(
        name: &'static str,
        call: &'static str,
        done: &'static str,
        about: &'static str,
    ) -> Self {
        Self::new(name, call, about, Does::Change(done))
    }

    /// Does something to an object; `done` says what was done or has begun, as in `starting`.
    pub const fn perform(
        name: &'static str,
        call: &'static str,
        done: &'static str,
        about: &'static str,
    ) -> Self {
        Self::new(name, call, about, Does::Perform(done))
    }

    /// Does what cannot be undone. `lost` is the sentence that says what is lost by it.
    pub const fn destroy(
        name: &'static str,
        call: &'static str,
        done: &'static str,
        about: &'static str,
        lost: &'static str,
    ) -> Self {
        Act { alias: Some("rm"), ..Self::new(name, call, about, Does::Destroy(done, lost)) }
    }

    /// Does something that needs code and arguments of its own.
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

/// Functions that return the row with another value of a field.
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

/// An argument of the call's path.
pub const fn word(name: &'static str, help: &'static str) -> Word {
    Word { name, help, required: true, key: None }
}

/// An argument that is the value of a key.
pub const fn value(name: &'static str, key: &'static str, help: &'static str) -> Word {
    Word { name, help, required: true, key: Some(key) }
}

/// An option that is the value of the key of its name.
pub const fn option(name: &'static str, value: &'static str, help: &'static str) -> Opt {
    Opt { long: name, value, help, key: name, kind: OptKind::Value }
}

/// An option that is the value of another key.
pub const fn option_for(
    key: &'static str,
    long: &'static str,
    value: &'static str,
    help: &'static str,
) -> Opt {
    Opt { long, value, help, key, kind: OptKind::Value }
}

/// An option of `NAME=VALUE`, for keys that begin with `prefix`.
pub const fn pairs(long: &'static str, prefix: &'static str, help: &'static str) -> Opt {
    Opt { long, value: "KEY=VALUE", help, key: prefix, kind: OptKind::Pairs }
}
