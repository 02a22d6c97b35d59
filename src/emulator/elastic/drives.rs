//! Drives as objects: list, info, create, set, destroy, image.

use super::keys::{is_user_key, one_of, uuids};
use super::{Command, Shared};
use crate::emulator::Dialect;
use crate::emulator::account::Account;
use crate::emulator::answer::{Answer, Refusal, Reply, Wrong};
use crate::emulator::clock::now;
use crate::emulator::drives::{Conversion, Drive, Holds, Offer, Record, Source, Traffic};
use crate::emulator::properties::{Properties, parse_size};
use std::sync::Arc;

/// `GET drives/list`
pub(crate) fn list(command: &Command) -> Answer {
    let row = |drive: &Arc<Drive>| Properties::new().with("drive", drive.record().drive);
    Ok(Reply::Rows(command.shared.drives.all()?.iter().map(row).collect()))
}

/// `GET drives/info`
pub(crate) fn info_all(command: &Command) -> Answer {
    let account = command.account()?;
    let describe = |drive: &Arc<Drive>| describe(&command.shared, &account, drive);
    Ok(Reply::Objects(command.shared.drives.all()?.iter().map(describe).collect()))
}

/// `GET drives/DRIVE/info`
pub(crate) fn info(command: &Command) -> Answer {
    Ok(Reply::Object(match command.shared.drives.find(command.argument(0))? {
        Source::Own(drive) => describe(&command.shared, &*command.account()?, &drive),
        Source::Standard(offer, contents) => describe_offer(offer, contents.size()),
    }))
}

/// `POST drives/create`
pub(crate) fn create(command: &Command) -> Answer {
    let wanted = Wanted::read(command.shared.provider, &command.sent, &["name", "size"])?;
    command.account()?.ledger.must_be_solvent()?;
    let drive = make(&command.shared, wanted, 0)?;
    Ok(Reply::Object(describe(&command.shared, &*command.account()?, &drive)))
}

/// Creates a drive, of the given size unless `wanted` has one.
pub(crate) fn make(shared: &Shared, wanted: Wanted, size: u64) -> Result<Arc<Drive>, Refusal> {
    let given = wanted.keys.iter().filter(|(_, value)| !value.is_empty());
    let name = wanted.name.unwrap_or_default();
    shared.drives.create(Record {
        drive: uuid::Uuid::new_v4().to_string(),
        noise: shared.dealer.noise(&name),
        name,
        size: wanted.size.unwrap_or(size),
        created: now(),
        keys: given.collect(),
        traffic: Traffic::default(),
    })
}

/// `POST drives/DRIVE/set` changes only what is given. An empty value removes an optional key.
pub(crate) fn set(command: &Command) -> Answer {
    let (shared, uuid) = (&command.shared, command.argument(0));
    let wanted = Wanted::read(shared.provider, &command.sent, &[])?;
    if wanted.size.is_some() {
        shared.unclaimed(uuid)?;
    }
    let drive = shared.drives.change(uuid, |record| {
        record.name = wanted.name.unwrap_or_else(|| record.name.clone());
        record.size = wanted.size.unwrap_or(record.size);
        for (key, value) in wanted.keys.iter() {
            record.keys.set_or_remove(key, value);
        }
        Ok(())
    })?;
    Ok(Reply::Object(describe(shared, &*command.account()?, &drive)))
}

/// `POST drives/DRIVE/destroy`. `CloudSigma` answers 400 if the drive is mounted (CloudSigma API 1.0, 7.5).
pub(crate) fn destroy(command: &Command) -> Answer {
    let (shared, uuid) = (&command.shared, command.argument(0));
    shared.drives.get(uuid)?;
    shared.unclaimed(uuid).map_err(|busy| match shared.provider {
        Dialect::CloudSigma => Refusal::wrong_drive(&command.sent, busy.message()),
        _ => busy,
    })?;
    shared.drives.destroy(uuid).map(|()| Reply::Done)
}

/// `POST drives/DRIVE/image/SOURCE[/CONVERSION]` fills DRIVE from SOURCE.
pub(crate) fn image(command: &Command) -> Answer {
    let (shared, target) = (&command.shared, command.argument(0));
    let conversion = match command.argument(2) {
        "" => Conversion::None,
        "gzip" => Conversion::Gzip,
        "gunzip" => Conversion::Gunzip,
        other => {
            return Err(Refusal::usage(format!("{other:?} is not a conversion; expected gzip or gunzip")));
        }
    };
    let drive = shared.drives.get(target)?;
    shared.unclaimed(target)?;
    let source = shared.drives.find(command.argument(1))?;
    if let Source::Standard(offer, _) = source
        && let (Holds::Packed(unpacked), Conversion::Gunzip) = (offer.holds, conversion)
        && unpacked > drive.record().size
    {
        return Err(Refusal::full(format!("The drive is smaller than the image's {unpacked} bytes")));
    }
    shared.drives.image(&drive, source.job(conversion)?)?;
    Ok(Reply::Done)
}

/// Returns a drive's info (Open Hosting API, "Get Single Drive Info"; CloudSigma API 1.0, 7.6). The family
/// states the defaults, since they matter to readers of the drive.
pub(crate) fn describe(shared: &Shared, account: &Account, drive: &Drive) -> Properties {
    let (record, traffic) = (drive.record(), drive.traffic());
    let mut info = Properties::new()
        .with("status", "active")
        .with("user", &*shared.user)
        .with("size", record.size.to_string())
        .with("name", record.name)
        .with("drive", &*record.drive)
        .with("read:bytes", traffic.read_bytes.to_string())
        .with("read:requests", traffic.read_requests.to_string())
        .with("write:bytes", traffic.write_bytes.to_string())
        .with("write:requests", traffic.write_requests.to_string());
    if shared.provider == Dialect::CloudSigma {
        info.set("type", "disk");
    } else {
        info.set("claim:type", "exclusive");
        info.set("encryption:cipher", "aes-xts-plain");
    }
    for (key, value) in record.keys.iter() {
        info.set(key, value);
    }
    let claim = |(server, device): (&crate::emulator::account::Server, &str)| match shared.provider {
        Dialect::CloudSigma => format!("{}:guest:{}:{device}", shared.user, server.uuid),
        _ => server.uuid.clone(),
    };
    let claims: Vec<String> = account.claims(&record.drive).into_iter().map(claim).collect();
    info.set_or_remove("claimed", &claims.join(" "));
    info.set_or_remove("imaging", &drive.imaging().unwrap_or_default());
    info
}

/// Returns the info of a drive that belongs to the provider, which everybody may read.
pub(crate) fn describe_offer(offer: Offer, size: u64) -> Properties {
    Properties::new()
        .with("drive", offer.uuid)
        .with("name", offer.name)
        .with("size", size.to_string())
        .with("status", "active")
        .with("type", if offer.holds == Holds::Cd { "cdrom" } else { "disk" })
        .with("claim:type", "shared")
        .with("readers", "ffffffff-ffff-ffff-ffff-ffffffffffff")
        .with("encryption:cipher", "none")
}

/// The requested properties of a drive.
pub(crate) struct Wanted {
    name: Option<String>,
    pub(crate) size: Option<u64>,
    keys: Properties,
}

impl Wanted {
    /// Reads and checks what was sent. Unknown keys are ignored, since newer clients send some.
    pub(crate) fn read(provider: Dialect, sent: &Properties, required: &[&str]) -> Result<Wanted, Refusal> {
        let creating = required.contains(&"name");
        let mut wanted = Wanted { name: None, size: None, keys: Properties::new() };
        let absent = required.iter().filter(|key| !sent.contains(key));
        let mut wrong: Vec<Wrong> = absent.map(|key| Wrong::required(key)).collect();
        for (key, value) in sent.iter() {
            let checked = match key {
                "name" if value.is_empty() => Err("This field is required.".to_owned()),
                "name" => {
                    wanted.name = Some(value.to_owned());
                    continue;
                }
                "size" => {
                    wanted.size = parse_size(value).filter(|size| *size > 0 && i64::try_from(*size).is_ok());
                    if wanted.size.is_some() {
                        continue;
                    }
                    Err(format!("{value:?} is not a number of bytes that a drive can have."))
                }
                "claim:type" => one_of(value, &["exclusive", "shared"]),
                "encryption:cipher" if creating => one_of(value, &["none", "aes-xts-plain"]),
                "readers" => uuids(value),
                // Placement has no lasting effect: the value is checked, then dropped.
                "avoid" if creating && uuids(value).is_ok() => continue,
                "avoid" if creating => uuids(value),
                "tags" => Ok(()),
                _ if is_user_key(key) && provider != Dialect::CloudSigma => Ok(()),
                _ => continue,
            };
            match checked {
                Ok(()) => wanted.keys.set(key, value),
                Err(message) => wrong.push(Wrong::new(key, message)),
            }
        }
        if wrong.is_empty() { Ok(wanted) } else { Err(Refusal::wrong(sent, &wrong)) }
    }
}
