//! `diskferry calls`: the catalogue.

use super::options::parse;
use super::output::Output;
use super::table::Table;
use crate::error::{Error, Kind, Result};
use crate::provider::Provider;
use crate::provider::catalogue::{self, Call};
use clap::Args;

/// What `calls` takes.
#[derive(Debug, Args)]
pub struct CallsArgs {
    /// Only the calls of this provider
    #[arg(value_parser = parse::<Provider>)]
    provider: Option<Provider>,
    /// Describe this call: its path arguments, its keys, what it answers
    call: Option<String>,
}

/// Runs the command.
pub fn run(args: &CallsArgs, output: &Output) -> Result<()> {
    if let (Some(provider), Some(id)) = (args.provider, &args.call) {
        let call = Call::find(provider, id)?;
        if output.is_json() {
            return row(call, output);
        }
        return catalogue::describe(call).iter().try_for_each(|line| output.data(line));
    }
    let calls: Vec<&Call> = match args.provider {
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

fn row(call: &Call, output: &Output) -> Result<()> {
    let row = serde_json::to_value(call.row())
        .map_err(|e| Error::new(Kind::Io, "the catalogue cannot be written as JSON").source(e))?;
    output.event("call", row);
    Ok(())
}
