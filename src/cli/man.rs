//! `diskferry man`: manual pages, from the one definition of the command line.

use super::help;
use super::output::Output;
use super::parse::definition;
use crate::error::{Error, Result};
use clap::{Args, Command};
use clap_mangen::Man;
use std::path::{Path, PathBuf};

/// What `man` takes.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write the page of every command into DIR, as diskferry-upload.1
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &ManArgs, output: &Output) -> Result<()> {
    if output.is_json() {
        return Err(Error::usage("a manual page is not JSON").hint("leave `--json` out"));
    }
    let mut command = definition();
    command.build();
    match &args.dir {
        None => output.raw(&page(&command, &[])?),
        Some(dir) => {
            std::fs::create_dir_all(dir).map_err(|e| Error::io(format!("making {}", dir.display()), e))?;
            let written = write(&command, &[], dir)?;
            output.note(&format!("wrote {written} manual pages to {}", dir.display()));
            Ok(())
        }
    }
}

/// Writes the page of a command and of those below it; returns how many.
fn write(command: &Command, names: &[String], dir: &Path) -> Result<usize> {
    let name =
        ["diskferry".to_owned()].into_iter().chain(names.iter().cloned()).collect::<Vec<_>>().join("-");
    let path = dir.join(format!("{name}.1"));
    let page = page(command, names)?;
    std::fs::write(&path, page).map_err(|e| Error::io(format!("writing {}", path.display()), e))?;
    let below = command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set());
    below
        .map(|below| write(below, &[names, &[below.get_name().to_owned()]].concat(), dir))
        .sum::<Result<usize>>()
        .map(|n| n + 1)
}

fn page(command: &Command, names: &[String]) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(help::with_examples(command.clone(), names))
        .render(&mut page)
        .map_err(|e| Error::io("writing a manual page", e))?;
    Ok(page)
}
