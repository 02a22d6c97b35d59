//! `diskferry backup`.

use super::Global;
use super::options::{TransferOptions, parse};
use super::output::Output;
use super::session::{NO_DRIVE, OpenRemote, Session};
use super::set::{MemberDone, Running, SetOptions, Verb};
use super::writing::ResumeOptions;
use crate::backup::{BackupStore, Session as StoreSession, When};
use crate::config::{Object, Target};
use crate::engine::{Context, InUse, Route};
use crate::error::{Error, Result};
use crate::job::backup::{BackedUp, Backup, Since};
use crate::job::{Done, Settings};
use clap::Args;

/// The arguments of `backup`.
#[derive(Debug, Args)]
#[command(
    after_help = "STORE is in casync's format: `casync extract --store=STORE STORE/NAME/WHEN.caibx FILE` restores without \
                  diskferry. An interrupted backup is resumed by running the same command again; a chunk is stored once."
)]
pub struct BackupArgs {
    /// The drive, or REMOTE: with --all or --tag
    #[arg(value_name = "REMOTE:[DRIVE]", value_parser = parse::<Target>)]
    from: Target,
    /// More drives; last the store: a directory, or s3://, az:// or gs://
    #[arg(value_name = "REMOTE:DRIVE|STORE", required = true)]
    more: Vec<String>,
    /// Read only what the dirty bitmap names, which began with that backup: its time, or `last`. For oVirt, use the ticket of
    /// an incremental backup
    #[arg(long, value_name = "last|WHEN", value_parser = since)]
    since: Option<SinceWhen>,
    /// The dirty bitmap of an NBD export, as qemu-nbd and QEMU export it
    #[arg(long, value_name = "NAME", requires = "since")]
    bitmap: Option<String>,
    /// Start over, ignoring what an interrupted run did
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    set: SetOptions,
    #[command(flatten)]
    transfer: TransferOptions,
}

/// The time of a backup; `None` for the last.
#[derive(Clone, Copy, Debug)]
pub struct SinceWhen(Option<When>);

fn since(text: &str) -> Result<SinceWhen> {
    if text == "last" {
        return Ok(SinceWhen(None));
    }
    text.parse().map(|when| SinceWhen(Some(when)))
}

impl BackupArgs {
    /// A backup reads a drive anew that changed since an interrupted run: nothing is refused.
    fn resume(&self) -> ResumeOptions {
        ResumeOptions { restart: self.restart, ..ResumeOptions::default() }
    }

    fn since(&self) -> Option<Since> {
        self.since.map(|since| Since { when: since.0, bitmap: self.bitmap.clone() })
    }
}

/// Runs the command.
pub async fn run(mut args: BackupArgs, global: &Global, output: &Output) -> Result<()> {
    let Some(address) = args.more.pop() else {
        return Err(
            Error::usage("no store is named").hint("the form is `diskferry backup REMOTE:DRIVE STORE`")
        );
    };
    let mut targets = vec![args.from.clone()];
    for word in &args.more {
        targets.push(word.parse::<Target>()?);
    }
    // A backup that may be half old is refused unless the user wants it.
    args.transfer.if_in_use.get_or_insert(InUse::Refuse);
    let session = Session::open(Some(&args.from.remote), &args.transfer, global, output).await?;
    let retry = session.context.retry.clone();
    let store = if args.transfer.dry_run {
        BackupStore::open(&address, retry)
            .await
            .map_err(|error| error.hint("the first backup makes the store; a dry run does not"))?
    } else {
        BackupStore::open_or_create(&address, retry).await?
    };
    let at_work = store.begin().await?;
    let ended = if args.set.is_set(targets.len()) {
        several(&args, &targets, &at_work, &session, output).await
    } else {
        one(&args, &args.from, &at_work, &session, output).await
    };
    session.settle();
    let lease = at_work.end().await;
    ended.and(lease)
}

async fn one(
    args: &BackupArgs,
    target: &Target,
    store: &StoreSession,
    session: &Session,
    output: &Output,
) -> Result<()> {
    let settings = session.settings(&args.transfer, args.resume());
    let made =
        back_up(args.since(), target.object.as_ref(), &session.end, store, &settings, &session.context).await;
    session.settle();
    let Some(done) = made? else { return Ok(()) };
    output.summary(&words(&done.result), &done.result.summary)?;
    done.commit()
}

async fn several(
    args: &BackupArgs,
    targets: &[Target],
    store: &StoreSession,
    session: &Session,
    output: &Output,
) -> Result<()> {
    if args.transfer.manifest.is_some() {
        return Err(Error::usage("`--manifest` is for one drive, and several are named"));
    }
    let verb = Verb { action: "backup", done: "backed up", route: Route::Between };
    let set = args.set.members(verb, targets, store.store().name(), session, output).await?;
    let ended = set.run(verb, &args.transfer, args.resume(), session, output, |picked, running| {
        Box::pin(async move {
            let Running { end, context, settings, .. } = running;
            // A backup is of the time of its run: one that was made by an earlier run of the set is made again.
            let settings = Settings { keeps_journal: false, ..settings };
            let made = back_up(args.since(), Some(&picked.object), &end, store, &settings, &context).await?;
            let Some(done) = made else { return Ok(None) };
            let (words, summary) = (words(&done.result), done.result.summary.clone());
            done.commit()?;
            Ok(Some(MemberDone { words, data: None, summary, journal: None }))
        })
    });
    ended.await
}

async fn back_up(
    since: Option<Since>,
    object: Option<&Object>,
    end: &OpenRemote,
    store: &StoreSession,
    settings: &Settings,
    context: &Context,
) -> Result<Option<Done<BackedUp>>> {
    if let (Some(Object::Appliance(_)), Ok(_)) = (object, end.client()) {
        return Err(Error::usage("only drives can be backed up, not appliances")
            .hint("download it with `diskferry download`"));
    }
    let (far, disk) = end.far_disk(object, &NO_DRIVE).await?;
    // What a drive is beside its bytes, where it is more than its name and size.
    let keys = match end.drives() {
        Ok(drives) => {
            let properties = drives.info(&disk).await?.properties;
            properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
        }
        Err(_) => Vec::new(),
    };
    let backup = Backup { disk, provider: end.provider.to_owned(), keys, when: When::now(), since };
    backup.run(&far, store, settings, context).await
}

fn words(made: &BackedUp) -> String {
    format!("backed up as {}", made.summary.backup)
}
