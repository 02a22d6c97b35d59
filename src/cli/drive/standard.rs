//! The drives that a provider offers to everyone. Crosspeer's manual lists them, so they are data; CloudSigma has calls
//! that list them; Open Hosting's manual names none.

use super::ListArgs;
use crate::cli::Global;
use crate::cli::account::{Account, given, only_remote};
use crate::cli::output::{Output, bytes};
use crate::cli::table::Table;
use crate::error::{Error, Kind, Result};
use crate::provider::Provider;
use crate::provider::standard::{self, Contents};
use crate::wire::elastic::{Properties, parse_size};

/// Runs `drive list --standard`.
pub(super) async fn list(args: &ListArgs, global: &Global, output: &Output) -> Result<()> {
    let remote = args.remote.as_ref().map(only_remote).transpose()?;
    let account = Account::open(remote, &args.request, global, output).await?;
    let drives = match account.provider() {
        Provider::Crosspeer => shipped(),
        Provider::CloudSigma => asked(&account).await?,
        provider => {
            return Err(Error::usage(format!("{provider} lists no standard drives"))
                .hint("crosspeer and cloudsigma do; ask the provider for the UUIDs of its own"));
        }
    };
    if output.is_json() {
        return drives.iter().try_for_each(|drive| output.object("standard_drive", drive));
    }
    let mut table = Table::new(["NAME", "SIZE", "KIND", "UUID"]).right(1);
    for drive in &drives {
        let text = |key| drive.get(key).unwrap_or_default();
        let size = parse_size(text("size")).map(bytes).unwrap_or_default();
        table.row([text("name").to_owned(), size, kind(text("type")).to_owned(), text("drive").to_owned()]);
    }
    table.print("the provider lists no standard drives", output)
}

/// What people call the types of CloudSigma.
fn kind(of: &str) -> &str {
    match of {
        "disk" => "image",
        "gzip" => "image, gzipped",
        "cdrom" => "CD",
        other => other,
    }
}

fn shipped() -> Vec<Properties> {
    let describe = |drive: &standard::StandardDrive| {
        let new = Properties::new().with("drive", drive.uuid).with("name", drive.name);
        match drive.contents {
            Contents::GzippedImage(size) => new.with("type", "gzip").with("size", size.to_string()),
            Contents::Cd => new.with("type", "cdrom"),
        }
    };
    standard::standard_drives(Provider::Crosspeer).iter().map(describe).collect()
}

/// All at once where the server knows how, which no manual prints; else the two lists that are printed (CloudSigma API
/// 1.0, 7.8 and 7.9), which have UUIDs alone.
async fn asked(account: &Account) -> Result<Vec<Properties>> {
    match account.objects("drives.standard_info", &given([], [])).await {
        Ok(drives) => return Ok(drives),
        Err(error) if matches!(error.kind(), Kind::NotFound | Kind::Refused) => {}
        Err(error) => return Err(error),
    }
    let mut drives: Vec<Properties> = Vec::new();
    for (id, kind) in [("drives.standard_img_list", "disk"), ("drives.standard_cd_list", "cdrom")] {
        for drive in account.objects(id, &given([], [])).await? {
            // The manual's own samples have the same drives in both lists.
            if !drives.iter().any(|known| known.get("drive") == drive.get("drive")) {
                drives.push(drive.with("type", kind));
            }
        }
    }
    Ok(drives)
}
