//! `diskferry download`.

use super::Global;
use super::options::{TransferOptions, parse};
use super::output::Output;
use super::session::Session;
use crate::config::{Object, Target};
use crate::disk::Identity;
use crate::disk::appliance::Appliance;
use crate::error::{Error, Result};
use crate::job::appliance::Found;
use crate::job::download::{Download, Downloads, Object as Fetched};
use crate::job::{Done, Settings};
use clap::Args;
use std::path::PathBuf;

/// What `download` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "The file has its name only when it is whole; until then it is FILE.part, and the same command \
                        run again goes on with that, as far as the server lets it."
)]
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
    let Some(object) = args.from.object else {
        return Err(Error::usage("neither a drive nor an appliance is named")
            .hint("the forms are REMOTE:DRIVE, with the drive's UUID, and REMOTE:appliance/KEY"));
    };
    if args.unpack && matches!(object, Object::Drive(_)) {
        return Err(Error::usage("--unpack is for appliances: a drive holds its image as it is"));
    }
    let to_stdout = args.to.as_ref().is_some_and(|p| p.as_os_str() == "-");
    if to_stdout && output.is_json() {
        return Err(Error::usage("standard output cannot take both the image and --json"));
    }
    let session = Session::open(Some(&args.from.remote), &args.transfer, global, output).await?;
    let settings = args.transfer.settings(args.restart, &session.dirs);
    let download = Download { to: args.to, force: args.force };
    let done = fetch(download, &object, args.unpack, &settings, &session).await;
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
    object: &Object,
    unpack: bool,
    settings: &Settings,
    session: &Session,
) -> Result<Option<Done<Downloads>>> {
    // Before the server is asked: the file's name is known already.
    let (id, image) = match object {
        Object::Drive(drive) => (drive.clone(), None),
        Object::Appliance(key) => {
            let object = format!("appliance/{key}");
            let account = session.end.account.clone();
            (object.clone(), Some(Identity::Remote { account, object, size: 0, validator: None }))
        }
    };
    download.check(&session.end.remote, &id, image, settings)?;
    let context = &session.context;
    match object {
        Object::Drive(drive) => {
            let drive = Fetched::drive(drive, &session.far()?, context).await?;
            download.run(&drive, settings, context).await
        }
        Object::Appliance(key) => {
            let end = &session.end;
            let appliance = Appliance::new(end.client.clone(), end.retry.clone(), key)?;
            let found = Found::ask(appliance, key, &end.remote, &end.account).await?;
            download.appliance(&found, unpack, settings, context).await
        }
    }
}
