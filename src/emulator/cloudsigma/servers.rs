//! Servers: the calls that `CloudSigma` has beyond the family, which are cloning and calls for several
//! servers.

use super::drives::copy;
use super::{required, servers_named, uuids};
use crate::emulator::Shared;
use crate::emulator::account::{Account, Server, is_device};
use crate::emulator::answer::{Answer, Refusal, Reply};
use crate::emulator::drives::Source;
use crate::emulator::elastic::{Command, drives::Wanted, servers};
use crate::emulator::properties::Properties;
use std::net::Ipv4Addr;

/// `POST servers/UUID/clone`: the disks are cloned with the server, and CDs are shared. The clone is active
/// if the original is, as in the manual's example; its disks may still be filling then.
pub(super) fn clone(command: &Command) -> Answer {
    let name = required(&command.sent, "name")?;
    let original = command.account()?.find_server(command.argument(0))?.clone();
    let mut keys = original.keys.clone().with("name", name);
    for (key, value) in original.keys.iter() {
        if is_device(key) && original.keys.get(&format!("{key}:media")) != Some("cdrom") {
            keys.set(key, copy_disk(&command.shared, value, name)?);
        }
        // Two servers cannot have the same MAC address.
        if key.ends_with(":mac") {
            keys.set(key, servers::random_mac());
        }
        if (key.ends_with(":dhcp") || key == "vnc:ip") && value.parse::<Ipv4Addr>().is_ok() {
            keys.set(key, "auto");
        }
    }
    command.change(|account, now| {
        let clone = Server::new(keys);
        let uuid = clone.uuid.clone();
        account.servers.push(clone);
        if original.status.runs() {
            servers::power(account, &uuid, now)?;
        }
        Ok(Reply::Object(servers::describe(&command.shared, account.server(&uuid)?)))
    })
}

fn copy_disk(shared: &Shared, drive: &str, name: &str) -> Result<String, Refusal> {
    let source = shared.drives.find(drive)?;
    if let Source::Standard(..) = source {
        return Ok(drive.to_owned());
    }
    let size = source.open()?.size();
    let wanted = Wanted::read(shared.provider, &Properties::new().with("name", name), &["name"])?;
    copy(shared, &source, wanted, size)
}

/// `POST servers/start` answers with the servers that were started, by number.
pub(super) fn start_several(command: &Command) -> Answer {
    several(command, servers::run).map(numbered)
}

/// `POST servers/stop` answers with the servers that were stopped, by number; the manual's example is "TODO"
/// (8.13).
pub(super) fn stop_several(command: &Command) -> Answer {
    several(command, |_, account, uuid, _| account.server(uuid).map(Server::stop)).map(numbered)
}

/// `POST servers/destroy` answers with the remaining servers.
pub(super) fn destroy_several(command: &Command) -> Answer {
    several(command, |_, account, uuid, _| {
        account.servers.retain(|server| server.uuid != uuid);
        Ok(())
    })?;
    Ok(uuids(command.account()?.servers.iter().map(|server| &*server.uuid)))
}

/// Performs an action on all named servers, or on none of them; returns their UUIDs.
fn several(
    command: &Command,
    work: impl Fn(&Shared, &mut Account, &str, u64) -> Result<(), Refusal>,
) -> Result<Vec<String>, Refusal> {
    command.change(|account, now| {
        let named = servers_named(account, &command.sent)?;
        named.iter().try_for_each(|uuid| work(&command.shared, account, uuid, now))?;
        Ok(named)
    })
}

fn numbered(uuids: Vec<String>) -> Reply {
    Reply::Object(uuids.into_iter().enumerate().map(|(n, uuid)| (format!("server:{n}"), uuid)).collect())
}
