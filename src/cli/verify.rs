//! `diskferry verify`.

use super::options::{TransferOptions, image, parse, target_format};
use super::output::Output;
use super::session::{NO_DRIVE, Session};
use super::source::SourceOptions;
use super::writing::ResumeOptions;
use super::{Global, summary};
use crate::config::Target;
use crate::disk::format::TargetFormat;
use crate::error::{Error, Result};
use crate::event::Summary;
use crate::job::upload::Image;
use crate::job::verify::Verify;
use crate::units::counted;
use clap::Args;
use std::path::PathBuf;

/// The arguments of `verify`.
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
        return Err(Error::usage("`--verify none` compares nothing")
            .hint("leave it out to compare everything, or compare a part with `--verify sample`"));
    }
    let session = Session::open(Some(&args.drive.remote), &args.transfer, global, output).await?;
    let (far, drive) = session.end.far_disk(args.drive.object.as_ref(), &NO_DRIVE).await?;
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
    let words = match done.differ.len() as u64 {
        0 => "equal".to_owned(),
        n => format!("different in {}", counted(n, "chunk")),
    };
    let mut object = serde_json::to_value(&done.summary).unwrap_or_default();
    object["offsets_differ"] = done.differ.into();
    // Nothing was transferred but to be compared.
    let shown = Summary { chunks_sent: 0, ..done.summary.clone() };
    output.summary_with(&summary::result(&words, &shown), &done.summary, &object)?;
    done.error.map_or(Ok(()), Err)
}
