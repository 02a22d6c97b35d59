//! Servers: list, info, create, set, start, stop, shutdown, reset, destroy. CloudSigma's do the same under more names.

use super::configuration::apply;
use super::{Shared, blocking};
use crate::emulator::account::{Account, ResourceKind, Server, Status};
use crate::emulator::answer::{Answer, Refusal, Reply, Wrong};
use crate::emulator::call::Call;
use crate::provider::Provider;
use crate::wire::elastic::Properties;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// `GET servers/list`: the family's rows are SERVER CPU MEM, CloudSigma's the UUID alone.
pub(in crate::emulator) async fn list(shared: Arc<Shared>, _call: Call) -> Answer {
    blocking(move || {
        let row = |server: &Server| {
            let row = Properties::new().with("server", &*server.uuid);
            if shared.provider == Provider::CloudSigma {
                return row;
            }
            let number = |key| server.number(key).to_string();
            row.with("cpu", number("cpu")).with("mem", number("mem"))
        };
        Ok(Reply::Rows(shared.account.read()?.servers.iter().map(row).collect()))
    })
    .await
}

/// `GET servers/info`
pub(in crate::emulator) async fn info_all(shared: Arc<Shared>, _call: Call) -> Answer {
    blocking(move || {
        let account = shared.account.read()?;
        Ok(Reply::Objects(account.servers.iter().map(|server| describe(&shared, server)).collect()))
    })
    .await
}

/// `GET servers/SERVER/info`
pub(in crate::emulator) async fn info(shared: Arc<Shared>, call: Call) -> Answer {
    blocking(move || {
        let account = shared.account.read()?;
        Ok(Reply::Object(describe(&shared, account.find_server(call.argument(0))?)))
    })
    .await
}

/// `POST servers/create`: starts the server too, unless CloudSigma is asked for `status stopped`.
pub(in crate::emulator) async fn create(shared: Arc<Shared>, call: Call) -> Answer {
    make(shared, call, false).await
}

/// `POST servers/create/stopped`
pub(in crate::emulator) async fn create_stopped(shared: Arc<Shared>, call: Call) -> Answer {
    make(shared, call, true).await
}

async fn make(shared: Arc<Shared>, call: Call, stopped: bool) -> Answer {
    let mut sent = call.properties().await?;
    let stopped = stopped || shared.provider == Provider::CloudSigma && sent.get("status") == Some("stopped");
    blocking(move || {
        if sent.contains("nic:1:vlan") && !sent.contains("nic:1:mac") {
            sent.set("nic:1:mac", random_mac());
        }
        if shared.provider == Provider::CloudSigma && !sent.contains("persistent") {
            // Every server in CloudSigma's manual and in recorded answers is, though nobody sends the key.
            sent.set("persistent", "true");
        }
        let keys = apply(shared.provider, &Properties::new(), &sent, false);
        let keys = keys.map_err(|wrong| Refusal::wrong(&sent, &wrong))?;
        let made = shared.account.change(|account| {
            refer(&shared, account, &sent, &keys)?;
            let server = Server::new(keys);
            let uuid = server.uuid.clone();
            account.servers.push(server);
            if !stopped {
                run(&shared, account, &uuid)?;
            }
            account.server(&uuid).cloned()
        })?;
        Ok(Reply::Object(describe(&shared, &made)))
    })
    .await
}

/// `POST servers/SERVER/set`
pub(in crate::emulator) async fn set(shared: Arc<Shared>, call: Call) -> Answer {
    let uuid = call.argument(0).to_owned();
    let sent = call.properties().await?;
    blocking(move || {
        let changed = shared.account.change(|account| {
            let server = account.server(&uuid)?;
            let keys = apply(shared.provider, &server.keys, &sent, server.status.runs());
            let keys = keys.map_err(|wrong| Refusal::wrong(&sent, &wrong))?;
            refer(&shared, account, &sent, &keys)?;
            let server = account.server(&uuid)?;
            server.keys = keys;
            Ok(server.clone())
        })?;
        Ok(Reply::Object(describe(&shared, &changed)))
    })
    .await
}

/// `POST servers/SERVER/start`: a server that is active already stays so, and that is no error. CloudSigma answers 200
/// with the server's info.
pub(in crate::emulator) async fn start(shared: Arc<Shared>, call: Call) -> Answer {
    blocking(move || {
        let started = shared.account.change(|account| {
            run(&shared, account, call.argument(0))?;
            account.server(call.argument(0)).cloned()
        })?;
        Ok(match shared.provider {
            Provider::CloudSigma => Reply::Object(describe(&shared, &started)),
            _ => Reply::Done,
        })
    })
    .await
}

/// `POST servers/SERVER/stop`
pub(in crate::emulator) async fn stop(shared: Arc<Shared>, call: Call) -> Answer {
    change(shared, call, |server| {
        server.stop();
        Ok(())
    })
    .await
}

/// `POST servers/SERVER/shutdown`
pub(in crate::emulator) async fn shutdown(shared: Arc<Shared>, call: Call) -> Answer {
    change(shared, call, |server| {
        server.shut_down();
        Ok(())
    })
    .await
}

/// `POST servers/SERVER/reset`
pub(in crate::emulator) async fn reset(shared: Arc<Shared>, call: Call) -> Answer {
    change(shared, call, |server| match server.status {
        Status::Active => Ok(()),
        other => Err(Refusal::usage(format!("The server is {}, not active", other.name()))),
    })
    .await
}

/// `POST servers/SERVER/destroy`
pub(in crate::emulator) async fn destroy(shared: Arc<Shared>, call: Call) -> Answer {
    blocking(move || {
        shared.account.change(|account| {
            let uuid = account.server(call.argument(0))?.uuid.clone();
            account.servers.retain(|server| server.uuid != uuid);
            Ok(Reply::Done)
        })
    })
    .await
}

async fn change(
    shared: Arc<Shared>,
    call: Call,
    change: impl FnOnce(&mut Server) -> Result<(), Refusal> + Send + 'static,
) -> Answer {
    blocking(move || {
        shared.account.change(|account| change(account.server(call.argument(0))?).map(|()| Reply::Done))
    })
    .await
}

/// Starts a server: claims its drives and gives it addresses.
pub(in crate::emulator) fn run(shared: &Shared, account: &mut Account, uuid: &str) -> Result<(), Refusal> {
    let server = account.server(uuid)?.clone();
    if server.status == Status::Active {
        // Whoever starts a server that is shutting down wants it to run.
        account.server(uuid)?.ends = None;
        return Ok(());
    }
    account.ledger.must_be_solvent()?;
    for (device, drive) in server.devices() {
        shared.attachable(account, &server, device, drive)?;
    }
    power(account, uuid)
}

/// Gives a server its addresses and lets it run, whatever its drives are doing.
pub(in crate::emulator) fn power(account: &mut Account, uuid: &str) -> Result<(), Refusal> {
    let server = account.server(uuid)?.clone();
    let mut given = Properties::new();
    if server.keys.get("nic:0:dhcp").is_some_and(|value| value == "auto") {
        given.set("nic:0:dhcp", account.temporary_address()?);
    }
    let vnc = server.keys.get("vnc").or_else(|| server.keys.get("vnc:ip"));
    if vnc == Some("auto") {
        let own = given.get("nic:0:dhcp").or_else(|| server.keys.get("nic:0:dhcp")).map(str::to_owned);
        let own = own.and_then(|words| words.split_whitespace().next().map(str::to_owned));
        let address = own.map_or_else(|| account.temporary_address(), Ok)?;
        given.set("vnc:ip", address);
    } else if let Some(address) = vnc {
        given.set("vnc:ip", address);
    }
    account.server(uuid)?.start(given);
    Ok(())
}

/// Checks that what a configuration names is there.
fn refer(shared: &Shared, account: &Account, sent: &Properties, keys: &Properties) -> Result<(), Refusal> {
    let drives = keys.iter().filter(|(key, _)| crate::emulator::account::is_device(key));
    let gone =
        drives.filter(|(_, drive)| !shared.drives.exists(drive)).map(|(key, drive)| (key, "Drive", drive));
    let vlans = keys.iter().filter(|(key, _)| key.starts_with("nic:") && key.ends_with(":vlan"));
    let is_vlan = |vlan: &str| {
        account.resources.iter().any(|r| r.kind == ResourceKind::Vlan && r.id.eq_ignore_ascii_case(vlan))
    };
    let no_vlan = vlans.filter(|(_, vlan)| !is_vlan(vlan)).map(|(key, vlan)| (key, "VLAN", vlan));
    let missing: Vec<(&str, String)> = gone
        .chain(no_vlan)
        .map(|(key, what, uuid)| (key, format!("{what} {uuid} does not exist.")))
        .collect();
    match (&*missing, shared.provider) {
        ([], _) => Ok(()),
        (missing, Provider::CloudSigma) => {
            let wrong: Vec<Wrong> =
                missing.iter().map(|(key, message)| Wrong::new(*key, &**message)).collect();
            Err(Refusal::wrong(sent, &wrong))
        }
        ([(key, message), ..], _) => Err(Refusal::missing(format!("{key}: {message}"))),
    }
}

/// Server info (Open Hosting API, "Get Single Server Info"). Where an address stands in for `auto`, Open Hosting and
/// CloudSigma print it under the same key; Crosspeer leaves the key and prints it under another.
pub(in crate::emulator) fn describe(shared: &Shared, server: &Server) -> Properties {
    let crosspeer = shared.provider == Provider::Crosspeer;
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
    if shared.provider != Provider::CloudSigma {
        info.set("rx:packets", "0");
        info.set("tx:packets", "0");
        info.set("started", server.started.unwrap_or(0).to_string());
        for (device, _) in server.devices() {
            for count in ["read:bytes", "read:requests", "write:bytes", "write:requests"] {
                info.set(format!("{device}:{count}"), "0");
            }
        }
    }
    info
}

/// A MAC address for a network card that was given none: random, and marked as locally administered.
pub(in crate::emulator) fn random_mac() -> String {
    let random = uuid::Uuid::new_v4();
    let octets: Vec<String> = random.as_bytes()[10..].iter().map(|octet| format!("{octet:02x}")).collect();
    format!("02:{}", octets[1..].join(":"))
}
