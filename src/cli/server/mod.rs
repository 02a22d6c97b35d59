//! `diskferry server`: the everyday calls about servers, over every provider that has them.
//!
//! stdout has a table, or the UUID of what was made and nothing else; what was done is said on stderr. With `--json` a
//! server is one object with the provider's own keys.

pub(super) mod create;

use super::Global;
use super::account::{Account, RequestOptions, add_keys, given, named, only_remote};
use super::drive::show;
use super::options::{pair, parse};
use super::output::Output;
use super::table::Table;
use super::wait::{Look, WaitOptions};
use crate::config::Target;
use crate::error::{Error, Kind, Result};
use crate::escape;
use crate::wire::elastic::Properties;
use clap::{Args, Subcommand};
use std::net::IpAddr;

/// What can be done about servers.
#[derive(Debug, Subcommand)]
pub enum ServerCommand {
    /// List the servers: name, status, processor, memory, address, UUID
    List(ListArgs),
    /// Show everything that is known of a server
    Info(OneArgs),
    /// Make a server, and start it unless --stopped; prints its UUID
    Create(create::CreateArgs),
    /// Start a server
    Start(ActArgs),
    /// Stop a server at once, as if its power were cut
    Stop(ActArgs),
    /// Ask a server to shut down by itself (ACPI)
    Shutdown(ActArgs),
    /// Reset a server, as its button would
    Reset(OneArgs),
    /// Change a server's configuration; most keys only while it is stopped
    Set(SetArgs),
    /// Destroy a server at once; its drives stay
    Destroy(OneArgs),
}

/// What `server list` takes.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The account; the default remote without it
    #[arg(value_name = "REMOTE:", value_parser = parse::<Target>)]
    remote: Option<Target>,
    #[command(flatten)]
    request: RequestOptions,
}

/// A server and nothing else.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// The server
    #[arg(value_name = "REMOTE:SERVER", value_parser = parse::<Target>)]
    server: Target,
    #[command(flatten)]
    request: RequestOptions,
}

/// A server, and whether to wait.
#[derive(Debug, Args)]
pub struct ActArgs {
    #[command(flatten)]
    one: OneArgs,
    #[command(flatten)]
    wait: WaitOptions,
}

/// What `server set` takes.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// The server
    #[arg(value_name = "REMOTE:SERVER", value_parser = parse::<Target>)]
    server: Target,
    /// What to change; an empty value takes a key away
    #[arg(value_name = "KEY=VALUE", value_parser = pair, required = true)]
    keys: Vec<(String, String)>,
    #[command(flatten)]
    request: RequestOptions,
}

/// The calls that change a server's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Start,
    Stop,
    Shutdown,
    Reset,
    Destroy,
}

/// Runs the command.
pub async fn run(command: ServerCommand, global: &Global, output: &Output) -> Result<()> {
    let no_wait = WaitOptions::default();
    match command {
        ServerCommand::List(args) => list(&args, global, output).await,
        ServerCommand::Info(args) => {
            let (account, id) = open(&args, global, output).await?;
            let server = account.object("servers.info", &given([&*id], [])).await?;
            show("server", &server, output)
        }
        ServerCommand::Create(args) => create::run(args, global, output).await,
        ServerCommand::Start(args) => act(Act::Start, &args.one, args.wait, global, output).await,
        ServerCommand::Stop(args) => act(Act::Stop, &args.one, args.wait, global, output).await,
        ServerCommand::Shutdown(args) => act(Act::Shutdown, &args.one, args.wait, global, output).await,
        ServerCommand::Reset(args) => act(Act::Reset, &args, no_wait, global, output).await,
        ServerCommand::Set(args) => set(args, global, output).await,
        ServerCommand::Destroy(args) => act(Act::Destroy, &args, no_wait, global, output).await,
    }
}

async fn open(args: &OneArgs, global: &Global, output: &Output) -> Result<(Account, String)> {
    let (remote, server) = named(&args.server, "server")?;
    Ok((Account::open(Some(remote), &args.request, global, output).await?, server.to_owned()))
}

async fn list(args: &ListArgs, global: &Global, output: &Output) -> Result<()> {
    let remote = args.remote.as_ref().map(only_remote).transpose()?;
    let account = Account::open(remote, &args.request, global, output).await?;
    let servers = account.objects("servers.info_all", &given([], [])).await?;
    if output.is_json() {
        return servers.iter().try_for_each(|server| output.object("server", server));
    }
    let mut table = Table::new(["NAME", "STATUS", "CPU MHZ", "MEM MB", "ADDRESS", "UUID"]).right(2).right(3);
    for server in &servers {
        let text = |key| server.get(key).unwrap_or_default().to_owned();
        let address = address(server).unwrap_or_default();
        table.row([text("name"), text("status"), text("cpu"), text("mem"), address, text("server")]);
    }
    table.print(&format!("there are no servers on {}:", account.remote()), output)
}

async fn set(args: SetArgs, global: &Global, output: &Output) -> Result<()> {
    let (remote, server) = named(&args.server, "server")?;
    let mut keys = Vec::new();
    add_keys(&mut keys, args.keys)?;
    let account = Account::open(Some(remote), &args.request, global, output).await?;
    let objects = account.objects("servers.set", &given([server], keys)).await?;
    output.note(&format!("server {server} is changed"));
    match objects.first() {
        Some(now) if output.is_json() => output.object("server", now),
        _ => Ok(()),
    }
}

async fn act(act: Act, args: &OneArgs, wait: WaitOptions, global: &Global, output: &Output) -> Result<()> {
    let (account, id) = open(args, global, output).await?;
    let (call, verb, done) = match act {
        Act::Start => ("servers.start", "start", "started"),
        Act::Stop => ("servers.stop", "stop", "stopped"),
        Act::Shutdown => ("servers.shutdown", "shutdown", "asked to shut down"),
        Act::Reset => ("servers.reset", "reset", "reset"),
        Act::Destroy => ("servers.destroy", "destroy", "destroyed"),
    };
    // What is destroyed is said by its name.
    let name = match act {
        Act::Destroy => {
            let info = account.object("servers.info", &given([&*id], [])).await?;
            format!(" ({})", escape::line(info.get("name").unwrap_or_default()))
        }
        _ => String::new(),
    };
    account.objects(call, &given([&*id], [])).await?;
    output.note(&format!("server {id}{name} is {done}"));
    let status = match act {
        Act::Start if wait.wanted() => {
            let server = until_active(wait, &id, &account, output).await?;
            tell_address(&server, output);
            Some("active".to_owned())
        }
        Act::Stop | Act::Shutdown if wait.wanted() => {
            let status = until_stopped(wait, &id, &account, output).await?;
            output.note(&format!("server {id} is {status}"));
            Some(status)
        }
        _ => None,
    };
    output.event("summary", serde_json::json!({ "action": verb, "server": id, "status": status }));
    Ok(())
}

/// Waits until a server runs; gives what is then known of it.
pub(super) async fn until_active(
    wait: WaitOptions,
    id: &str,
    account: &Account,
    output: &Output,
) -> Result<Properties> {
    wait.until("starting", &format!("server {id}"), account, output, async || {
        let server = account.object("servers.info", &given([id], [])).await?;
        match server.get("status").unwrap_or_default() {
            "active" => Ok(Look::Done(server)),
            failed @ ("dumped" | "dead") => {
                Err(Error::new(Kind::Unavailable, format!("server {id} did not start: it is {failed}")))
            }
            status => Ok(Look::GoesOn(status.to_owned(), None)),
        }
    })
    .await
}

/// Waits until a server no longer runs. One that is not persistent is gone then (Open Hosting API, "Stop a server").
async fn until_stopped(wait: WaitOptions, id: &str, account: &Account, output: &Output) -> Result<String> {
    wait.until("shutdown", &format!("server {id}"), account, output, async || {
        match account.object("servers.info", &given([id], [])).await {
            Ok(server) => Ok(match server.get("status").unwrap_or_default() {
                status @ ("stopped" | "dumped" | "dead") => Look::Done(status.to_owned()),
                status => Look::GoesOn(status.to_owned(), None),
            }),
            Err(error) if error.kind() == Kind::NotFound => Ok(Look::Done("gone".to_owned())),
            Err(error) => Err(error),
        }
    })
    .await
}

/// The addresses of a server's first network card, if it has any by now. The manuals disagree about where they stand:
/// `nic:0:dhcp:ip` beside the setting (Crosspeer API, "Server Configuration"), or in place of the setting (Open
/// Hosting API, in the samples).
pub(super) fn address(server: &Properties) -> Option<String> {
    let is_address =
        |text: &&str| !text.is_empty() && text.split(' ').all(|word| word.parse::<IpAddr>().is_ok());
    let given = server.get("nic:0:dhcp:ip").filter(|text| !text.is_empty());
    given.or_else(|| server.get("nic:0:dhcp").filter(is_address)).map(str::to_owned)
}

/// Says a server's address.
pub(super) fn tell_address(server: &Properties, output: &Output) {
    if let Some(address) = address(server) {
        output.note(&format!("its address is {}", escape::line(&address)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_stands_in_either_key() {
        let server = |pairs: &[(&str, &str)]| address(&pairs.iter().copied().collect());
        assert_eq!(server(&[("nic:0:dhcp", "auto")]), None);
        assert_eq!(server(&[("nic:0:dhcp", "91.203.56.132")]).as_deref(), Some("91.203.56.132"));
        assert_eq!(
            server(&[("nic:0:dhcp", "auto"), ("nic:0:dhcp:ip", "10.0.0.1 10.0.0.2")]).as_deref(),
            Some("10.0.0.1 10.0.0.2")
        );
        assert_eq!(server(&[("nic:0:dhcp:ip", ""), ("nic:0:dhcp", "::1")]).as_deref(), Some("::1"));
        assert_eq!(server(&[]), None);
    }
}
