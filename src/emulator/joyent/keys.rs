//! SSH keys: list, get, create, delete (Joyent CloudAPI 6.5, "Keys").

use super::Site;
use super::account::Key;
use super::call::Call;
use super::failure::Failure;
use super::public_key::PublicKey;
use super::reply::{Answer, Reply};
use crate::emulator::date::{ISO, print};
use serde_json::{Value, json};

/// `GET keys`
pub(super) fn list(site: &Site, _: &Call) -> Answer {
    Reply::json(&site.accounts.read()?.keys.iter().map(show).collect::<Vec<_>>())
}

/// `GET keys/KEY`
pub(super) fn get(site: &Site, call: &Call) -> Answer {
    let name = call.argument(0);
    Reply::json(&show(site.accounts.read()?.key(name).ok_or_else(|| Failure::missing("The key", name))?))
}

/// `POST keys`: a key without a name is named after its fingerprint.
pub(super) fn create(site: &Site, call: &Call) -> Answer {
    let text = call.input.required("key")?.trim().to_owned();
    let fingerprint = PublicKey::parse(&text).map_err(Failure::argument)?.fingerprint();
    let name = call.input.text("name").unwrap_or_else(|| fingerprint.clone());
    if name.contains('/') {
        return Err(Failure::argument("a name cannot have a slash in it"));
    }
    site.accounts.change(|account, created| {
        if account.key(&name).is_some() {
            return Err(Failure::argument(format!("there is a key {name} already")));
        }
        if account.key(&fingerprint).is_some() {
            return Err(Failure::argument("This ssh key is in use"));
        }
        let new = Key { name, text, created };
        let reply = Reply::created(&show(&new));
        account.keys.push(new);
        reply
    })
}

/// `DELETE keys/KEY`
pub(super) fn delete(site: &Site, call: &Call) -> Answer {
    let name = call.argument(0);
    site.accounts.change(|account, _| {
        let key = account.key(name).ok_or_else(|| Failure::missing("The key", name))?.name.clone();
        account.keys.retain(|other| other.name != key);
        Ok(Reply::gone())
    })
}

fn show(key: &Key) -> Value {
    json!({"name": key.name, "key": key.text, "created": print(key.created, ISO)})
}
