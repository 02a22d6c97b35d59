//! Static IP addresses and VLANs, and the addresses that running servers get.

use super::{Account, pairs};
use crate::emulator::answer::Refusal;
use crate::wire::elastic::Properties;
use serde::{Deserialize, Serialize};

/// The network that addresses are taken from: one that is reserved for documentation (RFC 5737), so that no mistake
/// leads to somebody's machine.
const NETWORK: &str = "203.0.113";
const NETMASK: &str = "255.255.255.0";
/// The gateway, which is the name server too.
const GATEWAY: u8 = 1;
/// Host numbers for static addresses, bought and kept.
const STATIC: std::ops::RangeInclusive<u8> = 2..=127;
/// Host numbers for addresses that a server has while it runs.
const TEMPORARY: std::ops::RangeInclusive<u8> = 128..=254;

/// The types of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::emulator) enum ResourceKind {
    Ip,
    Vlan,
}

impl ResourceKind {
    pub(in crate::emulator) fn name(self) -> &'static str {
        match self {
            ResourceKind::Ip => "ip",
            ResourceKind::Vlan => "vlan",
        }
    }

    /// The type of a path; 404 if there is none of that name.
    pub(in crate::emulator) fn parse(text: &str) -> Result<Self, Refusal> {
        [ResourceKind::Ip, ResourceKind::Vlan]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or_else(|| Refusal::missing(format!("There is no resource type {text}")))
    }
}

/// A static IP address or a VLAN.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::emulator) struct Resource {
    pub(in crate::emulator) kind: ResourceKind,
    /// The address, or a UUID.
    pub(in crate::emulator) id: String,
    #[serde(with = "pairs")]
    pub(in crate::emulator) keys: Properties,
}

fn missing(kind: ResourceKind, id: &str) -> Refusal {
    Refusal::missing(format!("Resource {} {id} does not exist", kind.name()))
}

impl Resource {
    fn is(&self, kind: ResourceKind, id: &str) -> bool {
        self.kind == kind && self.id.eq_ignore_ascii_case(id)
    }

    /// Resource info (Open Hosting API, "Get Single Resource Info").
    pub(in crate::emulator) fn describe(&self, user: &str) -> Properties {
        let mut info =
            Properties::new().with("resource", &*self.id).with("type", self.kind.name()).with("user", user);
        if self.kind == ResourceKind::Ip {
            info.set("netmask", NETMASK);
            info.set("gateway", address(GATEWAY));
            info.set("nameserver", address(GATEWAY));
        }
        for (key, value) in self.keys.iter() {
            info.set(key, value);
        }
        info
    }
}

impl Account {
    /// A resource by its type and identifier, to look at.
    pub(in crate::emulator) fn find_resource(
        &self,
        kind: ResourceKind,
        id: &str,
    ) -> Result<&Resource, Refusal> {
        let resource = self.resources.iter().find(|resource| resource.is(kind, id));
        resource.ok_or_else(|| missing(kind, id))
    }

    /// A resource by its type and identifier, to change it.
    pub(in crate::emulator) fn resource(
        &mut self,
        kind: ResourceKind,
        id: &str,
    ) -> Result<&mut Resource, Refusal> {
        let resource = self.resources.iter_mut().find(|resource| resource.is(kind, id));
        resource.ok_or_else(|| missing(kind, id))
    }

    /// Makes a resource.
    pub(in crate::emulator) fn add_resource(
        &mut self,
        kind: ResourceKind,
        keys: Properties,
    ) -> Result<Resource, Refusal> {
        let id = match kind {
            ResourceKind::Vlan => uuid::Uuid::new_v4().to_string(),
            ResourceKind::Ip => self.free_address(STATIC)?,
        };
        let resource = Resource { kind, id, keys };
        self.resources.push(resource.clone());
        Ok(resource)
    }

    /// The running server that uses a resource.
    pub(in crate::emulator) fn user_of(&self, resource: &str) -> Option<&str> {
        let uses = |words: &str| words.split_whitespace().any(|word| word.eq_ignore_ascii_case(resource));
        self.servers
            .iter()
            .filter(|server| server.status.runs())
            .find(|server| server.keys.iter().any(|(key, value)| is_network(key) && uses(value)))
            .map(|server| &*server.uuid)
    }

    /// An address for a server to have while it runs.
    pub(in crate::emulator) fn temporary_address(&self) -> Result<String, Refusal> {
        self.free_address(TEMPORARY)
    }

    fn free_address(&self, hosts: std::ops::RangeInclusive<u8>) -> Result<String, Refusal> {
        let taken = |address: &String| {
            self.resources.iter().any(|resource| resource.id == *address)
                || self.servers.iter().any(|server| server.given.iter().any(|(_, given)| given == address))
        };
        hosts
            .map(address)
            .find(|address| !taken(address))
            .ok_or_else(|| Refusal::full("No IP address is free"))
    }
}

fn is_network(key: &str) -> bool {
    key.starts_with("nic:") || key.starts_with("vnc")
}

fn address(host: u8) -> String {
    format!("{NETWORK}.{host}")
}
