//! `diskferry drive list`, and the drives that a provider offers to all users.
//!
//! Crosspeer's manual lists them, so they are data. CloudSigma has calls that list them. Open Hosting's
//! manual names none.

use super::DRIVES;
use crate::cli::account::{Account, given};
use crate::cli::noun::{
    Cell::{Bytes, Id, Own, Text},
    Item, List, Run, print_list,
};
use crate::error::{Error, Kind, Result};
use crate::provider::Provider;
use crate::provider::standard::{self, Contents};
use crate::wire::elastic::Properties;
use clap::{Arg, ArgAction, Command};
use futures_util::future::LocalBoxFuture;

pub(super) fn arguments(command: Command) -> Command {
    command.arg(
        Arg::new("standard")
            .long("standard")
            .action(ArgAction::SetTrue)
            .help("The drives that the provider offers to everyone: system images and install CDs"),
    )
}

pub(super) fn list(run: &Run) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async move {
        if !run.matches.get_flag("standard") {
            return run.list(&DRIVES).await;
        }
        let drives = match run.account.provider() {
            Provider::Crosspeer => shipped(),
            Provider::CloudSigma => asked(&run.account).await?,
            provider => {
                return Err(Error::usage(format!("{provider} lists no standard drives"))
                    .hint("crosspeer and cloudsigma do; ask the provider for the UUIDs of its own"));
            }
        };
        let nothing = "the provider lists no standard drives";
        print_list("standard_drive", "drive", &STANDARD, &drives, nothing, &run.output)
    })
}

const STANDARD: List = List {
    columns: &[("NAME", Text("name")), ("SIZE", Bytes("size")), ("KIND", Own(kind)), ("UUID", Id("drive"))],
    ..DRIVES
};

/// Returns a readable name for CloudSigma's types of drives.
fn kind(drive: &Item) -> String {
    match &*drive.text("type") {
        "disk" => "image".to_owned(),
        "gzip" => "image, gzipped".to_owned(),
        "cdrom" => "CD".to_owned(),
        other => other.to_owned(),
    }
}

fn shipped() -> Vec<Item> {
    let describe = |drive: &standard::StandardDrive| {
        let new = Properties::new().with("drive", drive.uuid).with("name", drive.name);
        Item::Flat(match drive.contents {
            Contents::GzippedImage(size) => new.with("type", "gzip").with("size", size.to_string()),
            Contents::Cd => new.with("type", "cdrom"),
        })
    };
    standard::standard_drives(Provider::Crosspeer).iter().map(describe).collect()
}

/// Fetches the standard drives of CloudSigma.
///
/// An undocumented call returns all of them with their properties. Servers without it have the two documented
/// lists, which hold only UUIDs (CloudSigma API 1.0, 7.8 and 7.9).
async fn asked(account: &Account) -> Result<Vec<Item>> {
    match account.items("drives.standard_info", &given([], [])).await {
        Ok(drives) => return Ok(drives),
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Refused) => {}
        Err(error) => return Err(error),
    }
    let mut drives: Vec<Item> = Vec::new();
    for (id, kind) in [("drives.standard_img_list", "disk"), ("drives.standard_cd_list", "cdrom")] {
        for drive in account.items(id, &given([], [])).await? {
            // The samples in the manual have the same drives in both lists.
            if !drives.iter().any(|known| known.text("drive") == drive.text("drive")) {
                let typed = Properties::new().with("drive", drive.text("drive")).with("type", kind);
                drives.push(Item::Flat(typed));
            }
        }
    }
    Ok(drives)
}
