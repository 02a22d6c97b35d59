//! `diskferry download`.

use super::Global;
use super::options::{TransferOptions, parse};
use super::output::Output;
use super::session::Session;
use crate::config::{Object, Target};
use crate::error::{Error, Result};
use crate::job::download::Download;
use clap::Args;
use std::path::PathBuf;

/// What `download` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "The file has its name only when it is whole; until then it is FILE.part, and the same command \
                        run again goes on with that."
)]
pub struct DownloadArgs {
    /// The drive
    #[arg(value_name = "REMOTE:DRIVE", value_parser = parse::<Target>)]
    from: Target,
    /// Where it goes, - for standard output; without it, a file named after the drive
    #[arg(value_name = "FILE|-")]
    to: Option<PathBuf>,
    /// Replace a file that is in the way, once the download is whole
    #[arg(long)]
    force: bool,
    /// Ignore what an earlier run has done
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    transfer: TransferOptions,
}

/// Runs the command.
pub async fn run(args: DownloadArgs, global: &Global, output: &Output) -> Result<()> {
    let Some(Object::Drive(drive)) = args.from.object else {
        return Err(Error::usage("no drive is named").hint("the form is REMOTE:DRIVE, with the drive's UUID"));
    };
    let to_stdout = args.to.as_ref().is_some_and(|p| p.as_os_str() == "-");
    if to_stdout && output.is_json() {
        return Err(Error::usage("standard output cannot take both the image and --json"));
    }
    let session = Session::open(Some(&args.from.remote), &args.transfer, global, output)?;
    let settings = args.transfer.settings(args.restart, &session.dirs);
    let download = Download { drive, to: args.to, force: args.force };
    let done = download.run(&session.far()?, &settings, &session.context).await;
    session.settle();
    if let Some(done) = done? {
        let what = match &done.file {
            Some(file) => format!("downloaded to {}", file.display()),
            None => "downloaded".to_owned(),
        };
        output.summary(&what, &done.summary);
    }
    Ok(())
}
