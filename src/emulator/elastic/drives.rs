//! Drives as objects: list, info, create, set, destroy, image.

use super::keys::{is_user_key, one_of, uuids};
use super::{Shared, blocking};
use crate::emulator::account::Account;
use crate::emulator::answer::{Answer, Refusal, Reply, Wrong};
use crate::emulator::call::Call;
use crate::emulator::clock::now;
use crate::emulator::drives::{Conversion, Drive, Holds, Offer, Record, Source, Traffic};
use crate::provider::Provider;
use crate::wire::elastic::{Properties, parse_size};
use std::sync::Arc;

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
        let (drives, account) = (shared.drives.all()?, shared.account.read()?);
        Ok(Reply::Objects(drives.iter().map(|drive| describe(&shared, &account, drive)).collect()))
    })
    .await
}

/// `GET drives/DRIVE/info`
pub(in crate::emulator) async fn info(shared: Arc<Shared>, call: Call) -> Answer {
    blocking(move || {
        Ok(Reply::Object(match shared.drives.find(call.argument(0))? {
            Source::Own(drive) => describe(&shared, &*shared.account.read()?, &drive),
            Source::Standard(offer, contents) => describe_offer(offer, contents.size()),
        }))
    })
    .await
}

/// `POST drives/create`
pub(in crate::emulator) async fn create(shared: Arc<Shared>, call: Call) -> Answer {
    let input = call.properties().await?;
    let wanted = Wanted::read(shared.provider, &input, &["name", "size"])?;
    let active = shared.activity.begin();
    blocking(move || {
        let _active = active;
        shared.account.read()?.ledger.must_be_solvent()?;
        let drive = make(&shared, wanted, 0)?;
        Ok(Reply::Object(describe(&shared, &*shared.account.read()?, &drive)))
    })
    .await
}

/// Makes a drive; of the given size unless it says another.
pub(in crate::emulator) fn make(shared: &Shared, wanted: Wanted, size: u64) -> Result<Arc<Drive>, Refusal> {
    let name = wanted.name.unwrap_or_default();
    shared.drives.create(Record {
        drive: uuid::Uuid::new_v4().to_string(),
        noise: shared.dealer.noise(&name),
        name,
        size: wanted.size.unwrap_or(size),
        created: now(),
        keys: wanted.keys.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        traffic: Traffic::default(),
    })
}

/// `POST drives/DRIVE/set`: only what is given changes; an empty value takes an optional key away.
pub(in crate::emulator) async fn set(shared: Arc<Shared>, call: Call) -> Answer {
    let uuid = call.argument(0).to_owned();
    let input = call.properties().await?;
    let wanted = Wanted::read(shared.provider, &input, &[])?;
    blocking(move || {
        if wanted.size.is_some() {
            shared.unclaimed(&uuid)?;
        }
        let drive = shared.drives.change(&uuid, |record| {
            record.name = wanted.name.unwrap_or_else(|| record.name.clone());
            record.size = wanted.size.unwrap_or(record.size);
            for (key, value) in wanted.keys {
                record.keys.retain(|(old, _)| *old != key);
                if !value.is_empty() {
                    record.keys.push((key, value));
                }
            }
            Ok(())
        })?;
        Ok(Reply::Object(describe(&shared, &*shared.account.read()?, &drive)))
    })
    .await
}

/// `POST drives/DRIVE/destroy`
pub(in crate::emulator) async fn destroy(shared: Arc<Shared>, call: Call) -> Answer {
    blocking(move || {
        let uuid = call.argument(0);
        shared.drives.get(uuid)?;
        shared.unclaimed(uuid).map_err(|busy| match shared.provider {
            // "BadRequest if drive is mounted" (CloudSigma API 1.0, "Drive Destroy").
            Provider::CloudSigma => Refusal::usage(busy.message()),
            _ => busy,
        })?;
        shared.drives.destroy(uuid).map(|()| Reply::Done)
    })
    .await
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
        shared.unclaimed(call.argument(0))?;
        let source = shared.drives.find(call.argument(1))?;
        if let Source::Standard(offer, _) = source
            && let (Holds::Packed(unpacked), Conversion::Gunzip) = (offer.holds, conversion)
            && unpacked > target.record().size
        {
            return Err(Refusal::full(format!("The drive is smaller than the image's {unpacked} bytes")));
        }
        shared.drives.image(&target, source.job(conversion)?)?;
        Ok(Reply::Done)
    })
    .await
}

/// Drive info (Open Hosting API, "Get Single Drive Info"; CloudSigma API 1.0, "Drive info"). The family spells the
/// defaults out, as they matter to whoever reads the drive.
pub(in crate::emulator) fn describe(shared: &Shared, account: &Account, drive: &Drive) -> Properties {
    let record = drive.record();
    let traffic = drive.traffic();
    let mut info = Properties::new()
        .with("drive", &*record.drive)
        .with("name", record.name)
        .with("size", record.size.to_string())
        .with("status", "active")
        .with("user", &*shared.user)
        .with("read:bytes", traffic.read_bytes.to_string())
        .with("read:requests", traffic.read_requests.to_string())
        .with("write:bytes", traffic.write_bytes.to_string())
        .with("write:requests", traffic.write_requests.to_string());
    if shared.provider == Provider::CloudSigma {
        info.set("type", "disk");
    } else {
        info.set("claim:type", "exclusive");
        info.set("encryption:cipher", "aes-xts-plain");
    }
    for (key, value) in record.keys {
        info.set(key, value);
    }
    let claims: Vec<String> = account
        .claims(&record.drive)
        .into_iter()
        .map(|(server, device)| match shared.provider {
            Provider::CloudSigma => format!("{}:guest:{}:{device}", shared.user, server.uuid),
            _ => server.uuid.clone(),
        })
        .collect();
    if !claims.is_empty() {
        info.set("claimed", claims.join(" "));
    }
    if let Some(imaging) = drive.imaging() {
        info.set("imaging", imaging);
    }
    info
}

/// Info of a drive that belongs to the provider, for all to read.
pub(in crate::emulator) fn describe_offer(offer: Offer, size: u64) -> Properties {
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

/// What a drive is to be like.
pub(in crate::emulator) struct Wanted {
    pub(in crate::emulator) name: Option<String>,
    pub(in crate::emulator) size: Option<u64>,
    keys: Vec<(String, String)>,
}

impl Wanted {
    /// Reads and checks what was sent. Keys that are not known are kept out, but do no harm: newer clients send some.
    pub(in crate::emulator) fn read(
        provider: Provider,
        sent: &Properties,
        required: &[&str],
    ) -> Result<Wanted, Refusal> {
        let creating = required.contains(&"name");
        let mut wanted = Wanted { name: None, size: None, keys: Vec::new() };
        let mut wrong: Vec<Wrong> =
            required.iter().filter(|key| !sent.contains(key)).map(|key| Wrong::required(key)).collect();
        for (key, value) in sent.iter() {
            let checked = match key {
                "name" if value.is_empty() => Err("This field is required.".to_owned()),
                "name" => {
                    wanted.name = Some(value.to_owned());
                    continue;
                }
                "size" => match parse_size(value) {
                    Some(0) => Err("A drive cannot be of size 0.".to_owned()),
                    Some(size) if i64::try_from(size).is_err() => Err("No drive can be so large.".to_owned()),
                    Some(size) => {
                        wanted.size = Some(size);
                        continue;
                    }
                    None => Err(format!("{value:?} is not a number of bytes.")),
                },
                "claim:type" => one_of(value, &["exclusive", "shared"]),
                "encryption:cipher" if creating => one_of(value, &["none", "aes-xts-plain"]),
                "readers" => uuids(value),
                // Where a drive is placed says nothing afterwards: checked, then forgotten.
                "avoid" if creating && uuids(value).is_ok() => continue,
                "avoid" if creating => uuids(value),
                "tags" => Ok(()),
                _ if is_user_key(key) && provider != Provider::CloudSigma => Ok(()),
                _ => continue,
            };
            match checked {
                Ok(()) => wanted.keys.push((key.to_owned(), value.to_owned())),
                Err(message) => wrong.push(Wrong::new(key, message)),
            }
        }
        if wrong.is_empty() { Ok(wanted) } else { Err(Refusal::wrong(sent, &wrong)) }
    }
}
