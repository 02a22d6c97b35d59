//! Completion while one types: the shell asks this program, with [`VARIABLE`] set, what the word at the cursor can be.
//!
//! Commands, options and files come from the definition of the command line; remotes from the configuration; drives,
//! servers, machines and appliances from the remote, see [`names`].

mod bash;
mod names;

use super::parse::definition;
use super::{Global, words};
use crate::config::{Config, Environment};
use clap::{Arg, Command};
use clap_complete::CompleteEnv;
use clap_complete::engine::{
    ArgValueCandidates, ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};
use clap_complete::env::{Elvish, Fish, Powershell, Shells, Zsh};
use names::Kind;
use std::ffi::OsStr;
use std::path::Path;

/// The commands whose objects may be named by their names.
const BY_NAME: [&str; 13] = [
    "upload", "download", "migrate", "verify", "backup", "restore", "boot", "drive", "server", "machine",
    "snapshot", "tag", "metadata",
];

/// Set by the scripts, to the shell's name.
const VARIABLE: &str = "DISKFERRY_COMPLETE";

const SHELLS: Shells<'static> = Shells(&[&bash::Bash, &Elvish, &Fish, &Powershell, &Zsh]);

/// Returns the names of the shells that have a script.
pub(super) fn shells() -> impl Iterator<Item = &'static str> {
    SHELLS.names()
}

/// Returns the script of a shell; `None` if it has none.
pub(super) fn script(shell: &str) -> Option<std::io::Result<Vec<u8>>> {
    let shell = SHELLS.completer(shell)?;
    let mut script = Vec::new();
    let written = shell.write_registration(VARIABLE, "diskferry", "diskferry", "diskferry", &mut script);
    Some(written.map(|()| script))
}

/// Answers a shell that asks for completions; returns whether one did. Whatever fails has no candidates and no message,
/// since a message would stand in the middle of what is typed.
pub fn answer() -> bool {
    if std::env::var_os(VARIABLE).is_none() {
        return false;
    }
    let directory = std::env::current_dir().ok();
    let completed = CompleteEnv::with_factory(|| attach(definition(), ""))
        .var(VARIABLE)
        .bin("diskferry")
        .completer("diskferry")
        .shells(SHELLS)
        .try_complete(std::env::args_os(), directory.as_deref());
    completed.unwrap_or(true)
}

/// Says of each argument what completes it. `group`: the command that the others are below, such as `server`.
fn attach(command: Command, group: &str) -> Command {
    command.mut_args(|arg| complete_argument(arg, group)).mut_subcommands(|below| {
        let own = below.get_name().to_owned();
        attach(below, if group.is_empty() { &own } else { group })
    })
}

fn complete_argument(arg: Arg, group: &str) -> Arg {
    if !arg.get_action().takes_values() {
        return arg;
    }
    let value = arg.get_value_names().map(|names| names.iter().map(ToString::to_string).collect::<String>());
    let value = value.unwrap_or_default();
    if value.contains("REMOTE:") || value.starts_with("NAME:") {
        let object = value.split_once(':').is_some_and(|(_, object)| !object.is_empty());
        let targets = Targets {
            kind: object.then(|| Kind::of(&value, group)).flatten(),
            by_name: BY_NAME.contains(&group),
            files: ["FILE", "IMAGE", "DIR", "STORE"].iter().any(|word| value.contains(word)),
        };
        return arg.add(ArgValueCompleter::new(targets));
    }
    let is_word = |word: &&str| {
        word.starts_with(|c: char| c.is_ascii_lowercase()) && !word.contains(|c: char| c.is_ascii_uppercase())
    };
    let choices: Vec<String> = value.split('|').filter(is_word).map(str::to_owned).collect();
    if !value.contains('|') || choices.is_empty() {
        return arg;
    }
    arg.add(ArgValueCandidates::new(move || choices.iter().map(CompletionCandidate::new).collect()))
}

/// Completes `REMOTE:`, what is on it, and files where the argument may be one.
struct Targets {
    kind: Option<Kind>,
    by_name: bool,
    files: bool,
}

impl ValueCompleter for Targets {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let word = current.to_string_lossy();
        let config = config_path();
        match (word.split_once(':'), self.kind) {
            (Some((remote, start)), Some(kind)) => {
                let all = names::on(remote, kind, self.by_name, config.as_deref());
                let mut found: Vec<_> = all.iter().filter(|name| name.word.starts_with(start)).collect();
                if found.is_empty() {
                    // A name leads to an id, if it leads to one alone: several would replace what was typed.
                    found = all.iter().filter(|name| name.other.starts_with(start)).collect();
                    found.truncate(usize::from(found.len() == 1));
                }
                let candidate = |name: &names::Name| {
                    CompletionCandidate::new(format!("{remote}:{}", name.word))
                        .help(Some(name.other.clone().into()))
                };
                found.into_iter().map(candidate).collect()
            }
            (Some(_), None) => Vec::new(),
            (None, _) => {
                let mut candidates: Vec<CompletionCandidate> = remotes(config.as_deref())
                    .into_iter()
                    .map(|name| format!("{name}:"))
                    .filter(|name| name.starts_with(&*word))
                    .map(CompletionCandidate::new)
                    .collect();
                if self.files {
                    candidates.extend(PathCompleter::any().complete(current));
                }
                candidates
            }
        }
    }
}

fn remotes(config: Option<&Path>) -> Vec<String> {
    Config::load(config, &Environment::process()).map(|config| config.names()).unwrap_or_default()
}

/// The `--config` of the command that is being typed.
fn config_path() -> Option<std::path::PathBuf> {
    let typed: Vec<String> = words::given().skip_while(|word| word != "--").skip(2).collect();
    Global::of_words(&typed).config
}
