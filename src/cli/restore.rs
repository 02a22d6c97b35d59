//! `diskferry restore`.

use super::Global;
use super::options::TransferOptions;
use super::output::Output;
use super::session::{OpenRemote, Session};
use super::set::{MemberDone, Running, SetOptions, Verb};
use super::upload::tell_drive;
use super::writing::{NewDriveOptions, ResumeOptions, WriteOptions};
use crate::backup::lease::Lease;
use crate::backup::{BackupStore, Selection, SnapshotId};

use crate::config::{Object, Target};
use crate::disk::format::TargetFormat;
use crate::engine::encode::codec::Compression;
use crate::engine::{Context, Route};
use crate::error::{Error, Kind, Result};
use crate::event::Summary;
use crate::job::download::{Download, Downloads, FileForm};
use crate::job::restore::{self, Backup};
use crate::job::set::Member;
use crate::job::upload::{Delta, Upload};
use crate::job::{Done, Settings};
use clap::Args;
use std::path::{Path, PathBuf};

/// The arguments of `restore`.
#[derive(Debug, Args)]
#[command(
    after_help = "Without NAME the store's only backup is restored, or with --all the newest of each name. Into a remote this prints \
                  the UUID of each drive that was written, and nothing else, on stdout. A new drive gets the name, the size and \
                  what else is kept of the one that was backed up."
)]
pub struct RestoreArgs {
    /// The newest backup of NAME, the one of WHEN, or an index file of casync
    #[arg(value_name = "STORE[/NAME[@WHEN]]")]
    from: String,
    /// REMOTE: for a new drive, REMOTE:DRIVE for an existing one, a file, or a directory for several files
    #[arg(value_name = "REMOTE:[DRIVE]|FILE|DIRECTORY")]
    to: PathBuf,
    #[command(flatten)]
    new: NewDriveOptions,
    /// Transfer only what differs from the drive or file
    #[arg(long)]
    delta: bool,
    #[command(flatten)]
    write: WriteOptions,
    /// Replace an existing file once the new one is complete
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    resume: ResumeOptions,
    #[command(flatten)]
    set: SetOptions,
    #[command(flatten)]
    transfer: TransferOptions,
}

/// Runs the command.
pub async fn run(args: RestoreArgs, global: &Global, output: &Output) -> Result<()> {
    let target = match args.to.to_str() {
        Some(text) if Target::is_target(text) => Some(text.parse::<Target>()?),
        _ => None,
    };
    if matches!(target, Some(Target { object: Some(Object::Appliance(_)), .. })) {
        return Err(Error::usage("an appliance cannot be written")
            .hint("name a drive, as in `REMOTE:DRIVE`, or the remote alone, as in `REMOTE:`"));
    }
    let session = match &target {
        Some(target) => Session::open(Some(&target.remote), &args.transfer, global, output).await?,
        None => Session::without_remote(&args.transfer, global, output)?,
    };
    session.allow_destroying(&args.write, &args.transfer);
    let selection = BackupStore::resolve(&args.from, session.context.retry.clone()).await?;
    let lease = Lease::for_reading(selection.store()).await?;
    let store = &lease.over(selection.store());
    let ended = match (&selection, args.set.is_set(1)) {
        (Selection::Backups { ids, .. }, true) => {
            several(&args, store, ids, target.as_ref(), &session, output).await
        }
        (_, true) => Err(Error::usage("an index file is one image").hint("leave out `--all` and `--shard`")),
        (_, false) => one(&args, store, &selection, target.as_ref(), &session, output).await,
    };
    session.settle();
    if ended.is_ok() {
        session.leftovers.destroy(&session.end, &session.dirs, output).await;
    }
    let given_back = lease.end().await;
    ended.and(given_back)
}

async fn one(
    args: &RestoreArgs,
    store: &BackupStore,
    selection: &Selection,
    target: Option<&Target>,
    session: &Session,
    output: &Output,
) -> Result<()> {
    let backup = match selection {
        Selection::Backups { ids, .. } => match &**ids {
            [id] => Backup::of(store, id).await?,
            ids => return Err(name_one(store, ids)),
        },
        Selection::Index { path, .. } => Backup::of_file(store, path).await?,
    };
    let (settings, context) = (session.settings(&args.transfer, args.resume), &session.context);
    if let Some(target) = target {
        let done = to_remote(args, backup, target.object.as_ref(), &session.end, &settings, context).await;
        session.settle();
        let Some(done) = done? else { return Ok(()) };
        return tell_drive("restored", done, &session.end, session, output).await;
    }
    let done = to_file(args, &backup, &args.to, &settings, context).await;
    session.settle();
    let Some(done) = done? else { return Ok(()) };
    output.summary(&words(&done.result), &done.result.summary)?;
    done.commit()
}

async fn several(
    args: &RestoreArgs,
    store: &BackupStore,
    ids: &[SnapshotId],
    target: Option<&Target>,
    session: &Session,
    output: &Output,
) -> Result<()> {
    let mixed = [
        (args.new.name.is_some(), "`--name`"),
        (args.new.size.is_some(), "`--size`"),
        (args.transfer.manifest.is_some(), "`--manifest`"),
        (target.is_some_and(|target| target.object.is_some()), "a drive"),
    ];
    if let Some((_, what)) = mixed.iter().find(|(given, _)| *given) {
        return Err(Error::usage(format!("{what} is for one drive, and several are restored")));
    }
    let members: Vec<Member> = ids
        .iter()
        .map(|id| Member {
            remote: store.name().to_owned(),
            account: store.name().to_owned(),
            disk: id.name.to_string(),
            name: id.name.to_string(),
        })
        .collect();
    let verb = Verb { action: "restore", done: "restored", route: Route::Between };
    let set = args.set.of(verb, members, &args.to.display().to_string(), output)?;
    if target.is_none() && !args.transfer.dry_run {
        std::fs::create_dir_all(&args.to)
            .map_err(|e| Error::io(format!("making the directory {}", args.to.display()), e))?;
    }
    let ended = set.run(verb, &args.transfer, args.resume, session, output, |picked, running| {
        Box::pin(async move {
            let Running { end, context, settings, .. } = running;
            let id = ids.iter().find(|id| id.name.as_str() == picked.member.disk);
            let id = id.ok_or_else(|| Error::new(Kind::NotFound, "the backup is gone"))?;
            let backup = Backup::of(store, id).await?;
            if target.is_some() {
                let done = to_remote(args, backup, None, &end, &settings, &context).await?;
                return Ok(done.map(|done| MemberDone {
                    words: "restored".to_owned(),
                    summary: done.result.clone(),
                    data: Some(done.result.drive.clone()),
                    journal: done.keep(),
                }));
            }
            // Two drives may have had one name, but never one in the store.
            let file = args.to.join(id.name.as_str());
            let done = to_file(args, &backup, &file, &settings, &context).await?;
            Ok(done.map(|done| MemberDone {
                words: words(&done.result),
                summary: done.result.summary.clone(),
                data: None,
                journal: done.keep(),
            }))
        })
    });
    ended.await
}

async fn to_remote(
    args: &RestoreArgs,
    backup: Backup,
    object: Option<&Object>,
    end: &OpenRemote,
    settings: &Settings,
    context: &Context,
) -> Result<Option<Done<Summary>>> {
    let (far, drive) = end.far(object).await?;
    let delta = if args.delta { Delta::Drive } else { Delta::Off };
    let keys = if drive.is_some() {
        args.new.refuse_for_existing()?;
        Vec::new()
    } else {
        restore::keys(&backup, end.provider, &args.new.keys)
    };
    let upload = Upload { keys, ..args.new.upload(drive, &args.write, delta) };
    upload.run(backup.image()?, &far, settings, context).await
}

async fn to_file(
    args: &RestoreArgs,
    backup: &Backup,
    to: &Path,
    settings: &Settings,
    context: &Context,
) -> Result<Option<Done<Downloads>>> {
    let form = FileForm { format: TargetFormat::Raw, compression: Compression::None };
    let download = Download { to: Some(to.to_owned()), force: args.force, delta: args.delta };
    let object = backup.object(form)?;
    download.check(&object.remote, &object.id, object.identity.clone(), settings)?;
    download.run(&object, settings, context).await
}

fn words(done: &Downloads) -> String {
    match &done.file {
        Some(file) => format!("restored to {}", file.display()),
        None => "restored".to_owned(),
    }
}

fn name_one(store: &BackupStore, ids: &[SnapshotId]) -> Error {
    let names: Vec<&str> = ids.iter().take(20).map(|id| id.name.as_str()).collect();
    let more = if ids.len() > names.len() { ", …" } else { "" };
    Error::usage(format!(
        "{} holds backups of {} drives: {}{more}",
        store.name(),
        ids.len(),
        names.join(", ")
    ))
    .hint(format!("name one, as in `{}/{}`, or restore all with `--all`", store.name(), names[0]))
}
