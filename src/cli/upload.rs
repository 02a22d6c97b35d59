//! `diskferry upload`.

use super::Global;
use super::options::{TransferOptions, image, parse, target_format};
use super::output::Output;
use super::session::{End, Session};
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

/// What `upload` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Prints the drive's UUID, and nothing else, on stdout. The same command run again goes on \
                        where it stopped."
)]
pub struct UploadArgs {
    /// A file, a block device, or - for standard input (with --size)
    #[arg(value_name = "IMAGE", value_parser = image())]
    image: PathBuf,
    /// REMOTE: for a new drive, REMOTE:DRIVE for one that exists
    #[arg(value_name = "REMOTE:[DRIVE]", value_parser = parse::<Target>)]
    to: Option<Target>,
    #[command(flatten)]
    new: NewDriveOptions,
    #[command(flatten)]
    source: SourceOptions,
    /// What is written: raw (the bytes of the image), or vhd (those with the footer of a fixed VHD, which Azure boots)
    #[arg(long, value_name = "raw|vhd", default_value = "raw", value_parser = target_format)]
    target_format: TargetFormat,
    #[command(flatten)]
    write: WriteOptions,
    /// Send only the chunks that differ from what the drive holds: by the digests that the last transfer noted, where nothing
    /// speaks against them, else by reading it back
    #[arg(long)]
    delta: bool,
    /// Make the new drive as a copy of this one, of the same remote, then send what differs; implies --delta
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
    end: &End,
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
fn base_drive(base: &Target, remote: &str) -> Result<String> {
    if base.remote != remote {
        return Err(Error::usage(format!(
            "{base} is on another remote than the new drive: {remote}: copies its own drives alone"
        ))
        .hint(format!("name a drive of {remote}: as the base, or use `migrate` first")));
    }
    match &base.object {
        Some(Object::Drive(drive) | Object::Named(drive)) => Ok(drive.clone()),
        Some(Object::Appliance(_)) => {
            Err(Error::usage(format!("{base} is no drive: it cannot be the base of one")))
        }
        None => Err(Error::usage(format!("{base} names no drive to be copied"))
            .hint("the form is `--base REMOTE:DRIVE`")),
    }
}

/// Runs the command.
pub async fn run(args: UploadArgs, global: &Global, output: &Output) -> Result<()> {
    let (remote, object) = args.to.map_or((None, None), |to| (Some(to.remote), to.object));
    if matches!(object, Some(Object::Appliance(_))) {
        return Err(Error::usage("an appliance cannot be uploaded to: name a drive"));
    }
    if object.is_some() {
        args.new.refuse_for_existing()?;
    }
    let session = Session::open(remote.as_deref(), &args.transfer, global, output).await?;
    session.allow_destroying(&args.write, &args.transfer);
    // What is wrong with the image is said first.
    let far = session.end.far(object.as_ref());
    let delta = match args.base {
        Some(base) => Delta::Base(base_drive(&base, &session.end.remote)?),
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
