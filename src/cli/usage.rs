//! Clap's errors as ours: what failed, the cause, and a hint, in the one form that every error has.

use super::{Global, help, mend};
use crate::error::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::error::Error as _;
use std::num::ParseIntError;

/// Returns the error of a command line that cannot be parsed. `words` are those after the program's name.
pub(super) fn error(error: &clap::Error, words: &[String], global: &Global) -> Error {
    let told = ClapError(error);
    let places = told.strings(ContextKind::InvalidArg);
    let place = Place::parse(places.first().map_or("", String::as_str));
    let value = told.string(ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::ValueValidation => {
            mend::value(invalid(error, &place, &value), &place, &value, words, global)
        }
        ErrorKind::InvalidValue if value.is_empty() => {
            Error::usage(format!("{} needs a value", place.quoted()))
                .hint(format!("the form is `{}`", place.with_value()))
        }
        ErrorKind::InvalidValue => {
            let hint = match told.string(ContextKind::SuggestedValue) {
                near if near.is_empty() => help::hint_for(words),
                near => format!("did you mean `{near}`?"),
            };
            let expected = listed(&told.strings(ContextKind::ValidValue), "or");
            let at = if place.is_option {
                format!("invalid value for {}: ", place.quoted())
            } else {
                String::new()
            };
            Error::usage(format!("{at}expected {expected}, got `{value}`")).hint(hint)
        }
        ErrorKind::UnknownArgument => unknown(&told, &place, words),
        ErrorKind::InvalidSubcommand => {
            let word = told.string(ContextKind::InvalidSubcommand);
            let near = told.strings(ContextKind::SuggestedSubcommand);
            mend::command(&word, near.first().map(String::as_str), words)
        }
        ErrorKind::MissingRequiredArgument => {
            let missing: Vec<String> = places.iter().map(|place| Place::parse(place).with_value()).collect();
            let s = if missing.len() == 1 { "" } else { "s" };
            Error::usage(format!("missing argument{s} {}", listed(&missing, "and"))).hint(told.form(words))
        }
        ErrorKind::ArgumentConflict => {
            let others: Vec<String> =
                told.strings(ContextKind::PriorArg).iter().map(|place| Place::parse(place).name).collect();
            if others.is_empty() || others.contains(&place.name) {
                return Error::usage(format!("{} is given twice", place.quoted())).hint("give it once");
            }
            Error::usage(format!("{} cannot be used with {}", place.quoted(), listed(&others, "and")))
                .hint("leave one of them out")
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Error::usage("no command is given").hint(help::hint_for(words))
        }
        _ => {
            // What is rare is said in clap's words.
            let text = error.render().to_string();
            let text = text.lines().next().unwrap_or_default();
            let text = text.strip_prefix("error: ").unwrap_or(text).replace('\'', "`");
            Error::usage(text).hint(help::hint_for(words))
        }
    }
}

/// The error of a value that its parser refused.
fn invalid(error: &clap::Error, place: &Place, value: &str) -> Error {
    let source = error.source();
    if let Some(own) = source.and_then(|source| source.downcast_ref::<Error>()) {
        let mut new = Error::usage(own.to_string());
        if let Some(hint) = own.hint_text() {
            new = new.hint(hint);
        }
        return if place.is_option {
            new.context(format_args!("invalid value for {}", place.quoted()))
        } else {
            new
        };
    }
    let cause = match source {
        Some(source) if source.is::<ParseIntError>() => "expected a whole number".to_owned(),
        Some(source) => source.to_string(),
        None => "it is not understood".to_owned(),
    };
    Error::usage(format!("invalid value `{value}` for {}: {cause}", place.quoted()))
        .hint(format!("the form is `{}`", place.with_value()))
}

/// The error of an option that does not exist, or of an argument too many.
fn unknown(told: &ClapError<'_>, place: &Place, words: &[String]) -> Error {
    let word = &place.name;
    if word.starts_with('-') {
        let hint = match told.string(ContextKind::SuggestedArg) {
            near if near.is_empty() => help::hint_for(words),
            near => format!("did you mean `{}`?", Place::parse(&near).name),
        };
        return Error::usage(format!("unknown option `{word}`")).hint(hint);
    }
    let hint = mend::surplus(word, words).unwrap_or_else(|| told.form(words));
    Error::usage(format!("unexpected argument `{word}`")).hint(hint)
}

/// What clap knows of an error.
struct ClapError<'e>(&'e clap::Error);

impl ClapError<'_> {
    fn strings(&self, kind: ContextKind) -> Vec<String> {
        match self.0.get(kind) {
            Some(ContextValue::String(one)) => vec![one.clone()],
            Some(ContextValue::Strings(all)) => all.clone(),
            Some(ContextValue::StyledStr(one)) => vec![one.to_string()],
            Some(ContextValue::StyledStrs(all)) => all.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        }
    }

    fn string(&self, kind: ContextKind) -> String {
        self.strings(kind).into_iter().next().unwrap_or_default()
    }

    /// A hint that shows the command's form.
    fn form(&self, words: &[String]) -> String {
        let usage = self.string(ContextKind::Usage);
        let usage = usage.trim().strip_prefix("Usage:").unwrap_or_default().trim();
        match usage.lines().next() {
            Some(form) if !form.is_empty() => {
                format!("the form is `{}`; {}", form.trim(), help::hint_for(words))
            }
            _ => help::hint_for(words),
        }
    }
}

/// Where a value stands: an option, or an argument by its place.
pub(super) struct Place {
    /// `--size`, or `IMAGE`.
    pub(super) name: String,
    /// The name of an option's value.
    value: String,
    pub(super) is_option: bool,
}

impl Place {
    /// Parses clap's words for it: `--size <SIZE>`, `<IMAGE>`, `[REMOTE:[DRIVE]]...`.
    fn parse(text: &str) -> Self {
        let bare = |text: &str| {
            let text = text.strip_suffix("...").unwrap_or(text);
            let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>'));
            inner.or_else(|| text.strip_prefix('[')?.strip_suffix(']')).unwrap_or(text).to_owned()
        };
        let is_option = text.starts_with('-');
        // --wait[=<DURATION>]
        let text = if is_option { text.replacen("[=", "=", 1).replace(">]", ">") } else { text.to_owned() };
        let text = text.as_str();
        let (name, value) = match text.split_once([' ', '=']) {
            Some((name, value)) if is_option => (name.to_owned(), bare(value)),
            _ => (bare(text), String::new()),
        };
        Self { name, value, is_option }
    }

    fn quoted(&self) -> String {
        format!("`{}`", self.name)
    }

    fn with_value(&self) -> String {
        if self.value.is_empty() { self.name.clone() } else { format!("{} {}", self.name, self.value) }
    }
}

/// Lists words in backticks: `a`, `b` or `c`.
fn listed(words: &[String], last: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((end, [])) => end.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_as_people_type_them() {
        for (text, name, shown, is_option) in [
            ("--size <SIZE>", "--size", "--size SIZE", true),
            ("--wait[=<DURATION>]", "--wait", "--wait DURATION", true),
            ("--json", "--json", "--json", true),
            ("<IMAGE>", "IMAGE", "IMAGE", false),
            ("[REMOTE:[DRIVE]]", "REMOTE:[DRIVE]", "REMOTE:[DRIVE]", false),
            ("<KEY=VALUE>...", "KEY=VALUE", "KEY=VALUE", false),
        ] {
            let place = Place::parse(text);
            assert_eq!((place.name.as_str(), place.with_value().as_str()), (name, shown));
            assert_eq!(place.is_option, is_option, "{text}");
        }
    }

    #[test]
    fn words_are_listed_as_in_a_sentence() {
        let words = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(listed(&words, "or"), "`a`, `b` or `c`");
        assert_eq!(listed(&words[..1], "or"), "`a`");
    }
}
