//! `diskferry remote`: the accounts in the configuration file. No secret is ever shown, and none is given as
//! an argument.

mod add;
mod login;
mod test;
mod wizard;

use super::Global;
use super::output::Output;
use super::table::Table;
use crate::config::{Config, Environment, RemoteSummary};
use crate::error::{Error, Result};
use clap::Subcommand;
use serde_json::json;

/// The commands about remotes.
#[derive(Debug, Subcommand)]
pub enum RemoteCommand {
    /// Add a remote to the configuration file; alone, it asks step by step
    Add(Box<add::AddArgs>),
    /// List the remotes, and where each was defined
    List,
    /// Show the configuration of a remote, secrets hidden
    Show {
        /// The remote
        #[arg(value_name = "NAME:", value_parser = name)]
        name: String,
    },
    /// Sign in, measure the round trip, and say what the provider can do
    Test(test::TestArgs),
    /// Get a `SpotCloud` account's access token, which you allow in a browser
    Login(login::LoginArgs),
    /// Use a remote where a command names none
    SetDefault {
        /// The remote
        #[arg(value_name = "NAME:", value_parser = name)]
        name: String,
    },
    /// Remove a remote from the configuration file
    Remove {
        /// The remote
        #[arg(value_name = "NAME:", value_parser = name)]
        name: String,
    },
}

/// Parses a remote's name, with or without its colon.
#[expect(clippy::unnecessary_wraps, reason = "it stands where clap wants a parser")]
pub(super) fn name(text: &str) -> Result<String, String> {
    Ok(text.strip_suffix(':').unwrap_or(text).to_owned())
}

/// Runs the command.
pub async fn run(command: RemoteCommand, global: &Global, output: &Output) -> Result<()> {
    match command {
        RemoteCommand::Add(args) => add::run(*args, global, output).await,
        RemoteCommand::List => list(&load(global, output)?, output),
        RemoteCommand::Show { name } => show(&name, &load(global, output)?, output),
        RemoteCommand::Test(args) => test::run(args, global, output).await,
        RemoteCommand::Login(args) => login::run(args, global, output).await,
        RemoteCommand::Remove { name } => {
            let path = load(global, output)?.remove_remote(&name)?;
            output.note(&format!("removed remote `{name}:` from {}", path.display()));
            Ok(())
        }
        RemoteCommand::SetDefault { name } => {
            let path = load(global, output)?.write_default(&name)?;
            output.note(&format!("`{name}:` is the default remote now, in {}", path.display()));
            Ok(())
        }
    }
}

fn load(global: &Global, output: &Output) -> Result<Config> {
    let config = Config::load(global.config.as_deref(), &Environment::process())?;
    for warning in config.warnings() {
        output.warn(warning);
    }
    Ok(config)
}

fn list(config: &Config, output: &Output) -> Result<()> {
    let summaries = config.summaries();
    if output.is_json() {
        for remote in &summaries {
            output.event("remote", object(remote));
        }
        return Ok(());
    }
    let mut table = Table::new(["NAME", "PROVIDER", "URL", "USER", "SECRET", "DEFINED"]);
    for remote in &summaries {
        let default = if remote.is_default { " (default)" } else { "" };
        table.row([
            format!("{}:{default}", remote.name),
            remote.provider.clone(),
            remote.endpoint.clone().unwrap_or_else(|| "-".into()),
            remote.user.clone().unwrap_or_else(|| "-".into()),
            remote.secret.clone(),
            remote.origin.clone(),
        ]);
    }
    table.print("", output)?;
    for remote in summaries {
        if let Some(problem) = remote.problem {
            output.warn(&problem);
        }
    }
    Ok(())
}

fn show(name: &str, config: &Config, output: &Output) -> Result<()> {
    let shown = config.show(name)?;
    if output.is_json() {
        output.event("remote", object(&config.summary(name)?));
        return Ok(());
    }
    let widest = shown.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    shown.iter().try_for_each(|(key, value)| output.data(&format!("{key:widest$} {value}")))?;
    match config.summary(name)?.problem {
        Some(problem) => Err(Error::usage(problem)),
        None => Ok(()),
    }
}

fn object(remote: &RemoteSummary) -> serde_json::Value {
    json!({
        "name": remote.name, "provider": remote.provider, "url": remote.endpoint, "user": remote.user,
        "secret": remote.secret, "defined": remote.origin, "default": remote.is_default, "problem": remote.problem,
    })
}
