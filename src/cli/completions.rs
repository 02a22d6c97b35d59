//! `diskferry completions`: from the one definition of the command line.

use super::Cli;
use super::output::Output;
use crate::error::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// What `completions` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  diskferry completions bash > ~/.local/share/bash-completion/completions/diskferry\n  \
                  diskferry completions zsh > ~/.zfunc/_diskferry\n  \
                  diskferry completions fish > ~/.config/fish/completions/diskferry.fish"
)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Runs the command.
pub fn run(args: &CompletionsArgs, output: &Output) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "diskferry", &mut script);
    output.raw(&script)
}
