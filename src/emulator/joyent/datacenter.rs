//! What the datacenter is and offers: datacenters, datasets, packages (Joyent CloudAPI 6.5, the sections of these names).

#![expect(clippy::unnecessary_wraps, reason = "these are rows' handlers, most of which cannot fail")]

use super::Site;
use super::call::Call;
use super::failure::Failure;
use super::offers::{DATASETS, Dataset, PACKAGES, Package};
use super::reply::{Answer, Reply};
use serde_json::json;

/// The name of the only datacenter.
const NAME: &str = "emulated";

/// `GET datacenters`
pub(super) fn list(site: &Site, call: &Call) -> Answer {
    Ok(Reply::json(&json!({NAME: url(site, call)})))
}

/// `GET datacenters/NAME`: a redirect, which the client may leave alone.
pub(super) fn get(site: &Site, call: &Call) -> Answer {
    let name = call.argument(0);
    if name != NAME {
        return Err(Failure::missing("The datacenter", name));
    }
    let url = url(site, call);
    let message = format!("{name} is at {url}");
    Ok(Reply::moved(url, &message))
}

/// `GET datasets`
pub(super) fn datasets(_site: &Site, _call: &Call) -> Answer {
    Ok(Reply::json(&DATASETS.iter().map(Dataset::show).collect()))
}

/// `GET datasets/ID`
pub(super) fn dataset(_site: &Site, call: &Call) -> Answer {
    let id = call.argument(0);
    let found = DATASETS.iter().find(|dataset| dataset.is(id));
    Ok(Reply::json(&found.ok_or_else(|| Failure::missing("The dataset", id))?.show()))
}

/// `GET packages`
pub(super) fn packages(_site: &Site, _call: &Call) -> Answer {
    Ok(Reply::json(&PACKAGES.iter().map(Package::show).collect()))
}

/// `GET packages/PACKAGE`
pub(super) fn package(_site: &Site, call: &Call) -> Answer {
    let name = call.argument(0);
    let found = PACKAGES.iter().find(|package| package.name == name);
    Ok(Reply::json(&found.ok_or_else(|| Failure::missing("The package", name))?.show()))
}

/// Where the client found the datacenter.
fn url(site: &Site, call: &Call) -> String {
    let scheme = if site.secure { "https" } else { "http" };
    format!("{scheme}://{}", call.host())
}
