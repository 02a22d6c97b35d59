//! Conversion of the command line into the arguments of a call.

use super::{Act, Noun, OptKind, Pairs};
use crate::cli::account::{add_keys, given};
use crate::config::{Object, Target};
use crate::error::{Error, Result};
use crate::provider::catalogue::Arguments;
use clap::ArgMatches;

/// Returns the object's label for messages, such as `drive 6339d58e-…` or `snapshot first of machine web-1`.
pub fn label(noun: &Noun, id: &str, path: &[String]) -> String {
    match (noun.owner, path.first()) {
        (Some(owner), Some(name)) => format!("{} {name} of {} {id}", noun.one, owner.one),
        (Some(owner), None) => format!("{} {id}", owner.one),
        (None, _) => format!("{} {id}", noun.one),
    }
}

/// Returns the object that a target names.
///
/// # Errors
/// A usage error if the target names no object, or an object of another kind.
pub fn named<'t>(noun: &Noun, target: &'t Target) -> Result<&'t str> {
    match &target.object {
        Some(Object::Drive(id) | Object::Named(id)) => Ok(id),
        Some(Object::Appliance(key)) if noun.form.contains("appliance/") => Ok(key),
        object => {
            let got = if object.is_some() {
                format!("`{target}` is an appliance")
            } else {
                "none is named".to_owned()
            };
            Err(Error::usage(format!("expected a {}, but {got}", noun.one)).hint(format!(
                "write {}; `diskferry {} list {}:` lists them",
                noun.form, noun.name, target.remote
            )))
        }
    }
}

/// Returns the arguments of the call, without the object that comes first in its path.
pub fn arguments(act: &Act, matches: &ArgMatches) -> Result<Arguments> {
    let (mut path, mut keys) = (Vec::new(), Vec::new());
    let values = |name: &str| matches.get_many::<String>(name).into_iter().flatten();
    for word in act.words {
        match word.key {
            Some(key) => keys.extend(values(word.name).map(|value| (key.to_owned(), value.clone()))),
            None => path.extend(values(word.name).cloned()),
        }
    }
    for option in act.options {
        match option.kind {
            OptKind::Flag => {
                keys.extend(
                    matches.get_flag(option.long).then(|| (option.key.to_owned(), "true".to_owned())),
                );
            }
            OptKind::Value => {
                keys.extend(values(option.long).map(|value| (option.key.to_owned(), value.clone())));
            }
            OptKind::Pairs => {
                for text in values(option.long) {
                    let (name, value) = pair(text)?;
                    keys.push((format!("{}{name}", option.key), value));
                }
            }
        }
    }
    if act.pairs != Pairs::None {
        for text in values("pairs") {
            keys.push(pair(text)?);
        }
    }
    let mut checked = Vec::new();
    add_keys(&mut checked, keys)?;
    Ok(Arguments { path, ..given([], checked) })
}

fn pair(text: &str) -> Result<(String, String)> {
    crate::cli::options::pair(text).map_err(|why| {
        let error = Error::usage(format!(
            "expected KEY=VALUE, got `{}`: {why}",
            text.split('=').next().unwrap_or("")
        ));
        error.hint("write the key, `=` and the value in one argument: `\"name=my drive\"`")
    })
}
