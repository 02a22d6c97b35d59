//! `diskferry download`.

use super::Global;
use super::options::{TransferOptions, parse};
use super::output::Output;
use super::session::{NOTHING, OpenRemote, Session};
use super::set::{MemberDone, Running, SetOptions, Verb};
use super::writing::ResumeOptions;
use crate::config::{Object, Target};
use crate::disk::Identity;
use crate::disk::appliance::Appliance;
use crate::disk::format::TargetFormat;
use crate::engine::encode::codec::Compression;
use crate::engine::{Context, Route};
use crate::error::{Error, Kind, Result};
use crate::job::appliance::Found;
use crate::job::download::{Download, Downloads, FileForm, Object as Fetched};
use crate::job::{Done, Settings};
use clap::Args;
use std::collections::HashMap;
use std::path::PathBuf;

/// The arguments of `download`.
#[derive(Debug, Args)]
#[command(
    override_usage = "diskferry download [OPTIONS] REMOTE:DRIVE [FILE|-]\n       \
                      diskferry download [OPTIONS] REMOTE:DRIVE... [DIR]\n       \
                      diskferry download [OPTIONS] --all|--tag TAG REMOTE: [DIR]",
    after_help = "Until it is complete the file is named FILE.part. An interrupted download is resumed by running the same \
                  command again."
)]
pub struct DownloadArgs {
    /// The drive or appliance
    #[arg(value_name = "REMOTE:DRIVE|REMOTE:appliance/KEY", value_parser = parse::<Target>)]
    from: Target,
    /// More drives; last the destination: a file, `-` for standard output, or a directory. By default a file named after the
    /// drive or appliance
    #[arg(value_name = "REMOTE:DRIVE|FILE|DIR|-")]
    more: Vec<PathBuf>,
    /// Unpack an appliance from gzip, xz, zstd or tar
    #[arg(long)]
    unpack: bool,
    /// Format of the file: raw, vhd (raw with the footer of a fixed VHD), or qcow2
    #[arg(long, value_name = "raw|qcow2|vhd", default_value = "raw", value_parser = parse::<TargetFormat>)]
    format: TargetFormat,
    /// How to compress the clusters of a qcow2: auto, none, or a level from 1 (fast) to 12 (small; 9 to 12 are the same)
    #[arg(long, value_name = "auto|none|1..12", default_value = "none", value_parser = parse::<Compression>)]
    compress: Compression,
    /// Replace an existing file once the download is complete
    #[arg(long)]
    force: bool,
    /// Fetch only the chunks that differ from FILE, and replace it once the new one is complete
    #[arg(long)]
    delta: bool,
    #[command(flatten)]
    resume: ResumeOptions,
    #[command(flatten)]
    set: SetOptions,
    #[command(flatten)]
    transfer: TransferOptions,
}

/// Runs the command.
pub async fn run(mut args: DownloadArgs, global: &Global, output: &Output) -> Result<()> {
    // What stands last and is no target is where it goes.
    let is_place = |last: &PathBuf| !last.to_str().is_some_and(Target::is_target);
    let to = if args.more.last().is_some_and(is_place) { args.more.pop() } else { None };
    if args.set.is_set(1 + args.more.len()) {
        return several(args, to, global, output).await;
    }
    let object = args.from.object;
    if args.unpack && !matches!(object, Some(Object::Appliance(_))) {
        return Err(Error::usage("`--unpack` is for appliances, and this is a drive"));
    }
    let form = FileForm { format: args.format, compression: args.compress };
    form.check(to.as_deref())?;
    let to_stdout = to.as_ref().is_some_and(|p| p.as_os_str() == "-");
    if to_stdout && output.is_json() {
        return Err(Error::usage("`--json` and an image cannot both go to standard output"));
    }
    if args.delta && matches!(object, Some(Object::Appliance(_))) {
        return Err(Error::usage("`--delta` is for drives, and this is an appliance"));
    }
    let download = Download { to, force: args.force, delta: args.delta };
    download.check_delta(form)?;
    let session = Session::open(Some(&args.from.remote), &args.transfer, global, output).await?;
    let settings = || session.settings(&args.transfer, args.resume);
    let done =
        fetch(download, object.as_ref(), args.unpack, form, settings, &session.end, &session.context).await;
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

/// Several drives, each into a file of its own in a directory.
async fn several(args: DownloadArgs, to: Option<PathBuf>, global: &Global, output: &Output) -> Result<()> {
    let verb = Verb { action: "download", done: "downloaded", route: Route::Plain };
    let mut targets = vec![args.from];
    for word in &args.more {
        targets.push(word.to_string_lossy().parse::<Target>()?);
    }
    let directory = to.unwrap_or_else(|| PathBuf::from("."));
    if directory.as_os_str() == "-" {
        return Err(Error::usage("several drives cannot go to standard output").hint("name a directory"));
    }
    let form = FileForm { format: args.format, compression: args.compress };
    form.check(Some(&directory))?;
    for (given, option) in [(args.unpack, "`--unpack`"), (args.transfer.manifest.is_some(), "`--manifest`")] {
        if given {
            return Err(Error::usage(format!("{option} is for one drive, and several are named")));
        }
    }
    let session = Session::open(Some(&targets[0].remote), &args.transfer, global, output).await?;
    let place = std::path::absolute(&directory)
        .map_err(|e| Error::io(format!("finding {}", directory.display()), e))?;
    let set = args.set.members(verb, &targets, &place.display().to_string(), &session, output).await?;
    if !args.transfer.dry_run {
        std::fs::create_dir_all(&place)
            .map_err(|e| Error::io(format!("making the directory {}", place.display()), e))?;
    }
    let files: HashMap<String, PathBuf> = set
        .whole
        .iter()
        .map(crate::job::set::Member::key)
        .zip(crate::job::set::files(&place, &set.whole, form))
        .collect();
    let (files, force, delta) = (&files, args.force, args.delta);
    let ended = set.run(verb, &args.transfer, args.resume, &session, output, |picked, running| {
        Box::pin(async move {
            let Running { end, context, settings, was_done } = running;
            let settings = &settings;
            let again = |restart| {
                let download = Download { to: files.get(&picked.member.key()).cloned(), force, delta };
                let settings = move || Settings { restart: restart || settings.restart, ..settings.clone() };
                fetch(download, Some(&picked.object), false, form, settings, &end, &context)
            };
            let done = match again(false).await {
                // It was whole, and its drive has changed since.
                Err(error) if was_done && force && error.kind() == Kind::Changed => again(true).await?,
                done => done?,
            };
            Ok(done.map(|done| MemberDone {
                words: match &done.result.file {
                    Some(file) => format!("downloaded to {}", file.display()),
                    None => "downloaded".to_owned(),
                },
                summary: done.result.summary.clone(),
                data: None,
                journal: done.keep(),
            }))
        })
    });
    ended.await
}

async fn fetch(
    download: Download,
    object: Option<&Object>,
    unpack: bool,
    form: FileForm,
    settings: impl Fn() -> Settings,
    end: &OpenRemote,
    context: &Context,
) -> Result<Option<Done<Downloads>>> {
    if let (Some(Object::Appliance(key)), true) = (object, end.client().is_ok()) {
        let settings = &settings();
        let id = format!("appliance/{key}");
        let account = end.account.clone();
        let image = Identity::Remote { account, object: id.clone(), size: 0, validator: None };
        // Before the server is asked: the file's name is known already.
        download.check(&end.remote, &id, Some(image), settings)?;
        let appliance = Appliance::new(end.client()?.clone(), end.retry.clone(), key)?;
        let found = Found::ask(appliance, key, &end.remote, &end.account).await?;
        return download.appliance(&found, unpack, form, settings, context).await;
    }
    let (far, disk) = end.far_disk(object, &NOTHING).await?;
    let settings = &settings();
    download.check(&end.remote, &disk, None, settings)?;
    let disk = Fetched::disk(&disk, form, &far, context).await?;
    download.run(&disk, settings, context).await
}
