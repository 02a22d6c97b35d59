//! `diskferry upload`.

use super::Global;
use super::options::{TransferOptions, image, parse, target_format};
use super::output::Output;
use super::session::{OpenRemote, Session};
use super::source::SourceOptions;
use super::writing::{NewDriveOptions, ResumeOptions, WriteOptions};
use crate::config::{Object, Target};
use crate::disk::format::TargetFormat;
use crate::error::{Error, Result};
use crate::event::Summary;
use crate::job::Done;
use crate::job::upload::{Delta, Image};
use clap::Args;
use std::path::PathBuf;

/// The arguments of `upload`.
#[derive(Debug, Args)]
#[command(
    after_help = "Prints the drive's UUID, and nothing else, on stdout. An interrupted upload is resumed by running the \
                  same command again."
)]
pub struct UploadArgs {
    /// A file, a block device, or `-` for standard input, which needs --size or --size-at-most
    #[arg(value_name = "IMAGE", value_parser = image())]
    image: PathBuf,
    /// REMOTE: for a new drive, REMOTE:DRIVE for an existing one; by default a new one on the default remote
    #[arg(value_name = "REMOTE:[DRIVE]", value_parser = parse::<Target>)]
    to: Option<Target>,
    #[command(flatten)]
    new: NewDriveOptions,
    #[command(flatten)]
    source: SourceOptions,
    /// Format on the drive: raw, or vhd (raw with the footer of a fixed VHD, which Azure boots)
    #[arg(long, value_name = "raw|vhd", default_value = "raw", value_parser = target_format)]
    target_format: TargetFormat,
    #[command(flatten)]
    write: WriteOptions,
    /// Send only the chunks that differ from what the drive holds
    #[arg(long)]
    delta: bool,
    /// Create the new drive as a copy of this one on the same remote, then send what differs; implies --delta
    #[arg(long, value_name = "REMOTE:DRIVE", value_parser = parse::<Target>)]
    base: Option<Target>,
    #[command(flatten)]
    resume: ResumeOptions,
    #[command(flatten)]
    transfer: TransferOptions,
}

/// Prints the summary and the drive's UUID; only then the transfer is over. `end`: the remote that the drive is on.
pub(super) async fn tell_drive(
    what: &str,
    done: Done<Summary>,
    end: &OpenRemote,
    session: &Session,
    output: &Output,
) -> Result<()> {
    output.summary(&format!("{what} to {}:{}", end.remote, done.result.drive), &done.result)?;
    if !output.is_json() {
        output.data(&done.result.drive)?;
    }
    done.commit()?;
    session.leftovers.destroy(end, &session.dirs, output).await;
    Ok(())
}

/// The drive that is to be copied first; it has to be on the remote that copies it.
async fn base_drive(base: &Target, end: &OpenRemote) -> Result<String> {
    let remote = &end.remote;
    if base.remote != *remote {
        return Err(Error::usage(format!(
            "{base} is not on {remote}:, which copies only its own drives"
        ))
        .hint(format!("name a drive of `{remote}:`, or move the base there with `diskferry migrate {base} {remote}:`")));
    }
    match &base.object {
        Some(Object::Appliance(_)) => Err(Error::usage(format!("{base} is not a drive"))),
        Some(object) => match end.identified(object).await? {
            Object::Drive(drive) | Object::Named(drive) | Object::Appliance(drive) => Ok(drive),
        },
        None => {
            Err(Error::usage(format!("no drive in `{base}` to copy"))
                .hint("the form is `--base REMOTE:DRIVE`"))
        }
    }
}

/// Runs the command.
pub async fn run(mut args: UploadArgs, global: &Global, output: &Output) -> Result<()> {
    let (remote, object) = args.to.map_or((None, None), |to| (Some(to.remote), to.object));
    if matches!(object, Some(Object::Appliance(_))) {
        return Err(Error::usage("an appliance cannot be written")
            .hint("name a drive, as in `REMOTE:DRIVE`, or the remote alone, as in `REMOTE:`"));
    }
    if object.is_some() {
        args.new.refuse_for_existing()?;
    }
    let session = Session::open(remote.as_deref(), &args.transfer, global, output).await?;
    session.allow_destroying(&args.write, &args.transfer);
    super::account::check_drive_keys(&session, &mut args.new.keys, output)?;
    // What is wrong with the image is said first.
    let far = session.end.far(object.as_ref()).await;
    let delta = match args.base {
        Some(base) => Delta::Base(base_drive(&base, &session.end).await?),
        None if args.delta => Delta::Drive,
        None => Delta::Off,
    };
    let drive = far.as_ref().ok().and_then(|(_, drive)| drive.clone());
    let upload = args.new.upload(drive, &args.write, delta);
    if let Ok((far, _)) = &far {
        upload.check(far)?;
    }
    let image = Image::open(&args.image, args.source.open_options(args.new.size), &session.context).await?;
    let image = image.written_as(args.target_format)?;
    let (far, _) = far?;
    let settings = session.settings(&args.transfer, args.resume);
    let done = upload.run(image, &far, &settings, &session.context).await;
    session.settle();
    match done? {
        Some(done) => tell_drive("uploaded", done, &session.end, &session, output).await,
        None => Ok(()),
    }
}
