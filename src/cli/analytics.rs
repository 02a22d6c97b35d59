//! `diskferry analytics`: Joyent's instrumentations and their measurements, with heatmaps as files or as
//! text.

use super::heatmap;
use super::noun::{
    Act,
    Cell::{Id, Own, Text},
    Does, Noun, Opt, Pairs, Run, from_matches, pairs, value,
};
use super::table::terminal_width;
use crate::error::{Error, Kind, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Args;
use futures_util::future::LocalBoxFuture;
use std::path::{Path, PathBuf};

pub(super) static ANALYTICS: Noun = Noun {
    one: "instrumentation",
    ..Noun::new(
        "analytics",
        "instrumentations",
        "Show what Joyent's instrumentations measure",
        &[
            Act::list(
                "instrumentations.list",
                "List the instrumentations: what each measures, and its number",
                &[
                    ("MODULE", Text("module")),
                    ("STAT", Text("stat")),
                    ("BY", Own(|item| item.words("decomposition").join(", "))),
                    ("KIND", Text("value-arity")),
                    ("ID", Id("id")),
                ],
            ),
            Act::info("instrumentations.get", "Show everything that is known of an instrumentation"),
            Act::make(
                "create",
                "instrumentations.create",
                "Begin to measure something; prints the instrumentation's number",
            )
            .pairs(Pairs::Required("What to measure: module and stat, and others such as decomposition"))
            .after(
                "Example:\n  diskferry analytics create sdc: module=syscall stat=syscalls decomposition=latency\n\n\
                 `diskferry call sdc: analytics.describe` shows what can be measured.",
            ),
            Act::info("instrumentations.value_raw", "Show the raw values of an instrumentation")
                .named("values", None)
                .does(Does::Show(Some("values"))),
            Act::own(
                "heatmap",
                "instrumentations.heatmap_image",
                "Save the heatmap of an instrumentation as a PNG, or show it as text",
                HeatmapArgs::augment_args,
                draw,
            )
            .options(PARAMETERS),
            Act::info("instrumentations.heatmap_details", "Show what is in one bucket of a heatmap")
                .named("details", None)
                .does(Does::Show(Some("details")))
                .words(&[
                    value("X", "x", "The bucket's place from the left, in pixels"),
                    value("Y", "y", "The bucket's place from the top, in pixels"),
                ])
                .options(PARAMETERS),
            Act::destroy(
                "delete",
                "instrumentations.delete",
                "deleted",
                "Delete an instrumentation with what it has measured",
                "What it has measured is lost.",
            ),
        ],
    )
    .known("REMOTE:ID", "The instrumentation, by its number", "id")
};

const PARAMETERS: &[Opt] =
    &[pairs("set", "", "A parameter of the heatmap, such as height, width, ymax, nbuckets; may be repeated")];

#[derive(Debug, Args)]
struct HeatmapArgs {
    /// Write a PNG to this file instead of printing the heatmap as text
    file: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(long)]
    force: bool,
}

fn draw(run: &Run) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let args = from_matches::<HeatmapArgs>(&run.matches)?;
        if let Some(file) = args.file.as_deref().filter(|file| file.exists() && !args.force) {
            return Err(Error::new(Kind::Exists, format!("{} is in the way", file.display()))
                .hint("`--force` replaces it"));
        }
        let (call, output) = (run.act.call, &run.output);
        let heatmap = run.account.item(call, &run.given).await?;
        let png = BASE64
            .decode(heatmap.text("image"))
            .map_err(|e| Error::new(Kind::Protocol, format!("{call}: the image is not base64")).source(e))?;
        // Decode the image even if it is only saved, so that nothing but an image is saved as one.
        let picture = heatmap::Picture::decode(&png)?;
        if let Some(file) = &args.file {
            save(file, &png)?;
            let (width, height) = picture.size();
            output.note(&format!("saved the heatmap to {}, {width} by {height} pixels", file.display()));
            output.event(
                "summary",
                serde_json::json!({ "action": "heatmap", "file": file, "width": width, "height": height }),
            );
            return Ok(());
        }
        if output.is_json() {
            return heatmap.print("heatmap", output);
        }
        let columns = terminal_width().unwrap_or(80).clamp(20, 200);
        picture.lines(columns, output.colours()).iter().try_for_each(|line| output.painted(line))
    })
}

fn save(file: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(file, bytes).map_err(|e| Error::io(format!("writing {}", file.display()), e))
}
