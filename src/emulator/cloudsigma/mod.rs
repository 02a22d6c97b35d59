//! CloudSigma 1.0: text only, with more names for the same calls and calls of its own.
//!
//! The manual prints GET for calls that change something and POST in the examples of the same calls, and real clients
//! use both; so every call is reached by either (CloudSigma API 1.0, "Server destroy"). Its error table lacks 402 and
//! 507, which become 400; wrong keys are told by lines `errors:KEY` in the object that was sent. Calls that the manual
//! lacks but clients use are here too: drives.set, servers.reset, the info of a resource and destroying a VLAN, and
//! the info of the standard drives.

mod drives;
mod groups;
mod money;
mod profile;
mod servers;
mod subscriptions;

use super::Shared;
use super::account::Account;
use super::answer::{Refusal, Wrong};
use super::call::{Calls, Reach::Either};
use super::drives::{Holds, Offer};
use super::elastic;
use crate::wire::elastic::Properties;

/// The rows of CloudSigma.
pub(super) fn calls() -> Calls {
    let calls = Calls::new()
        .row(Either, "/profile/info", profile::info)
        .row(Either, "/profile/set", profile::set)
        .row(Either, "/drives/list", elastic::drives::list)
        .row(Either, "/drives/info", elastic::drives::info_all)
        .row(Either, "/drives/create", elastic::drives::create)
        .row(Either, "/drives/standard/list", drives::standard_list)
        .row(Either, "/drives/standard/info", drives::standard_info)
        .row(Either, "/drives/standard/cd/list", drives::standard_cd_list)
        .row(Either, "/drives/standard/img/list", drives::standard_image_list)
        .row(Either, "/drives/{drive}/info", elastic::drives::info)
        .row(Either, "/drives/{drive}/set", elastic::drives::set)
        .row(Either, "/drives/{drive}/clone", drives::clone)
        .row(Either, "/drives/{drive}/destroy", elastic::drives::destroy)
        .row(Either, "/drives/{drive}/read", elastic::transfer::read)
        .row(Either, "/drives/{drive}/read/{offset}", elastic::transfer::read)
        .row(Either, "/drives/{drive}/read/{offset}/{size}", elastic::transfer::read)
        .row(Either, "/drives/{drive}/write", elastic::transfer::write)
        .row(Either, "/drives/{drive}/write/{offset}", elastic::transfer::write)
        .row(Either, "/resources/list", elastic::resources::list)
        .row(Either, "/resources/{type}/list", elastic::resources::list)
        .row(Either, "/resources/{type}/info", elastic::resources::info_all)
        .row(Either, "/resources/{type}/create", elastic::resources::create)
        .row(Either, "/resources/{type}/{resource}/info", elastic::resources::info)
        .row(Either, "/resources/{type}/{resource}/set", elastic::resources::set)
        .row(Either, "/resources/{type}/{resource}/destroy", elastic::resources::destroy)
        .row(Either, "/currencies/list", money::currencies)
        .row(Either, "/usage/info", money::usage)
        .row(Either, "/pricing/info", money::pricing)
        .row(Either, "/transactions/list", money::transactions)
        .row(Either, "/balance/info", money::balance)
        .row(Either, "/subscriptions/list", subscriptions::list)
        .row(Either, "/subscriptions/resources/info", subscriptions::resources_info)
        .row(Either, "/subscriptions/net/info", subscriptions::net_info)
        .row(Either, "/subscriptions/resources/create", subscriptions::create)
        .row(Either, "/subscriptions/network/{type}/create", subscriptions::network_create)
        .row(Either, "/subscriptions/network/{type}/calculate", subscriptions::network_calculate)
        .row(Either, "/subscriptions/software/create", subscriptions::software_create)
        .row(Either, "/subscriptions/software/calculate", subscriptions::software_calculate)
        .row(Either, "/subscriptions/{subscription}/set", subscriptions::extend)
        .row(Either, "/subscriptions/{subscription}/set/calculate", subscriptions::extend_calculate);
    // The second is an alias of the manual's, the third the same with a misprint ("Multiple servers destroy").
    let calls = ["servers", "guests", "guest"].into_iter().fold(calls, |calls, stem| {
        calls
            .row(Either, &format!("/{stem}/list"), elastic::servers::list)
            .row(Either, &format!("/{stem}/info"), elastic::servers::info_all)
            .row(Either, &format!("/{stem}/create"), elastic::servers::create)
            .row(Either, &format!("/{stem}/start"), servers::start_several)
            .row(Either, &format!("/{stem}/stop"), servers::stop_several)
            .row(Either, &format!("/{stem}/destroy"), servers::destroy_several)
            .row(Either, &format!("/{stem}/{{server}}/info"), elastic::servers::info)
            .row(Either, &format!("/{stem}/{{server}}/set"), elastic::servers::set)
            .row(Either, &format!("/{stem}/{{server}}/clone"), servers::clone)
            .row(Either, &format!("/{stem}/{{server}}/start"), elastic::servers::start)
            .row(Either, &format!("/{stem}/{{server}}/stop"), elastic::servers::stop)
            .row(Either, &format!("/{stem}/{{server}}/shutdown"), elastic::servers::shutdown)
            .row(Either, &format!("/{stem}/{{server}}/reset"), elastic::servers::reset)
            .row(Either, &format!("/{stem}/{{server}}/destroy"), elastic::servers::destroy)
    });
    // The second is a misprint of the manual's ("Server group rename").
    ["servergroups", "servergroupss"].into_iter().fold(calls, |calls, stem| {
        calls
            .row(Either, &format!("/{stem}/list"), groups::list)
            .row(Either, &format!("/{stem}/create"), groups::create)
            .row(Either, &format!("/{stem}/{{group}}/info"), groups::info)
            .row(Either, &format!("/{stem}/{{group}}/set"), groups::set)
            .row(Either, &format!("/{stem}/{{group}}/destroy"), groups::destroy)
            .row(Either, &format!("/{stem}/{{group}}/add"), groups::add)
            .row(Either, &format!("/{stem}/{{group}}/remove"), groups::remove)
            .row(Either, &format!("/{stem}/{{group}}/start"), groups::start)
            .row(Either, &format!("/{stem}/{{group}}/stop"), groups::stop)
    })
}

const fn offer(uuid: &'static str, name: &'static str, holds: Holds) -> Offer {
    Offer { uuid, name, holds }
}

/// The standard drives: the manual prints the same eight identifiers, without names, for "Standard CDs" and for
/// "Standard images". Here four are taken for either.
pub(super) const OFFERS: &[Offer] = &[
    offer("a49e25b3-69f4-440b-87a8-d79fa78ace53", "Standard CD 1", Holds::Cd),
    offer("5caa223b-0177-49d8-a287-39865a07e650", "Standard CD 2", Holds::Cd),
    offer("b72f7b9a-69bb-47d1-b87e-de7be0924eea", "Standard CD 3", Holds::Cd),
    offer("9b700743-2890-4d68-b109-66699ceb9491", "Standard CD 4", Holds::Cd),
    offer("267a24ea-899f-48fb-b348-aab24fb246b3", "Standard image 1", Holds::System(1 << 30)),
    offer("932ccf77-88ca-40f8-94c6-affe364a4caa", "Standard image 2", Holds::System(1 << 30)),
    offer("de2adf14-61b4-430e-9cb6-6e612ee90d88", "Standard image 3", Holds::System(1 << 30)),
    offer("c138e42c-2070-41fe-a354-7058870c79b0", "Standard image 4", Holds::System(1 << 30)),
];

/// The value of a key that has to be there; 400 with `errors:KEY` if it is not.
fn required<'a>(sent: &'a Properties, key: &str) -> Result<&'a str, Refusal> {
    sent.get(key)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Refusal::wrong(sent, &[Wrong::required(key)]))
}

/// The servers that the keys `server:NUMBER` name; 400 with `errors:server:NUMBER` for one that does not exist.
fn servers_named(account: &Account, sent: &Properties) -> Result<Vec<String>, Refusal> {
    let named = || sent.iter().filter(|(key, _)| key.starts_with("server:"));
    let unknown = named().filter(|(_, uuid)| account.find_server(uuid).is_err());
    let wrong: Vec<Wrong> =
        unknown.map(|(key, uuid)| Wrong::new(key, format!("Server {uuid} does not exist."))).collect();
    if !wrong.is_empty() {
        return Err(Refusal::wrong(sent, &wrong));
    }
    let servers: Vec<String> =
        named().filter_map(|(_, uuid)| account.find_server(uuid).ok()).map(|s| s.uuid.clone()).collect();
    if servers.is_empty() { Err(Refusal::wrong(sent, &[Wrong::required("server:0")])) } else { Ok(servers) }
}

/// UUIDs as rows.
fn rows(uuids: impl IntoIterator<Item = String>) -> Vec<Properties> {
    uuids.into_iter().map(|uuid| Properties::new().with("uuid", uuid)).collect()
}
