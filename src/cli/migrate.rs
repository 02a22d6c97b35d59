//! `diskferry migrate`.

use super::Global;
use super::options::{TransferOptions, parse, target_format};
use super::output::Output;
use super::session::{NOTHING, OpenRemote, Session};
use super::set::{MemberDone, Running, SetOptions, Verb};
use super::upload::tell_drive;
use super::writing::{NewDriveOptions, ResumeOptions, WriteOptions};
use crate::config::{Object, Target};
use crate::disk::appliance::Appliance;
use crate::disk::format::TargetFormat;
use crate::engine::{Context, Route};
use crate::error::{Error, Result};
use crate::event::Summary;
use crate::job::appliance::Found;
use crate::job::migrate;
use crate::job::upload::{Delta, Upload};
use crate::job::{Done, RemoteStore, Settings};
use clap::Args;

/// The arguments of `migrate`.
#[derive(Debug, Args)]
#[command(
    override_usage = "diskferry migrate [OPTIONS] REMOTE:DRIVE... REMOTE:[DRIVE]\n       \
                      diskferry migrate [OPTIONS] --all|--tag TAG REMOTE: REMOTE:",
    after_help = "Prints the UUID of the drive that was written, and nothing else, on stdout; of several drives a line \
                  each with the old and the new UUID. Nothing is stored on this machine. An interrupted migration is \
                  resumed by running the same command again."
)]
pub struct MigrateArgs {
    /// The drives, or an appliance, which is unpacked from gzip, xz, zstd or tar; last the destination: REMOTE: for new
    /// drives, REMOTE:DRIVE for an existing one
    #[arg(value_name = "REMOTE:DRIVE|REMOTE:appliance/KEY|REMOTE:", value_parser = parse::<Target>, required = true)]
    targets: Vec<Target>,
    #[command(flatten)]
    new: NewDriveOptions,
    /// Format on the new drive: raw, or vhd (raw with the footer of a fixed VHD, which Azure boots)
    #[arg(long, value_name = "raw|vhd", default_value = "raw", value_parser = target_format)]
    target_format: TargetFormat,
    #[command(flatten)]
    write: WriteOptions,
    #[command(flatten)]
    resume: ResumeOptions,
    #[command(flatten)]
    set: SetOptions,
    #[command(flatten)]
    transfer: TransferOptions,
}

/// Runs the command.
pub async fn run(mut args: MigrateArgs, global: &Global, output: &Output) -> Result<()> {
    let to = args.targets.pop().filter(|_| !args.targets.is_empty()).ok_or_else(|| {
        Error::usage("the source or the destination is missing")
            .hint("the form is `diskferry migrate REMOTE:DRIVE REMOTE:`")
    })?;
    if matches!(to.object, Some(Object::Appliance(_))) {
        return Err(Error::usage("an appliance cannot be written")
            .hint("name a drive, as in `REMOTE:DRIVE`, or the remote alone, as in `REMOTE:`"));
    }
    if to.object.is_some() {
        args.new.refuse_for_existing()?;
    }
    if args.targets.contains(&to) {
        return Err(Error::usage(format!("source and destination are both {to}")));
    }
    let remote = args.targets.first().map(|from| from.remote.clone());
    let session = Session::open(remote.as_deref(), &args.transfer, global, output).await?;
    session.allow_destroying(&args.write, &args.transfer);
    let end = session.another(&to.remote, output).await?;
    if args.set.is_set(args.targets.len()) {
        let ended = several(args, &to, &end, &session, output).await;
        if ended.is_ok() {
            session.leftovers.destroy(&end, &session.dirs, output).await;
        }
        return ended;
    }
    let done = migrate(args, &to, &end, &session).await;
    session.settle();
    match done? {
        Some(done) => tell_drive("migrated", done, &end, &session, output).await,
        None => Ok(()),
    }
}

async fn migrate(
    args: MigrateArgs,
    to: &Target,
    end: &OpenRemote,
    session: &Session,
) -> Result<Option<Done<Summary>>> {
    let settings = session.settings(&args.transfer, args.resume);
    settings.check()?;
    // One that takes no drives is refused before anything is asked for.
    let (far, drive) = end.far(to.object.as_ref()).await?;
    let object = args.targets.into_iter().next().and_then(|from| from.object);
    let moving = Moving {
        size: args.new.size,
        format: args.target_format,
        upload: args.new.upload(drive, &args.write, Delta::Off),
    };
    // The account that a ticket in the command line is of is known by now, and with it what has to be hidden.
    let settings = || session.settings(&args.transfer, args.resume);
    moving.run(object.as_ref(), &session.end, &far, settings, &session.context).await
}

/// A migration, but for its ends.
#[derive(Clone)]
struct Moving {
    /// Of an appliance, the size of the image in it.
    size: Option<u64>,
    format: TargetFormat,
    upload: Upload,
}

impl Moving {
    async fn run(
        self,
        object: Option<&Object>,
        end: &OpenRemote,
        far: &RemoteStore,
        settings: impl Fn() -> Settings,
        context: &Context,
    ) -> Result<Option<Done<Summary>>> {
        if let (Some(Object::Appliance(key)), Ok(client)) = (object, end.client()) {
            let appliance = Appliance::new(client.clone(), end.retry.clone(), key)?;
            let found = Found::ask(appliance, key, &end.remote, &end.account).await?;
            // The size is that of the image, and the drive is as large.
            let (size, settings) = (self.size, settings());
            return migrate::appliance(&found, size, self.format, self.upload, far, &settings, context).await;
        }
        let (source, disk) = end.far_disk(object, &NOTHING).await?;
        let settings = settings();
        let image = migrate::disk(&disk, &source, context).await?.written_as(self.format)?;
        self.upload.run(image, far, &settings, context).await
    }
}

/// Several drives, each to a new one.
async fn several(
    args: MigrateArgs,
    target: &Target,
    to: &OpenRemote,
    session: &Session,
    output: &Output,
) -> Result<()> {
    let verb = Verb { action: "migrate", done: "migrated", route: Route::Between };
    if target.object.is_some() {
        return Err(Error::usage(format!("several drives cannot go to one drive, {target}"))
            .hint(format!("name the remote alone, as in `{}:`: each drive gets a new one", target.remote)));
    }
    for (given, option) in [
        (args.new.name.is_some(), "`--name`"),
        (args.new.size.is_some(), "`--size`"),
        (args.transfer.manifest.is_some(), "`--manifest`"),
    ] {
        if given {
            return Err(Error::usage(format!("{option} is for one drive, and several are named")));
        }
    }
    to.far(None).await?;
    let set = args.set.members(verb, &args.targets, &target.to_string(), session, output).await?;
    let moving = Moving {
        size: None,
        format: args.target_format,
        upload: args.new.upload(None, &args.write, Delta::Off),
    };
    let moving = &moving;
    set.run(verb, &args.transfer, args.resume, session, output, |picked, running| {
        Box::pin(async move {
            let Running { end, context, settings, .. } = running;
            let (far, _) = to.under(&context).far(None).await?;
            let settings = || settings.clone();
            let done = moving.clone().run(Some(&picked.object), &end, &far, settings, &context).await?;
            Ok(done.map(|done| MemberDone {
                words: format!("migrated to {}:{}", far.remote, done.result.drive),
                data: Some(format!("{} {}", picked.member.disk, done.result.drive)),
                summary: done.result.clone(),
                journal: done.keep(),
            }))
        })
    })
    .await
}
