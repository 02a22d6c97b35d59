//! Server groups (CloudSigma API 1.0, "UI API").

use super::{Shared, required, rows, servers_named};
use crate::emulator::account::{Account, Group, Server};
use crate::emulator::answer::{Answer, Refusal, Reply};
use crate::emulator::call::Call;
use crate::emulator::elastic::{blocking, servers};
use crate::wire::elastic::Properties;
use std::sync::Arc;

/// `GET servergroups/list`
pub(super) async fn list(shared: Arc<Shared>, _call: Call) -> Answer {
    blocking(move || {
        let account = shared.account.read()?;
        Ok(Reply::Rows(rows(account.groups.iter().map(|group| group.uuid.clone()))))
    })
    .await
}

/// `GET servergroups/UUID/info`
pub(super) async fn info(shared: Arc<Shared>, call: Call) -> Answer {
    change(shared, call, |_, group| Ok(Reply::Object(describe(group)))).await
}

/// `POST servergroups/create`
pub(super) async fn create(shared: Arc<Shared>, call: Call) -> Answer {
    let sent = call.properties().await?;
    let group = Group {
        uuid: uuid::Uuid::new_v4().to_string(),
        name: required(&sent, "name")?.to_owned(),
        description: sent.get("description").map(str::to_owned),
        servers: Vec::new(),
    };
    blocking(move || {
        shared.account.change(|account| {
            account.groups.push(group.clone());
            Ok(Reply::Object(describe(&group)))
        })
    })
    .await
}

/// `POST servergroups/UUID/set`
pub(super) async fn set(shared: Arc<Shared>, call: Call) -> Answer {
    change(shared, call, |sent, group| {
        required(sent, "name")?.clone_into(&mut group.name);
        if let Some(description) = sent.get("description") {
            group.description = Some(description.to_owned());
        }
        Ok(Reply::Object(describe(group)))
    })
    .await
}

/// `POST servergroups/UUID/destroy`: "HTTP Code 200 (or may be will be better 204)", says the manual; it is 200 here,
/// with what was destroyed.
pub(super) async fn destroy(shared: Arc<Shared>, call: Call) -> Answer {
    blocking(move || {
        shared.account.change(|account| {
            let group = account.group(call.argument(0))?.clone();
            account.groups.retain(|other| other.uuid != group.uuid);
            Ok(Reply::Object(describe(&group)))
        })
    })
    .await
}

/// `POST servergroups/UUID/add` answers the members.
pub(super) async fn add(shared: Arc<Shared>, call: Call) -> Answer {
    members(shared, call, |members, named| {
        let new: Vec<String> = named.iter().filter(|uuid| !members.contains(uuid)).cloned().collect();
        members.extend(new);
    })
    .await
}

/// `POST servergroups/UUID/remove` answers the members left.
pub(super) async fn remove(shared: Arc<Shared>, call: Call) -> Answer {
    members(shared, call, |members, named| members.retain(|uuid| !named.contains(uuid))).await
}

/// `GET servergroups/UUID/start` answers the members.
pub(super) async fn start(shared: Arc<Shared>, call: Call) -> Answer {
    each(shared, call, servers::run).await
}

/// `GET servergroups/UUID/stop` answers the members.
pub(super) async fn stop(shared: Arc<Shared>, call: Call) -> Answer {
    each(shared, call, |_, account, uuid| account.server(uuid).map(Server::stop)).await
}

async fn change(
    shared: Arc<Shared>,
    call: Call,
    change: impl FnOnce(&Properties, &mut Group) -> Answer + Send + 'static,
) -> Answer {
    let uuid = call.argument(0).to_owned();
    let sent = call.properties().await?;
    blocking(move || shared.account.change(|account| change(&sent, account.group(&uuid)?))).await
}

async fn members(
    shared: Arc<Shared>,
    call: Call,
    change: impl FnOnce(&mut Vec<String>, &[String]) + Send + 'static,
) -> Answer {
    let uuid = call.argument(0).to_owned();
    let sent = call.properties().await?;
    blocking(move || {
        shared.account.change(|account| {
            account.group(&uuid)?;
            let named = servers_named(account, &sent)?;
            let group = account.group(&uuid)?;
            change(&mut group.servers, &named);
            Ok(Reply::Rows(rows(group.servers.clone())))
        })
    })
    .await
}

async fn each(
    shared: Arc<Shared>,
    call: Call,
    work: impl Fn(&Shared, &mut Account, &str) -> Result<(), Refusal> + Send + 'static,
) -> Answer {
    blocking(move || {
        shared.account.change(|account| {
            let members = account.group(call.argument(0))?.servers.clone();
            members.iter().try_for_each(|uuid| work(&shared, account, uuid))?;
            Ok(Reply::Rows(rows(members)))
        })
    })
    .await
}

fn describe(group: &Group) -> Properties {
    let info = Properties::new().with("uuid", &*group.uuid).with("name", &*group.name);
    match &group.description {
        Some(description) => info.with("description", &**description),
        None => info,
    }
}
