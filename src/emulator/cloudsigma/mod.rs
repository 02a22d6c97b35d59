//! `CloudSigma` 1.0: text only, with further names for the same calls and calls of its own.
//!
//! The manual prints GET for calls that change something and POST in the examples of the same calls, and real
//! clients use both, so every call accepts either (CloudSigma API 1.0, 8.4). Its error table lacks 402 and
//! 507, which become 400; a 400 has lines `errors:KEY`. The emulator also has calls that the manual lacks but
//! clients use: drives.set, servers.reset, the info of a resource, destroying a VLAN, and the info of the
//! standard drives.

mod drives;
mod groups;
mod money;
mod profile;
mod servers;
mod subscriptions;

use super::account::Account;
use super::answer::{Refusal, Reply, Wrong};
use super::call::{Calls, Reach::Either};
use super::elastic::{self, Handler, commands, transfers};
use super::properties::Properties;

/// Returns the routes of `CloudSigma`.
pub(super) fn calls() -> Calls {
    let rows: &[(&str, Handler)] = &[
        ("/profile/info", profile::info),
        ("/profile/set", profile::set),
        ("/drives/list", elastic::drives::list),
        ("/drives/info", elastic::drives::info_all),
        ("/drives/create", elastic::drives::create),
        ("/drives/standard/list", drives::standard_list),
        ("/drives/standard/info", drives::standard_info),
        ("/drives/standard/cd/list", drives::standard_list),
        ("/drives/standard/img/list", drives::standard_list),
        ("/drives/{drive}/info", elastic::drives::info),
        ("/drives/{drive}/set", elastic::drives::set),
        ("/drives/{drive}/clone", drives::clone),
        ("/drives/{drive}/destroy", elastic::drives::destroy),
        ("/resources/list", elastic::resources::list),
        ("/resources/{type}/list", elastic::resources::list),
        ("/resources/{type}/info", elastic::resources::info_all),
        ("/resources/{type}/create", elastic::resources::create),
        ("/resources/{type}/{resource}/info", elastic::resources::info),
        ("/resources/{type}/{resource}/set", elastic::resources::set),
        ("/resources/{type}/{resource}/destroy", elastic::resources::destroy),
        ("/currencies/list", money::currencies),
        ("/usage/info", money::usage),
        ("/pricing/info", money::pricing),
        ("/transactions/list", money::transactions),
        ("/balance/info", money::balance),
        ("/subscriptions/list", subscriptions::list),
        ("/subscriptions/resources/info", subscriptions::resources_info),
        ("/subscriptions/net/info", subscriptions::net_info),
        ("/subscriptions/resources/create", subscriptions::create),
        ("/subscriptions/network/{type}/create", subscriptions::network_create),
        ("/subscriptions/network/{type}/calculate", subscriptions::network_calculate),
        ("/subscriptions/software/create", subscriptions::software_create),
        ("/subscriptions/software/calculate", subscriptions::software_calculate),
        ("/subscriptions/{subscription}/set", subscriptions::extend),
        ("/subscriptions/{subscription}/set/calculate", subscriptions::extend_calculate),
    ];
    let servers: &[(&str, Handler)] = &[
        ("/list", elastic::servers::list),
        ("/info", elastic::servers::info_all),
        ("/create", elastic::servers::create),
        ("/start", servers::start_several),
        ("/stop", servers::stop_several),
        ("/destroy", servers::destroy_several),
        ("/{server}/info", elastic::servers::info),
        ("/{server}/set", elastic::servers::set),
        ("/{server}/clone", servers::clone),
        ("/{server}/start", elastic::servers::start),
        ("/{server}/stop", elastic::servers::stop),
        ("/{server}/shutdown", elastic::servers::shutdown),
        ("/{server}/reset", elastic::servers::reset),
        ("/{server}/destroy", elastic::servers::destroy),
    ];
    let groups: &[(&str, Handler)] = &[
        ("/list", groups::list),
        ("/create", groups::create),
        ("/{group}/info", groups::info),
        ("/{group}/set", groups::set),
        ("/{group}/destroy", groups::destroy),
        ("/{group}/add", groups::add),
        ("/{group}/remove", groups::remove),
        ("/{group}/start", groups::start),
        ("/{group}/stop", groups::stop),
    ];
    // `guests` is the manual's alias of `servers`; the last of each are misprints in it (8.5, 10.2).
    let stems = [
        ("", rows),
        ("/servers", servers),
        ("/guests", servers),
        ("/guest", servers),
        ("/servergroups", groups),
        ("/servergroupss", groups),
    ];
    let calls = stems.into_iter().fold(Calls::new(), |calls, (stem, rows)| {
        rows.iter().fold(calls, |calls, &(path, handler)| {
            commands(calls, &[(Either, &format!("{stem}{path}"), handler)])
        })
    });
    transfers(calls, Either, Either)
}

/// Returns the value of a required key, or fails with 400 and `errors:KEY`.
fn required<'a>(sent: &'a Properties, key: &str) -> Result<&'a str, Refusal> {
    let value = sent.get(key).filter(|value| !value.is_empty());
    value.ok_or_else(|| Refusal::wrong(sent, &[Wrong::required(key)]))
}

/// Returns the servers that the keys `server:NUMBER` name, or fails with 400 and `errors:server:NUMBER` for
/// those that do not exist.
fn servers_named(account: &Account, sent: &Properties) -> Result<Vec<String>, Refusal> {
    let (mut servers, mut wrong) = (Vec::new(), Vec::new());
    for (key, uuid) in sent.iter().filter(|(key, _)| key.starts_with("server:")) {
        match account.find_server(uuid) {
            Ok(server) => servers.push(server.uuid.clone()),
            Err(_) => wrong.push(Wrong::new(key, format!("Server {uuid} does not exist."))),
        }
    }
    if servers.is_empty() && wrong.is_empty() {
        wrong.push(Wrong::required("server:0"));
    }
    if wrong.is_empty() { Ok(servers) } else { Err(Refusal::wrong(sent, &wrong)) }
}

/// Returns UUIDs as rows.
fn uuids(uuids: impl IntoIterator<Item = impl Into<String>>) -> Reply {
    Reply::Rows(uuids.into_iter().map(|uuid| Properties::new().with("uuid", uuid)).collect())
}
