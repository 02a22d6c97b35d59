//! Servers: list, info, create, set, start, stop, shutdown, reset, destroy. CloudSigma's calls do the same
//! under more names.

use super::configuration::apply;
use super::{Command, Shared};
use crate::emulator::Dialect;
use crate::emulator::account::{Account, Server, Status, is_device};
use crate::emulator::answer::{Answer, Refusal, Reply, Wrong};
use crate::emulator::properties::Properties;
use std::net::Ipv4Addr;

/// `GET servers/list`: the family's rows are SERVER CPU MEM, CloudSigma's only the UUID.
pub(crate) fn list(command: &Command) -> Answer {
    let row = |server: &Server| {
        let row = Properties::new().with("server", &*server.uuid);
        if command.shared.provider == Dialect::CloudSigma {
            return row;
        }
        row.with("cpu", server.number("cpu").to_string()).with("mem", server.number("mem").to_string())
    };
    Ok(Reply::Rows(command.account()?.servers.iter().map(row).collect()))
}

/// `GET servers/info`
pub(crate) fn info_all(command: &Command) -> Answer {
    let describe = |server: &Server| describe(&command.shared, server);
    Ok(Reply::Objects(command.account()?.servers.iter().map(describe).collect()))
}

/// `GET servers/SERVER/info`
pub(crate) fn info(command: &Command) -> Answer {
    Ok(Reply::Object(describe(&command.shared, command.account()?.find_server(command.argument(0))?)))
}

/// `POST servers/create` also starts the server, unless `CloudSigma` is sent `status stopped`.
pub(crate) fn create(command: &Command) -> Answer {
    let cloudsigma = command.shared.provider == Dialect::CloudSigma;
    make(command, cloudsigma && command.sent.get("status") == Some("stopped"))
}

/// `POST servers/create/stopped`
pub(crate) fn create_stopped(command: &Command) -> Answer {
    make(command, true)
}

fn make(command: &Command, stopped: bool) -> Answer {
    let (shared, mut sent) = (&command.shared, command.sent.clone());
    if sent.contains("nic:1:vlan") && !sent.contains("nic:1:mac") {
        sent.set("nic:1:mac", random_mac());
    }
    if shared.provider == Dialect::CloudSigma && !sent.contains("persistent") {
        // Every server in CloudSigma's manual and in recorded answers is persistent, though nobody sends the
        // key.
        sent.set("persistent", "true");
    }
    let keys = apply(shared.provider, &Properties::new(), &sent, false);
    let keys = keys.map_err(|wrong| Refusal::wrong(&command.sent, &wrong))?;
    let made = command.change(|account, now| {
        refer(command, account, &keys)?;
        let server = Server::new(keys);
        let uuid = server.uuid.clone();
        account.servers.push(server);
        if !stopped {
            run(shared, account, &uuid, now)?;
        }
        account.server(&uuid).cloned()
    })?;
    Ok(Reply::Object(describe(shared, &made)))
}

/// `POST servers/SERVER/set`
pub(crate) fn set(command: &Command) -> Answer {
    command.change(|account, _| {
        let server = account.server(command.argument(0))?;
        let keys = apply(command.shared.provider, &server.keys, &command.sent, server.status.runs());
        let keys = keys.map_err(|wrong| Refusal::wrong(&command.sent, &wrong))?;
        refer(command, account, &keys)?;
        let server = account.server(command.argument(0))?;
        server.keys = keys;
        Ok(Reply::Object(describe(&command.shared, server)))
    })
}

/// `POST servers/SERVER/start`: starting an active server changes nothing and is not an error. `CloudSigma`
/// answers 200 with the server's info.
pub(crate) fn start(command: &Command) -> Answer {
    command.change(|account, now| {
        run(&command.shared, account, command.argument(0), now)?;
        Ok(match command.shared.provider {
            Dialect::CloudSigma => {
                Reply::Object(describe(&command.shared, account.server(command.argument(0))?))
            }
            _ => Reply::Done,
        })
    })
}

/// `POST servers/SERVER/stop`
pub(crate) fn stop(command: &Command) -> Answer {
    command.change(|account, _| account.server(command.argument(0)).map(Server::stop).map(|()| Reply::Done))
}

/// `POST servers/SERVER/shutdown`
pub(crate) fn shutdown(command: &Command) -> Answer {
    command.change(|account, now| {
        account.server(command.argument(0))?.shut_down(now);
        Ok(Reply::Done)
    })
}

/// `POST servers/SERVER/reset`
pub(crate) fn reset(command: &Command) -> Answer {
    match command.account()?.find_server(command.argument(0))?.status {
        Status::Active => Ok(Reply::Done),
        other => Err(Refusal::usage(format!("The server is {}, not active", other.name()))),
    }
}

/// `POST servers/SERVER/destroy`
pub(crate) fn destroy(command: &Command) -> Answer {
    command.change(|account, _| {
        let uuid = account.server(command.argument(0))?.uuid.clone();
        account.servers.retain(|server| server.uuid != uuid);
        Ok(Reply::Done)
    })
}

/// Starts a server: claims its drives and assigns its addresses.
pub(crate) fn run(shared: &Shared, account: &mut Account, uuid: &str, now: u64) -> Result<(), Refusal> {
    let server = account.server(uuid)?.clone();
    if server.status == Status::Active {
        // Starting a server that is shutting down keeps it running.
        account.server(uuid)?.ends = None;
        return Ok(());
    }
    account.ledger.must_be_solvent()?;
    for (device, drive) in server.devices() {
        shared.attachable(account, &server, device, drive)?;
    }
    power(account, uuid, now)
}

/// Assigns a server its addresses and marks it running, whatever its drives are doing.
pub(crate) fn power(account: &mut Account, uuid: &str, now: u64) -> Result<(), Refusal> {
    let server = account.server(uuid)?.clone();
    let mut given = Properties::new();
    if server.keys.get("nic:0:dhcp") == Some("auto") {
        given.set("nic:0:dhcp", account.temporary_address()?);
    }
    let vnc = server.keys.get("vnc").or_else(|| server.keys.get("vnc:ip"));
    if vnc == Some("auto") {
        let own = given.get("nic:0:dhcp").or_else(|| server.keys.get("nic:0:dhcp"));
        let own = own.and_then(|words| words.split_whitespace().next().map(str::to_owned));
        given.set("vnc:ip", own.map_or_else(|| account.temporary_address(), Ok)?);
    } else if let Some(address) = vnc {
        given.set("vnc:ip", address);
    }
    account.server(uuid)?.start(given, now);
    Ok(())
}

/// Checks that the objects in a configuration exist.
fn refer(command: &Command, account: &Account, keys: &Properties) -> Result<(), Refusal> {
    let mut wrong = Vec::new();
    for (key, uuid) in keys.iter() {
        if is_device(key) && !command.shared.drives.exists(uuid) {
            wrong.push(Wrong::new(key, format!("Drive {uuid} does not exist.")));
        }
        let is_vlan = key.starts_with("nic:") && key.ends_with(":vlan");
        if is_vlan && !account.resources.iter().any(|resource| resource.is("vlan", uuid)) {
            wrong.push(Wrong::new(key, format!("VLAN {uuid} does not exist.")));
        }
    }
    match (&*wrong, command.shared.provider) {
        ([], _) => Ok(()),
        (_, Dialect::CloudSigma) => Err(Refusal::wrong(&command.sent, &wrong)),
        ([first, ..], _) => Err(Refusal::missing(format!("{}: {}", first.key, first.message))),
    }
}

/// Returns a server's info (Open Hosting API, "Get Single Server Info"). An address that was assigned for
/// `auto` is printed under the same key by Open Hosting and `CloudSigma`; Crosspeer keeps the key and prints
/// the address under another.
///
/// The family's tables print `rx:bytes` and the samples `rx`; the answer has both.
pub(crate) fn describe(shared: &Shared, server: &Server) -> Properties {
    let crosspeer = shared.provider == Dialect::Crosspeer;
    let mut info = Properties::new()
        .with("server", &*server.uuid)
        .with("user", &*shared.user)
        .with("status", server.status.name());
    for (key, value) in server.keys.iter() {
        info.set(key, value);
    }
    if !crosspeer {
        info.set("smp", server.cores().to_string());
    } else if !info.contains("smp") {
        info.set("smp", "auto");
    }
    if !server.status.runs() {
        return info;
    }
    if crosspeer {
        info.set("smp:cores", server.cores().to_string());
        info.set("smp:sockets", "1");
    }
    for (key, address) in server.given.iter() {
        let key = if crosspeer && key == "nic:0:dhcp" { "nic:0:dhcp:ip" } else { key };
        info.set(key, address);
    }
    if crosspeer && let Some(fixed) = server.keys.get("nic:0:dhcp").filter(|a| a.parse::<Ipv4Addr>().is_ok())
    {
        info.set("nic:0:dhcp:ip", fixed);
    }
    info.set("rx", "0");
    info.set("tx", "0");
    if shared.provider == Dialect::CloudSigma {
        return info;
    }
    for count in ["rx:bytes", "rx:packets", "tx:bytes", "tx:packets"] {
        info.set(count, "0");
    }
    info.set("started", server.started.unwrap_or(0).to_string());
    for (device, _) in server.devices() {
        for count in ["read:bytes", "read:requests", "write:bytes", "write:requests"] {
            info.set(format!("{device}:{count}"), "0");
        }
    }
    info
}

/// Returns a random, locally administered MAC address for a network card without one.
pub(crate) fn random_mac() -> String {
    let random = uuid::Uuid::new_v4();
    let octets: Vec<String> = random.as_bytes()[11..].iter().map(|octet| format!("{octet:02x}")).collect();
    format!("02:{}", octets.join(":"))
}
