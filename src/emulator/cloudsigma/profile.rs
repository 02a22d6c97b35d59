//! The profile of the account's holder (CloudSigma API 1.0, 6).

use crate::emulator::Shared;
use crate::emulator::answer::{Answer, Refusal, Reply, Wrong};
use crate::emulator::elastic::Command;
use crate::emulator::properties::Properties;

/// The keys that "Profile change" accepts, each with its initial value. The table of "Profile info" has three
/// more, currency, country and language, which its example lacks. They cannot be set, so no account has them.
const KEYS: [(&str, &str); 9] = [
    ("email", ""),
    ("first_name", "Foo"),
    ("last_name", "Bar"),
    ("nick_name", "FooBar"),
    ("title", ""),
    ("company", ""),
    ("address", ""),
    ("postcode", ""),
    ("phone", ""),
];

/// How many of these keys, from the first, must not be empty.
const REQUIRED: usize = 4;

/// `GET profile/info`
pub(super) fn info(command: &Command) -> Answer {
    Ok(Reply::Object(describe(&command.shared, &command.account()?.profile)))
}

/// `POST profile/set` changes the keys that are sent and keeps the others; the manual's example sends a
/// single key. The manual says that no authorization is required and still lists 401; the emulator requires
/// it.
///
/// The answer to an invalid key is the stored profile, as in the example.
pub(super) fn set(command: &Command) -> Answer {
    command.change(|account, _| {
        let wrong = wrong(&command.sent);
        if !wrong.is_empty() {
            return Err(Refusal::wrong(&describe(&command.shared, &account.profile), &wrong));
        }
        for (key, _) in KEYS {
            if let Some(value) = command.sent.get(key) {
                account.profile.set(key, value);
            }
        }
        Ok(Reply::Object(describe(&command.shared, &account.profile)))
    })
}

fn wrong(sent: &Properties) -> Vec<Wrong> {
    let emptied = |key: &str| sent.get(key).is_some_and(|value| value.trim().is_empty());
    let required = KEYS[..REQUIRED].iter().filter(|(key, _)| emptied(key));
    let mut wrong: Vec<Wrong> = required.map(|(key, _)| Wrong::required(key)).collect();
    let is_email = |email: &str| {
        let parts = email.split_once('@').filter(|(user, host)| !user.is_empty() && !host.starts_with('.'));
        parts.is_some_and(|(_, host)| host.contains('.')) && !email.contains(char::is_whitespace)
    };
    if sent.get("email").is_some_and(|email| !emptied("email") && !is_email(email)) {
        wrong.push(Wrong::new("email", "Enter a valid e-mail address."));
    }
    wrong
}

fn describe(shared: &Shared, profile: &Properties) -> Properties {
    let mut info = Properties::new().with("uuid", &*shared.user);
    for (key, at_first) in KEYS {
        let at_first = if key == "email" { &*shared.login } else { at_first };
        info.set(key, profile.get(key).unwrap_or(at_first));
        if key == "email" {
            // The API key of the account. It is not the password that authenticates this API, which no reply
            // may show.
            info.set("secret_key", shared.user.replace('-', ""));
        }
    }
    info
}
