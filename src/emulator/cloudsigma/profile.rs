//! The profile of the account's holder.

use super::Shared;
use crate::emulator::answer::{Answer, Refusal, Reply, Wrong};
use crate::emulator::call::Call;
use crate::emulator::elastic::blocking;
use crate::wire::elastic::Properties;
use std::sync::Arc;

/// The keys in the order of the manual's table, each with whether it must not be empty and its value at first.
const KEYS: [(&str, bool, &str); 12] = [
    ("email", true, ""),
    ("first_name", true, "Foo"),
    ("last_name", true, "Bar"),
    ("nick_name", true, "FooBar"),
    ("title", false, ""),
    ("company", false, ""),
    ("address", false, ""),
    ("postcode", false, ""),
    ("phone", false, ""),
    ("currency", false, super::money::CURRENCY),
    ("country", false, ""),
    ("language", false, ""),
];

/// The keys that "Profile change" takes; the others cannot be changed.
const CHANGEABLE: usize = 9;

/// `GET profile/info`
pub(super) async fn info(shared: Arc<Shared>, _call: Call) -> Answer {
    blocking(move || Ok(Reply::Object(describe(&shared, &shared.account.read()?.profile)))).await
}

/// `POST profile/set`: what is sent changes, the rest stays; the example of the manual sends a single key. It says that
/// no authorization is required and lists 401 beside it: it is required.
pub(super) async fn set(shared: Arc<Shared>, call: Call) -> Answer {
    let sent = call.properties().await?;
    blocking(move || {
        shared.account.change(|account| {
            let mut profile = account.profile.clone();
            for (key, value) in sent.iter() {
                if KEYS[..CHANGEABLE].iter().any(|(known, ..)| *known == key) {
                    profile.set(key, value);
                }
            }
            let (described, wrong) = (describe(&shared, &profile), wrong(&sent));
            if !wrong.is_empty() {
                return Err(Refusal::wrong(&described, &wrong));
            }
            account.profile = profile;
            Ok(Reply::Object(described))
        })
    })
    .await
}

/// What is wrong with what was sent; what was there before stands as it is.
fn wrong(sent: &Properties) -> Vec<Wrong> {
    let emptied = |key: &str| sent.get(key).is_some_and(|value| value.trim().is_empty());
    let required = KEYS.iter().filter(|(key, required, _)| *required && emptied(key));
    let mut wrong: Vec<Wrong> = required.map(|(key, ..)| Wrong::required(key)).collect();
    if let Some(email) = sent.get("email").filter(|_| !emptied("email")) {
        let valid = email.split_once('@').is_some_and(|(user, host)| {
            !user.is_empty()
                && host.contains('.')
                && !host.starts_with('.')
                && !email.contains(char::is_whitespace)
        });
        if !valid {
            wrong.push(Wrong::new("email", "Enter a valid e-mail address."));
        }
    }
    wrong
}

fn describe(shared: &Shared, profile: &Properties) -> Properties {
    // The API key of the account; not the password that this API signs in with, which no reply may show.
    let key = shared.user.replace('-', "");
    let mut info = Properties::new().with("uuid", &*shared.user);
    for (name, _, default) in KEYS {
        let default = if name == "email" { &*shared.login } else { default };
        info.set(name, profile.get(name).unwrap_or(default));
        if name == "email" {
            info.set("secret_key", &*key);
        }
    }
    info
}
