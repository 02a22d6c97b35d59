//! `diskferry drive image`: overwrites one drive with another.

use super::{DRIVE, check_unused};
use crate::cli::noun::{Run, described, resolve};
use crate::cli::output::bytes;
use crate::config::{Object, Target};
use crate::error::{Error, Kind, Result};
use crate::provider::standard::{self, Contents, StandardDrive};
use crate::wire::elastic::parse_size;
use clap::{Arg, ArgAction, Command};
use futures_util::future::LocalBoxFuture;

pub(super) fn arguments(command: Command) -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    command
        .arg(
            Arg::new("source")
                .value_name("SOURCE")
                .required(true)
                .help("A drive on the same remote, or a standard drive, by its UUID or its name"),
        )
        .arg(flag("gzip", "Compress the source's contents into the drive").conflicts_with("gunzip"))
        .arg(flag("gunzip", "Expand the source, which holds gzip data, into the drive"))
}

/// The drive from which the contents are copied.
struct Source {
    uuid: String,
    standard: Option<&'static StandardDrive>,
}

pub(super) fn run(run: &Run) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let word = run.matches.get_one::<String>("source").map_or("", String::as_str);
        let source = source(word, run).await?;
        let holds = source.standard.map(|standard| standard.contents);
        let (gzip, gunzip) = (run.matches.get_flag("gzip"), run.matches.get_flag("gunzip"));
        let conversion = match (gzip, gunzip, holds) {
            (true, _, _) => Some("gzip"),
            (_, true, _) | (_, _, Some(Contents::GzippedImage(_))) => Some("gunzip"),
            _ => None,
        };
        let drive = run.info().await?;
        if let (Some(Contents::GzippedImage(needed)), Some("gunzip")) = (holds, conversion) {
            has_room(parse_size(&drive.text("size")).unwrap_or(0), needed, run)?;
        }
        check_unused(&drive, None, &run.account).await?;
        let from = source.standard.map_or(source.uuid.as_str(), |standard| standard.name);
        let label = described(&run.label, &drive);
        run.ask(&format!("overwrite {label} with {from}? Everything on it is lost."))?;

        let mut given = run.given.clone();
        given.path.push(source.uuid.clone());
        given.path.extend(conversion.map(str::to_owned));
        run.account.items(run.act.call, &given).await?;
        if !run.waits() {
            run.output.note(&format!("imaging {} from {from}", run.label));
        }
        run.ended(None).await?;
        run.output.event(
            "summary",
            serde_json::json!({ "action": "image", "drive": run.id, "source": source.uuid }),
        );
        Ok(())
    })
}

fn has_room(size: u64, needed: u64, run: &Run) -> Result<()> {
    if size >= needed {
        return Ok(());
    }
    let text = format!("{} has {} and the image needs {}", run.label, bytes(size), bytes(needed));
    Err(Error::new(Kind::TooSmall, text).hint(format!(
        "`diskferry drive set {}:{} size={needed}` makes it larger",
        run.account.remote(),
        run.id
    )))
}

/// Finds the drive to copy: by a UUID, by any unique part of a standard drive's name, or by the name of a
/// drive of the account.
async fn source(word: &str, run: &Run) -> Result<Source> {
    let (remote, provider) = (run.account.remote(), run.account.provider());
    let word = match word.parse::<Target>() {
        Ok(Target { remote: other, object: Some(Object::Drive(drive) | Object::Named(drive)) })
            if other == remote =>
        {
            drive
        }
        Ok(target) if target.object.is_some() => {
            return Err(Error::usage(format!("{target} is on another remote than the drive to overwrite"))
                .hint(format!("move it with `diskferry migrate {target} {remote}:{}`", run.id)));
        }
        _ => word.to_owned(),
    };
    if let Some(standard) = standard::find(provider, &word)? {
        return Ok(Source { uuid: standard.uuid.to_owned(), standard: Some(standard) });
    }
    match resolve(&DRIVE, &word, &run.account).await {
        Ok(uuid) => Ok(Source { uuid, standard: None }),
        Err(error) if error.kind() == Kind::NotFound => {
            let error = Error::usage(format!(
                "`{word}` is neither a drive on `{remote}:` nor a standard drive of {provider}"
            ));
            Err(if standard::standard_drives(provider).is_empty() {
                error.hint(format!(
                    "{provider} names no standard drives: `diskferry drive list {remote}:` lists yours, and `diskferry \
                     upload IMAGE {remote}:{}` writes an image of your own",
                    run.id
                ))
            } else {
                error.hint(format!("`diskferry drive list --standard {remote}:` lists the standard drives"))
            })
        }
        Err(error) => Err(error),
    }
}
