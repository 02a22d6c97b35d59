//! The datacenter and its offers: datacenters, datasets, packages (Joyent CloudAPI 6.5, the sections of these
//! names).

use super::Site;
use super::call::Call;
use super::failure::Failure;
use super::offers::{Dataset, Package};
use super::reply::{Answer, Reply};
use serde_json::json;

/// The name of the only datacenter.
const NAME: &str = "emulated";

/// `GET datacenters`
pub(super) fn list(site: &Site, call: &Call) -> Answer {
    Reply::json(&json!({NAME: site.url(call)}))
}

/// `GET datacenters/NAME`: a redirect, which the client need not follow.
pub(super) fn get(site: &Site, call: &Call) -> Answer {
    let (name, url) = (call.argument(0), site.url(call));
    if name != NAME {
        return Err(Failure::missing("The datacenter", name));
    }
    let message = format!("{name} is at {url}");
    Reply::moved(url, &message)
}

/// `GET datasets`
pub(super) fn datasets(_: &Site, _: &Call) -> Answer {
    Reply::json(&Dataset::all().iter().map(Dataset::show).collect::<Vec<_>>())
}

/// `GET datasets/ID`
pub(super) fn dataset(_: &Site, call: &Call) -> Answer {
    Reply::json(&Dataset::find(call.argument(0))?.show())
}

/// `GET packages`
pub(super) fn packages(_: &Site, _: &Call) -> Answer {
    Reply::json(&Package::all())
}

/// `GET packages/PACKAGE`
pub(super) fn package(_: &Site, call: &Call) -> Answer {
    Reply::json(Package::find(call.argument(0))?)
}
