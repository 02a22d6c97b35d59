//! Conversion of the rows into clap commands, and of parsed arguments back into a row.

use super::{Act, Does, NOUNS, Noun, On, OptKind, Pairs};
use crate::cli::account::RequestOptions;
use crate::cli::wait::WaitOptions;
use crate::provider::catalogue;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Subcommand};

/// A typed command, as parsed from the command line.
#[derive(Debug)]
pub struct NounCommand {
    noun: &'static Noun,
    act: &'static Act,
    matches: ArgMatches,
}

impl std::fmt::Debug for Noun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl std::fmt::Debug for Act {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl NounCommand {
    /// Returns the noun's row, the command's row, and the parsed arguments.
    pub(super) fn parts(self) -> (&'static Noun, &'static Act, ArgMatches) {
        (self.noun, self.act, self.matches)
    }
}

impl Subcommand for NounCommand {
    fn augment_subcommands(command: Command) -> Command {
        NOUNS.iter().fold(command, |command, noun| command.subcommand(noun_command(noun)))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        NOUNS.iter().any(|noun| noun.name == name)
    }
}

impl FromArgMatches for NounCommand {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let found = || {
            let (name, matches) = matches.subcommand()?;
            let noun = NOUNS.iter().find(|noun| noun.name == name)?;
            let (name, matches) = matches.subcommand()?;
            let act = noun.acts.iter().find(|act| act.name == name)?;
            Some(Self { noun, act, matches: matches.clone() })
        };
        found().ok_or_else(|| clap::Error::new(clap::error::ErrorKind::MissingSubcommand))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn noun_command(noun: &Noun) -> Command {
    let command =
        Command::new(noun.name).about(noun.about).subcommand_required(true).arg_required_else_help(true);
    noun.acts.iter().fold(command, |command, act| command.subcommand(act_command(noun, act)))
}

fn act_command(noun: &Noun, act: &Act) -> Command {
    let mut command = Command::new(act.name).arg(target(noun, act.on));
    command = command.visible_aliases(act.alias);
    if !act.after.is_empty() {
        command = command.after_help(act.after);
    }
    for word in act.words {
        command =
            command.arg(Arg::new(word.name).value_name(word.name).help(word.help).required(word.required));
    }
    for key in act.options {
        let arg = Arg::new(key.long).long(key.long).help(key.help);
        command = command.arg(match key.kind {
            OptKind::Flag => arg.action(ArgAction::SetTrue),
            OptKind::Value => arg.value_name(key.value),
            OptKind::Pairs => arg.value_name(key.value).action(ArgAction::Append),
        });
    }
    if let Pairs::Optional(help) | Pairs::Required(help) = act.pairs {
        let required = matches!(act.pairs, Pairs::Required(_));
        let pairs = Arg::new("pairs").value_name("KEY=VALUE").help(help).action(ArgAction::Append);
        command = command.arg(pairs.required(required).num_args(1..));
    }
    match &act.does {
        Does::List(list) => {
            if let Some(first) = list.sort.first() {
                let sort = Arg::new("sort").long("sort").value_name("FIELD").default_value(*first);
                command = command.arg(sort.value_parser(list.sort.to_vec()).help("The order of the list"));
            }
            if list.paged {
                command = command.arg(
                    Arg::new("page")
                        .long("page")
                        .value_name("N")
                        .hide(true)
                        .value_parser(clap::value_parser!(u16).range(1..))
                        .help("How many are asked for at a time"),
                );
            }
        }
        Does::Own(arguments, _) => command = arguments(command),
        _ => {}
    }
    if may_ask(act) {
        let yes = Arg::new("yes").long("yes").short('y').action(ArgAction::SetTrue);
        command = command.arg(yes.help("Do not ask, on a terminal, before something is lost"));
    }
    if is_waited_for(act) {
        command = WaitOptions::augment_args(command);
    }
    // The command's own text is set last, since flattened options bring theirs.
    RequestOptions::augment_args(command).about(act.about).long_about(None)
}

fn target(noun: &Noun, on: On) -> Arg {
    let object = noun.owner.unwrap_or(noun);
    let arg = Arg::new("target");
    match on {
        On::Account => arg.value_name("REMOTE:").help("The account [default: the default remote]"),
        On::Remote => arg.value_name("REMOTE:").help("The account").required(true),
        On::Object => arg.value_name(object.form).help(object.help).required(true),
    }
}

/// Returns whether the command may ask the user for confirmation.
pub(super) fn may_ask(act: &Act) -> bool {
    matches!(act.does, Does::Destroy(..)) || act.before.is_some() || matches!(act.call, "drives.image")
}

/// Returns whether the work of the command continues after the reply at any provider.
pub(super) fn is_waited_for(act: &Act) -> bool {
    catalogue::all().any(|call| call.id == act.call && call.poll.is_some())
}
