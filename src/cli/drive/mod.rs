//! `diskferry drive`: the everyday calls about drives, over every provider that has them.
//!
//! stdout has a table, or the UUID of what was made and nothing else; what was done is said on stderr. With `--json` a
//! drive is one object with the provider's own keys.

mod image;
mod standard;

use super::Global;
use super::account::{Account, RequestOptions, add_keys, given, named, only_remote};
use super::options::{pair, parse, size};
use super::output::{Output, bytes};
use super::table::Table;
use super::wait::{Look, WaitOptions, percent};
use crate::config::Target;
use crate::disk::elastic::drives::DriveInfo;
use crate::error::{Error, Kind, Result};
use crate::escape;
use crate::provider::id::ObjectId;
use crate::wire::elastic::{Properties, parse_size};
use clap::{Args, Subcommand};

/// What can be done about drives.
#[derive(Debug, Subcommand)]
pub enum DriveCommand {
    /// List the drives: name, size, status, UUID
    List(ListArgs),
    /// Show everything that is known of a drive
    Info(OneArgs),
    /// Make a drive; prints its UUID
    Create(CreateArgs),
    /// Change a drive's keys: name, size, tags and so on
    Set(SetArgs),
    /// Overwrite a drive with another one, or with a standard drive
    Image(image::ImageArgs),
    /// Make a drive with the contents of another (CloudSigma); prints its UUID
    Clone(CloneArgs),
    /// Destroy a drive, with everything on it, at once
    Destroy(OneArgs),
}

/// What `drive list` takes.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The account; the default remote without it
    #[arg(value_name = "REMOTE:", value_parser = parse::<Target>)]
    remote: Option<Target>,
    /// The drives that the provider offers to everyone: system images and install CDs
    #[arg(long)]
    standard: bool,
    #[command(flatten)]
    request: RequestOptions,
}

/// A drive and nothing else.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// The drive
    #[arg(value_name = "REMOTE:DRIVE", value_parser = parse::<Target>)]
    drive: Target,
    #[command(flatten)]
    request: RequestOptions,
}

/// What `drive create` takes.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// The account
    #[arg(value_name = "REMOTE:", value_parser = parse::<Target>)]
    remote: Target,
    /// The drive's keys: name and size, and others such as tags
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    keys: Vec<(String, String)>,
    /// The same as name=NAME
    #[arg(long)]
    name: Option<String>,
    /// The same as size=SIZE
    #[arg(long, value_parser = size)]
    size: Option<u64>,
    #[command(flatten)]
    request: RequestOptions,
}

/// What `drive set` takes.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// The drive
    #[arg(value_name = "REMOTE:DRIVE", value_parser = parse::<Target>)]
    drive: Target,
    /// What to change; an empty value takes a key away
    #[arg(value_name = "KEY=VALUE", value_parser = pair, required = true)]
    keys: Vec<(String, String)>,
    #[command(flatten)]
    request: RequestOptions,
}

/// What `drive clone` takes.
#[derive(Debug, Args)]
pub struct CloneArgs {
    /// The drive to copy
    #[arg(value_name = "REMOTE:DRIVE", value_parser = parse::<Target>)]
    drive: Target,
    /// The new drive's keys: name, and others such as size
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    keys: Vec<(String, String)>,
    /// The same as name=NAME
    #[arg(long)]
    name: Option<String>,
    /// The same as size=SIZE; the original's size without it
    #[arg(long, value_parser = size)]
    size: Option<u64>,
    #[command(flatten)]
    wait: WaitOptions,
    #[command(flatten)]
    request: RequestOptions,
}

/// Runs the command.
pub async fn run(command: DriveCommand, global: &Global, output: &Output) -> Result<()> {
    match command {
        DriveCommand::List(args) if args.standard => standard::list(&args, global, output).await,
        DriveCommand::List(args) => list(&args, global, output).await,
        DriveCommand::Info(args) => info(&args, global, output).await,
        DriveCommand::Create(args) => create(args, global, output).await,
        DriveCommand::Set(args) => set(args, global, output).await,
        DriveCommand::Image(args) => image::run(&args, global, output).await,
        DriveCommand::Clone(args) => clone(args, global, output).await,
        DriveCommand::Destroy(args) => destroy(&args, global, output).await,
    }
}

async fn list(args: &ListArgs, global: &Global, output: &Output) -> Result<()> {
    let remote = args.remote.as_ref().map(only_remote).transpose()?;
    let account = Account::open(remote, &args.request, global, output).await?;
    let drives = account.objects("drives.info_all", &given([], [])).await?;
    if output.is_json() {
        return drives.iter().try_for_each(|drive| output.object("drive", drive));
    }
    let mut table = Table::new(["NAME", "SIZE", "STATUS", "UUID"]).right(1);
    for drive in &drives {
        let text = |key| drive.get(key).unwrap_or_default().to_owned();
        table.row([text("name"), size_of(drive), status_of(drive), text("drive")]);
    }
    table.print(&format!("there are no drives on {}:", account.remote()), output)
}

async fn info(args: &OneArgs, global: &Global, output: &Output) -> Result<()> {
    let (remote, drive) = named(&args.drive, "drive")?;
    let account = Account::open(Some(remote), &args.request, global, output).await?;
    let info = account.object("drives.info", &given([drive], [])).await?;
    show("drive", &info, output)
}

async fn create(args: CreateArgs, global: &Global, output: &Output) -> Result<()> {
    let mut keys = args.keys;
    add_keys(&mut keys, name_and_size(args.name, args.size))?;
    let account = Account::open(Some(only_remote(&args.remote)?), &args.request, global, output).await?;
    let drive = account.object("drives.create", &given([], keys)).await?;
    made("drive", &drive, output)
}

async fn set(args: SetArgs, global: &Global, output: &Output) -> Result<()> {
    let (remote, drive) = named(&args.drive, "drive")?;
    let mut keys = Vec::new();
    add_keys(&mut keys, args.keys)?;
    let account = Account::open(Some(remote), &args.request, global, output).await?;
    let objects = account.objects("drives.set", &given([drive], keys)).await?;
    output.note(&format!("drive {drive} is changed"));
    match objects.first() {
        Some(now) if output.is_json() => output.object("drive", now),
        _ => Ok(()),
    }
}

async fn clone(args: CloneArgs, global: &Global, output: &Output) -> Result<()> {
    let (remote, drive) = named(&args.drive, "drive")?;
    let mut keys = args.keys;
    add_keys(&mut keys, name_and_size(args.name, args.size))?;
    let account = Account::open(Some(remote), &args.request, global, output).await?;
    account.has(
        "drives.clone",
        "clone drives",
        "make a drive of the same size with `diskferry drive create`, then fill it with `diskferry drive image`",
    )?;
    let new = account.object("drives.clone", &given([drive], keys)).await?;
    made("drive", &new, output)?;
    if args.wait.wanted() {
        let id = uuid_of("drive", &new)?;
        wait_for_imaging(args.wait, "cloning", &id, &account, output).await?;
    }
    Ok(())
}

async fn destroy(args: &OneArgs, global: &Global, output: &Output) -> Result<()> {
    let (remote, drive) = named(&args.drive, "drive")?;
    let account = Account::open(Some(remote), &args.request, global, output).await?;
    // What is destroyed is said by its name; that also tells a drive that is not there from one that went away on
    // the first of several attempts.
    let info = account.object("drives.info", &given([drive], [])).await?;
    account.objects("drives.destroy", &given([drive], [])).await?;
    let name = info.get("name").unwrap_or_default();
    output.note(&format!(
        "destroyed drive {drive} ({}, {})",
        escape::line(name),
        escape::line(&size_of(&info))
    ));
    output.event("summary", serde_json::json!({ "action": "destroy", "drive": drive, "name": name }));
    Ok(())
}

fn name_and_size(name: Option<String>, size: Option<u64>) -> impl Iterator<Item = (String, String)> {
    let name = name.map(|name| ("name".to_owned(), name));
    let size = size.map(|size| ("size".to_owned(), size.to_string()));
    name.into_iter().chain(size)
}

/// Shows an object: its keys as they came, or one object with `--json`.
pub(super) fn show(event: &str, object: &Properties, output: &Output) -> Result<()> {
    if output.is_json() {
        return output.object(event, object);
    }
    let object = output.shown(object);
    let widest = object.iter().map(|(key, _)| escape::line(key).chars().count()).max().unwrap_or(0);
    object.iter().try_for_each(|(key, value)| {
        let readable = match (key, value.parse()) {
            ("size", Ok(size)) if size >= 1024 => format!(" ({})", bytes(size)),
            _ => String::new(),
        };
        output.data(format!("{:widest$} {value}{readable}", escape::line(key)).trim_end())
    })
}

/// Prints the UUID of what was made.
pub(super) fn made(kind: &str, object: &Properties, output: &Output) -> Result<()> {
    let id = uuid_of(kind, object)?;
    if output.is_json() { output.object(kind, object) } else { output.data(&id) }
}

/// The UUID of what a reply describes.
pub(super) fn uuid_of(kind: &str, object: &Properties) -> Result<ObjectId> {
    let hint = || format!("`diskferry {kind} list` shows it; it is not made again by itself");
    let id = object.get(kind).filter(|id| !id.is_empty()).ok_or_else(|| {
        Error::new(Kind::Protocol, format!("the {kind} was made, but the reply does not say its UUID"))
            .hint(hint())
    })?;
    ObjectId::from_server(kind, id)
        .map_err(|error| error.context(format_args!("the {kind} was made")).hint(hint()))
}

/// A drive's size for people.
pub(super) fn size_of(drive: &Properties) -> String {
    let text = drive.get("size").unwrap_or_default();
    parse_size(text).map_or_else(|| text.to_owned(), bytes)
}

/// A drive's status for people: what keeps it busy goes before what the server calls it.
fn status_of(drive: &Properties) -> String {
    let status = drive.get("status").unwrap_or_default();
    let words = match DriveInfo::new(drive.clone()).ok() {
        Some(info) => match (info.imaging(), info.claimed()) {
            (Some(imaging), _) => format!("imaging {imaging}"),
            (None, Some(_)) => format!("{status}, in use"),
            (None, None) => status.to_owned(),
        },
        None => status.to_owned(),
    };
    words.trim_start_matches(", ").to_owned()
}

/// Waits until a drive is no longer being imaged.
pub(super) async fn wait_for_imaging(
    wait: WaitOptions,
    what: &str,
    drive: &str,
    account: &Account,
    output: &Output,
) -> Result<()> {
    wait.until(what, &format!("drive {drive}"), account, output, async || {
        let info = account.session.end.drives()?.info(drive).await?;
        Ok(match info.imaging() {
            None => Look::Done(()),
            Some(imaging) => Look::GoesOn(imaging.to_owned(), percent(imaging)),
        })
    })
    .await?;
    output.note(&format!("{what} of drive {drive} is over"));
    output.event("summary", serde_json::json!({ "action": what, "drive": drive }));
    Ok(())
}
