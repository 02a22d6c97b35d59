//! The exact mend of a mistyped command: the command as it was probably meant, as a hint that works as printed.

use super::usage::Place;
use super::{Global, help, signals};
use crate::config::{Config, Environment, Target};
use crate::error::Error;

/// What other programs call what diskferry calls otherwise.
const FOREIGN: [(&[&str], &str); 9] = [
    (&["ls", "list"], "drive list"),
    (&["rm", "delete", "destroy"], "drive destroy"),
    (&["cp", "copy", "put", "push", "send", "import"], "upload"),
    (&["get", "pull", "fetch", "export"], "download"),
    (&["mv", "move", "sync", "clone"], "migrate"),
    (&["check", "cmp", "diff", "compare"], "verify"),
    (&["config", "configure", "init"], "remote add"),
    (&["login", "auth"], "remote login"),
    (&["version"], "--version"),
];

/// Returns the error of a word that is not a command, `near` being the command that is most like it.
pub(super) fn command(word: &str, near: Option<&str>, words: &[String]) -> Error {
    let path = help::path(words).join(" ");
    let at = if path.is_empty() { String::new() } else { format!(" of `{path}`") };
    let error = Error::usage(format!("`{word}` is not a command{at}"));
    let foreign = FOREIGN.iter().find(|(names, _)| path.is_empty() && names.contains(&word));
    match (foreign, near) {
        (Some((_, known)), _) => {
            let known = known.split(' ').map(str::to_owned);
            error.hint(format!("did you mean `{}`?", with(words, word, known)))
        }
        (None, Some(near)) => error.hint(format!("did you mean `{}`?", with(words, word, [near.to_owned()]))),
        (None, None) => {
            let group = if path.is_empty() { String::new() } else { format!("{path} ") };
            error.hint(format!("`diskferry {group}--help` lists the commands"))
        }
    }
}

/// Returns the hint for an argument too many, if there is a better one than the command's form.
pub(super) fn surplus(word: &str, words: &[String]) -> Option<String> {
    let at = words.iter().position(|other| other == word)?;
    let before = words.get(at.checked_sub(1)?)?;
    // The one option whose value needs the equals sign.
    (before == "--wait").then(|| {
        let mut mended = words.to_vec();
        mended[at - 1] = format!("--wait={word}");
        mended.remove(at);
        format!("did you mean `{}`?", shown(mended))
    })
}

/// Adds to the error of a value what would have been right, where the other words tell it.
pub(super) fn value(error: Error, place: &Place, value: &str, words: &[String], global: &Global) -> Error {
    let wants_remote = place.name.contains("REMOTE:") || place.name == "--base";
    let is_target = Target::is_target(value);
    // Only a word that is out of place can be put right.
    if place.is_option && !wants_remote || wants_remote == is_target {
        return error;
    }
    let Ok(config) = Config::load(global.config.as_deref(), &Environment::process()) else { return error };
    let names = config.names();
    let is_known =
        |word: &str| word.split_once(':').is_some_and(|(remote, _)| names.iter().any(|name| name == remote));
    if wants_remote && names.iter().any(|name| name == value) {
        let mended = with(words, value, [format!("{value}:")]);
        return Error::usage(format!("`{value}` is not a remote (did you mean `{value}:`?)"))
            .hint(format!("run `{mended}`"));
    }
    let path = help::path(words).len();
    let other = words.iter().skip(path).find(|word| {
        let fits = Target::is_target(word) != is_target && *word != value && !word.starts_with('-');
        fits && if wants_remote { is_known(word) } else { is_known(value) }
    });
    if let (Some(other), false) = (other, place.is_option) {
        let swapped = words.iter().map(|word| match word {
            word if word == other => value.to_owned(),
            word if word == value => other.clone(),
            word => word.clone(),
        });
        let (image, remote) = if wants_remote { (value, other.as_str()) } else { (other.as_str(), value) };
        return Error::usage(format!(
            "the arguments are swapped: `{image}` is not a remote, and `{remote}` is"
        ))
        .hint(format!("run `{}`", shown(swapped)));
    }
    let is_object = uuid::Uuid::parse_str(value).is_ok() || value.starts_with("appliance/");
    if wants_remote && is_object {
        let default = config.default_remote().map(|default| default.name);
        let remote = default.or_else(|_| names.first().cloned().ok_or(()));
        let remote = remote.unwrap_or_else(|()| crate::config::LOCAL.to_owned());
        let mended = with(words, value, [format!("{remote}:{value}")]);
        return Error::usage(format!("`{value}` names no remote"))
            .hint(format!("put the remote before it, as in `{mended}`"));
    }
    error
}

/// The command with other words in the place of one.
fn with(words: &[String], word: &str, other: impl IntoIterator<Item = String>) -> String {
    let mut mended = words.to_vec();
    let found = words.iter().position(|candidate| candidate == word);
    if let Some(at) = found {
        mended.splice(at..=at, other);
    } else if let Some(at) = words.iter().position(|candidate| candidate.ends_with(&format!("={word}"))) {
        // --base=WORD
        let option = words[at].split_once('=').map_or("", |(option, _)| option);
        mended[at] = format!("{option}={}", other.into_iter().collect::<Vec<_>>().join(" "));
    }
    shown(mended)
}

/// The command as a shell takes it, without its secrets.
fn shown(words: impl IntoIterator<Item = String>) -> String {
    signals::resuming(["diskferry".to_owned()].into_iter().chain(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn words_of_other_programs_are_understood() {
        let mended = |line: &str, word: &str, near: Option<&str>| {
            command(word, near, &words(line)).hint_text().unwrap_or_default().to_owned()
        };
        assert_eq!(mended("ls oh:", "ls", None), "did you mean `diskferry drive list oh:`?");
        assert_eq!(mended("-v cp a.img oh:", "cp", None), "did you mean `diskferry -v upload a.img oh:`?");
        assert_eq!(mended("uplod a oh:", "uplod", Some("upload")), "did you mean `diskferry upload a oh:`?");
        assert_eq!(mended("drive destory", "destory", None), "`diskferry drive --help` lists the commands");
    }

    #[test]
    fn a_mended_command_has_no_secret() {
        let line = words("drive set local vnc:password=hunter22");
        assert!(!with(&line, "local", ["local:".to_owned()]).contains("hunter22"));
        assert_eq!(
            with(&words("upload a --base=oh"), "oh", ["oh:".to_owned()]),
            "diskferry upload a --base=oh:"
        );
        let hint = surplus("10m", &words("server stop oh:x --wait 10m"));
        assert_eq!(hint.as_deref(), Some("did you mean `diskferry server stop oh:x --wait=10m`?"));
    }
}
