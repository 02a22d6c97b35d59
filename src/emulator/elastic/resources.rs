//! Resources: static IP addresses and VLANs.

use super::Command;
use super::keys::is_user_key;
use crate::emulator::Dialect;
use crate::emulator::account::Resource;
use crate::emulator::answer::{Answer, Refusal, Reply, Wrong};
use crate::emulator::properties::Properties;

/// `GET resources[/TYPE]/list`: rows of TYPE and RESOURCE.
pub(crate) fn list(command: &Command) -> Answer {
    let row =
        |resource: &Resource| Properties::new().with("type", &*resource.kind).with("resource", &*resource.id);
    of_kind(command, row).map(Reply::Rows)
}

/// `GET resources/info`, and CloudSigma's `resources/TYPE/info`.
pub(crate) fn info_all(command: &Command) -> Answer {
    of_kind(command, |resource| resource.describe(&command.shared.user)).map(Reply::Objects)
}

fn of_kind(command: &Command, show: impl Fn(&Resource) -> Properties) -> Result<Vec<Properties>, Refusal> {
    let kind = command.argument(0);
    if !kind.is_empty() {
        Resource::product(kind)?;
    }
    let account = command.account()?;
    Ok(account
        .resources
        .iter()
        .filter(|resource| kind.is_empty() || resource.kind == kind)
        .map(show)
        .collect())
}

/// `GET resources/TYPE/RESOURCE/info`
pub(crate) fn info(command: &Command) -> Answer {
    let account = command.account()?;
    let at = account.resource(command.argument(0), command.argument(1))?;
    Ok(Reply::Object(account.resources[at].describe(&command.shared.user)))
}

/// `POST resources/TYPE/create` costs the price of a month.
pub(crate) fn create(command: &Command) -> Answer {
    let product = Resource::product(command.argument(0))?;
    // A CloudSigma VLAN must have a name (CloudSigma API 1.0, 9.3).
    if command.shared.provider == Dialect::CloudSigma && product.key == "vlan" {
        named(&command.sent)?;
    }
    let made = command.change(|account, now| {
        account.ledger.pay(now, product.label, product.price(1, 1))?;
        account.add_resource(product.key, settings(&command.sent, Properties::new()))
    })?;
    Ok(Reply::Object(made.describe(&command.shared.user)))
}

/// `POST resources/TYPE/RESOURCE/set`
pub(crate) fn set(command: &Command) -> Answer {
    if command.shared.provider == Dialect::CloudSigma {
        named(&command.sent)?;
    }
    command.change(|account, _| {
        let at = account.resource(command.argument(0), command.argument(1))?;
        let resource = &mut account.resources[at];
        resource.keys = settings(&command.sent, std::mem::take(&mut resource.keys));
        Ok(Reply::Object(resource.describe(&command.shared.user)))
    })
}

/// `POST resources/TYPE/RESOURCE/destroy`
pub(crate) fn destroy(command: &Command) -> Answer {
    command.change(|account, _| {
        let at = account.resource(command.argument(0), command.argument(1))?;
        let id = &account.resources[at].id;
        if let Some(server) = account.user_of(id) {
            return Err(Refusal::busy(format!("Resource {id} is in use by server {server}")));
        }
        account.resources.remove(at);
        Ok(Reply::Done)
    })
}

/// Returns the settings of a resource. The manuals differ between `tag` and `tags`.
fn settings(sent: &Properties, mut keys: Properties) -> Properties {
    for (key, value) in sent.iter() {
        let key = if key == "tag" { "tags" } else { key };
        if ["name", "tags"].contains(&key) || is_user_key(key) {
            keys.set_or_remove(key, value);
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
