//! `diskferry key`: the public SSH keys of a Joyent account, which its requests may be signed with.

use super::Global;
use super::account::{Account, RequestOptions, given, named, only_remote};
use super::options::parse;
use super::output::Output;
use super::table::Table;
use super::values::{id, show, text};
use crate::auth::signature::public::PublicKey;
use crate::config::Target;
use crate::error::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What can be done about keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// List the keys: name and fingerprint
    List(ListArgs),
    /// Show a key
    Info(OneArgs),
    /// Give the account a key; prints its name
    Create(CreateArgs),
    /// Take a key from the account
    Delete(OneArgs),
}

/// What `key list` takes.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The account; the default remote without it
    #[arg(value_name = "REMOTE:", value_parser = parse::<Target>)]
    remote: Option<Target>,
    #[command(flatten)]
    request: RequestOptions,
}

/// A key and nothing else.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// The key, by its name or its fingerprint
    #[arg(value_name = "REMOTE:KEY", value_parser = parse::<Target>)]
    key: Target,
    #[command(flatten)]
    request: RequestOptions,
}

/// What `key create` takes.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The account
    #[arg(value_name = "REMOTE:", value_parser = parse::<Target>)]
    remote: Target,
    /// The file of the public key, whose name ends in .pub
    file: PathBuf,
    /// Its name on the account; its fingerprint without it
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    request: RequestOptions,
}

/// Runs the command.
pub async fn run(command: KeyCommand, global: &Global, output: &Output) -> Result<()> {
    match command {
        KeyCommand::List(args) => list(&args, global, output).await,
        KeyCommand::Info(args) => {
            let (account, key) = open(&args, global, output).await?;
            show("key", &account.value("keys.get", &given([&*key], [])).await?, output)
        }
        KeyCommand::Create(args) => create(args, global, output).await,
        KeyCommand::Delete(args) => {
            let (account, key) = open(&args, global, output).await?;
            account.values("keys.delete", &given([&*key], [])).await?;
            output.note(&format!("key {key} is deleted"));
            output.event("summary", serde_json::json!({ "action": "delete", "key": key }));
            Ok(())
        }
    }
}

fn has(account: &Account) -> Result<()> {
    account.has("keys.list", "keep SSH keys", "Joyent's accounts alone have keys")
}

async fn open(args: &OneArgs, global: &Global, output: &Output) -> Result<(Account, String)> {
    let (remote, key) = named(&args.key, "key")?;
    let account = Account::open(Some(remote), &args.request, global, output).await?;
    has(&account)?;
    Ok((account, key.to_owned()))
}

async fn list(args: &ListArgs, global: &Global, output: &Output) -> Result<()> {
    let remote = args.remote.as_ref().map(only_remote).transpose()?;
    let account = Account::open(remote, &args.request, global, output).await?;
    has(&account)?;
    let keys = account.values("keys.list", &given([], [])).await?;
    if output.is_json() {
        return keys.iter().try_for_each(|key| output.value("key", key));
    }
    let mut table = Table::new(["NAME", "FINGERPRINT"]);
    for key in &keys {
        let fingerprint = PublicKey::parse(&text(key, "key")).map(|key| key.md5());
        table.row([text(key, "name"), fingerprint.unwrap_or_default()]);
    }
    table.print(&format!("there are no keys on {}:", account.remote()), output)
}

async fn create(args: CreateArgs, global: &Global, output: &Output) -> Result<()> {
    // A private key that is given by mistake is refused before anything is sent.
    PublicKey::read(&args.file)?;
    let line = std::fs::read_to_string(&args.file)
        .map_err(|e| crate::error::Error::io(format!("reading {}", args.file.display()), e))?;
    let account = Account::open(Some(only_remote(&args.remote)?), &args.request, global, output).await?;
    has(&account)?;
    let name = args.name.clone().map(|name| ("name".to_owned(), name));
    let keys = name.into_iter().chain([("key".to_owned(), line.trim().to_owned())]);
    let made = account.value("keys.create", &given([], keys)).await?;
    if output.is_json() {
        return output.value("key", &made);
    }
    // A name that was chosen here is taken from here; one that the server has made up has to be an id.
    match args.name {
        Some(name) => output.data(&name),
        None => output.data(&id("key", &made, "name")?),
    }
}
