//! Server groups (CloudSigma API 1.0, 10).

use super::{required, servers_named, uuids};
use crate::emulator::Shared;
use crate::emulator::account::{Account, Group, Server};
use crate::emulator::answer::{Answer, Refusal, Reply};
use crate::emulator::elastic::{Command, servers};
use crate::emulator::properties::Properties;

/// `GET servergroups/list`
pub(super) fn list(command: &Command) -> Answer {
    Ok(uuids(command.account()?.groups.iter().map(|group| &*group.uuid)))
}

/// `GET servergroups/UUID/info`: for the same request, 10.5 prints `uuid` and `name`, and 10.6 `name` and
/// `description`. The answer has all three.
pub(super) fn info(command: &Command) -> Answer {
    command.change(|account, _| Ok(Reply::Object(describe(account.group(command.argument(0))?))))
}

/// `POST servergroups/create`
pub(super) fn create(command: &Command) -> Answer {
    let group = Group {
        uuid: uuid::Uuid::new_v4().to_string(),
        name: required(&command.sent, "name")?.to_owned(),
        description: command.sent.get("description").map(str::to_owned),
        servers: Vec::new(),
    };
    command.change(|account, _| {
        account.groups.push(group.clone());
        Ok(Reply::Object(describe(&group)))
    })
}

/// `POST servergroups/UUID/set` answers with `name` and `description` (10.2).
pub(super) fn set(command: &Command) -> Answer {
    let name = required(&command.sent, "name")?;
    command.change(|account, _| {
        let group = account.group(command.argument(0))?;
        name.clone_into(&mut group.name);
        if let Some(description) = command.sent.get("description") {
            group.description = Some(description.to_owned());
        }
        let description = group.description.clone().unwrap_or_default();
        Ok(Reply::Object(Properties::new().with("name", name).with("description", description)))
    })
}

/// `POST servergroups/UUID/destroy`: 10.3 says "HTTP Code 200 (or may be will be better 204)". It is 200
/// here, with the group that was destroyed.
pub(super) fn destroy(command: &Command) -> Answer {
    command.change(|account, _| {
        let group = account.group(command.argument(0))?.clone();
        account.groups.retain(|other| other.uuid != group.uuid);
        Ok(Reply::Object(describe(&group)))
    })
}

/// `POST servergroups/UUID/add` answers with the members.
pub(super) fn add(command: &Command) -> Answer {
    members(command, |members, named| {
        let new: Vec<String> = named.iter().filter(|uuid| !members.contains(uuid)).cloned().collect();
        members.extend(new);
    })
}

/// `POST servergroups/UUID/remove` answers with the remaining members.
pub(super) fn remove(command: &Command) -> Answer {
    members(command, |members, named| members.retain(|uuid| !named.contains(uuid)))
}

/// `GET servergroups/UUID/start` answers with the members.
pub(super) fn start(command: &Command) -> Answer {
    each(command, servers::run)
}

/// `GET servergroups/UUID/stop` answers with the members.
pub(super) fn stop(command: &Command) -> Answer {
    each(command, |_, account, uuid, _| account.server(uuid).map(Server::stop))
}

fn members(command: &Command, change: impl FnOnce(&mut Vec<String>, &[String])) -> Answer {
    command.change(|account, _| {
        account.group(command.argument(0))?;
        let named = servers_named(account, &command.sent)?;
        let group = account.group(command.argument(0))?;
        change(&mut group.servers, &named);
        Ok(uuids(group.servers.clone()))
    })
}

fn each(command: &Command, work: impl Fn(&Shared, &mut Account, &str, u64) -> Result<(), Refusal>) -> Answer {
    command.change(|account, now| {
        let members = account.group(command.argument(0))?.servers.clone();
        members.iter().try_for_each(|uuid| work(&command.shared, account, uuid, now))?;
        Ok(uuids(members))
    })
}

fn describe(group: &Group) -> Properties {
    let mut info = Properties::new().with("uuid", &*group.uuid).with("name", &*group.name);
    info.set_or_remove("description", group.description.as_deref().unwrap_or_default());
    info
}
