//! From the words of the command line to a command, or to the text or error that ends the program instead.

use super::output::Output;
use super::{Cli, Color, Global, help, ignored, usage, words};
use clap::error::ErrorKind;
use clap::{Command, CommandFactory, FromArgMatches, ValueEnum};
use std::process::ExitCode;

/// Returns the definition of the command line, with the aliases that every command has.
pub(super) fn definition() -> Command {
    fn with_aliases(command: Command) -> Command {
        let command = command.mut_subcommands(with_aliases);
        match command.get_name() {
            "list" => command.visible_alias("ls"),
            "destroy" | "delete" | "remove" | "discard" => command.visible_alias("rm"),
            _ => command,
        }
    }
    with_aliases(Cli::command())
}

impl Cli {
    /// Parses the command line. Help is printed and a usage error is reported here; both end the program with the status
    /// that is returned.
    pub fn read() -> Result<Self, ExitCode> {
        let matches = definition().try_get_matches().map_err(|error| end(&error))?;
        let cli = Self::from_arg_matches(&matches).map_err(|error| end(&error))?;
        match ignored::refuse(&matches) {
            Ok(()) => Ok(cli),
            Err(error) => Err(Output::new(&cli.global).fail(&error)),
        }
    }
}

fn end(error: &clap::Error) -> ExitCode {
    let words: Vec<String> = words::given().skip(1).collect();
    let global = Global::of_words(&words);
    let output = Output::new(&global);
    let printed = match error.kind() {
        ErrorKind::DisplayHelp => help::page(&words, &output),
        ErrorKind::DisplayVersion => output.raw(error.render().to_string().as_bytes()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if !output.is_json() => {
            output.help_on_stderr(|paint| help::missing(&words, paint));
            return ExitCode::from(2);
        }
        _ => return output.fail(&usage::error(error, &words, &global)),
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output.fail(&error),
    }
}

impl Global {
    /// Reads what a command line that was refused says about its output.
    pub(super) fn of_words(words: &[String]) -> Self {
        let words = words.iter().map_while(|word| (word != "--").then_some(word.as_str()));
        let words: Vec<&str> = words.collect();
        let value = |option: &str| {
            words.iter().enumerate().find_map(|(at, word)| match word.strip_prefix(option)? {
                "" => words.get(at + 1).copied(),
                rest => rest.strip_prefix('='),
            })
        };
        Self {
            verbose: 0,
            quiet: false,
            json: words.contains(&"--json"),
            config: value("--config").map(Into::into),
            color: value("--color").and_then(|when| Color::from_str(when, false).ok()).unwrap_or(Color::Auto),
            no_progress: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_a_refused_command_is_as_it_says() {
        let of =
            |line: &str| Global::of_words(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        let global = of("upload --json --color=never --config a.toml x");
        assert!(global.json && global.color == Color::Never);
        assert_eq!(global.config.as_deref(), Some(std::path::Path::new("a.toml")));
        let global = of("upload --color sometimes -- --json");
        assert!(!global.json && global.color == Color::Auto && global.config.is_none());
    }

    #[test]
    fn the_definition_holds() {
        definition().debug_assert();
    }

    #[test]
    fn a_list_and_what_takes_away_have_short_names() {
        for line in [
            "diskferry drive ls oh:",
            "diskferry server rm oh:x",
            "diskferry remote rm oh",
            "diskferry transfers rm x",
        ] {
            assert!(definition().try_get_matches_from(line.split(' ')).is_ok(), "{line}");
        }
    }
}
