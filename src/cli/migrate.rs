//! `diskferry migrate`.

use super::Global;
use super::options::{TransferOptions, pair, parse, size, target_format};
use super::output::Output;
use super::session::{NOTHING, Session};
use super::upload::tell_drive;
use crate::config::{Object, Target};
use crate::disk::appliance::Appliance;
use crate::disk::format::TargetFormat;
use crate::engine::encode::codec::Compression;
use crate::error::{Error, Result};
use crate::event::Summary;
use crate::job::Done;
use crate::job::appliance::Found;
use crate::job::migrate;
use crate::job::upload::{Delta, Upload, Zeros};
use clap::Args;

/// What `migrate` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Prints the UUID of the drive that was written, and nothing else, on stdout. Nothing is kept on this \
                  machine. The same command run again goes on where it stopped; what is unpacked on the way is read again \
                  from its start, and only what is missing is written."
)]
pub struct MigrateArgs {
    /// What is moved: a drive, or an appliance, which is unpacked if it is in gzip, xz, zstd or tar
    #[arg(value_name = "REMOTE:DRIVE|REMOTE:appliance/KEY", value_parser = parse::<Target>)]
    from: Target,
    /// REMOTE: for a new drive, REMOTE:DRIVE for one that exists
    #[arg(value_name = "REMOTE:[DRIVE]", value_parser = parse::<Target>)]
    to: Target,
    /// The new drive's name; that of what is moved without it
    #[arg(long)]
    name: Option<String>,
    /// The new drive's size; of an appliance, the size of the image in it
    #[arg(long, value_parser = size)]
    size: Option<u64>,
    /// Another key of the new drive, such as tags or encryption:cipher; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    keys: Vec<(String, String)>,
    /// What is written: raw (the bytes of the image), or vhd (those with the footer of a fixed VHD, which Azure boots)
    #[arg(long, value_name = "raw|vhd", default_value = "raw", value_parser = target_format)]
    target_format: TargetFormat,
    /// How chunks are compressed: auto, none, or a level from 1 (fast) to 12 (small)
    #[arg(long, value_name = "auto|none|1..12", default_value = "auto", value_parser = parse::<Compression>)]
    compress: Compression,
    /// What becomes of chunks of zeros: skip them where the drive reads as zero anyway (auto), always, or write them
    #[arg(long, value_name = "auto|skip|write", default_value = "auto", value_parser = parse::<Zeros>)]
    zeros: Zeros,
    /// Ignore what an earlier run has done
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    transfer: TransferOptions,
}

/// Runs the command.
pub async fn run(args: MigrateArgs, global: &Global, output: &Output) -> Result<()> {
    if matches!(args.to.object, Some(Object::Appliance(_))) {
        return Err(Error::usage("an appliance cannot be written: name a drive, or only the remote"));
    }
    if args.to.object.is_some() && (args.name.is_some() || !args.keys.is_empty()) {
        return Err(Error::usage("--name and --set are for a drive to be made, and a drive is named"));
    }
    if args.from == args.to {
        return Err(Error::usage(format!("{} would be written onto itself", args.from)));
    }
    let session = Session::open(Some(&args.from.remote), &args.transfer, global, output).await?;
    let done = migrate(args, &session, output).await;
    session.settle();
    match done? {
        Some(done) => tell_drive("migrated", done, output),
        None => Ok(()),
    }
}

async fn migrate(args: MigrateArgs, session: &Session, output: &Output) -> Result<Option<Done<Summary>>> {
    session.settings(&args.transfer, args.restart).check()?;
    let to = session.another(&args.to.remote, output).await?;
    // One that takes no drives is refused before anything is asked for.
    let (far, drive) = to.far(args.to.object.as_ref())?;
    let upload = Upload {
        drive,
        name: args.name,
        size: args.size,
        keys: args.keys,
        compression: args.compress,
        zeros: args.zeros,
        delta: Delta::Off,
    };
    let (context, end) = (&session.context, &session.end);
    if let (Some(Object::Appliance(key)), Ok(client)) = (&args.from.object, end.client()) {
        let settings = session.settings(&args.transfer, args.restart);
        let appliance = Appliance::new(client.clone(), end.retry.clone(), key)?;
        let found = Found::ask(appliance, key, &end.remote, &end.account).await?;
        // The size is that of the image, and the drive is as large.
        let size = args.size;
        return migrate::appliance(&found, size, args.target_format, upload, &far, &settings, context).await;
    }
    let (source, disk) = end.far_disk(args.from.object.as_ref(), &NOTHING)?;
    let settings = session.settings(&args.transfer, args.restart);
    let image = migrate::disk(&disk, &source, context).await?.written_as(args.target_format)?;
    upload.run(image, &far, &settings, context).await
}
