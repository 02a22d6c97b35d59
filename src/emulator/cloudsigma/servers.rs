//! Servers: what CloudSigma has beyond the family, cloning and calls for several servers.

use super::drives::copy;
use super::{Shared, required, rows, servers_named};
use crate::emulator::account::{Account, Server, is_device};
use crate::emulator::answer::{Answer, Refusal, Reply};
use crate::emulator::call::Call;
use crate::emulator::drives::Source;
use crate::emulator::elastic::{blocking, drives::Wanted, servers};
use crate::wire::elastic::Properties;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// `POST servers/UUID/clone`: the disks are cloned with the server, CDs are shared. The clone is active if the original
/// is, as in the manual's example; its disks may still be filling then.
pub(super) async fn clone(shared: Arc<Shared>, call: Call) -> Answer {
    let uuid = call.argument(0).to_owned();
    let sent = call.properties().await?;
    let name = required(&sent, "name")?.to_owned();
    blocking(move || {
        let original = shared.account.read()?.find_server(&uuid)?.clone();
        let mut keys = original.keys.clone();
        keys.set("name", &*name);
        for (key, value) in original.keys.iter() {
            if is_device(key) && original.keys.get(&format!("{key}:media")) != Some("cdrom") {
                keys.set(key, copy_disk(&shared, value, &name)?);
            }
            // Two machines cannot have the same addresses.
            if key.ends_with(":mac") {
                keys.set(key, servers::random_mac());
            }
            if (key.ends_with(":dhcp") || key == "vnc:ip") && value.parse::<Ipv4Addr>().is_ok() {
                keys.set(key, "auto");
            }
        }
        let clone = shared.account.change(|account| {
            let clone = Server::new(keys);
            let uuid = clone.uuid.clone();
            account.servers.push(clone);
            if original.status.runs() {
                servers::power(account, &uuid)?;
            }
            account.server(&uuid).cloned()
        })?;
        Ok(Reply::Object(servers::describe(&shared, &clone)))
    })
    .await
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

/// `POST servers/start` answers the servers that were started, by number.
pub(super) async fn start_several(shared: Arc<Shared>, call: Call) -> Answer {
    several(shared, call, servers::run).await.map(|done| Reply::Object(numbered(done)))
}

/// `POST servers/stop` answers the servers that were stopped, by number.
pub(super) async fn stop_several(shared: Arc<Shared>, call: Call) -> Answer {
    let work = |_: &Shared, account: &mut Account, uuid: &str| account.server(uuid).map(Server::stop);
    several(shared, call, work).await.map(|done| Reply::Object(numbered(done)))
}

/// `POST servers/destroy` answers the servers that are left.
pub(super) async fn destroy_several(shared: Arc<Shared>, call: Call) -> Answer {
    let work = |_: &Shared, account: &mut Account, uuid: &str| {
        account.servers.retain(|server| server.uuid != uuid);
        Ok(())
    };
    several(Arc::clone(&shared), call, work).await?;
    blocking(move || {
        let account = shared.account.read()?;
        Ok(Reply::Rows(rows(account.servers.iter().map(|server| server.uuid.clone()))))
    })
    .await
}

/// Does something to all servers that are named, or to none of them; gives their UUIDs.
async fn several(
    shared: Arc<Shared>,
    call: Call,
    work: impl Fn(&Shared, &mut Account, &str) -> Result<(), Refusal> + Send + 'static,
) -> Result<Vec<String>, Refusal> {
    let sent = call.properties().await?;
    blocking(move || {
        shared.account.change(|account| {
            let named = servers_named(account, &sent)?;
            named.iter().try_for_each(|uuid| work(&shared, account, uuid))?;
            Ok(named)
        })
    })
    .await
}

fn numbered(uuids: Vec<String>) -> Properties {
    uuids.into_iter().enumerate().map(|(n, uuid)| (format!("server:{n}"), uuid)).collect()
}
