//! `diskferry man`: manual pages, from the one definition of the command line.

use super::Cli;
use super::output::Output;
use crate::error::{Error, Result};
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use std::path::{Path, PathBuf};

/// What `man` takes.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  diskferry man | man -l -")]
pub struct ManArgs {
    /// Write the page of every command into DIR, as diskferry-upload.1
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &ManArgs, output: &Output) -> Result<()> {
    let mut command = Cli::command();
    command.build();
    match &args.dir {
        None => output.raw(&page(&command)?),
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(|e| Error::io(format!("making {}", dir.display()), e))?;
            let written = write(&command, "diskferry", dir)?;
            output.note(&format!("{written} pages are in {}", dir.display()));
            Ok(())
        }
    }
}

/// Writes the page of a command and of those below it; says how many.
fn write(command: &Command, name: &str, dir: &Path) -> Result<usize> {
    let path = dir.join(format!("{name}.1"));
    let page = page(command)?;
    std::fs::write(&path, page).map_err(|e| Error::io(format!("writing {}", path.display()), e))?;
    let below = command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set());
    below
        .map(|below| write(below, &format!("{name}-{}", below.get_name()), dir))
        .sum::<Result<usize>>()
        .map(|n| n + 1)
}

fn page(command: &Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page).map_err(|e| Error::io("writing a manual page", e))?;
    Ok(page)
}
