//! The metadata and tags of a machine (Joyent CloudAPI 6.5, "`UpdateMachineMetadata`" to
//! "`DeleteMachineTags`").
//!
//! Both keep entries with other names and replace an entry of the same name. The manual says so for metadata.
//! For tags it says that they are appended and not overwritten, but the server of that time replaced the
//! value.

use super::Site;
use super::call::Call;
use super::failure::{Code, Failure};
use super::machine::Machine;
use super::reply::{Answer, Reply};
use crate::emulator::form::plain;
use serde_json::{Value, json};

/// The metadata key that only the datacenter writes ("`CreateMachine`").
const CREDENTIALS: &str = "credentials";

/// Changes the labels of a machine.
fn write<R>(
    site: &Site,
    call: &Call,
    change: impl FnOnce(&mut Machine) -> Result<R, Failure>,
) -> Result<R, Failure> {
    site.accounts.change(|account, now| {
        let machine = account.machine_mut(call.argument(0))?;
        let outcome = change(machine)?;
        machine.updated = now;
        Ok(outcome)
    })
}

/// `POST machines/UUID/metadata` answers with all metadata.
pub(super) fn update_metadata(site: &Site, call: &Call) -> Answer {
    write(site, call, |machine| {
        for (key, value) in call.input.all() {
            reserved(key)?;
            machine.metadata.insert(key.to_owned(), metadata_value(value));
        }
        Reply::json(&machine.metadata(false))
    })
}

/// `GET machines/UUID/metadata`
pub(super) fn metadata(site: &Site, call: &Call) -> Answer {
    let credentials = call.input.flag(CREDENTIALS)?;
    Reply::json(&site.accounts.read()?.machine(call.argument(0))?.metadata(credentials))
}

/// `DELETE machines/UUID/metadata/KEY`
pub(super) fn delete_metadata(site: &Site, call: &Call) -> Answer {
    let key = call.argument(1);
    write(site, call, |machine| {
        reserved(key)?;
        let removed = machine.metadata.remove(key);
        removed.map(|_| Reply::gone()).ok_or_else(|| Failure::missing("The metadata key", key))
    })
}

/// `DELETE machines/UUID/metadata` keeps the generated credentials.
pub(super) fn delete_all_metadata(site: &Site, call: &Call) -> Answer {
    write(site, call, |machine| {
        machine.metadata.clear();
        Ok(Reply::gone())
    })
}

/// `POST machines/UUID/tags` answers with all tags.
pub(super) fn add_tags(site: &Site, call: &Call) -> Answer {
    write(site, call, |machine| {
        machine.tags.extend(call.input.all().map(|(name, value)| (name.to_owned(), plain(value))));
        Reply::json(&machine.tags)
    })
}

/// `GET machines/UUID/tags`
pub(super) fn tags(site: &Site, call: &Call) -> Answer {
    Reply::json(&site.accounts.read()?.machine(call.argument(0))?.tags)
}

/// `GET machines/UUID/tags/TAG`: the bare value if text is accepted, or a JSON string if JSON is accepted and
/// text is not, or is preferred less.
pub(super) fn tag(site: &Site, call: &Call) -> Answer {
    let (text, json) = (call.wants("text/plain"), call.wants("application/json"));
    let name = call.argument(1);
    let account = site.accounts.read()?;
    let value = account.machine(call.argument(0))?.tags.get(name);
    let value = value.ok_or_else(|| Failure::missing("The tag", name))?;
    match (text, json) {
        (None, None) => {
            let message = "the answer would be text/plain or application/json";
            Err(Failure::new(Code::NOT_ACCEPTABLE, message))
        }
        (text, json) if text >= json => Ok(Reply::text(value)),
        _ => Reply::json(&json!(value)),
    }
}

/// `DELETE machines/UUID/tags/TAG`
pub(super) fn delete_tag(site: &Site, call: &Call) -> Answer {
    let name = call.argument(1);
    write(site, call, |machine| {
        let removed = machine.tags.remove(name);
        removed.map(|_| Reply::gone()).ok_or_else(|| Failure::missing("The tag", name))
    })
}

/// `DELETE machines/UUID/tags`
pub(super) fn delete_tags(site: &Site, call: &Call) -> Answer {
    write(site, call, |machine| {
        machine.tags.clear();
        Ok(Reply::gone())
    })
}

/// Fails with 409 for the key that cannot be written.
pub(super) fn reserved(key: &str) -> Result<(), Failure> {
    if key == CREDENTIALS {
        return Err(Failure::argument("the metadata key credentials cannot be overwritten"));
    }
    Ok(())
}

/// Returns a metadata value: a string, or the object or array in a string of JSON.
pub(super) fn metadata_value(value: &Value) -> Value {
    let Value::String(text) = value else { return value.clone() };
    match serde_json::from_str(text) {
        Ok(parsed @ (Value::Object(_) | Value::Array(_))) => parsed,
        _ => value.clone(),
    }
}

/// Fails with 409 if a machine or snapshot name could not stand in a path or on a terminal.
pub(super) fn check_name(parameter: &str, name: &str) -> Result<(), Failure> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    if name.len() > 64 || !name.bytes().all(fits) {
        let message =
            format!("{parameter} is letters, digits, dots, hyphens and underscores, at most 64 of them");
        return Err(Failure::argument(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_and_arrays_are_taken_for_json() {
        for (sent, kept) in [
            (json!("bar"), json!("bar")),
            (json!("12"), json!("12")),
            (json!("true"), json!("true")),
            (json!("\"quoted\""), json!("\"quoted\"")),
            (json!("{\"a\": [1]}"), json!({"a": [1]})),
            (json!("[1, 2]"), json!([1, 2])),
            (json!("{broken"), json!("{broken")),
            (json!({"a": 1}), json!({"a": 1})),
        ] {
            assert_eq!(metadata_value(&sent), kept);
        }
    }

    #[test]
    fn names_fit_into_paths() {
        assert!(check_name("name", "just-booted_1.2").is_ok());
        for name in ["a/b", "a b", "ä", &"x".repeat(65)] {
            assert_eq!(check_name("name", name).unwrap_err().code, Code::INVALID_ARGUMENT, "{name}");
        }
    }
}
