//! `transfers discard`: forgetting transfers, and removing what they have written on this machine.

use super::entry::{Known, Progress};
use crate::cli::output::Output;
use crate::disk::file::PartFile;
use crate::error::{Kind, Result};
use crate::journal::Directory;
use crate::journal::directory::Entry;
use crate::units::counted;
use std::time::Duration;

/// Discards a transfer.
pub(super) fn one(entry: &Entry, part: bool, directory: &Directory, output: &Output) -> Result<()> {
    let transfer = Known::default().transfer(entry);
    let written = transfer.progress.as_ref().ok().and_then(Progress::part);
    // Before FILE.part is touched: the transfer may be running.
    let held = directory.hold(&entry.id)?;
    if let (Some((_, record)), true, Ok(progress)) = (&written, part, &transfer.progress)
        && let Some(file) = &progress.header().file
    {
        PartFile::discard(file, *record)?;
    }
    held.discard()?;
    output.note(&format!("discarded transfer {}", entry.id));
    match (&written, part) {
        (Some((path, _)), true) => output.note(&format!("removed {}", path.display())),
        (Some((path, _)), false) => {
            output.note(&format!("{} is kept; remove it if it is of no use", path.display()));
        }
        (None, _) => {}
    }
    if let Ok(replay) = &entry.replay
        && let Some(drive) = replay.drive.as_ref().filter(|drive| drive.created)
    {
        let target = format!("{}:{}", replay.header.remote, drive.drive);
        output.note(&format!("{target} is kept; `diskferry drive destroy {target}` destroys it"));
    }
    Ok(())
}

/// Discards all transfers that were last active that long ago. One that runs, or whose journal another version of diskferry
/// wrote, is kept.
pub(super) fn older_than(age: Duration, part: bool, directory: &Directory, output: &Output) -> Result<()> {
    let is_old = |entry: &Entry| {
        entry.modified.and_then(|then| then.elapsed().ok()).is_some_and(|elapsed| elapsed >= age)
    };
    let mut discarded = 0;
    for entry in directory.list()?.iter().filter(|entry| is_old(entry)) {
        if let Some(version) = entry.version {
            output.warn(&format!("kept transfer {}: its journal has version {version}", entry.id));
            continue;
        }
        match one(entry, part, directory, output) {
            Ok(()) => discarded += 1,
            Err(error) if error.kind() == Kind::Locked => {
                output.warn(&format!("kept transfer {}: {error}", entry.id));
            }
            Err(error) => return Err(error),
        }
    }
    output.note(&format!("discarded {}", counted(discarded, "transfer")));
    Ok(())
}
