//! `diskferry snapshot`: snapshots of Joyent's smartmachines.

use super::Global;
use super::account::{Account, given};
use super::machine::{OneArgs, open, until};
use super::output::Output;
use super::table::Table;
use super::values::{id, show, text};
use super::wait::{Look, WaitOptions};
use crate::error::{Error, Kind, Result};
use clap::{Args, Subcommand};

/// What can be done about snapshots.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// List the snapshots of a machine: name, state, time
    List(OneArgs),
    /// Show a snapshot
    Info(NamedArgs),
    /// Take a snapshot; prints its name
    Create(CreateArgs),
    /// Start a stopped machine from a snapshot
    Start(StartArgs),
    /// Delete a snapshot
    Delete(NamedArgs),
}

/// A snapshot and nothing else.
#[derive(Debug, Args)]
pub struct NamedArgs {
    #[command(flatten)]
    machine: OneArgs,
    /// The snapshot
    name: String,
}

/// What `snapshot start` takes.
#[derive(Debug, Args)]
pub struct StartArgs {
    #[command(flatten)]
    snapshot: NamedArgs,
    #[command(flatten)]
    wait: WaitOptions,
}

/// What `snapshot create` takes.
#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    machine: OneArgs,
    /// Its name; the time without it
    name: Option<String>,
    #[command(flatten)]
    wait: WaitOptions,
}

/// Runs the command.
pub async fn run(command: SnapshotCommand, global: &Global, output: &Output) -> Result<()> {
    match command {
        SnapshotCommand::List(args) => {
            let (account, machine) = open(&args, global, output).await?;
            let snapshots = account.values("snapshots.list", &given([&*machine], [])).await?;
            if output.is_json() {
                return snapshots.iter().try_for_each(|snapshot| output.value("snapshot", snapshot));
            }
            let mut table = Table::new(["NAME", "STATE", "CREATED"]);
            for snapshot in &snapshots {
                table.row(["name", "state", "created"].map(|field| text(snapshot, field)));
            }
            table.print(&format!("machine {machine} has no snapshots"), output)
        }
        SnapshotCommand::Info(args) => {
            let (account, machine) = open(&args.machine, global, output).await?;
            let found = account.value("snapshots.get", &given([&*machine, &*args.name], [])).await?;
            show("snapshot", &found, output)
        }
        SnapshotCommand::Create(args) => create(args, global, output).await,
        SnapshotCommand::Start(args) => {
            let named = &args.snapshot;
            let (account, machine) =
                act("snapshots.start", "the machine is starting from", "start", named, global, output)
                    .await?;
            if args.wait.wanted() {
                until(args.wait, "starting", "running", &machine, &account, output).await?;
                output.note(&format!("machine {machine} is running"));
            }
            Ok(())
        }
        SnapshotCommand::Delete(args) => {
            act("snapshots.delete", "deleted", "delete", &args, global, output).await.map(drop)
        }
    }
}

async fn act(
    call: &str,
    done: &str,
    action: &str,
    args: &NamedArgs,
    global: &Global,
    output: &Output,
) -> Result<(Account, String)> {
    let (account, machine) = open(&args.machine, global, output).await?;
    account.values(call, &given([&*machine, &*args.name], [])).await?;
    output.note(&format!("{done}: snapshot {} of machine {machine}", args.name));
    output
        .event("summary", serde_json::json!({ "action": action, "machine": machine, "snapshot": args.name }));
    Ok((account, machine))
}

async fn create(args: CreateArgs, global: &Global, output: &Output) -> Result<()> {
    let (account, machine) = open(&args.machine, global, output).await?;
    let name = args.name.clone().map(|name| ("name".to_owned(), name));
    let made = account.value("snapshots.create", &given([&*machine], name)).await?;
    // A name that was chosen here is taken from here; one that the server has made up has to be an id.
    let name = match args.name {
        Some(name) => name,
        None => id("snapshot", &made, "name")?.into(),
    };
    if output.is_json() {
        output.value("snapshot", &made)?;
    } else {
        output.data(&name)?;
    }
    if args.wait.wanted() {
        until_created(args.wait, &machine, &name, &account, output).await?;
        output.note(&format!("snapshot {name} is there"));
    }
    Ok(())
}

/// Waits until a snapshot is there: "created" in one place of the manual, "success" in another (Joyent CloudAPI 6.5,
/// "`CreateMachineSnapshot`" and "`GetMachineSnapshot`").
async fn until_created(
    wait: WaitOptions,
    machine: &str,
    name: &str,
    account: &Account,
    output: &Output,
) -> Result<()> {
    wait.until("taking", &format!("snapshot {name}"), account, output, async || {
        let now = account.value("snapshots.get", &given([machine, name], [])).await?;
        let state = text(&now, "state");
        match &*state {
            "created" | "success" => Ok(Look::Done(())),
            "failed" | "canceled" | "cancelled" => {
                Err(Error::new(Kind::Unavailable, format!("snapshot {name} of machine {machine} is {state}")))
            }
            _ => Ok(Look::GoesOn(state, None)),
        }
    })
    .await
}
