//! Instances, appliances, providers and hardware (SpotCloud Buyer API 1.2, 2 to 5).

use super::market::{Seller, dollars, offer, offers};
use super::reply::{Node, Refusal};
use super::state::{Account, Instance};
use super::{FOREIGN, Request, Site};
use crate::emulator::clock::{SECOND, now};
use crate::emulator::date::{TO_THE_SECOND, print};

/// How long an instance is pending.
const PENDING: u64 = SECOND;

type Answer = Result<Node, Refusal>;

pub(super) fn instances(site: &Site, request: &Request) -> Answer {
    let account = site.accounts.read()?;
    let is = |name: &str, ours: &str| request.input.text(name).is_none_or(|asked| asked == ours);
    let fits = |instance: &&Instance| {
        is("state", state_of(instance))
            && is("appliance", &instance.appliance)
            && is("provider", offer(&instance.hardware).map_or("", |(seller, _)| &seller.key))
    };
    Ok(Node::List(account.instances.iter().filter(fits).map(|one| describe(one, request)).collect()))
}

pub(super) fn instance(site: &Site, request: &Request, key: &str) -> Answer {
    let account = site.accounts.read()?;
    Ok(describe(&account.instances[find(&account, key)?], request))
}

pub(super) fn create_instance(site: &Site, request: &Request) -> Answer {
    let wanted =
        |name: &str| request.input.text(name).ok_or_else(|| Refusal::new(400, format!("{name} is missing")));
    let (appliance, hardware, provider) = (wanted("appliance")?, wanted("hardware")?, wanted("provider")?);
    let seller = Seller::find(&provider).map_err(|_| Refusal::new(400, "There is no such provider"))?;
    let (_, profile) = offer(&hardware)
        .filter(|(owner, _)| owner.key == seller.key)
        .ok_or_else(|| Refusal::new(400, "The provider has no such hardware"))?;
    site.accounts.change(|account, now| {
        // Another client's appliance is refused whether or not it exists (2.3.4).
        site.appliance(account, &appliance).map_err(|_| Refusal::not_yours("appliance"))?;
        let costs = account.instances.iter().filter_map(|one| offer(&one.hardware));
        let spent: u64 = costs.map(|(_, hardware)| hardware.hundredths).sum();
        if site.balance.is_some_and(|balance| balance.saturating_sub(spent) < profile.hundredths) {
            return Err(Refusal::new(401, "The funds do not suffice"));
        }
        account.made += 1;
        let [.., a, b, c] = account.made.to_be_bytes();
        let instance = Instance {
            key: format!("i-{}", uuid::Uuid::new_v4().simple()),
            id: format!("instance-{}", account.made),
            appliance,
            hardware,
            created: now,
            deadline: now + profile.max_hours * 3600 * SECOND,
            address: format!("10.{a}.{b}.{c}"),
        };
        let described = describe(&instance, request);
        account.instances.push(instance);
        Ok(described)
    })
}

pub(super) fn delete_instance(site: &Site, key: &str) -> Result<(), Refusal> {
    site.accounts.change(|account, _| {
        account.instances.remove(find(account, key)?);
        Ok(())
    })
}

fn find(account: &Account, key: &str) -> Result<usize, Refusal> {
    let at = account.instances.iter().position(|instance| instance.key == key);
    at.ok_or_else(
        || if key == FOREIGN { Refusal::not_yours("instance") } else { Refusal::missing("instance") },
    )
}

fn state_of(instance: &Instance) -> &'static str {
    if now() < instance.created + PENDING { "pending" } else { "running" }
}

fn describe(instance: &Instance, request: &Request) -> Node {
    let state = state_of(instance);
    // Before it runs it has neither a deadline (2.2) nor an address.
    let running = |text: &dyn Fn() -> String| if state == "running" { text().into() } else { Node::Null };
    let mut fields = vec![
        ("id", instance.id.as_str().into()),
        ("key", instance.key.as_str().into()),
        ("ip", running(&|| instance.address.clone())),
        ("uri", request.uri("instance", &instance.key)),
        ("state", state.into()),
        ("deadline", running(&|| print(instance.deadline, TO_THE_SECOND))),
    ];
    if let Some((seller, hardware)) = offer(&instance.hardware) {
        fields.extend([
            ("cpu", hardware.cpu(seller)),
            ("memory", hardware.memory(seller)),
            ("cost", dollars(hardware.hundredths).into()),
            ("provider_key", seller.key.as_str().into()),
            ("appliance_key", instance.appliance.as_str().into()),
            ("hardware_key", hardware.key.as_str().into()),
            ("provider_uri", request.uri("provider", &seller.key)),
            ("appliance_uri", request.uri("appliance", &instance.appliance)),
            ("hardware_uri", request.uri("hardware", &hardware.key)),
        ]);
    }
    Node::Object(fields)
}

/// Lists the user's own appliances, or the public ones.
pub(super) fn appliances(site: &Site, request: &Request, public: bool) -> Answer {
    let account = site.accounts.read()?;
    let there = site.appliances.iter().filter(|appliance| appliance.public == public);
    let there = there.filter_map(|appliance| site.appliance(&account, &appliance.key).ok());
    Ok(Node::List(there.map(|appliance| appliance.describe(&account, request)).collect()))
}

pub(super) fn appliance(site: &Site, request: &Request, key: &str) -> Answer {
    let account = site.accounts.read()?;
    Ok(site.appliance(&account, key)?.describe(&account, request))
}

pub(super) fn rename(site: &Site, request: &Request, key: &str) -> Answer {
    let name = request.input.text("name").ok_or_else(|| Refusal::new(400, "name is missing"))?;
    site.accounts.change(|account, _| {
        let appliance = site.own(account, key)?;
        account.names.retain(|(known, _)| known != key);
        account.names.push((key.to_owned(), name));
        Ok(appliance.describe(account, request))
    })
}

pub(super) fn delete_appliance(site: &Site, key: &str) -> Result<(), Refusal> {
    site.accounts.change(|account, _| {
        site.own(account, key)?;
        if account.instances.iter().any(|instance| instance.appliance == key) {
            return Err(Refusal::new(401, "This appliance is in use and cannot be deleted"));
        }
        account.deleted.push(key.to_owned());
        Ok(())
    })
}

pub(super) fn providers(request: &Request) -> Node {
    let fitting = Seller::all().iter().filter(|seller| seller.fits(request));
    Node::List(fitting.map(|seller| Node::Object(seller.fields(request))).collect())
}

pub(super) fn provider(request: &Request, key: &str) -> Answer {
    if key == FOREIGN {
        return Err(Refusal::not_yours("provider"));
    }
    Ok(Node::Object(Seller::find(key)?.details(request)))
}

pub(super) fn hardware_list(request: &Request) -> Node {
    let fitting = offers().filter(|(seller, hardware)| hardware.fits(seller, request));
    Node::List(fitting.map(|(seller, hardware)| hardware.fields(seller, request)).collect())
}

pub(super) fn hardware(request: &Request, key: &str) -> Answer {
    let (seller, hardware) = offer(key).ok_or_else(|| Refusal::missing("hardware"))?;
    Ok(hardware.fields(seller, request))
}

impl super::Appliance {
    /// Every other size is sent as text, since the manual shows neither form.
    fn describe(&self, account: &Account, request: &Request) -> Node {
        let given = account.names.iter().find(|(key, _)| *key == self.key).map(|(_, name)| name.clone());
        let own =
            || self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let size = std::fs::metadata(&self.path).map(|metadata| metadata.len()).ok();
        let number = if self.key.len() % 2 == 1 { |n: u64| n.to_string().into() } else { Node::Number };
        Node::Object(vec![
            ("key", self.key.as_str().into()),
            ("name", given.unwrap_or_else(own).into()),
            ("size", size.map_or(Node::Null, number)),
            ("uri", request.uri("appliance", &self.key)),
            ("download_uri", format!("{}/api/v1/download/appliance/{}", request.root, self.key).into()),
            ("logo_uri", Node::Null),
            ("logo_key", Node::Null),
        ])
    }
}
