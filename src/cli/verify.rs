//! `diskferry verify`.

use super::Global;
use super::options::{TransferOptions, image, parse, target_format};
use super::output::Output;
use super::session::{NO_DRIVE, Session};
use super::source::SourceOptions;
use super::writing::ResumeOptions;
use crate::config::Target;
use crate::disk::format::TargetFormat;
use crate::error::{Error, Result};
use crate::job::upload::Image;
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
    #[arg(value_name = "FILE", value_parser = image())]
    file: PathBuf,
    /// The drive
    #[arg(value_name = "REMOTE:DRIVE", value_parser = parse::<Target>)]
    drive: Target,
    /// What the drive should hold: the image as it is (raw), or with the footer of a fixed VHD behind it (vhd)
    #[arg(long, value_name = "raw|vhd", default_value = "raw", value_parser = target_format)]
    target_format: TargetFormat,
    #[command(flatten)]
    source: SourceOptions,
    #[command(flatten)]
    transfer: TransferOptions,
}

/// Runs the command.
pub async fn run(args: VerifyArgs, global: &Global, output: &Output) -> Result<()> {
    if args.transfer.verify == Some(crate::engine::compare::Amount::None) {
        return Err(Error::usage("a comparison with --verify none compares nothing"));
    }
    let session = Session::open(Some(&args.drive.remote), &args.transfer, global, output).await?;
    let (far, drive) = session.end.far_disk(args.drive.object.as_ref(), &NO_DRIVE)?;
    let settings = session.settings(&args.transfer, ResumeOptions::default());
    let image = Image::open(&args.file, args.source.open_options(None), &session.context).await?;
    let verify = Verify { image, drive, target: args.target_format };
    let done = verify.run(&far, &settings, &session.context).await;
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
