//! `diskferry server`: everyday calls about servers, for every provider that has servers.

pub(super) mod create;

use super::account::{Account, given, is_disk};
use super::drive;
use super::noun::{
    Act,
    Cell::{Id, Megabytes, Number, Own, Text},
    Item, Noun, On, Pairs,
};
use super::output::Output;
use super::wait::WaitOptions;
use crate::error::{Error, Kind, Result};
use crate::escape;
use crate::provider::catalogue::Call;
use std::net::IpAddr;

pub(super) static SERVER: Noun = Noun {
    state: Some("status"),
    by_name: Some("servers.info_all"),
    address: Some(|server| address(server).unwrap_or_default()),
    ..Noun::new(
        "server",
        "servers",
        "List, create, start, stop and destroy servers",
        &[
            Act::list(
                "servers.info_all",
                "List the servers: name, status, processor, memory, address, UUID",
                &[
                    ("NAME", Text("name")),
                    ("STATUS", Text("status")),
                    ("CPU MHZ", Number("cpu")),
                    ("MEMORY", Megabytes("mem")),
                    ("ADDRESS", Own(|server| address(server).unwrap_or_default())),
                    ("UUID", Id("server")),
                ],
            ),
            Act::info("servers.info", "Show everything that is known of a server"),
            Act::own(
                "create",
                "servers.create",
                "Make a server, and start it unless --stopped; prints its UUID",
                create::arguments,
                create::run,
            )
            .on(On::Remote)
            .pairs(Pairs::Optional("The server's keys: name, cpu (MHz) and mem (MB), and others such as its drives"))
            .after(
                "Example:\n  diskferry server create oh: name=web cpu=2000 mem=1024 ide:0:0=DRIVE boot=ide:0:0 \
                 nic:0:model=e1000 nic:0:dhcp=auto\n\nDRIVE is a drive's UUID or its name. `diskferry calls \
                 openhosting servers.create` lists all keys.",
            ),
            Act::perform("start", "servers.start", "started", "Start a server").before(Some(drive::drives_are_free)),
            Act::perform("stop", "servers.stop", "stopped", "Stop a server at once, as if its power were cut"),
            Act::perform(
                "shutdown",
                "servers.shutdown",
                "sent the shutdown signal to",
                "Ask a server to shut down by itself (ACPI)",
            ),
            Act::perform("reset", "servers.reset", "reset", "Reset a server, as its button would"),
            Act::change(
                "set",
                "servers.set",
                "changed",
                "Change a server's configuration; most keys only while it is stopped",
            )
            .pairs(Pairs::Required("What to change; an empty value takes a key away")),
            Act::destroy(
                "destroy",
                "servers.destroy",
                "destroyed",
                "Destroy a server at once; its drives stay",
                "Its drives stay.",
            ),
        ],
    )
    .known("REMOTE:SERVER", "The server, by its UUID or its name", "server")
};

/// Returns the UUIDs of a server's drives.
pub(super) fn disks(server: &Item) -> Vec<String> {
    let pairs = server.pairs().into_iter();
    pairs.filter(|(key, value)| is_disk(key) && !value.is_empty()).map(|(_, drive)| drive).collect()
}

/// Waits until a server runs, and returns its latest description.
pub(super) async fn until_active(
    wait: WaitOptions,
    id: &str,
    account: &Account,
    output: &Output,
) -> Result<Item> {
    let start = Call::find(account.provider(), "servers.start")?;
    let gone = || Error::new(Kind::NotFound, format!("server {id} is gone"));
    let poll = start.poll.as_ref().ok_or_else(gone)?;
    wait.until(poll, &given([id], []), None, account, output).await?.item.ok_or_else(gone)
}

/// Returns the addresses of a server's first network card, if it has any yet.
///
/// The manuals disagree about their place: `nic:0:dhcp:ip` next to the setting (Crosspeer API, "Server
/// Configuration"), or in place of the setting (Open Hosting API, in the samples).
pub(super) fn address(server: &Item) -> Option<String> {
    let is_address =
        |text: &String| !text.is_empty() && text.split(' ').all(|word| word.parse::<IpAddr>().is_ok());
    let given = Some(server.text("nic:0:dhcp:ip")).filter(|text| !text.is_empty());
    given.or_else(|| Some(server.text("nic:0:dhcp")).filter(is_address))
}

/// Reports a server's address.
pub(super) fn tell_address(server: &Item, output: &Output) {
    if let Some(address) = address(server) {
        output.note(&format!("its address is {}", escape::line(&address)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_stands_in_either_key() {
        let server = |pairs: &[(&str, &str)]| address(&Item::Flat(pairs.iter().copied().collect()));
        assert_eq!(server(&[("nic:0:dhcp", "auto")]), None);
        assert_eq!(server(&[("nic:0:dhcp", "91.203.56.132")]).as_deref(), Some("91.203.56.132"));
        assert_eq!(
            server(&[("nic:0:dhcp", "auto"), ("nic:0:dhcp:ip", "10.0.0.1 10.0.0.2")]).as_deref(),
            Some("10.0.0.1 10.0.0.2")
        );
        assert_eq!(server(&[("nic:0:dhcp:ip", ""), ("nic:0:dhcp", "::1")]).as_deref(), Some("::1"));
        assert_eq!(server(&[]), None);
    }
}
