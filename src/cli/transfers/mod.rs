//! `diskferry transfers`: the interrupted transfers of this machine.

mod discard;
mod entry;

use super::output::{Output, bytes};
use super::table::Table;
use crate::config::value::parse_duration;
use crate::config::{Dirs, Environment};
use crate::error::{Error, Result};
use crate::job::set::SetDirectory;
use crate::journal::Directory;
use clap::Subcommand;
use entry::{Known, Transfer, age};
use serde_json::json;
use std::time::Duration;

/// The commands about interrupted transfers.
#[derive(Debug, Subcommand)]
pub enum TransfersCommand {
    /// List the transfers that can be resumed
    List,
    /// Show a transfer, and the command that resumes it from any directory
    Show {
        /// The transfer's id, or its first characters
        id: String,
    },
    /// Forget a transfer, so that it cannot be resumed; the drive that it made is kept
    Discard {
        /// The transfer's id, or its first characters
        #[arg(required_unless_present = "older_than")]
        id: Option<String>,
        /// Discard all transfers that were last active so long ago, as in 30d
        #[arg(long, value_name = "DURATION", conflicts_with = "id", value_parser = age_of)]
        older_than: Option<Duration>,
        /// Also remove FILE.part, which a download has written
        #[arg(long)]
        part: bool,
    },
}

/// Runs the command.
pub fn run(command: TransfersCommand, output: &Output) -> Result<()> {
    let dirs = Dirs::from_environment(&Environment::process())?;
    let directory = Directory::new(dirs.transfers());
    let known = Known::new(&SetDirectory::new(dirs.sets()));
    match command {
        TransfersCommand::List => list(&directory, &known, output),
        TransfersCommand::Show { id } => show(&known.transfer(&directory.find(&id)?), output),
        TransfersCommand::Discard { older_than: Some(age), part, .. } => {
            discard::older_than(age, part, &directory, output)
        }
        TransfersCommand::Discard { id: Some(id), part, .. } => {
            discard::one(&directory.find(&id)?, part, &directory, output)
        }
        TransfersCommand::Discard { id: None, .. } => Err(Error::usage("no transfer is named")),
    }
}

fn list(directory: &Directory, known: &Known, output: &Output) -> Result<()> {
    let entries = directory.list()?;
    if output.is_json() {
        return entries.iter().try_for_each(|entry| show(&known.transfer(entry), output));
    }
    let mut table =
        Table::new(["ID", "ACTION", "DONE", "SIZE", "LAST ACTIVE", "FROM", "TO"]).right(2).right(3);
    for entry in &entries {
        let transfer = known.transfer(entry);
        let (id, last) = (entry.id.clone(), age(entry.modified));
        table.row(match &transfer.progress {
            Ok(progress) => {
                let (from, to) = progress.ends();
                let size = bytes(progress.header().size);
                [id, progress.header().action.clone(), transfer.state(), size, last, from, to]
            }
            Err(error) => {
                [id, String::new(), transfer.state(), String::new(), last, error.to_string(), String::new()]
            }
        });
    }
    table.print("no interrupted transfers", output)
}

fn show(transfer: &Transfer<'_>, output: &Output) -> Result<()> {
    let (id, last) = (transfer.entry.id.clone(), age(transfer.entry.modified));
    let progress = match &transfer.progress {
        Ok(progress) => progress,
        Err(error) if output.is_json() => {
            output.event(
                "transfer",
                json!({ "id": id, "state": transfer.state(), "version": transfer.entry.version, "error": error.to_string() }),
            );
            return Ok(());
        }
        Err(error) => {
            let lines = [
                ("id", id),
                ("state", transfer.state()),
                ("reason", error.to_string()),
                ("last active", last),
            ];
            return print(&lines, output);
        }
    };
    let (from, to) = progress.ends();
    let header = progress.header();
    let (done, total) = progress.chunks();
    if output.is_json() {
        output.event(
            "transfer",
            json!({
                "id": id, "action": header.action, "state": transfer.state(), "from": from, "to": to,
                "remote": header.remote, "drive": progress.drive(), "size": header.size,
                "chunk_size": header.chunk_size, "chunks_total": total, "chunks_done": done,
                "target_format": header.format, "command": progress.command(), "directory": header.directory,
                "resume": progress.resume(), "part": progress.part().map(|(path, _)| path),
            }),
        );
        return Ok(());
    }
    let format = if header.format.is_empty() { "raw" } else { &header.format };
    let mut lines = vec![
        ("id", id),
        ("action", header.action.clone()),
        ("state", transfer.state()),
        ("from", from),
        ("to", to),
        ("drive", progress.drive().unwrap_or_else(|| "not made yet".to_owned())),
        ("format", format.to_owned()),
        ("size", format!("{} ({} bytes)", bytes(header.size), header.size)),
        ("chunks", format!("{done} of {total} done, {} each", bytes(header.chunk_size))),
        ("last active", last),
    ];
    if let Some((part, _)) = progress.part() {
        lines.push(("part", part.display().to_string()));
    }
    if !header.directory.as_os_str().is_empty() {
        lines.push(("directory", header.directory.display().to_string()));
    }
    if progress.reads_stdin() {
        lines.push(("input", "standard input, the same bytes from the start".to_owned()));
    }
    lines.push(("resume", progress.resume()));
    print(&lines, output)
}

fn age_of(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

fn print(lines: &[(&str, String)], output: &Output) -> Result<()> {
    lines.iter().try_for_each(|(key, value)| output.data(&format!("{key:12} {value}")))
}
