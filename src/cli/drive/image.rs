//! `diskferry drive image`: one drive is overwritten with another.

use super::wait_for_imaging;
use crate::cli::Global;
use crate::cli::account::{Account, RequestOptions, given, named};
use crate::cli::options::parse;
use crate::cli::output::{Output, bytes};
use crate::cli::wait::WaitOptions;
use crate::config::Target;
use crate::error::{Error, Kind, Result};
use crate::provider::standard::{self, Contents, StandardDrive};
use clap::Args;

/// What `drive image` takes.
#[derive(Debug, Args)]
#[command(
    after_help = "Imaging goes on at the provider after the command has ended, unless --wait is given. A standard \
                  drive that is a gzipped system image is expanded by itself."
)]
pub struct ImageArgs {
    /// The drive that is overwritten
    #[arg(value_name = "REMOTE:DRIVE", value_parser = parse::<Target>)]
    drive: Target,
    /// A drive's UUID on the same remote, or a standard drive's name or a telling piece of it
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Compress the source's contents into the drive
    #[arg(long, conflicts_with = "gunzip")]
    gzip: bool,
    /// The source holds gzip data: expand it into the drive
    #[arg(long)]
    gunzip: bool,
    #[command(flatten)]
    wait: WaitOptions,
    #[command(flatten)]
    request: RequestOptions,
}

/// Where the contents come from.
struct Source {
    uuid: String,
    standard: Option<&'static StandardDrive>,
}

/// Runs the command.
pub(super) async fn run(args: &ImageArgs, global: &Global, output: &Output) -> Result<()> {
    let (remote, drive) = named(&args.drive, "drive")?;
    let account = Account::open(Some(remote), &args.request, global, output).await?;
    account.has("drives.image", "image drives", "`diskferry drive clone` makes a copy of a drive")?;
    let source = source(&args.source, remote, &account)?;
    let image = source.standard.map(|standard| standard.contents);
    let conversion = match (args.gzip, args.gunzip, image) {
        (true, _, _) => Some("gzip"),
        (_, true, _) | (_, _, Some(Contents::GzippedImage(_))) => Some("gunzip"),
        _ => None,
    };
    if let Some(Contents::GzippedImage(needed)) = image
        && conversion == Some("gunzip")
    {
        let info = account.session.end.drives()?.info(drive).await?;
        if info.size < needed {
            return Err(Error::new(
                Kind::TooSmall,
                format!("drive {drive} has {} and the image needs {}", bytes(info.size), bytes(needed)),
            )
            .hint(format!("`diskferry drive set {remote}:{drive} size={needed}` makes it larger")));
        }
    }
    let path = [drive, &source.uuid].into_iter().chain(conversion);
    account.objects("drives.image", &given(path, [])).await?;
    let from = source.standard.map_or(source.uuid.as_str(), |standard| standard.name);
    if !args.wait.wanted() {
        output.note(&format!("drive {drive} is being imaged from {from}"));
        output.event(
            "summary",
            serde_json::json!({ "action": "image", "drive": drive, "source": source.uuid }),
        );
        return Ok(());
    }
    wait_for_imaging(args.wait, "imaging", drive, &account, output).await
}

/// The drive that is meant.
fn source(word: &str, remote: &str, account: &Account) -> Result<Source> {
    let word = match word.parse::<Target>() {
        Ok(target) if target.remote == remote => target.drive().unwrap_or_default().to_owned(),
        Ok(target) if target.drive().is_some() => {
            return Err(Error::usage(format!("{target} is on another remote than the drive to overwrite"))
                .hint(format!(
                    "move it with `diskferry download {target} -` and `diskferry upload - {remote}:`"
                )));
        }
        _ => word.to_owned(),
    };
    if uuid::Uuid::parse_str(&word).is_ok() {
        let standard = standard::find(account.provider(), &word)?;
        return Ok(Source { uuid: word, standard });
    }
    if let Some(standard) = standard::find(account.provider(), &word)? {
        return Ok(Source { uuid: standard.uuid.to_owned(), standard: Some(standard) });
    }
    let error = Error::usage(format!("{word:?} is neither a drive's UUID nor a standard drive's name"));
    Err(if standard::standard_drives(account.provider()).is_empty() {
        error.hint(format!("{} names no standard drives: give a UUID", account.provider()))
    } else {
        error.hint(format!("`diskferry drive list --standard {remote}:` names the standard drives"))
    })
}
