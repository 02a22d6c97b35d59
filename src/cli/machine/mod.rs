//! `diskferry machine`: the machines of a Joyent account.
//!
//! stdout has a table, or the id of what was made and nothing else; what was done is said on stderr. What goes on after the
//! reply is waited for with --wait.

mod list;

use super::Global;
use super::account::{Account, RequestOptions, given, named, only_remote};
use super::options::{pair, parse};
use super::output::Output;
use super::values::{id, show, text, words};
use super::wait::{Look, WaitOptions};
use crate::config::Target;
use crate::error::{Error, Kind, Result};
use clap::{Args, Subcommand};
use serde_json::Value;

/// What can be done about machines.
#[derive(Debug, Subcommand)]
pub enum MachineCommand {
    /// List the machines: name, state, type, memory, addresses, id
    List(list::ListArgs),
    /// Say how many machines there are
    Count(list::ListArgs),
    /// Show everything that is known of a machine
    Info(InfoArgs),
    /// Make a machine; prints its id
    Create(CreateArgs),
    /// Start a machine
    Start(ActArgs),
    /// Stop a machine
    Stop(ActArgs),
    /// Restart a machine
    Reboot(ActArgs),
    /// Give a smartmachine another package
    Resize(ResizeArgs),
    /// Destroy a machine, which has to be stopped
    Delete(ActArgs),
}

/// A machine and nothing else.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// The machine
    #[arg(value_name = "REMOTE:MACHINE", value_parser = parse::<Target>)]
    machine: Target,
    #[command(flatten)]
    request: RequestOptions,
}

/// What `machine info` takes.
#[derive(Debug, Args)]
pub struct InfoArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Show the credentials that were generated for it, too
    #[arg(long)]
    credentials: bool,
}

/// A machine, and whether to wait.
#[derive(Debug, Args)]
pub struct ActArgs {
    #[command(flatten)]
    one: OneArgs,
    #[command(flatten)]
    wait: WaitOptions,
}

/// What `machine resize` takes.
#[derive(Debug, Args)]
pub struct ResizeArgs {
    #[command(flatten)]
    act: ActArgs,
    /// The package, by its name
    package: String,
}

/// What `machine create` takes.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The account
    #[arg(value_name = "REMOTE:", value_parser = parse::<Target>)]
    remote: Target,
    /// Its name; generated without it
    #[arg(long)]
    name: Option<String>,
    /// The package, by its name; the account's default without it
    #[arg(long)]
    package: Option<String>,
    /// The dataset, by its URN or id; the account's default without it
    #[arg(long)]
    dataset: Option<String>,
    /// Metadata of the machine; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// A tag of the machine; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    tag: Vec<(String, String)>,
    #[command(flatten)]
    wait: WaitOptions,
    #[command(flatten)]
    request: RequestOptions,
}

/// What is begun and goes on: the call, what was done in words, and the state that ends it.
struct Act {
    call: &'static str,
    done: &'static str,
    ends: &'static str,
}

/// Runs the command.
pub async fn run(command: MachineCommand, global: &Global, output: &Output) -> Result<()> {
    let act = |call, done, ends| Act { call, done, ends };
    match command {
        MachineCommand::List(args) => list::run(args, global, output).await,
        MachineCommand::Count(args) => list::count(args, global, output).await,
        MachineCommand::Info(args) => {
            let (account, machine) = open(&args.one, global, output).await?;
            let credentials = args.credentials.then(|| ("credentials".to_owned(), "true".to_owned()));
            let now = account.value("machines.get", &given([&*machine], credentials)).await?;
            show("machine", &now, &output.revealing(args.credentials))
        }
        MachineCommand::Create(args) => create(args, global, output).await,
        MachineCommand::Start(args) => {
            run_act(act("machines.start", "starting", "running"), &args, [], global, output).await
        }
        MachineCommand::Stop(args) => {
            run_act(act("machines.stop", "stopping", "stopped"), &args, [], global, output).await
        }
        MachineCommand::Reboot(args) => {
            run_act(act("machines.reboot", "rebooting", "running"), &args, [], global, output).await
        }
        MachineCommand::Resize(args) => {
            let package = [("package".to_owned(), args.package)];
            run_act(act("machines.resize", "being resized", "running"), &args.act, package, global, output)
                .await
        }
        MachineCommand::Delete(args) => {
            run_act(act("machines.delete", "being deleted", "deleted"), &args, [], global, output).await
        }
    }
}

/// Refuses an account that has no machines.
pub(super) fn has(account: &Account) -> Result<()> {
    account.has(
        "machines.list",
        "run machines of this kind",
        "`diskferry server` is for the providers of drives",
    )
}

/// The account of a machine, and the machine's id.
pub(super) async fn open(args: &OneArgs, global: &Global, output: &Output) -> Result<(Account, String)> {
    let (remote, machine) = named(&args.machine, "machine")?;
    let account = Account::open(Some(remote), &args.request, global, output).await?;
    has(&account)?;
    Ok((account, machine.to_owned()))
}

async fn create(args: CreateArgs, global: &Global, output: &Output) -> Result<()> {
    let account = Account::open(Some(only_remote(&args.remote)?), &args.request, global, output).await?;
    has(&account)?;
    let plain = [("name", args.name), ("package", args.package), ("dataset", args.dataset)];
    let mut keys: Vec<(String, String)> =
        plain.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    for (prefix, pairs) in [("metadata", args.metadata), ("tag", args.tag)] {
        super::account::add_keys(
            &mut keys,
            pairs.into_iter().map(|(key, value)| (format!("{prefix}.{key}"), value)),
        )?;
    }
    let machine = account.value("machines.create", &given([], keys)).await?;
    let machine_id = id("machine", &machine, "id")?;
    if output.is_json() {
        output.value("machine", &machine)?;
    } else {
        output.data(&machine_id)?;
    }
    if args.wait.wanted() {
        let machine = until(args.wait, "provisioning", "running", &machine_id, &account, output).await?;
        tell(&machine_id, &machine, output);
    }
    Ok(())
}

async fn run_act(
    act: Act,
    args: &ActArgs,
    keys: impl IntoIterator<Item = (String, String)>,
    global: &Global,
    output: &Output,
) -> Result<()> {
    let (account, machine) = open(&args.one, global, output).await?;
    account.values(act.call, &given([&*machine], keys)).await?;
    output.note(&format!("machine {machine} is {}", act.done));
    let mut state = None;
    if args.wait.wanted() {
        if matches!(act.call, "machines.reboot" | "machines.resize") {
            // At first it may still show that it runs.
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        let now = until(args.wait, act.done, act.ends, &machine, &account, output).await?;
        tell(&machine, &now, output);
        state = Some(act.ends);
    }
    let action = act.call.rsplit('.').next();
    output.event("summary", serde_json::json!({ "action": action, "machine": machine, "state": state }));
    Ok(())
}

/// Waits until a machine is in a state; one that is gone is deleted.
pub(super) async fn until(
    wait: WaitOptions,
    what: &str,
    ends: &str,
    machine: &str,
    account: &Account,
    output: &Output,
) -> Result<Value> {
    wait.until(what, &format!("machine {machine}"), account, output, async || {
        match account.value("machines.get", &given([machine], [])).await {
            Ok(now) => {
                let state = text(&now, "state");
                match &*state {
                    state if state == ends => Ok(Look::Done(now)),
                    "failed" | "deleted" => Err(Error::new(
                        Kind::Unavailable,
                        format!("machine {machine} is {state}, not {ends}"),
                    )),
                    _ => Ok(Look::GoesOn(state, None)),
                }
            }
            Err(error) if error.kind() == Kind::NotFound && ends == "deleted" => Ok(Look::Done(Value::Null)),
            Err(error) => Err(error),
        }
    })
    .await
}

fn tell(machine: &str, now: &Value, output: &Output) {
    let state = text(now, "state");
    let state = if state.is_empty() { "deleted" } else { &state };
    output.note(&format!("machine {machine} is {state}"));
    let addresses = words(now, "ips");
    if state == "running" && !addresses.is_empty() {
        output.note(&format!("its addresses are {}", crate::escape::line(&addresses.join(" "))));
    }
}
