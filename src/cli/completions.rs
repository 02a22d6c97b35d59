//! `diskferry completions`: the scripts that have shells ask this program.

use super::complete;
use super::output::Output;
use crate::error::{Error, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;

/// The arguments of `completions`.
#[derive(Debug, Args)]
#[command(
    after_help = "Shells look for the script in ~/.local/share/bash-completion/completions/diskferry (bash), \
                  ~/.config/fish/completions/diskferry.fish (fish), and as _diskferry in a directory of fpath (zsh). \
                  It completes commands, options, files, remotes, and the names of what is on them, which are asked of \
                  the remote and kept for a minute."
)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "bash|elvish|fish|powershell|zsh", value_parser = PossibleValuesParser::new(complete::shells()))]
    shell: String,
}

/// Runs the command.
pub fn run(args: &CompletionsArgs, output: &Output) -> Result<()> {
    if output.is_json() {
        return Err(Error::usage("a completion script is not JSON").hint("leave `--json` out"));
    }
    let script = complete::script(&args.shell)
        .ok_or_else(|| Error::usage(format!("there is no script for `{}`", args.shell)))?
        .map_err(|e| Error::io("writing the completion script", e))?;
    output.raw(&script)
}
