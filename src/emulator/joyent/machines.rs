//! Machines: list, count, get, create, the four actions, delete (Joyent CloudAPI 6.5, "Machines").

use super::Site;
use super::account::Account;
use super::call::Call;
use super::failure::{Code, Failure};
use super::labels::{check_name, metadata_value, reserved};
use super::machine::{Action, Machine, State};
use super::offers::{Dataset, Kind, Package};
use super::reply::{Answer, Reply};
use crate::emulator::clock::{SECOND, now};
use crate::emulator::form::plain;
use axum::http::HeaderName;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The most machines in one list, which is also the default.
const MOST: u64 = 1000;

/// `GET machines`, and `HEAD`, which counts them. `x-resource-count` counts all machines that match, of which
/// the list may be a part.
pub(super) fn list(site: &Site, call: &Call) -> Answer {
    let filter = Filter::read(call)?;
    let limit = call.input.number("limit")?.unwrap_or(MOST).min(MOST);
    if limit == 0 {
        return Err(Failure::argument("a limit of 0 would never end"));
    }
    let offset = call.input.number("offset")?.unwrap_or(0);
    let credentials = call.input.flag("credentials")?;
    let with_tags = call.input.text("tags").as_deref() == Some("*");
    let account = site.accounts.read()?;
    let matching: Vec<&Machine> = account.machines.iter().filter(|machine| filter.takes(machine)).collect();
    let (offset, length) = (bounded(offset), bounded(limit));
    let page = matching.iter().skip(offset).take(length).map(|machine| {
        let mut shown = machine.show(credentials);
        if with_tags {
            shown["tags"] = json!(machine.tags);
        }
        shown
    });
    let named = HeaderName::from_static;
    let reply =
        Reply::json(&page.collect::<Value>())?.with(named("x-resource-count"), matching.len().to_string());
    Ok(reply.with(named("x-query-limit"), limit.to_string()))
}

/// `GET machines/UUID`
pub(super) fn get(site: &Site, call: &Call) -> Answer {
    let credentials = call.input.flag("credentials")?;
    let account = site.accounts.read()?;
    Reply::json(&account.machine(call.argument(0))?.show(credentials))
}

/// `POST machines`
pub(super) fn create(site: &Site, call: &Call) -> Answer {
    let dataset = match call.input.text("dataset") {
        Some(text) => Dataset::find(&text).map_err(|missing| Failure::argument(missing.message))?,
        None => default(Dataset::all().iter().find(|dataset| dataset.default), "dataset")?,
    };
    let package = match call.input.text("package") {
        Some(name) => package(&name)?,
        None => default(Package::all().iter().find(|package| package.default), "package")?,
    };
    let name = call.input.text("name");
    name.iter().try_for_each(|name| check_name("name", name))?;
    let mut metadata = serde_json::Map::new();
    for (key, value) in call.input.under("metadata.") {
        reserved(key)?;
        metadata.insert(key.to_owned(), metadata_value(value));
    }
    let tags: BTreeMap<String, String> =
        call.input.under("tag.").map(|(name, value)| (name.to_owned(), plain(value))).collect();
    site.accounts.change(|account, now| {
        if dataset.kind == Kind::Virtual && dataset.is_unix() && account.keys.is_empty() {
            let message = "a virtual machine needs a key: the account has none to write into it";
            return Err(Failure::new(Code::KEY_REQUIRED, message));
        }
        if name.as_ref().is_some_and(|name| account.alive().any(|machine| machine.name == *name)) {
            return Err(Failure::argument("there is a machine of this name already"));
        }
        if site.room.is_some_and(|room| account.alive().count() >= room) {
            let message = "there is not enough capacity in this datacenter";
            return Err(Failure::new(Code::NO_CAPACITY, message));
        }
        let name = name.unwrap_or_else(|| uuid::Uuid::new_v4().simple().to_string()[..8].to_owned());
        let mut machine = Machine::new(name, dataset, package, address(account), now);
        (machine.metadata, machine.tags) = (metadata, tags);
        let reply = Reply::created(&machine.show(false));
        account.machines.push(machine);
        reply
    })
}

/// `POST machines/UUID` with an action.
pub(super) fn act(site: &Site, call: &Call) -> Answer {
    let action = match &*call.input.required("action")? {
        "stop" => Action::Stop,
        "start" => Action::Start,
        "reboot" => Action::Reboot,
        "resize" => Action::Resize(package(&call.input.required("package")?)?),
        other => return Err(Failure::argument(format!("there is no action {other}"))),
    };
    site.accounts.change(|account, now| {
        account.machine_mut(call.argument(0))?.act(&action, now)?;
        Ok(Reply::accepted())
    })
}

/// `DELETE machines/UUID`
pub(super) fn delete(site: &Site, call: &Call) -> Answer {
    site.accounts.change(|account, now| {
        account.machine_mut(call.argument(0))?.delete(now)?;
        Ok(Reply::gone())
    })
}

/// The criteria of a list of machines.
struct Filter {
    kind: Option<Kind>,
    name: Option<String>,
    dataset: Option<String>,
    state: Option<String>,
    memory: Option<u64>,
    /// Also selects machines that were deleted since this time.
    since: Option<u64>,
    tags: Vec<(String, String)>,
}

impl Filter {
    fn read(call: &Call) -> Result<Self, Failure> {
        let input = &call.input;
        let kind = |name: String| {
            let kind = serde_json::from_value::<Kind>(Value::String(name.clone()));
            kind.map_err(|_| Failure::argument(format!("there is no type {name}")))
        };
        // A dataset may be given by any of its names; machines have the URN.
        let urn = |text: String| Dataset::find(&text).map_or(text, Dataset::urn);
        let tombstone = input.number("tombstone")?.filter(|minutes| *minutes > 0);
        Ok(Filter {
            kind: input.text("type").map(kind).transpose()?,
            name: input.text("name"),
            dataset: input.text("dataset").map(urn),
            state: input.text("state"),
            memory: input.number("memory")?,
            since: tombstone.map(|minutes| now().saturating_sub(minutes.saturating_mul(60 * SECOND))),
            tags: input.under("tag.").map(|(name, value)| (name.to_owned(), plain(value))).collect(),
        })
    }

    fn takes(&self, machine: &Machine) -> bool {
        let there =
            machine.state != State::Deleted || self.since.is_some_and(|since| machine.updated >= since);
        there
            && self.kind.is_none_or(|kind| machine.kind == kind)
            && self.name.as_ref().is_none_or(|name| machine.name == *name)
            && self.dataset.as_ref().is_none_or(|urn| machine.dataset == *urn)
            && self.state.as_ref().is_none_or(|state| machine.shown_state().name() == *state)
            && self.memory.is_none_or(|memory| machine.memory == memory)
            && self.tags.iter().all(|(name, value)| machine.tags.get(name) == Some(value))
    }
}

fn default<T>(found: Option<T>, parameter: &str) -> Result<T, Failure> {
    found.ok_or_else(|| Failure::parameter(parameter))
}

fn package(name: &str) -> Result<&'static Package, Failure> {
    Package::find(name).map_err(|missing| Failure::argument(missing.message))
}

/// Returns the next address of the samples' network.
fn address(account: &mut Account) -> String {
    account.addresses = account.addresses.wrapping_add(1);
    // 10.88.0.0/16 without its first and last address.
    let host = (account.addresses - 1) % 0xfffe + 1;
    Ipv4Addr::from(0x0a58_0000 | host).to_string()
}

fn bounded(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stay_in_their_network() {
        let mut account = Account::default();
        assert_eq!(address(&mut account), "10.88.0.1");
        account.addresses = 0xfffd;
        assert_eq!(address(&mut account), "10.88.255.254");
        assert_eq!(address(&mut account), "10.88.0.1");
    }
}
