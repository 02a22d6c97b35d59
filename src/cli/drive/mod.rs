//! `diskferry drive`: everyday calls about drives, for every provider that has drives.

mod image;
mod standard;

use super::account::{Account, given};
use super::noun::{
    Act,
    Cell::{Bytes, Id, Own, Text},
    Item, List, Noun, On, Pairs, Run, described, option,
};
use super::output::bytes;
use super::server;
use crate::disk::elastic::drives::DriveInfo;
use crate::error::{Error, Kind, Result};
use crate::escape;
use crate::wire::elastic::parse_size;
use futures_util::future::LocalBoxFuture;

pub(super) static DRIVE: Noun = Noun {
    by_name: Some("drives.info_all"),
    ..Noun::new(
        "drive",
        "drives",
        "List, create, change, image and destroy drives",
        &[
            Act::own(
                "list",
                "drives.info_all",
                "List the drives: name, size, status, UUID",
                standard::arguments,
                standard::list,
            )
            .named("list", Some("ls"))
            .on(On::Account),
            Act::info("drives.info", "Show everything that is known of a drive"),
            Act::make("create", "drives.create", "Make a drive; prints its UUID")
                .options(&[option("name", "NAME", SAME_NAME), option("size", "SIZE", SAME_SIZE)])
                .pairs(Pairs::Optional("The drive's keys: name and size, and others such as tags")),
            Act::change("set", "drives.set", "changed", "Change a drive's keys: name, size, tags and so on")
                .pairs(Pairs::Required("What to change; an empty value takes a key away"))
                .before(Some(resizes)),
            Act::own(
                "image",
                "drives.image",
                "Overwrite a drive with another one, or with a standard drive",
                image::arguments,
                image::run,
            )
            .instead("`diskferry drive clone` makes a copy of a drive")
            .after(
                "Imaging goes on at the provider after the command has ended, unless --wait is given. A standard drive \
                 that is a gzipped system image is expanded.",
            ),
            Act::make(
                "clone",
                "drives.clone",
                "Make a drive with the contents of another (CloudSigma); prints its UUID",
            )
            .on(On::Object)
            .options(&[option("name", "NAME", SAME_NAME), option("size", "SIZE", SAME_SIZE)])
            .pairs(Pairs::Optional("The new drive's keys: name, and others; the size is the original's without one"))
            .instead(
                "make a drive of the same size with `diskferry drive create`, then fill it with `diskferry drive image`",
            ),
            Act::destroy(
                "destroy",
                "drives.destroy",
                "destroyed",
                "Destroy a drive, with everything on it, at once",
                "Everything on it is lost.",
            )
            .before(Some(is_unused)),
        ],
    )
    .known("REMOTE:DRIVE", "The drive, by its UUID or its name", "drive")
};

const SAME_NAME: &str = "The same as name=NAME";
const SAME_SIZE: &str = "The same as size=SIZE";

const DRIVES: List = List {
    columns: &[
        ("NAME", Text("name")),
        ("SIZE", Bytes("size")),
        ("STATUS", Own(status)),
        ("UUID", Id("drive")),
    ],
    sort: &[],
    paged: false,
};

/// Returns the drive's status. Imaging takes precedence over the server's own status, and a drive in use is
/// marked as such.
fn status(drive: &Item) -> String {
    let status = drive.text("status");
    let Item::Flat(properties) = drive else { return status };
    let words = match DriveInfo::new(properties.clone()).ok() {
        Some(info) => match (info.imaging(), info.claimed()) {
            (Some(imaging), _) => format!("imaging {imaging}"),
            (None, Some(_)) => format!("{status}, in use"),
            (None, None) => status,
        },
        None => status,
    };
    words.trim_start_matches(", ").to_owned()
}

fn is_unused(run: &Run) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async move { check_unused(&run.info().await?, None, &run.account).await })
}

/// Runs before a change of the size: refuses to resize a drive in use, and asks before data is cut off.
fn resizes(run: &Run) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let Some(size) = run.given.keys.get("size") else { return Ok(()) };
        let drive = run.info().await?;
        check_unused(&drive, None, &run.account).await?;
        match (parse_size(size), parse_size(&drive.text("size"))) {
            (Some(new), Some(old)) if new < old => run.ask(&format!(
                "cut {} to {}? What is behind that is lost.",
                described(&run.label, &drive),
                bytes(new)
            )),
            _ => Ok(()),
        }
    })
}

/// Fails if a running server other than `own` has exclusive use of the drive, and names that server. If the
/// provider does not say who uses a drive, the call itself has to fail.
pub(super) async fn check_unused(drive: &Item, own: Option<&str>, account: &Account) -> Result<()> {
    if drive.text("claim:type") == "shared" {
        return Ok(());
    }
    for server in
        drive.words("claimed").iter().map(|claim| claimant(claim)).filter(|server| Some(*server) != own)
    {
        let Ok(info) = account.item("servers.info", &given([server], [])).await else { continue };
        if info.text("status") != "active" {
            continue;
        }
        let label = described(&format!("drive {}", drive.text("drive")), drive);
        let text = format!("{label} is in use by {}", described(&format!("server {server}"), &info));
        return Err(Error::new(Kind::Refused, text).hint(format!(
            "stop the server first: `diskferry server stop {}:{}`",
            account.remote(),
            escape::line(server)
        )));
    }
    Ok(())
}

/// Returns the server in one word of `claimed`, which is the server's UUID or `USER:guest:SERVER:DEVICE`
/// (CloudSigma API 1.0, 7.7).
fn claimant(claim: &str) -> &str {
    claim.split_once(":guest:").map_or(claim, |(_, server)| server.split(':').next().unwrap_or(server))
}

/// Runs before a server starts: fails if another server is using one of its drives.
pub(super) fn drives_are_free(run: &Run) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async move {
        let server = run.info().await?;
        for drive in server::disks(&server) {
            // A drive that cannot be described, such as a standard drive, is left to the server to judge.
            if let Ok(drive) = run.account.item("drives.info", &given([drive.as_str()], [])).await {
                check_unused(&drive, Some(&run.id), &run.account).await?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::elastic::Properties;

    #[test]
    fn a_claim_names_a_server_in_two_forms() {
        assert_eq!(claimant("2d1f8b38"), "2d1f8b38");
        assert_eq!(claimant("8f3a:guest:2d1f8b38:ide:0:0"), "2d1f8b38");
        assert_eq!(claimant("8f3a:guest:"), "");
    }

    #[test]
    fn what_keeps_a_drive_busy_goes_before_its_status() {
        let drive = |pairs: &[(&str, &str)]| {
            let own = Properties::new().with("drive", "d").with("size", "1");
            status(&Item::Flat(pairs.iter().fold(own, |all, (key, value)| all.with(*key, *value))))
        };
        assert_eq!(drive(&[("status", "active")]), "active");
        assert_eq!(drive(&[("status", "active"), ("claimed", "s")]), "active, in use");
        assert_eq!(drive(&[("claimed", "s")]), "in use");
        assert_eq!(drive(&[("status", "active"), ("imaging", "40%")]), "imaging 40%");
    }
}
