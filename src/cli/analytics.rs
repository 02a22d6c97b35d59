//! `diskferry analytics`: what Joyent's instrumentations have measured; heatmaps as files and as text.

use super::Global;
use super::account::{Account, RequestOptions, given, named};
use super::heatmap;
use super::options::{pair, parse};
use super::output::Output;
use super::values::{show, text};
use crate::config::Target;
use crate::error::{Error, Kind, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// What can be done about instrumentations.
#[derive(Debug, Subcommand)]
pub enum AnalyticsCommand {
    /// Show the raw values of an instrumentation
    Values(OneArgs),
    /// Save the heatmap of an instrumentation as a PNG, or show it as text
    Heatmap(HeatmapArgs),
    /// Show what is in one bucket of a heatmap
    Details(DetailsArgs),
}

/// An instrumentation and nothing else.
#[derive(Debug, Args)]
pub struct OneArgs {
    /// The instrumentation, by its number
    #[arg(value_name = "REMOTE:ID", value_parser = parse::<Target>)]
    instrumentation: Target,
    #[command(flatten)]
    request: RequestOptions,
}

/// What `analytics heatmap` takes.
#[derive(Debug, Args)]
pub struct HeatmapArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Where the PNG goes; shown as text without it
    file: Option<PathBuf>,
    /// Replace a file that is in the way
    #[arg(long)]
    force: bool,
    /// A parameter of the heatmap, such as height, width, ymax, nbuckets; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    keys: Vec<(String, String)>,
}

/// What `analytics details` takes.
#[derive(Debug, Args)]
pub struct DetailsArgs {
    #[command(flatten)]
    one: OneArgs,
    /// The bucket's place from the left, in pixels
    x: u32,
    /// The bucket's place from the top, in pixels
    y: u32,
    /// A parameter of the heatmap that it is about, such as height or width; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    keys: Vec<(String, String)>,
}

/// Runs the command.
pub async fn run(command: AnalyticsCommand, global: &Global, output: &Output) -> Result<()> {
    match command {
        AnalyticsCommand::Values(args) => {
            let (account, number) = open(&args, global, output).await?;
            let values = account.value("instrumentations.value_raw", &given([&*number], [])).await?;
            show("values", &values, output)
        }
        AnalyticsCommand::Details(args) => {
            let (account, number) = open(&args.one, global, output).await?;
            let mut keys = vec![("x".to_owned(), args.x.to_string()), ("y".to_owned(), args.y.to_string())];
            super::account::add_keys(&mut keys, args.keys)?;
            let details = account.value("instrumentations.heatmap_details", &given([&*number], keys)).await?;
            show("details", &details, output)
        }
        AnalyticsCommand::Heatmap(args) => draw(args, global, output).await,
    }
}

async fn open(args: &OneArgs, global: &Global, output: &Output) -> Result<(Account, String)> {
    let (remote, number) = named(&args.instrumentation, "instrumentation")?;
    let account = Account::open(Some(remote), &args.request, global, output).await?;
    account.has("instrumentations.list", "measure anything", "Joyent's CloudAPI alone has analytics")?;
    Ok((account, number.to_owned()))
}

async fn draw(args: HeatmapArgs, global: &Global, output: &Output) -> Result<()> {
    if let Some(file) = args.file.as_deref().filter(|file| file.exists() && !args.force) {
        return Err(
            Error::new(Kind::Exists, format!("{} is in the way", file.display())).hint("--force replaces it")
        );
    }
    let (account, number) = open(&args.one, global, output).await?;
    let call = "instrumentations.heatmap_image";
    let heatmap = account.value(call, &given([&*number], args.keys)).await?;
    let png = BASE64
        .decode(text(&heatmap, "image"))
        .map_err(|e| Error::new(Kind::Protocol, format!("{call}: the image is not in base 64")).source(e))?;
    // Looked at in any case: what is no image is not saved as one.
    let picture = heatmap::Picture::decode(&png)?;
    if let Some(file) = &args.file {
        save(file, &png)?;
        let (width, height) = picture.size();
        output.note(&format!("{} has the heatmap, {width} by {height} pixels", file.display()));
        output.event(
            "summary",
            serde_json::json!({ "action": "heatmap", "file": file, "width": width, "height": height }),
        );
        return Ok(());
    }
    if output.is_json() {
        return output.value("heatmap", &heatmap);
    }
    let columns =
        rustix::termios::tcgetwinsize(std::io::stdout()).map_or(80, |size| usize::from(size.ws_col));
    picture.lines(columns.clamp(20, 200), output.colours()).iter().try_for_each(|line| output.painted(line))
}

fn save(file: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(file, bytes).map_err(|e| Error::io(format!("writing {}", file.display()), e))
}
