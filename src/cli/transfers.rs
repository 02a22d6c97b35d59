//! `diskferry transfers`: what can be taken up again on this machine.

use super::output::{Output, bytes};
use super::words::recorded;
use crate::chunk::Geometry;
use crate::config::{Dirs, Environment};
use crate::digest::Algorithm;
use crate::disk::Identity;
use crate::disk::PartRecord;
use crate::disk::file::PartFile;
use crate::engine::ledger::Ledger;
use crate::error::Result;
use crate::journal::directory::Entry;
use crate::journal::{Directory, Replay};
use clap::Subcommand;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// What `transfers` can do.
#[derive(Debug, Subcommand)]
pub enum TransfersCommand {
    /// List the transfers that can be taken up again
    List,
    /// Show one of them
    Show {
        /// Its id, or the beginning of it
        id: String,
    },
    /// Give one of them up; what it has moved stays where it is
    Discard {
        /// Its id, or the beginning of it
        id: String,
        /// Remove the FILE.part of a download, too
        #[arg(long)]
        part: bool,
    },
}

/// Runs the command.
pub fn run(command: TransfersCommand, output: &Output) -> Result<()> {
    let directory = Directory::new(Dirs::from_environment(&Environment::process())?.transfers());
    match command {
        TransfersCommand::List => directory.list()?.iter().try_for_each(|entry| list(entry, output)),
        TransfersCommand::Show { id } => show(&directory.find(&id)?, output),
        TransfersCommand::Discard { id, part } => {
            let entry = directory.find(&id)?;
            let kept = part_of(&entry);
            match &kept {
                Some((file, known)) if part => PartFile::discard(file, *known)?,
                _ => {}
            }
            directory.discard(&entry.id)?;
            output.note(&format!("discarded transfer {}", entry.id));
            if let (Some((file, _)), false) = (&kept, part) {
                let path = PartFile::path_of(file);
                output.note(&format!("what it has fetched is still there: {}", path.display()));
            }
            if let Ok(Replay { drive: Some(drive), header, .. }) = &entry.replay
                && drive.created
            {
                output.note(&format!(
                    "the drive that it made is still there: {}:{}",
                    header.remote, drive.drive
                ));
            }
            Ok(())
        }
    }
}

/// The file of a download, with what its temporary file is known by.
fn part_of(entry: &Entry) -> Option<(PathBuf, PartRecord)> {
    let replay = entry.replay.as_ref().ok()?;
    let (file, part) = (replay.header.file.clone()?, replay.part?);
    PartFile::path_of(&file).exists().then_some((file, part))
}

/// A readable transfer, summed up.
struct Look<'a> {
    replay: &'a Replay,
    ledger: Ledger,
}

impl<'a> Look<'a> {
    fn new(replay: &'a Replay) -> Self {
        let header = &replay.header;
        let geometry = Geometry::new(header.size, header.chunk_size);
        let mut ledger = Ledger::new(geometry, header.digest.parse().unwrap_or(Algorithm::Blake3));
        ledger.fill(&replay.acked);
        Self { replay, ledger }
    }

    /// Both ends, in words.
    fn ends(&self) -> (String, String) {
        let header = &self.replay.header;
        let drive = self.replay.drive.as_ref().map(|d| &d.drive).or(header.drive.as_ref());
        let far = format!("{}:{}", header.remote, drive.map_or("", String::as_str));
        match (&header.image, &header.file) {
            (
                Some(
                    Identity::File { path, .. }
                    | Identity::Device { path, .. }
                    | Identity::Image { path, .. },
                ),
                _,
            ) => (path.display().to_string(), far),
            (Some(Identity::Stream { .. }), _) => ("-".to_owned(), far),
            (Some(Identity::Remote { object, .. }), Some(file)) => {
                (object.clone(), file.display().to_string())
            }
            (Some(Identity::Remote { object, .. }), None) => (object.clone(), far),
            (None, Some(file)) => (far, file.display().to_string()),
            (None, None) => (far, String::new()),
        }
    }
}

fn list(entry: &Entry, output: &Output) -> Result<()> {
    if output.is_json() {
        return show(entry, output);
    }
    let replay = match &entry.replay {
        Ok(replay) => replay,
        Err(error) => return output.data(&format!("{}  unreadable: {error}", entry.id)),
    };
    let look = Look::new(replay);
    let (from, to) = look.ends();
    let percent = look.ledger.settled_bytes() * 100 / replay.header.size.max(1);
    output.data(&format!(
        "{}  {:8}  {percent:>3}% of {:>10}  {}  {from} -> {to}",
        entry.id,
        replay.header.action,
        bytes(replay.header.size),
        age(entry.modified),
    ))
}

fn show(entry: &Entry, output: &Output) -> Result<()> {
    let replay = match &entry.replay {
        Ok(replay) => replay,
        Err(error) if output.is_json() => {
            output.event("transfer", json!({ "id": entry.id, "error": error.to_string() }));
            return Ok(());
        }
        Err(error) => {
            output.data(&format!("id {}", entry.id))?;
            return output.data(&format!("unreadable {error}"));
        }
    };
    let look = Look::new(replay);
    let (from, to) = look.ends();
    let header = &replay.header;
    let drive = replay.drive.as_ref().map(|d| d.drive.clone()).or_else(|| header.drive.clone());
    if output.is_json() {
        output.event(
            "transfer",
            json!({
                "id": entry.id, "action": header.action, "from": from, "to": to, "remote": header.remote,
                "drive": drive, "size": header.size, "chunk_size": header.chunk_size,
                "chunks_total": look.ledger.geometry().chunks(), "chunks_done": look.ledger.settled(), "target_format": header.format,
                "command": recorded(&header.command),
            }),
        );
        return Ok(());
    }
    let lines = [
        ("id", entry.id.clone()),
        ("action", header.action.clone()),
        ("from", from),
        ("to", to),
        ("drive", drive.unwrap_or_else(|| "not known yet".into())),
        ("format", if header.format.is_empty() { "raw".into() } else { header.format.clone() }),
        ("size", format!("{} ({})", header.size, bytes(header.size))),
        (
            "chunks",
            format!(
                "{} of {} done, {} each",
                look.ledger.settled(),
                look.ledger.geometry().chunks(),
                bytes(header.chunk_size)
            ),
        ),
        ("last written", age(entry.modified)),
        ("command", recorded(&header.command)),
    ];
    lines.iter().try_for_each(|(key, value)| output.data(&format!("{key:13} {value}")))
}

/// How long ago, in the largest unit that fits.
fn age(then: Option<SystemTime>) -> String {
    let ago = then.and_then(|t| t.elapsed().ok()).unwrap_or(Duration::ZERO).as_secs();
    let (n, unit) = match ago {
        0..60 => (ago, "s"),
        60..3600 => (ago / 60, "min"),
        3600..86_400 => (ago / 3600, "h"),
        _ => (ago / 86_400, "d"),
    };
    format!("{n:>2} {unit} ago")
}
