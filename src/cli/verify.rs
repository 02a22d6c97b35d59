//! `diskferry verify`.

use super::Global;
use super::options::{TransferOptions, parse};
use super::output::Output;
use super::session::Session;
use crate::config::{Object, Target};
use crate::error::{Error, Result};
use crate::job::verify::Verify;
use clap::Args;
use std::path::PathBuf;

/// What `verify` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Prints the byte offset of each chunk that differs, one a line, and exits with 6 if any does."
)]
pub struct VerifyArgs {
    /// A file or block device
    file: PathBuf,
    /// The drive
    #[arg(value_name = "REMOTE:DRIVE", value_parser = parse::<Target>)]
    drive: Target,
    #[command(flatten)]
    transfer: TransferOptions,
}

/// Runs the command.
pub async fn run(args: VerifyArgs, global: &Global, output: &Output) -> Result<()> {
    let Some(Object::Drive(drive)) = args.drive.object else {
        return Err(Error::usage("no drive is named").hint("the form is REMOTE:DRIVE, with the drive's UUID"));
    };
    if args.transfer.verify == Some(crate::engine::compare::Verify::None) {
        return Err(Error::usage("a comparison with --verify none compares nothing"));
    }
    let session = Session::open(Some(&args.drive.remote), &args.transfer, global, output).await?;
    let settings = args.transfer.settings(false, &session.dirs);
    let verify = Verify { file: args.file, drive };
    let done = verify.run(&session.far()?, &settings, &session.context).await;
    session.settle();
    let Some(done) = done? else { return Ok(()) };
    if !output.is_json() {
        for offset in &done.differ {
            output.data(&offset.to_string())?;
        }
    }
    let words = if done.error.is_some() { "compared" } else { "equal" };
    let mut summary = serde_json::to_value(&done.summary).unwrap_or_default();
    summary["offsets_differ"] = done.differ.into();
    output.summary_with(words, &done.summary, &summary)?;
    done.error.map_or(Ok(()), Err)
}
