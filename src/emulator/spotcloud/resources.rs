//! Instances, appliances, providers and hardware (SpotCloud Buyer API 1.2, 2 to 5).

use super::Site;
use super::market::{HARDWARE, Hardware, SELLERS, Seller};
use super::reply::Refusal;
use super::state::{Account, Instance};
use crate::emulator::clock::{Date, SECOND, now};
use serde_json::{Value, json};

/// How long an instance is pending.
const PENDING: u64 = SECOND;

type Answer = Result<Value, Refusal>;

/// What a list is asked for, by name.
pub(super) type OpenContext<'a> = &'a dyn Fn(&str) -> Option<String>;

pub(super) fn instances(site: &Site, root: &str, asked: OpenContext<'_>) -> Answer {
    let account = site.accounts.read()?;
    let fits = |instance: &&Instance| {
        asked("state").is_none_or(|state| state == state_of(instance))
            && asked("appliance").is_none_or(|key| key == instance.appliance)
            && asked("provider").is_none_or(|key| seller_of(instance).is_some_and(|s| s.key == key))
    };
    Ok(account.instances.iter().filter(fits).map(|instance| describe(instance, root)).collect())
}

pub(super) fn instance(site: &Site, root: &str, key: &str) -> Answer {
    let account = site.accounts.read()?;
    Ok(describe(find(&account, key)?, root))
}

pub(super) fn create_instance(site: &Site, root: &str, asked: OpenContext<'_>) -> Answer {
    let wanted = |name: &str| {
        asked(name)
            .filter(|key| !key.is_empty())
            .ok_or_else(|| Refusal::new(400, format!("{name} is missing")))
    };
    let (appliance, hardware, provider) = (wanted("appliance")?, wanted("hardware")?, wanted("provider")?);
    let seller = Seller::find(&provider).ok_or_else(|| Refusal::new(400, "There is no such provider"))?;
    let offer = Hardware::find(&hardware)
        .filter(|hardware| hardware.seller == seller.key)
        .ok_or_else(|| Refusal::new(400, "The provider has no such hardware"))?;
    site.accounts.change(|account| {
        if site.appliance(account, &appliance).is_none() {
            return Err(Refusal::new(401, "This appliance is not yours"));
        }
        let spent: u64 =
            account.instances.iter().filter_map(|i| Hardware::find(&i.hardware)).map(|h| h.cost).sum();
        let left = site.balance.map(|balance| balance.saturating_sub(spent));
        if left.is_some_and(|left| left < offer.cost) {
            return Err(Refusal::new(401, "The funds do not suffice"));
        }
        account.made += 1;
        let instance = Instance {
            key: format!("i-{}", uuid::Uuid::new_v4().simple()),
            id: format!("instance-{}", account.made),
            appliance,
            hardware,
            created: now(),
            address: format!(
                "10.{}.{}.{}",
                account.made >> 16 & 255,
                account.made >> 8 & 255,
                account.made & 255
            ),
        };
        let described = describe(&instance, root);
        account.instances.push(instance);
        Ok(described)
    })
}

pub(super) fn delete_instance(site: &Site, key: &str) -> Result<(), Refusal> {
    site.accounts.change(|account| {
        let key = find(account, key)?.key.clone();
        account.instances.retain(|instance| instance.key != key);
        Ok(())
    })
}

fn find<'a>(account: &'a Account, key: &str) -> Result<&'a Instance, Refusal> {
    account.instances.iter().find(|instance| instance.key == key).ok_or_else(|| Refusal::missing("instance"))
}

fn state_of(instance: &Instance) -> &'static str {
    if now() < instance.created + PENDING { "pending" } else { "running" }
}

fn seller_of(instance: &Instance) -> Option<&'static Seller> {
    Hardware::find(&instance.hardware).and_then(|hardware| Seller::find(hardware.seller))
}

fn describe(instance: &Instance, root: &str) -> Value {
    let hardware = Hardware::find(&instance.hardware).map(|h| Value::Object(h.fields(root)));
    let hardware = hardware.unwrap_or(Value::Null);
    let (state, hours) = (state_of(instance), hardware["max_hours"].to_string());
    let hours: u64 = hours.trim_matches('"').parse().unwrap_or(0);
    let ends = instance.created + hours * 3600 * SECOND;
    // It has no deadline until it runs (2.2), and no address either.
    let running = state == "running";
    let provider = seller_of(instance).map(|seller| seller.key);
    let uri = |what: &str, key: &str| format!("{root}/api/v1/buyer/{what}/{key}.json");
    json!({
        "id": instance.id, "key": instance.key, "ip": running.then_some(&instance.address),
        "uri": uri("instance", &instance.key), "state": state,
        "deadline": running.then(|| Date::of(ends).to_the_second()),
        "cpu": hardware["cpu"], "memory": hardware["memory"], "cost": hardware["cost"],
        "provider_key": provider, "appliance_key": instance.appliance, "hardware_key": instance.hardware,
        "provider_uri": provider.map(|key| uri("provider", key)),
        "appliance_uri": uri("appliance", &instance.appliance), "hardware_uri": uri("hardware", &instance.hardware),
    })
}

/// The user's own appliances, or with `public` those of everybody.
pub(super) fn appliances(site: &Site, root: &str, public: bool) -> Answer {
    let account = site.accounts.read()?;
    let there = site.appliances.iter().filter(|appliance| appliance.public == public);
    let there = there.filter_map(|appliance| site.appliance(&account, &appliance.key));
    Ok(there.map(|appliance| appliance.fields(&account, root)).collect())
}

pub(super) fn appliance(site: &Site, root: &str, key: &str) -> Answer {
    let account = site.accounts.read()?;
    let appliance = site.appliance(&account, key).ok_or_else(|| Refusal::missing("appliance"))?;
    Ok(appliance.fields(&account, root))
}

pub(super) fn rename(site: &Site, root: &str, key: &str, asked: OpenContext<'_>) -> Answer {
    let name = asked("name").filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Refusal::new(400, "name is missing"))?;
    site.accounts.change(|account| {
        let appliance = site.own(account, key)?;
        account.names.retain(|(known, _)| known != key);
        account.names.push((key.to_owned(), name));
        Ok(appliance.fields(account, root))
    })
}

pub(super) fn delete_appliance(site: &Site, key: &str) -> Result<(), Refusal> {
    site.accounts.change(|account| {
        site.own(account, key)?;
        if account.instances.iter().any(|instance| instance.appliance == key) {
            return Err(Refusal::new(401, "This appliance is in use and cannot be deleted"));
        }
        account.deleted.push(key.to_owned());
        Ok(())
    })
}

pub(super) fn providers(root: &str, asked: OpenContext<'_>) -> Value {
    SELLERS
        .iter()
        .filter(|seller| seller.fits(asked))
        .map(|seller| Value::Object(seller.fields(root)))
        .collect()
}

pub(super) fn provider(root: &str, key: &str) -> Answer {
    let seller = Seller::find(key).ok_or_else(|| Refusal::missing("provider"))?;
    Ok(Value::Object(seller.details(root)))
}

pub(super) fn hardware_list(root: &str, asked: OpenContext<'_>) -> Value {
    HARDWARE.iter().filter(|offer| offer.fits(asked)).map(|offer| Value::Object(offer.fields(root))).collect()
}

pub(super) fn hardware(root: &str, key: &str) -> Answer {
    let offer = Hardware::find(key).ok_or_else(|| Refusal::missing("hardware"))?;
    Ok(Value::Object(offer.fields(root)))
}

impl super::Appliance {
    /// What is said of it. Every other size comes as text, since the manual shows neither.
    fn fields(&self, account: &Account, root: &str) -> Value {
        let given = account.names.iter().find(|(key, _)| *key == self.key).map(|(_, name)| name.clone());
        let own =
            || self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let size = std::fs::metadata(&self.path).map(|metadata| metadata.len()).ok();
        let text = self.key.len() % 2 == 1;
        json!({
            "key": self.key, "name": given.unwrap_or_else(own),
            "size": if text { json!(size.map(|size| size.to_string())) } else { json!(size) },
            "uri": format!("{root}/api/v1/buyer/appliance/{}.json", self.key),
            "download_uri": format!("{root}/api/v1/download/appliance/{}", self.key),
            "logo_uri": null, "logo_key": null,
        })
    }
}
