//! `diskferry calls`: the catalogue.

use super::Global;
use super::output::Output;
use super::table::Table;
use crate::config::{Config, Environment, Service};
use crate::error::{Error, Kind, Result};
use crate::provider::Provider;
use crate::provider::catalogue::{self, Call};
use clap::Args;

/// The arguments of `calls`.
#[derive(Debug, Args)]
pub struct CallsArgs {
    /// Only the calls of this provider, or of a remote's
    #[arg(value_name = "PROVIDER|REMOTE:")]
    provider: Option<String>,
    /// Describe this call: its path arguments, its keys, what it answers
    #[arg(value_name = "CALL")]
    call: Option<String>,
}

/// Runs the command.
pub fn run(args: &CallsArgs, global: &Global, output: &Output) -> Result<()> {
    let provider = args.provider.as_deref().map(|word| provider(word, global)).transpose()?;
    if let (Some(provider), Some(id)) = (provider, &args.call) {
        let call = Call::find(provider, id)?;
        if output.is_json() {
            return row(call, output);
        }
        return catalogue::describe(call).iter().try_for_each(|line| output.data(line));
    }
    let calls: Vec<&Call> = match provider {
        Some(provider) => catalogue::calls(provider).iter().collect(),
        None => catalogue::all().collect(),
    };
    if output.is_json() {
        return calls.iter().try_for_each(|call| row(call, output));
    }
    let mut rows = catalogue::table(calls).into_iter();
    let headings = rows.next().unwrap_or_default();
    let mut table = Table::new(headings.iter().map(String::as_str));
    rows.for_each(|row| table.row(row));
    table.print("the catalogue has no calls of this provider", output)
}

/// The provider of this name, or behind a remote of this name.
fn provider(word: &str, global: &Global) -> Result<Provider> {
    let load = || Config::load(global.config.as_deref(), &Environment::process());
    if let Some(remote) = word.strip_suffix(':') {
        return load()?.remote(remote)?.provider.api();
    }
    word.parse::<Service>().and_then(Service::api).map_err(|error| match load() {
        Ok(config) if config.names().iter().any(|name| name == word) => {
            Error::usage(format!("`{word}` is not a provider (did you mean the remote `{word}:`?)"))
                .hint(format!("run `diskferry calls {word}:`"))
        }
        _ => error,
    })
}

fn row(call: &Call, output: &Output) -> Result<()> {
    let row = serde_json::to_value(call.row())
        .map_err(|e| Error::new(Kind::Io, "printing the catalogue as JSON").source(e))?;
    output.value("call", &row)
}
