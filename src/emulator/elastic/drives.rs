//! Drives as objects: list, info, create, set, destroy, image.

use super::{Shared, blocking};
use crate::emulator::answer::{Answer, Refusal, Reply};
use crate::emulator::call::Call;
use crate::emulator::drives::{Conversion, Drive, Job, Record, is_uuid};
use crate::wire::elastic::{Properties, parse_size};
use std::sync::Arc;
use std::time::SystemTime;

/// `GET drives/list`
pub(in crate::emulator) async fn list(shared: Arc<Shared>, _call: Call) -> Answer {
    blocking(move || {
        let drives = shared.drives.all()?;
        let row = |drive: &Arc<Drive>| Properties::new().with("drive", drive.record().drive);
        Ok(Reply::Rows(drives.iter().map(row).collect()))
    })
    .await
}

/// `GET drives/info`
pub(in crate::emulator) async fn info_all(shared: Arc<Shared>, _call: Call) -> Answer {
    blocking(move || {
        let drives = shared.drives.all()?;
        Ok(Reply::Objects(drives.iter().map(|drive| describe(&shared, drive)).collect()))
    })
    .await
}

/// `GET drives/DRIVE/info`
pub(in crate::emulator) async fn info(shared: Arc<Shared>, call: Call) -> Answer {
    blocking(move || {
        let drive = shared.drives.get(call.argument(0))?;
        Ok(Reply::Object(describe(&shared, &drive)))
    })
    .await
}

/// `POST drives/create`
pub(in crate::emulator) async fn create(shared: Arc<Shared>, call: Call) -> Answer {
    let input = call.properties().await?;
    let name = input.get("name").filter(|name| !name.is_empty());
    let name =
        name.ok_or_else(|| Refusal::usage("A drive needs a name: the key name is missing"))?.to_owned();
    let size =
        size(&input)?.ok_or_else(|| Refusal::usage("A drive needs a size: the key size is missing"))?;
    let keys = settings(&input, true)?;
    blocking(move || {
        let record = Record {
            drive: uuid::Uuid::new_v4().to_string(),
            name,
            size,
            created: now(),
            noise: shared.dealer.noise(),
            keys: keys.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
            traffic: crate::emulator::drives::Traffic::default(),
        };
        let drive = shared.drives.create(record)?;
        Ok(Reply::Object(describe(&shared, &drive)))
    })
    .await
}

/// `POST drives/DRIVE/set`: only what is given changes; an empty value takes an optional key away.
pub(in crate::emulator) async fn set(shared: Arc<Shared>, call: Call) -> Answer {
    let uuid = call.argument(0).to_owned();
    let input = call.properties().await?;
    let (size, keys) = (size(&input)?, settings(&input, false)?);
    if input.get("name") == Some("") {
        return Err(Refusal::usage("A drive needs a name: the key name is empty"));
    }
    blocking(move || {
        let drive = shared.drives.change(&uuid, |record| {
            if let Some(name) = input.get("name") {
                name.clone_into(&mut record.name);
            }
            record.size = size.unwrap_or(record.size);
            for (key, value) in keys {
                record.keys.retain(|(old, _)| *old != key);
                if !value.is_empty() {
                    record.keys.push((key, value));
                }
            }
            Ok(())
        })?;
        Ok(Reply::Object(describe(&shared, &drive)))
    })
    .await
}

/// `POST drives/DRIVE/destroy`
pub(in crate::emulator) async fn destroy(shared: Arc<Shared>, call: Call) -> Answer {
    blocking(move || shared.drives.destroy(call.argument(0)).map(|()| Reply::Done)).await
}

/// `POST drives/DRIVE/image/SOURCE[/CONVERSION]`: DRIVE is filled from SOURCE.
pub(in crate::emulator) async fn image(shared: Arc<Shared>, call: Call) -> Answer {
    let conversion = match call.argument(2) {
        "" => Conversion::None,
        "gzip" => Conversion::Gzip,
        "gunzip" => Conversion::Gunzip,
        other => {
            return Err(Refusal::usage(format!("{other:?} is no conversion; there are gzip and gunzip")));
        }
    };
    blocking(move || {
        let target = shared.drives.get(call.argument(0))?;
        let source = shared.drives.get(call.argument(1))?;
        shared.drives.image(&target, Job { source: source.open()?, drive: Some(source), conversion })?;
        Ok(Reply::Done)
    })
    .await
}

/// Drive info (Open Hosting API, "Get Single Drive Info"). The defaults are spelled out, as they matter to whoever
/// reads the drive.
fn describe(shared: &Shared, drive: &Drive) -> Properties {
    let record = drive.record();
    let traffic = drive.traffic();
    let mut info = Properties::new()
        .with("drive", record.drive)
        .with("name", record.name)
        .with("size", record.size.to_string())
        .with("status", "active")
        .with("user", &*shared.user)
        .with("claim:type", "exclusive")
        .with("encryption:cipher", "aes-xts-plain")
        .with("read:bytes", traffic.read_bytes.to_string())
        .with("read:requests", traffic.read_requests.to_string())
        .with("write:bytes", traffic.write_bytes.to_string())
        .with("write:requests", traffic.write_requests.to_string());
    for (key, value) in record.keys {
        info.set(key, value);
    }
    if let Some(imaging) = drive.imaging() {
        info.set("imaging", imaging);
    }
    info
}

/// The size that is given, if one is.
fn size(input: &Properties) -> Result<Option<u64>, Refusal> {
    let Some(text) = input.get("size") else { return Ok(None) };
    match parse_size(text) {
        Some(0) => Err(Refusal::usage("A drive cannot be of size 0")),
        Some(size) => Ok(Some(size)),
        None => Err(Refusal::usage(format!("The size {text:?} is not a number of bytes"))),
    }
}

/// The optional settings, each checked. Keys that are not known are kept out, but do no harm: newer clients send some.
fn settings(input: &Properties, creating: bool) -> Result<Vec<(String, String)>, Refusal> {
    let mut settings = Vec::new();
    for (key, value) in input.iter() {
        match key {
            "claim:type" => one_of(key, value, &["exclusive", "shared"])?,
            "encryption:cipher" if creating => one_of(key, value, &["none", "aes-xts-plain"])?,
            "readers" => uuids(key, value)?,
            // Where the drive is placed says nothing afterwards: checked, then forgotten.
            "avoid" if creating => {
                uuids(key, value)?;
                continue;
            }
            "tags" => {}
            _ if is_user_key(key) => {}
            _ => continue,
        }
        settings.push((key.to_owned(), value.to_owned()));
    }
    Ok(settings)
}

/// Whether a key is one of the user's own. A space or a newline in it could not be printed as text.
pub(super) fn is_user_key(key: &str) -> bool {
    key.strip_prefix("user:").is_some_and(|own| !own.is_empty() && !own.contains(char::is_whitespace))
}

pub(super) fn one_of(key: &str, value: &str, allowed: &[&str]) -> Result<(), Refusal> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(Refusal::usage(format!("The value {value:?} of {key} is not one of {}", allowed.join(", "))))
}

fn uuids(key: &str, value: &str) -> Result<(), Refusal> {
    match value.split_whitespace().find(|word| !is_uuid(word)) {
        Some(word) => Err(Refusal::usage(format!("{word:?} in {key} is not a UUID"))),
        None => Ok(()),
    }
}

/// Microseconds since the epoch.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
