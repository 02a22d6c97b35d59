//! `diskferry download`.

use super::Global;
use super::options::{TransferOptions, parse};
use super::output::Output;
use super::session::{NOTHING, Session};
use crate::config::{Object, Target};
use crate::disk::Identity;
use crate::disk::appliance::Appliance;
use crate::disk::format::TargetFormat;
use crate::engine::encode::codec::Compression;
use crate::error::{Error, Result};
use crate::job::appliance::Found;
use crate::job::download::{Download, Downloads, FileForm, Object as Fetched};
use crate::job::{Done, Settings};
use clap::Args;
use std::path::PathBuf;

/// What `download` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "The file has its name only when it is whole; until then it is FILE.part, and the same command \
                        run again goes on with that, as far as the server lets it."
)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct DownloadArgs {
    /// The drive, or the appliance
    #[arg(value_name = "REMOTE:DRIVE|REMOTE:appliance/KEY", value_parser = parse::<Target>)]
    from: Target,
    /// Where it goes, - for standard output; without it, a file named after the drive or appliance
    #[arg(value_name = "FILE|-")]
    to: Option<PathBuf>,
    /// Of an appliance in gzip, xz, zstd or tar, or several of them: take the image out on the way
    #[arg(long)]
    unpack: bool,
    /// What the file is: raw (the bytes of the drive), vhd (those with the footer of a fixed VHD), or qcow2
    #[arg(long, value_name = "raw|qcow2|vhd", default_value = "raw", value_parser = parse::<TargetFormat>)]
    format: TargetFormat,
    /// How the clusters of a qcow2 are compressed: auto, none, or a level from 1 (fast) to 12 (small; 9 and above are one)
    #[arg(long, value_name = "auto|none|1..12", default_value = "none", value_parser = parse::<Compression>)]
    compress: Compression,
    /// Replace a file that is in the way, once the download is whole
    #[arg(long)]
    force: bool,
    /// Keep what FILE already has right: fetch the chunks that differ, and replace FILE once the new one is whole
    #[arg(long)]
    delta: bool,
    /// Ignore what an earlier run has done
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    transfer: TransferOptions,
}

/// Runs the command.
pub async fn run(args: DownloadArgs, global: &Global, output: &Output) -> Result<()> {
    let object = args.from.object;
    if args.unpack && !matches!(object, Some(Object::Appliance(_))) {
        return Err(Error::usage("--unpack is for appliances: a drive holds its image as it is"));
    }
    let form = FileForm { format: args.format, compression: args.compress };
    form.check(args.to.as_deref())?;
    let to_stdout = args.to.as_ref().is_some_and(|p| p.as_os_str() == "-");
    if to_stdout && output.is_json() {
        return Err(Error::usage("standard output cannot take both the image and --json"));
    }
    if args.delta && matches!(object, Some(Object::Appliance(_))) {
        return Err(Error::usage("--delta is for drives: what an appliance holds is noted nowhere"));
    }
    let download = Download { to: args.to, force: args.force, delta: args.delta };
    download.check_delta(form)?;
    let session = Session::open(Some(&args.from.remote), &args.transfer, global, output).await?;
    let settings = |session: &Session| session.settings(&args.transfer, args.restart);
    let done = fetch(download, object.as_ref(), args.unpack, form, settings, &session).await;
    session.settle();
    if let Some(done) = done? {
        let what = match &done.result.file {
            Some(file) => format!("downloaded to {}", file.display()),
            None => "downloaded".to_owned(),
        };
        output.summary(&what, &done.result.summary)?;
        done.commit()?;
    }
    Ok(())
}

async fn fetch(
    download: Download,
    object: Option<&Object>,
    unpack: bool,
    form: FileForm,
    settings: impl Fn(&Session) -> Settings,
    session: &Session,
) -> Result<Option<Done<Downloads>>> {
    let (end, context) = (&session.end, &session.context);
    if let (Some(Object::Appliance(key)), true) = (object, end.client().is_ok()) {
        let settings = &settings(session);
        let id = format!("appliance/{key}");
        let account = end.account.clone();
        let image = Identity::Remote { account, object: id.clone(), size: 0, validator: None };
        // Before the server is asked: the file's name is known already.
        download.check(&end.remote, &id, Some(image), settings)?;
        let appliance = Appliance::new(end.client()?.clone(), end.retry.clone(), key)?;
        let found = Found::ask(appliance, key, &end.remote, &end.account).await?;
        return download.appliance(&found, unpack, form, settings, context).await;
    }
    let (far, disk) = end.far_disk(object, &NOTHING)?;
    let settings = &settings(session);
    download.check(&end.remote, &disk, None, settings)?;
    let disk = Fetched::disk(&disk, form, &far, context).await?;
    download.run(&disk, settings, context).await
}
