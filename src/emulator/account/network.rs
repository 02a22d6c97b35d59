//! Static IP addresses and VLANs, and the addresses of running servers.

use super::{Account, Product};
use crate::emulator::answer::Refusal;
use crate::emulator::properties::Properties;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// The network of all addresses. It is reserved for documentation (RFC 5737), so that a mistake cannot reach
/// anybody's machine.
const NETWORK: &str = "203.0.113";
const NETMASK: &str = "255.255.255.0";
/// The gateway, which is also the name server.
const GATEWAY: u8 = 1;
/// Host numbers of static addresses, which are bought and kept.
const STATIC: RangeInclusive<u8> = 2..=127;
/// Host numbers of addresses that a server has while it runs.
const TEMPORARY: RangeInclusive<u8> = 128..=254;

/// A static IP address or a VLAN.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Resource {
    /// `ip` or `vlan`.
    pub(crate) kind: String,
    /// The address, or a UUID.
    pub(crate) id: String,
    pub(crate) keys: Properties,
}

impl Resource {
    /// Returns the product of a type of resources, or fails with 404 if there is no such type.
    pub(crate) fn product(kind: &str) -> Result<Product, Refusal> {
        let missing = || Refusal::missing(format!("There is no resource type {kind}"));
        Product::find(kind).ok().filter(|product| product.group == "network").ok_or_else(missing)
    }

    pub(crate) fn is(&self, kind: &str, id: &str) -> bool {
        self.kind == kind && self.id.eq_ignore_ascii_case(id)
    }

    /// Returns the resource's info (Open Hosting API, "Get Single Resource Info").
    pub(crate) fn describe(&self, user: &str) -> Properties {
        let mut info =
            Properties::new().with("resource", &*self.id).with("type", &*self.kind).with("user", user);
        if self.kind == "ip" {
            info.set("netmask", NETMASK);
            info.set("gateway", address(GATEWAY));
            info.set("nameserver", address(GATEWAY));
        }
        self.keys.iter().fold(info, |info, (key, value)| info.with(key, value))
    }
}

impl Account {
    /// Returns the position of a resource, by its type and identifier.
    pub(crate) fn resource(&self, kind: &str, id: &str) -> Result<usize, Refusal> {
        let at = self.resources.iter().position(|resource| resource.is(kind, id));
        at.ok_or_else(|| Refusal::missing(format!("Resource {kind} {id} does not exist")))
    }

    /// Creates a resource.
    pub(crate) fn add_resource(&mut self, kind: &str, keys: Properties) -> Result<Resource, Refusal> {
        let id = if kind == "ip" { self.free_address(STATIC)? } else { uuid::Uuid::new_v4().to_string() };
        let resource = Resource { kind: kind.to_owned(), id, keys };
        self.resources.push(resource.clone());
        Ok(resource)
    }

    /// Returns the running server that uses a resource.
    pub(crate) fn user_of(&self, resource: &str) -> Option<&str> {
        let names = |(key, words): (&str, &str)| {
            (key.starts_with("nic:") || key.starts_with("vnc"))
                && words.split_whitespace().any(|word| word.eq_ignore_ascii_case(resource))
        };
        let mut running = self.servers.iter().filter(|server| server.status.runs());
        running.find(|server| server.keys.iter().any(names)).map(|server| &*server.uuid)
    }

    /// Returns an address for a server while it runs.
    pub(crate) fn temporary_address(&self) -> Result<String, Refusal> {
        self.free_address(TEMPORARY)
    }

    fn free_address(&self, hosts: RangeInclusive<u8>) -> Result<String, Refusal> {
        let taken = |address: &String| {
            self.resources.iter().any(|resource| resource.id == *address)
                || self.servers.iter().any(|server| server.given.iter().any(|(_, given)| given == address))
        };
        let free = hosts.map(address).find(|address| !taken(address));
        free.ok_or_else(|| Refusal::full("No IP address is free"))
    }
}

fn address(host: u8) -> String {
    format!("{NETWORK}.{host}")
}
