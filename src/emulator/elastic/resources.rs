//! Resources: static IP addresses and VLANs.

use super::keys::is_user_key;
use super::{Shared, blocking};
use crate::emulator::account::{Resource, ResourceKind, SubscriptionKind};
use crate::emulator::answer::{Answer, Refusal, Reply, Wrong};
use crate::emulator::call::Call;
use crate::emulator::clock::now;
use crate::provider::Provider;
use crate::wire::elastic::Properties;
use std::sync::Arc;

/// `GET resources[/TYPE]/list`: rows of TYPE RESOURCE.
pub(in crate::emulator) async fn list(shared: Arc<Shared>, call: Call) -> Answer {
    of_kind(shared, call, |_, resource| {
        Properties::new().with("type", resource.kind.name()).with("resource", &*resource.id)
    })
    .await
    .map(Reply::Rows)
}

/// `GET resources/info`, and CloudSigma's `resources/TYPE/info`
pub(in crate::emulator) async fn info_all(shared: Arc<Shared>, call: Call) -> Answer {
    of_kind(shared, call, |shared, resource| resource.describe(&shared.user)).await.map(Reply::Objects)
}

async fn of_kind(
    shared: Arc<Shared>,
    call: Call,
    show: impl Fn(&Shared, &Resource) -> Properties + Send + 'static,
) -> Result<Vec<Properties>, Refusal> {
    blocking(move || {
        let kind = match call.argument(0) {
            "" => None,
            kind => Some(ResourceKind::parse(kind)?),
        };
        let account = shared.account.read()?;
        let wanted =
            account.resources.iter().filter(|resource| kind.is_none_or(|kind| resource.kind == kind));
        Ok(wanted.map(|resource| show(&shared, resource)).collect())
    })
    .await
}

/// `GET resources/TYPE/RESOURCE/info`
pub(in crate::emulator) async fn info(shared: Arc<Shared>, call: Call) -> Answer {
    blocking(move || {
        let kind = ResourceKind::parse(call.argument(0))?;
        let account = shared.account.read()?;
        let resource = account.find_resource(kind, call.argument(1))?;
        Ok(Reply::Object(resource.describe(&shared.user)))
    })
    .await
}

/// `POST resources/TYPE/create`. It costs the price of a month.
pub(in crate::emulator) async fn create(shared: Arc<Shared>, call: Call) -> Answer {
    let kind = ResourceKind::parse(call.argument(0))?;
    let sent = call.properties().await?;
    // A VLAN of CloudSigma's has to have a name (CloudSigma API 1.0, "VLAN create").
    if shared.provider == Provider::CloudSigma && kind == ResourceKind::Vlan {
        named(&sent)?;
    }
    blocking(move || {
        let made = shared.account.change(|account| {
            let priced = match kind {
                ResourceKind::Ip => SubscriptionKind::Ip,
                ResourceKind::Vlan => SubscriptionKind::Vlan,
            };
            account.ledger.pay(now(), priced.label().to_owned(), priced.price(1, 1))?;
            account.add_resource(kind, settings(&sent, Properties::new()))
        })?;
        Ok(Reply::Object(made.describe(&shared.user)))
    })
    .await
}

/// `POST resources/TYPE/RESOURCE/set`
pub(in crate::emulator) async fn set(shared: Arc<Shared>, call: Call) -> Answer {
    let kind = ResourceKind::parse(call.argument(0))?;
    let id = call.argument(1).to_owned();
    let sent = call.properties().await?;
    if shared.provider == Provider::CloudSigma {
        named(&sent)?;
    }
    blocking(move || {
        let changed = shared.account.change(|account| {
            let resource = account.resource(kind, &id)?;
            resource.keys = settings(&sent, std::mem::take(&mut resource.keys));
            Ok(resource.clone())
        })?;
        Ok(Reply::Object(changed.describe(&shared.user)))
    })
    .await
}

/// `POST resources/TYPE/RESOURCE/destroy`
pub(in crate::emulator) async fn destroy(shared: Arc<Shared>, call: Call) -> Answer {
    blocking(move || {
        let kind = ResourceKind::parse(call.argument(0))?;
        shared.account.change(|account| {
            let id = account.resource(kind, call.argument(1))?.id.clone();
            if let Some(server) = account.user_of(&id) {
                return Err(Refusal::busy(format!("Resource {id} is in use by server {server}")));
            }
            account.resources.retain(|resource| resource.kind != kind || resource.id != id);
            Ok(Reply::Done)
        })
    })
    .await
}

/// The settings of a resource. The manuals differ over `tag` and `tags`.
fn settings(sent: &Properties, mut keys: Properties) -> Properties {
    for (key, value) in sent.iter() {
        let key = if key == "tag" { "tags" } else { key };
        if !["name", "tags"].contains(&key) && !is_user_key(key) {
            continue;
        }
        if value.is_empty() {
            keys.remove(key);
        } else {
            keys.set(key, value);
        }
    }
    keys
}

fn named(sent: &Properties) -> Result<(), Refusal> {
    match sent.get("name") {
        None | Some("") => Err(Refusal::wrong(sent, &[Wrong::required("name")])),
        Some(_) => Ok(()),
    }
}
