//! `diskferry appliance`: the images that SpotCloud keeps for the account, and those that everybody has. Their bytes move by
//! `download` and `migrate`.

use super::Global;
use super::account::{Account, RequestOptions, given, only_remote};
use super::options::parse;
use super::output::{Output, bytes};
use super::table::Table;
use super::values::{number, show, text};
use crate::config::{Object, Target};
use crate::error::{Error, Result};
use clap::{Args, Subcommand};

/// What can be done about appliances.
#[derive(Debug, Subcommand)]
pub enum ApplianceCommand {
    /// List the account's appliances: name, size, key
    List(ListArgs),
    /// List the appliances that everybody has
    Public(ListArgs),
    /// Show everything that is known of an appliance
    Info(OneArgs),
    /// Give an appliance another name
    Rename(RenameArgs),
    /// Delete an appliance; one that an instance uses is refused
    Delete(OneArgs),
}

/// What `appliance list` takes.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The account; the default remote without it
    #[arg(value_name = "REMOTE:", value_parser = parse::<Target>)]
    remote: Option<Target>,
    #[command(flatten)]
    request: RequestOptions,
}

/// An appliance and nothing else.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// The appliance
    #[arg(value_name = "REMOTE:appliance/KEY", value_parser = parse::<Target>)]
    appliance: Target,
    #[command(flatten)]
    request: RequestOptions,
}

/// What `appliance rename` takes.
#[derive(Debug, Args)]
pub struct RenameArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Its new name
    name: String,
}

/// Runs the command.
pub async fn run(command: ApplianceCommand, global: &Global, output: &Output) -> Result<()> {
    match command {
        ApplianceCommand::List(args) => list("appliances.list", &args, global, output).await,
        ApplianceCommand::Public(args) => list("appliances.public_list", &args, global, output).await,
        ApplianceCommand::Info(args) => {
            let (account, key) = open(&args, global, output).await?;
            show("appliance", &account.value("appliances.get", &given([&*key], [])).await?, output)
        }
        ApplianceCommand::Rename(args) => {
            let (account, key) = open(&args.one, global, output).await?;
            let name = [("name".to_owned(), args.name.clone())];
            let now = account.values("appliances.update", &given([&*key], name)).await?;
            output.note(&format!("appliance {key} is now called {:?}", args.name));
            match now.first() {
                Some(now) if output.is_json() => output.value("appliance", now),
                _ => Ok(()),
            }
        }
        ApplianceCommand::Delete(args) => {
            let (account, key) = open(&args, global, output).await?;
            account.values("appliances.delete", &given([&*key], [])).await?;
            output.note(&format!("appliance {key} is deleted"));
            output.event("summary", serde_json::json!({ "action": "delete", "appliance": key }));
            Ok(())
        }
    }
}

async fn open(args: &OneArgs, global: &Global, output: &Output) -> Result<(Account, String)> {
    // Where an appliance is meant its key alone will do.
    let (Some(Object::Appliance(key) | Object::Drive(key)), remote) =
        (&args.appliance.object, &args.appliance.remote)
    else {
        return Err(Error::usage("no appliance is named").hint(format!(
            "the form is REMOTE:appliance/KEY; `diskferry appliance list {}:` names them",
            args.appliance.remote
        )));
    };
    let account = Account::open(Some(remote), &args.request, global, output).await?;
    has(&account)?;
    Ok((account, key.clone()))
}

fn has(account: &Account) -> Result<()> {
    account.has("appliances.list", "keep appliances", "drives are listed by `diskferry drive list`")
}

async fn list(call: &str, args: &ListArgs, global: &Global, output: &Output) -> Result<()> {
    let remote = args.remote.as_ref().map(only_remote).transpose()?;
    let account = Account::open(remote, &args.request, global, output).await?;
    has(&account)?;
    let appliances = account.values(call, &given([], [])).await?;
    if output.is_json() {
        return appliances.iter().try_for_each(|appliance| output.value("appliance", appliance));
    }
    let mut table = Table::new(["NAME", "SIZE", "KEY"]).right(1);
    for appliance in &appliances {
        // The manual names no unit; a whole number is taken for bytes.
        let size = number(appliance, "size").map_or_else(|| text(appliance, "size"), bytes);
        table.row([text(appliance, "name"), size, text(appliance, "key")]);
    }
    table.print(&format!("there are no appliances on {}:", account.remote()), output)
}
