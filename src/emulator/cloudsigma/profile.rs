//! The profile of the account's holder (CloudSigma API 1.0, 6).

use crate::emulator::Shared;
use crate::emulator::answer::{Answer, Refusal, Reply, Wrong};
use crate::emulator::elastic::Command;
use crate::emulator::properties::Properties;

/// The keys that "Profile change" takes, each with its value at first. The table of "Profile info" has three more, currency,
/// country and language, which its example lacks: they cannot be set, so no account has them.
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

/// So many of these must not be empty.
const REQUIRED: usize = 4;

/// `GET profile/info`
pub(super) fn info(command: &Command) -> Answer {
    Ok(Reply::Object(describe(&command.shared, &command.account()?.profile)))
}

/// `POST profile/set`: what is sent changes, the rest stays; the example of the manual sends a single key. It says that
/// no authorization is required and lists 401 beside it: it is required.
///
/// The answer to a wrong key is the profile as it is stored, as in the example.
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
            // The API key of the account; not the password that this API signs in with, which no reply may show.
            info.set("secret_key", shared.user.replace('-', ""));
        }
    }
    info
}
