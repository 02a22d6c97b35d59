//! `diskferry backups`: what is in a store, whether it is whole, and what of it is kept.

use super::Global;
use super::options::TransferOptions;
use super::output::{Output, bytes};
use super::session::Session;
use super::table::Table;
use crate::backup::prune::{KeepRules, Reason, Swept};
use crate::backup::verify::{Fault, ReadData, VerifyOptions};
use crate::backup::{BackupStore, Description, SnapshotId};
use crate::config::value::parse_duration;
use crate::error::{Error, Kind, Result};
use crate::units::counted;
use clap::{Args, Subcommand};
use serde_json::json;
use std::time::Duration;

/// What can be done with a store of backups.
#[derive(Debug, Subcommand)]
pub enum BackupsCommand {
    /// List the backups in a store
    List(ListArgs),
    /// Look whether every backup is whole; exit 6 if one is not
    Verify(VerifyArgs),
    /// Remove backups by rules, and then the chunks that no backup has
    Prune(PruneArgs),
}

/// The arguments of `backups list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The store: a directory, or s3://, az:// or gs://; STORE/NAME for the backups of one drive
    #[arg(value_name = "STORE[/NAME]")]
    store: String,
}

/// The arguments of `backups verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The store
    store: String,
    /// Read every chunk and compare it with its digest; without it, only that it is there
    #[arg(long)]
    read_data: bool,
    /// Read one chunk of N, chosen at random
    #[arg(long, value_name = "N", conflicts_with = "read_data", value_parser = clap::value_parser!(u32).range(1..))]
    read_one_of: Option<u32>,
}

/// The arguments of `backups prune`.
#[derive(Debug, Args)]
#[command(
    after_help = "The rules hold for each drive's backups by themselves; what no rule keeps is removed. Chunks are not removed while a \
                  backup runs in the store: the next prune removes them."
)]
pub struct PruneArgs {
    /// The store
    store: String,
    /// Keep the newest N
    #[arg(long, value_name = "N", default_value_t)]
    keep_last: u32,
    /// Keep the newest of each of the last N hours that have one
    #[arg(long, value_name = "N", default_value_t)]
    keep_hourly: u32,
    /// Keep the newest of each of the last N days that have one
    #[arg(long, value_name = "N", default_value_t)]
    keep_daily: u32,
    /// Keep the newest of each of the last N weeks that have one
    #[arg(long, value_name = "N", default_value_t)]
    keep_weekly: u32,
    /// Keep the newest of each of the last N months that have one
    #[arg(long, value_name = "N", default_value_t)]
    keep_monthly: u32,
    /// Keep the newest of each of the last N years that have one
    #[arg(long, value_name = "N", default_value_t)]
    keep_yearly: u32,
    /// Keep all that are no older than this before the newest, as in 14d
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    keep_within: Option<Duration>,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub async fn run(command: BackupsCommand, global: &Global, output: &Output) -> Result<()> {
    let session = Session::without_remote(&TransferOptions::default(), global, output)?;
    let retry = session.context.retry.clone();
    match command {
        BackupsCommand::List(args) => {
            let (store, ids) = BackupStore::listing(&args.store, retry).await?;
            list(&store, &ids, output).await
        }
        BackupsCommand::Verify(args) => {
            verify(&BackupStore::open(&args.store, retry).await?, &args, output).await
        }
        BackupsCommand::Prune(args) => {
            prune(&BackupStore::open(&args.store, retry).await?, &args, output).await
        }
    }
}

async fn list(store: &BackupStore, ids: &[SnapshotId], output: &Output) -> Result<()> {
    let mut table = Table::new(["NAME", "WHEN", "SIZE", "CHUNKS", "REMOTE", "DRIVE"]).right(2).right(3);
    let mut failed = None;
    for id in ids {
        let told = match store.describe(id).await {
            Ok(told) => told,
            // A prune has removed it since it was listed.
            Err(error) if error.kind() == Kind::NotFound => continue,
            // One damaged index does not hide the others.
            Err(error) => {
                output.warn(&error.to_string());
                failed = failed.or(Some(error));
                continue;
            }
        };
        let Description { id, size, chunks, chunk_size, properties } = told;
        let known = properties.unwrap_or_default();
        if output.is_json() {
            let object = json!({
                "backup": format!("{}@{}", id.name, id.when), "name": id.name.as_str(), "when": id.when.to_string(),
                "size": size, "chunks": chunks, "chunk_size": chunk_size,
                "remote": known.remote, "provider": known.provider, "drive": known.drive, "drive_name": known.name,
            });
            output.value("backup", &object)?;
        } else {
            table.row([
                id.name.to_string(),
                id.when.to_string(),
                bytes(size),
                chunks.to_string(),
                known.remote,
                known.drive,
            ]);
        }
    }
    if !output.is_json() {
        table.print(&format!("no backups in {}", store.name()), output)?;
    }
    failed.map_or(Ok(()), Err)
}

async fn verify(store: &BackupStore, args: &VerifyArgs, output: &Output) -> Result<()> {
    let read = match (args.read_data, args.read_one_of) {
        (true, _) => ReadData::All,
        (false, Some(n)) => ReadData::OneOf(n),
        (false, None) => ReadData::None,
    };
    let report = store.verify(&VerifyOptions { ids: Vec::new(), read }).await?;
    for fault in &report.faults {
        let (what, of, error) = match fault {
            Fault::Index { key, error } => (key.clone(), vec![key.clone()], error),
            Fault::Chunk { digest, of, error } => (digest.to_string(), of.clone(), error),
        };
        if output.is_json() {
            output.value("fault", &json!({ "what": what, "backups": of, "message": error.to_string() }))?;
        } else {
            output.data(&format!("{what}: {error}"))?;
            for backup in of.iter().filter(|backup| **backup != what) {
                output.data(&format!("  of {backup}"))?;
            }
        }
    }
    let object = json!({
        "backups": report.backups, "chunks": report.chunks, "chunks_read": report.read, "bytes_read": report.bytes,
        "faults": report.faults.len(),
    });
    if output.is_json() {
        output.value("summary", &object)?;
    } else {
        output.note(&format!(
            "{} of {}: {} read ({})",
            counted(report.backups, "backup"),
            counted(report.chunks, "chunk"),
            counted(report.read, "chunk"),
            bytes(report.bytes)
        ));
    }
    match report.faults.len() {
        0 => Ok(()),
        n => Err(Error::new(Kind::Differ, format!("{n} parts of {} are missing or damaged", store.name()))
            .hint("a new backup of the same drive writes missing chunks again; remove damaged ones first")),
    }
}

async fn prune(store: &BackupStore, args: &PruneArgs, output: &Output) -> Result<()> {
    let rules = KeepRules {
        last: args.keep_last,
        hourly: args.keep_hourly,
        daily: args.keep_daily,
        weekly: args.keep_weekly,
        monthly: args.keep_monthly,
        yearly: args.keep_yearly,
        within: args.keep_within,
    };
    if rules == KeepRules::default() {
        return Err(
            Error::usage("no rule says what to keep").hint("for example `--keep-daily 7 --keep-weekly 4`")
        );
    }
    let report = store.prune(&rules, args.dry_run).await?;
    let mut table = Table::new(["NAME", "WHEN", "KEPT AS"]);
    for (id, reasons) in &report.kept {
        let reasons: Vec<&str> = reasons.iter().map(|reason| word(*reason)).collect();
        table.row([id.name.to_string(), id.when.to_string(), reasons.join(", ")]);
    }
    for id in &report.removed {
        table.row([id.name.to_string(), id.when.to_string(), "removed".to_owned()]);
    }
    if output.is_json() {
        let shown = |id: &SnapshotId| format!("{}@{}", id.name, id.when);
        let swept = report.swept.map(|swept| {
            json!({ "chunks": swept.chunks, "bytes": swept.bytes, "kept_chunks": swept.kept_chunks, "kept_bytes": swept.kept_bytes })
        });
        let object = json!({
            "kept": report.kept.iter().map(|(id, _)| shown(id)).collect::<Vec<_>>(),
            "removed": report.removed.iter().map(shown).collect::<Vec<_>>(),
            "swept": swept, "foreign": report.foreign, "dry_run": args.dry_run,
        });
        return output.value("summary", &object);
    }
    table.print("no backups", output)?;
    for key in &report.foreign {
        output.note(&format!("{key} was not written by diskferry: kept, with its chunks"));
    }
    let would = if args.dry_run { "would be " } else { "" };
    let removed = counted(report.removed.len() as u64, "backup");
    match report.swept {
        Some(Swept { chunks, bytes: size, kept_chunks, kept_bytes }) => output.note(&format!(
            "{removed} and {} ({}) {would}removed; {} ({}) kept",
            counted(chunks, "chunk"),
            bytes(size),
            counted(kept_chunks, "chunk"),
            bytes(kept_bytes)
        )),
        None => output.note(&format!(
            "{removed} {would}removed; the store is in use, so chunks are kept until the next prune"
        )),
    }
    Ok(())
}

fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Last => "last",
        Reason::Hourly => "hourly",
        Reason::Daily => "daily",
        Reason::Weekly => "weekly",
        Reason::Monthly => "monthly",
        Reason::Yearly => "yearly",
        Reason::Within => "within",
    }
}
